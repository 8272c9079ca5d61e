//! Files of records: written from a state of a collection, read in batches.

use std::fs::{File, OpenOptions};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use ferrochrome_engine::{GetResult, WriteBatch};
use ferrochrome_types::{CancelToken, Error, Result};
use ferrochrome_wire::Include;
use serde::Deserialize;

use crate::arrow_file::{ArrowReader, ArrowWriter};
use crate::columns::{DESCRIPTION, FileColumns};
use crate::decode::decode;
use crate::encode::encode;
use crate::failure::damaged;
use crate::layout::{ColumnNames, Layout};
use crate::lines_file::{LinesReader, LinesWriter};
use crate::parquet_file::{ParquetReader, ParquetWriter};

/// What kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Lines of JSON.
    Jsonl,
    /// An Arrow IPC file, also known as Feather version 2.
    Arrow,
    /// A Parquet file.
    Parquet,
}

/// How columns are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// LZ4 frames; Arrow only.
    Lz4,
    /// Zstandard.
    Zstd,
    /// Snappy; Parquet only.
    Snappy,
}

impl Compression {
    fn check(self, format: Format) -> Result<()> {
        match (format, self) {
            (Format::Jsonl, Compression::Lz4 | Compression::Zstd | Compression::Snappy) => {
                Err(Error::invalid("Lines of JSON are not compressed here, expected compression `none`"))
            }
            (Format::Arrow, Compression::Snappy) => Err(Error::invalid(
                "An Arrow file has no compression `snappy`, expected `none`, `lz4` or `zstd`",
            )),
            (Format::Parquet, Compression::Lz4) => Err(Error::invalid(
                "Compression `lz4` is for Arrow files, expected `none`, `snappy` or `zstd` for Parquet",
            )),
            _ => Ok(()),
        }
    }
}

enum Writer {
    Lines(LinesWriter),
    Arrow(Table, ArrowWriter),
    Parquet(Table, ParquetWriter),
}

/// The columns that are written.
struct Table {
    columns: FileColumns,
    schema: SchemaRef,
}

/// A file that is being written with the records of one state of a collection.
pub struct RecordFileWriter {
    path: PathBuf,
    result: GetResult,
    include: Include,
    writer: Writer,
    next: usize,
}

impl RecordFileWriter {
    /// Creates the file, which must not exist. `description` is a JSON object that describes the collection.
    ///
    /// # Errors
    /// `InvalidArgument` for a compression that the format does not have, `Io`, `Cancelled`, `Corrupted` where a record cannot be
    /// read.
    pub fn create(
        path: &Path,
        format: Format,
        compression: Compression,
        description: Option<&str>,
        result: GetResult,
        include: Include,
        cancel: &CancelToken,
    ) -> Result<Self> {
        compression.check(format)?;
        let table = || {
            let columns = FileColumns::of(&result, include, cancel)?;
            let schema: SchemaRef = Arc::new(columns.schema(description));
            Ok::<_, Error>(Table { columns, schema })
        };
        let create = || {
            let file = OpenOptions::new().write(true).create_new(true).open(path);
            file.map_err(|e| Error::io(path.display(), e))
        };
        let writer = match format {
            Format::Jsonl => {
                LinesWriter::create(create()?, description).map(Writer::Lines).map_err(Into::into)
            }
            Format::Arrow => {
                let table = table()?;
                ArrowWriter::create(create()?, &table.schema, compression).map(|w| Writer::Arrow(table, w))
            }
            Format::Parquet => {
                let table = table()?;
                ParquetWriter::create(create()?, &table.schema, compression)
                    .map(|w| Writer::Parquet(table, w))
            }
        };
        let writer = writer.map_err(|e| write_error(path, e))?;
        Ok(RecordFileWriter { path: path.to_owned(), result, include, writer, next: 0 })
    }

    /// Records in all.
    pub fn total(&self) -> usize {
        self.result.rows.len()
    }

    /// Writes the next records, `limit` at most and fewer where they are large; returns how many were written so far.
    ///
    /// # Errors
    /// `Io`; `Corrupted` where a record cannot be read.
    pub fn write(&mut self, limit: usize) -> Result<usize> {
        let (result, from, limit) = (&self.result, self.next, limit.max(1));
        let encoded = |table: &Table| encode(result, &table.columns, &table.schema, from, limit);
        let (written, next) = match &mut self.writer {
            Writer::Lines(writer) => {
                let shown = self.path.display().to_string();
                (Ok(()), writer.write(result, self.include, from, limit, &shown)?)
            }
            Writer::Arrow(table, writer) => {
                let (batch, next) = encoded(table)?;
                (writer.write(&batch), next)
            }
            Writer::Parquet(table, writer) => {
                let (batch, next) = encoded(table)?;
                (writer.write(&batch), next)
            }
        };
        written.map_err(|e| write_error(&self.path, e))?;
        self.next = next;
        self.result.snapshot.bound_resident_rows();
        Ok(next)
    }

    /// Ends the file, and waits until it is on the disk. Returns its length in bytes.
    ///
    /// # Errors
    /// `Io`.
    pub fn finish(self) -> Result<u64> {
        let path = self.path;
        let file = match self.writer {
            Writer::Lines(writer) => writer.finish().map_err(ArrowError::from),
            Writer::Arrow(_, writer) => writer.finish(),
            Writer::Parquet(_, writer) => writer.finish(),
        };
        let file = file.map_err(|e| write_error(&path, e))?;
        let length =
            file.sync_all().and_then(|()| file.metadata()).map_err(|e| Error::io(path.display(), e))?;
        Ok(length.len())
    }
}

fn write_error(path: &Path, error: ArrowError) -> Error {
    match error {
        ArrowError::IoError(_, source) => Error::io(path.display(), source),
        other => Error::internal(format!("{} could not be written: {other}", path.display())),
    }
}

enum Reader {
    Lines(LinesReader),
    Table(TableReader),
}

/// A file of columns, whose batches are handed out piece by piece.
struct TableReader {
    batches: Batches,
    layout: Layout,
    /// What was read and not handed out yet.
    batch: Option<RecordBatch>,
    done: u64,
}

enum Batches {
    Arrow(ArrowReader),
    Parquet(ParquetReader),
}

impl Batches {
    fn schema(&self) -> &SchemaRef {
        match self {
            Batches::Arrow(reader) => reader.schema(),
            Batches::Parquet(reader) => reader.schema(),
        }
    }

    fn rows(&self) -> u64 {
        match self {
            Batches::Arrow(reader) => reader.rows(),
            Batches::Parquet(reader) => reader.rows(),
        }
    }

    fn next(&mut self) -> Result<Option<RecordBatch>> {
        match self {
            Batches::Arrow(reader) => reader.next(),
            Batches::Parquet(reader) => reader.next(),
        }
    }
}

impl TableReader {
    fn new(batches: Batches, names: &ColumnNames) -> Result<Self> {
        let layout = Layout::of(batches.schema(), names)?;
        Ok(TableReader { batches, layout, batch: None, done: 0 })
    }

    fn read(&mut self, limit: usize) -> Result<Option<WriteBatch>> {
        let batch = loop {
            match self.batch.take() {
                Some(batch) if batch.num_rows() > 0 => break batch,
                _ => match self.batches.next()? {
                    Some(batch) => self.batch = Some(batch),
                    None => return Ok(None),
                },
            }
        };
        let rows = batch.num_rows().min(limit);
        self.batch = Some(batch.slice(rows, batch.num_rows() - rows));
        let records = decode(&batch.slice(0, rows), &self.layout, self.done + 1)?;
        self.done += rows as u64;
        Ok(Some(records))
    }
}

/// A file of records, of ours or of another program, that is being read. Nothing in it is trusted.
///
/// Of an Arrow file one record batch is in memory at a time, of a Parquet file a page of each column, of lines those of a batch.
pub struct RecordFileReader {
    reader: Reader,
    shown: String,
}

impl RecordFileReader {
    /// Opens a file and looks at its columns.
    ///
    /// # Errors
    /// `InvalidArgument` where it is no such file, damaged, or has other columns than records can have; `Io`.
    pub fn open(path: &Path, format: Format, names: &ColumnNames) -> Result<Self> {
        let shown = path.display().to_string();
        let reader = guarded(&shown, || Self::open_reader(path, &shown, format, names))?;
        Ok(RecordFileReader { reader, shown })
    }

    fn open_reader(path: &Path, shown: &str, format: Format, names: &ColumnNames) -> Result<Reader> {
        let file = File::open(path).map_err(|e| Error::io(shown, e))?;
        let table = |batches| TableReader::new(batches, names).map(Reader::Table);
        match format {
            Format::Jsonl => LinesReader::open(file, shown).map(Reader::Lines),
            Format::Arrow => table(Batches::Arrow(ArrowReader::open(file, shown)?)),
            Format::Parquet => table(Batches::Parquet(ParquetReader::open(file, shown, &names.ignore)?)),
        }
    }

    /// What the file says of the collection that it was written from, as JSON, if it was one of ours.
    pub fn description(&self) -> Option<&str> {
        match &self.reader {
            Reader::Lines(reader) => reader.description(),
            Reader::Table(reader) => reader.batches.schema().metadata().get(DESCRIPTION).map(String::as_str),
        }
    }

    /// Records in all; `None` for lines, which are not counted before they are read.
    pub fn total(&self) -> Option<u64> {
        match &self.reader {
            Reader::Lines(_) => None,
            Reader::Table(reader) => Some(reader.batches.rows()),
        }
    }

    /// The next records, `limit` at most; `None` behind the last.
    ///
    /// # Errors
    /// `InvalidArgument` naming row and column, or the line, where a value cannot be had, or where the file is damaged; `Io`.
    pub fn read(&mut self, limit: usize) -> Result<Option<WriteBatch>> {
        let reader = &mut self.reader;
        guarded(&self.shown, || match reader {
            Reader::Lines(reader) => reader.read(limit.max(1)),
            Reader::Table(reader) => reader.read(limit.max(1)),
        })
    }
}

/// Runs what reads a file. The decoders of others panic at some lengths that do not fit together.
fn guarded<T>(shown: &str, read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(damaged(shown, "its lengths do not fit together")))
}
