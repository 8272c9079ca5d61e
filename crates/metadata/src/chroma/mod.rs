//! The SQLite side of a directory that a Chroma server wrote, versions 0.4 to 1.5.
//!
//! [`ChromaSqlite`] reads `chroma.sqlite3` and never changes it: tenants, databases, collections, the records with their metadata,
//! and the queue of writes. Which columns a table has depends on the version that wrote it; they are looked up rather than
//! concluded from migration numbers. The file is not trusted.

mod catalog;
mod open;
mod queue;
mod records;
#[cfg(test)]
mod tests;
mod value;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use ferrochrome_types::{Metadata, Value};
use rusqlite::Connection;
use tempfile::TempDir;
use uuid::Uuid;

pub use catalog::{ChromaCollection, ChromaDatabase};
pub use queue::{Operation, QueueEntry};
pub use records::RecordKey;

/// Name of the file that every directory of Chroma 0.4 and later has.
pub const CHROMA_SQLITE: &str = "chroma.sqlite3";

/// What is wrong with a record or a collection of a source. The names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ProblemKind {
    /// A record without a vector. It is left out.
    MissingVector,
    /// A vector without a record. It is left out.
    MissingRecord,
    /// A vector of another dimension, or with components that are not finite, or not as long as its norm says. The record is left out.
    InvalidVector,
    /// An id that is empty or not text. The record is left out.
    InvalidId,
    /// A metadata value of no known type, or under a key that is reserved. The record comes without it.
    InvalidValue,
    /// A record whose rows SQLite cannot read. It is left out.
    UnreadableRecord,
    /// A write in the queue that cannot be understood. What it changed is missing.
    UnreadableWrite,
    /// The files of the vector index cannot be read; vectors are taken from the queue as far as they are there.
    UnreadableIndex,
    /// A setting of the collection that cannot be taken over.
    InvalidSetting,
}

impl ProblemKind {
    /// The stable name, for example `missing-vector`.
    pub fn as_str(self) -> &'static str {
        match self {
            ProblemKind::MissingVector => "missing-vector",
            ProblemKind::MissingRecord => "missing-record",
            ProblemKind::InvalidVector => "invalid-vector",
            ProblemKind::InvalidId => "invalid-id",
            ProblemKind::InvalidValue => "invalid-value",
            ProblemKind::UnreadableRecord => "unreadable-record",
            ProblemKind::UnreadableWrite => "unreadable-write",
            ProblemKind::UnreadableIndex => "unreadable-index",
            ProblemKind::InvalidSetting => "invalid-setting",
        }
    }
}

/// One thing that is wrong in a source, and what follows for the import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind of thing.
    pub kind: ProblemKind,
    /// The record it is about, if it is about one.
    pub id: Option<String>,
    /// A sentence for the person who reads it.
    pub message: String,
}

impl Problem {
    /// A problem of the record `id`.
    pub fn of_record(kind: ProblemKind, id: &str, message: impl fmt::Display) -> Self {
        Problem { kind, id: Some(id.to_owned()), message: message.to_string() }
    }

    /// A problem of the collection.
    pub fn of_collection(kind: ProblemKind, message: impl fmt::Display) -> Self {
        Problem { kind, id: None, message: message.to_string() }
    }
}

/// Everything that SQLite knows of one record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChromaRecord {
    /// The document, if it has one.
    pub document: Option<String>,
    /// The URI, if it has one.
    pub uri: Option<String>,
    /// Metadata without Chroma's own keys; may be empty.
    pub metadata: Metadata,
}

impl ChromaRecord {
    /// Bytes that it takes, about.
    pub fn bytes(&self) -> usize {
        let value_bytes = |value: &Value| match value {
            Value::Str(text) => text.len(),
            Value::StrArray(texts) => texts.iter().map(String::len).sum(),
            _ => 8,
        };
        let metadata: usize = self.metadata.iter().map(|(key, value)| key.len() + value_bytes(value)).sum();
        metadata + self.document.as_ref().map_or(0, String::len) + self.uri.as_ref().map_or(0, String::len)
    }

    /// Lays a change of metadata, document and URI over it. A key without a value is removed.
    pub fn apply(&mut self, patch: RecordPatch) {
        for (key, value) in patch {
            match (key.as_str(), value) {
                ("chroma:document", Some(Value::Str(text))) => self.document = Some(text),
                ("chroma:document", _) => self.document = None,
                ("chroma:uri", Some(Value::Str(text))) => self.uri = Some(text),
                ("chroma:uri", _) => self.uri = None,
                (own, _) if own.starts_with("chroma:") => {}
                (_, Some(value)) => _ = self.metadata.insert(key, value),
                (_, None) => _ = self.metadata.remove(&key),
            }
        }
    }
}

/// Keys that a write in the queue changes, Chroma's own among them; `None` removes the key.
pub type RecordPatch = BTreeMap<String, Option<Value>>;

/// An open `chroma.sqlite3`.
#[derive(Debug)]
pub struct ChromaSqlite {
    connection: Connection,
    /// What messages call the file.
    file: String,
    columns: HashSet<(&'static str, String)>,
    has_arrays: bool,
    /// The queue's rows by collection, ascending; made when first asked for.
    queue: Option<HashMap<Uuid, Vec<i64>>>,
    /// Holds the copy that is read where the directory's own file needs recovery. Dropped after the connection.
    _copy: Option<TempDir>,
}

impl ChromaSqlite {
    /// The column if the table has it, otherwise `NULL`.
    fn column(&self, table: &'static str, column: &'static str) -> &'static str {
        if self.has(table, column) { column } else { "NULL" }
    }

    fn has(&self, table: &'static str, column: &str) -> bool {
        self.columns.contains(&(table, column.to_owned()))
    }

    fn sqlite(&self, error: rusqlite::Error) -> ferrochrome_types::Error {
        crate::sqlite::sqlite_error(&self.file, error)
    }
}
