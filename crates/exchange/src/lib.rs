//! Arrow and Parquet files and lines of JSON with records: written from one state of a collection, and read, from any program, into batches that are
//! written to one. `docs/export.md` describes the columns.
#![forbid(unsafe_code)]

mod arrow_file;
mod columns;
mod decode;
mod encode;
mod failure;
mod layout;
mod lines_file;
mod parquet_file;
mod record_file;
#[cfg(test)]
mod tests;

pub use layout::ColumnNames;
pub use record_file::{Compression, Format, RecordFileReader, RecordFileWriter};
