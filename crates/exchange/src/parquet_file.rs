//! Parquet files, with the readers and writers of columns that the crate `parquet` has. Its own conversion to Arrow handles any type,
//! and is larger than all of the rest together; the columns of records are of few.

mod array;
mod column;
mod data_type;
mod encoder;
mod pages;
mod read;
mod shape;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use read::ParquetReader;
pub(crate) use write::ParquetWriter;

/// The key of Arrow's own copy of the schema, in Arrow's format, as base64.
const ARROW_SCHEMA: &str = "ARROW:schema";
