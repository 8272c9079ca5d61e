//! Reads Parquet files of any program. Nothing in them is trusted.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ferrochrome_types::Result;
use parquet::basic::Compression as Codec;
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData, ParquetMetaDataReader};

use super::ARROW_SCHEMA;
use super::array::assemble;
use super::column::LeafReader;
use super::shape::{Column, Shape, columns};
use crate::failure::{damaged, unreadable};

/// Rows that are decoded at once.
const BATCH_ROWS: usize = 1_024;

/// Reads a Parquet file.
pub(crate) struct ParquetReader {
    shown: String,
    file: Arc<File>,
    metadata: Box<ParquetMetaData>,
    schema: SchemaRef,
    shapes: Vec<Shape>,
    rows: u64,
    /// The row group that comes next.
    next_group: usize,
    /// Rows of the present one that were not read.
    left: usize,
    /// For each column one or, for a struct, one a field; none before the first row is read.
    readers: Vec<Vec<LeafReader>>,
}

impl ParquetReader {
    /// Opens a file; columns of the names in `ignore` are not read.
    ///
    /// # Errors
    /// `InvalidArgument` where the file is no Parquet file, a damaged one, or compressed as we do not read it.
    pub fn open(file: File, shown: &str, ignore: &[String]) -> Result<Self> {
        let metadata =
            ParquetMetaDataReader::new().parse_and_finish(&file).map_err(|e| read_error(shown, &e))?;
        check_codecs(&metadata, shown)?;
        let rows = u64::try_from(metadata.file_metadata().num_rows())
            .map_err(|_| damaged(shown, "its number of rows is negative"))?;
        let mut texts = key_values(metadata.file_metadata().key_value_metadata());
        let hints = texts.remove(ARROW_SCHEMA).map(|text| arrow_schema(&text)).transpose();
        let hints = hints.map_err(|what| damaged(shown, what))?;
        for (key, text) in hints.iter().flat_map(Schema::metadata) {
            texts.entry(key.clone()).or_insert_with(|| text.clone());
        }
        let described = metadata.file_metadata().schema_descr();
        let columns = columns(described, ignore, hints.as_ref().map(Schema::fields))
            .map_err(|what| damaged(shown, what))?;
        let (fields, shapes): (Vec<_>, _) =
            columns.into_iter().map(|Column { field, shape }| (field, shape)).unzip();
        let schema = Arc::new(Schema::new_with_metadata(fields, texts));
        Ok(ParquetReader {
            shown: shown.to_owned(),
            file: Arc::new(file),
            metadata: Box::new(metadata),
            schema,
            shapes,
            rows,
            next_group: 0,
            left: 0,
            readers: Vec::new(),
        })
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows of all row groups.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The next rows; `None` behind the last.
    pub fn next(&mut self) -> Result<Option<RecordBatch>> {
        self.readers.iter_mut().flatten().for_each(LeafReader::begin);
        let mut rows = 0;
        while rows < BATCH_ROWS {
            if self.left == 0 && !self.open_group().map_err(|e| read_error(&self.shown, &e))? {
                break;
            }
            let more = self.left.min(BATCH_ROWS - rows);
            self.read_rows(more).map_err(|e| damaged(&self.shown, e))?;
            rows += more;
        }
        if rows == 0 {
            return Ok(None);
        }
        self.batch(rows).map(Some).map_err(|what| damaged(&self.shown, what))
    }

    /// Goes on to the next row group, if there is another; it may be empty.
    fn open_group(&mut self) -> std::result::Result<bool, ParquetError> {
        let Some(group) = self.metadata.row_groups().get(self.next_group) else { return Ok(false) };
        let rows = usize::try_from(group.num_rows())?;
        if self.readers.is_empty() {
            let columns = self.metadata.file_metadata().schema_descr();
            let reader = |at: usize| LeafReader::new(at, columns.column(at).physical_type());
            let readers = |shape: &Shape| shape.leaves().into_iter().map(reader).collect();
            self.readers = self.shapes.iter().map(readers).collect::<std::result::Result<_, _>>()?;
            self.readers.iter_mut().flatten().for_each(LeafReader::begin);
        }
        self.readers.iter_mut().flatten().try_for_each(|reader| reader.open(&self.file, group, rows))?;
        self.left = rows;
        self.next_group += 1;
        Ok(true)
    }

    /// Adds rows of the present row group to the batch.
    fn read_rows(&mut self, rows: usize) -> std::result::Result<(), ParquetError> {
        self.left -= rows;
        for reader in self.readers.iter_mut().flatten() {
            if reader.read(rows)? != rows {
                return Err(ParquetError::General("a column ends before its row group does".to_owned()));
            }
            if self.left == 0 && reader.read(1)? != 0 {
                return Err(ParquetError::General("a column has more rows than its row group".to_owned()));
            }
        }
        Ok(())
    }

    fn batch(&mut self, rows: usize) -> std::result::Result<RecordBatch, String> {
        let columns = self.shapes.iter().zip(self.schema.fields()).zip(&mut self.readers);
        let arrays =
            columns.map(|((shape, field), readers)| assemble(shape, field.data_type(), readers, rows));
        let arrays = arrays.collect::<std::result::Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options).map_err(|e| e.to_string())
    }
}

fn check_codecs(metadata: &ParquetMetaData, shown: &str) -> Result<()> {
    for column in metadata.row_groups().iter().flat_map(|group| group.columns()) {
        let codec = column.compression();
        if !matches!(codec, Codec::UNCOMPRESSED | Codec::SNAPPY | Codec::ZSTD(_)) {
            let what = format!("it is compressed with {codec}, expected snappy, zstd or none");
            return Err(unreadable(shown, &what));
        }
    }
    Ok(())
}

fn key_values(pairs: Option<&Vec<KeyValue>>) -> HashMap<String, String> {
    let pairs = pairs.into_iter().flatten();
    pairs.filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?))).collect()
}

/// Arrow's own copy of the schema.
fn arrow_schema(text: &str) -> std::result::Result<Schema, String> {
    let wrong = |e: &dyn std::fmt::Display| format!("its {ARROW_SCHEMA} is malformed: {e}");
    let message = BASE64_STANDARD.decode(text).map_err(|e| wrong(&e))?;
    arrow_ipc::convert::try_schema_from_ipc_buffer(&message).map_err(|e| wrong(&e))
}

fn read_error(shown: &str, error: &ParquetError) -> ferrochrome_types::Error {
    match error {
        ParquetError::NYI(what) => unreadable(shown, what),
        other => damaged(shown, other),
    }
}
