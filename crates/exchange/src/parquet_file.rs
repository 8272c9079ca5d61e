//! Parquet files, with the crate `parquet`.

use std::fs::File;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, Schema, SchemaRef};
use ferrochrome_types::Result;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression as Codec, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::columns::{DESCRIPTION, EMBEDDING};
use crate::failure::{damaged, unreadable};
use crate::record_file::Compression;

/// A row group is kept in memory, encoded, until it has so many bytes.
const ROW_GROUP_BYTES: usize = 32 << 20;
/// Rows that are decoded at once.
const BATCH_ROWS: usize = 1_024;

/// Writes a Parquet file.
pub(crate) struct ParquetWriter(ArrowWriter<File>);

impl ParquetWriter {
    pub fn create(
        file: File,
        schema: &Schema,
        compression: Compression,
    ) -> std::result::Result<Self, ArrowError> {
        let codec = match compression {
            Compression::Zstd => Codec::ZSTD(ZstdLevel::default()),
            Compression::Snappy => Codec::SNAPPY,
            Compression::None | Compression::Lz4 => Codec::UNCOMPRESSED,
        };
        // Vectors hardly repeat: a dictionary of their components costs time and saves nothing.
        let components = ColumnPath::new([EMBEDDING, "list", "item"].map(str::to_owned).to_vec());
        // Beside Arrow's own copy of the schema, which only Arrow's programs read.
        let description = schema.metadata().get(DESCRIPTION);
        let described = description.map(|text| vec![KeyValue::new(DESCRIPTION.to_owned(), text.clone())]);
        let properties = WriterProperties::builder()
            .set_compression(codec)
            .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
            .set_created_by(format!("ferrochrome {}", env!("CARGO_PKG_VERSION")))
            .set_column_dictionary_enabled(components.clone(), false)
            .set_column_statistics_enabled(components, EnabledStatistics::None)
            .set_key_value_metadata(described)
            .build();
        let schema = SchemaRef::new(schema.clone());
        Ok(ParquetWriter(ArrowWriter::try_new(file, schema, Some(properties)).map_err(to_arrow)?))
    }

    pub fn write(&mut self, batch: &RecordBatch) -> std::result::Result<(), ArrowError> {
        self.0.write(batch).map_err(to_arrow)
    }

    pub fn finish(self) -> std::result::Result<File, ArrowError> {
        self.0.into_inner().map_err(to_arrow)
    }
}

/// Reads a Parquet file.
pub(crate) struct ParquetReader {
    shown: String,
    schema: SchemaRef,
    rows: u64,
    batches: ParquetRecordBatchReader,
}

impl ParquetReader {
    /// Opens a file; columns of the names in `ignore` are not read.
    ///
    /// # Errors
    /// `InvalidArgument` where the file is no Parquet file, a damaged one, or compressed as we do not read it.
    pub fn open(file: File, shown: &str, ignore: &[String]) -> Result<Self> {
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, ArrowReaderOptions::new())
            .map_err(|e| read_error(shown, &e))?;
        let schema = builder.schema().clone();
        let is_used = |at: &usize| !ignore.contains(schema.field(*at).name());
        let used: Vec<usize> = (0..schema.fields().len()).filter(is_used).collect();
        let projected = ProjectionMask::roots(builder.parquet_schema(), used.iter().copied());
        let schema = SchemaRef::new(schema.project(&used).map_err(|e| damaged(shown, e))?);
        let metadata = builder.metadata().clone();
        for group in metadata.row_groups() {
            for column in group.columns() {
                let codec = column.compression();
                if !matches!(codec, Codec::UNCOMPRESSED | Codec::SNAPPY | Codec::ZSTD(_)) {
                    let what = format!("it is compressed with {codec}, expected snappy, zstd or none");
                    return Err(unreadable(shown, &what));
                }
            }
        }
        let rows = u64::try_from(metadata.file_metadata().num_rows())
            .map_err(|_| damaged(shown, "its number of rows is negative"))?;
        let batches = builder
            .with_projection(projected)
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(|e| read_error(shown, &e))?;
        Ok(ParquetReader { shown: shown.to_owned(), schema, rows, batches })
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
        self.batches.next().transpose().map_err(|e| damaged(&self.shown, e))
    }
}

fn read_error(shown: &str, error: &ParquetError) -> ferrochrome_types::Error {
    match error {
        ParquetError::NYI(what) => unreadable(shown, what),
        other => damaged(shown, other),
    }
}

/// As Arrow's error, so that both writers fail alike.
fn to_arrow(error: ParquetError) -> ArrowError {
    match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(source) => ArrowError::IoError(source.to_string(), *source),
            Err(source) => ArrowError::ExternalError(source),
        },
        other => ArrowError::ParquetError(other.to_string()),
    }
}
