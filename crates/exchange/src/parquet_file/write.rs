//! Writes Parquet files. The columns of a row group are encoded in memory side by side, and then appended to the file one by one.

use std::fs::File;
use std::io::BufWriter;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use parquet::basic::{
    Compression as Codec, ConvertedType, LogicalType, Repetition, Type as PhysicalType, ZstdLevel,
};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, Type};

use super::ARROW_SCHEMA;
use super::encoder::ColumnEncoder;
use crate::columns::{DESCRIPTION, EMBEDDING};
use crate::record_file::Compression;

/// A row group is kept in memory, encoded, until it has so many bytes.
const ROW_GROUP_BYTES: usize = 32 << 20;
/// Most rows of a row group: those of nothing but nulls and repetitions take next to no bytes.
const ROW_GROUP_ROWS: usize = 1 << 20;

/// Pages are copied in pieces of a few KiB, of which so many go to the file at once.
const WRITE_BYTES: usize = 1 << 20;

/// Writes a Parquet file.
pub(crate) struct ParquetWriter {
    file: SerializedFileWriter<BufWriter<File>>,
    /// The columns of the row group that has begun; none before its first row.
    columns: Vec<ColumnEncoder>,
    rows: usize,
}

impl ParquetWriter {
    pub fn create(
        file: File,
        schema: &Schema,
        compression: Compression,
    ) -> std::result::Result<Self, ArrowError> {
        let fields = schema.fields().iter().map(|field| Ok(Arc::new(parquet_type(field)?)));
        let fields = fields.collect::<Result<_>>().map_err(to_arrow)?;
        let root = Type::group_type_builder("arrow_schema").with_fields(fields).build();
        let properties = Arc::new(properties(schema, compression));
        let file = BufWriter::with_capacity(WRITE_BYTES, file);
        let file = root.and_then(|root| SerializedFileWriter::new(file, Arc::new(root), properties));
        Ok(ParquetWriter { file: file.map_err(to_arrow)?, columns: Vec::new(), rows: 0 })
    }

    pub fn write(&mut self, batch: &RecordBatch) -> std::result::Result<(), ArrowError> {
        self.write_batch(batch).map_err(to_arrow)
    }

    fn write_batch(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.columns.is_empty() {
            let columns = self.file.schema_descr().columns().iter();
            let columns = columns.map(|column| ColumnEncoder::new(column.clone(), self.file.properties()));
            self.columns = columns.collect::<Result<_>>()?;
        }
        for (column, array) in self.columns.iter_mut().zip(batch.columns()) {
            column.write(array)?;
        }
        self.rows += batch.num_rows();
        let bytes: usize = self.columns.iter().map(ColumnEncoder::bytes).sum();
        if bytes >= ROW_GROUP_BYTES || self.rows >= ROW_GROUP_ROWS {
            self.end_row_group()?;
        }
        Ok(())
    }

    pub(super) fn end_row_group(&mut self) -> Result<()> {
        let columns = std::mem::take(&mut self.columns);
        if columns.is_empty() {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        for column in columns {
            let (pages, closed) = column.finish()?;
            group.append_column(&pages, closed)?;
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }

    pub fn finish(mut self) -> std::result::Result<File, ArrowError> {
        self.end_row_group().map_err(to_arrow)?;
        let file = self.file.into_inner().map_err(to_arrow)?;
        Ok(file.into_inner().map_err(std::io::IntoInnerError::into_error)?)
    }
}

fn properties(schema: &Schema, compression: Compression) -> WriterProperties {
    let codec = match compression {
        Compression::Zstd => Codec::ZSTD(ZstdLevel::default()),
        Compression::Snappy => Codec::SNAPPY,
        Compression::None | Compression::Lz4 => Codec::UNCOMPRESSED,
    };
    // Vectors hardly repeat: a dictionary of their components costs time and saves nothing.
    let components = ColumnPath::new([EMBEDDING, "list", "item"].map(str::to_owned).to_vec());
    // Beside Arrow's own copy of the schema, which only Arrow's programs read.
    let description = schema.metadata().get(DESCRIPTION);
    let described = description.map(|text| KeyValue::new(DESCRIPTION.to_owned(), text.clone()));
    let copy = KeyValue::new(ARROW_SCHEMA.to_owned(), arrow_schema(schema));
    WriterProperties::builder()
        .set_compression(codec)
        .set_created_by(format!("ferrochrome {}", env!("CARGO_PKG_VERSION")))
        .set_column_dictionary_enabled(components.clone(), false)
        .set_column_statistics_enabled(components, EnabledStatistics::None)
        .set_key_value_metadata(Some(described.into_iter().chain([copy]).collect()))
        .build()
}

/// Arrow's own copy of the schema: without it, its programs would not know that vectors have one length.
fn arrow_schema(schema: &Schema) -> String {
    let options = IpcWriteOptions::default();
    let message = IpcDataGenerator::default()
        .schema_to_bytes_with_dictionary_tracker(schema, &mut DictionaryTracker::new(true), &options)
        .ipc_message;
    // In front of a message stand a continuation marker and its length.
    let length = (message.len() as u32).to_le_bytes();
    BASE64_STANDARD.encode([&[0xff; 4], length.as_slice(), &message].concat())
}

/// The column that holds a field; those of records are texts, numbers, booleans and lists of them.
fn parquet_type(field: &Field) -> Result<Type> {
    let name = field.name();
    let repetition = if field.is_nullable() { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    let (physical, logical) = match field.data_type() {
        DataType::Utf8 => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
        DataType::Int64 => (PhysicalType::INT64, None),
        DataType::Float32 => (PhysicalType::FLOAT, None),
        DataType::Float64 => (PhysicalType::DOUBLE, None),
        DataType::Boolean => (PhysicalType::BOOLEAN, None),
        DataType::List(item) | DataType::FixedSizeList(item, _) => {
            let repeated = Type::group_type_builder("list")
                .with_fields(vec![Arc::new(parquet_type(item)?)])
                .with_repetition(Repetition::REPEATED)
                .build()?;
            return Type::group_type_builder(name)
                .with_fields(vec![Arc::new(repeated)])
                .with_converted_type(ConvertedType::LIST)
                .with_logical_type(Some(LogicalType::List))
                .with_repetition(repetition)
                .build();
        }
        other => return Err(ParquetError::NYI(format!("column `{name}` of type {other}"))),
    };
    Type::primitive_type_builder(name, physical)
        .with_logical_type(logical)
        .with_repetition(repetition)
        .build()
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
