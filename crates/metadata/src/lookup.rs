//! `lookup.sqlite`: the postings and the full-text index of a sealed segment.

mod check;
mod full_text;
mod numbers;
mod schema;
#[cfg(test)]
mod tests;
mod trigrams;
mod write;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use ferrochrome_types::{CancelToken, Comparison, Error, Result, Scalar};
use parking_lot::{Mutex, MutexGuard};
use roaring::{MultiOps, RoaringBitmap};
use rusqlite::types::{Value as Column, ValueRef};
use rusqlite::{Connection, MAIN_DB, params};

use crate::checksum::RowChecksum;
use crate::filter::{FilterSource, RequiredText};
use crate::ranges::Relation;
use crate::sqlite::{harden, open_immutable, sqlite_error};

#[cfg(feature = "fuzzing")]
pub(crate) use numbers::reads_pairs;
#[cfg(feature = "fuzzing")]
pub(crate) use trigrams::reads_block;

pub use check::check_lookup;
pub use write::write_lookup;

/// The name of the file in messages.
const LOOKUP: &str = "lookup.sqlite";
/// Connections to one file: so many threads read it side by side, more take turns.
const CONNECTIONS: usize = 4;
/// Prepared statements kept for each connection; all of them fit.
const STATEMENTS: usize = 16;

/// An error of a lookup file.
fn sql(error: rusqlite::Error) -> Error {
    sqlite_error(LOOKUP, error)
}

/// A `lookup.sqlite`, read-only. May be shared between threads.
pub struct Lookup {
    place: Place,
    /// Opened when first needed, and then kept.
    connections: Vec<Mutex<Option<Connection>>>,
    turn: AtomicUsize,
    documents: RoaringBitmap,
    /// `None` without a full-text index.
    full_text: Option<full_text::Costs>,
}

enum Place {
    File(PathBuf),
    /// The bytes went into the one connection there is.
    Memory,
}

impl Lookup {
    /// Opens a file that [`write_lookup`] made. Nothing may change it while this is in use.
    ///
    /// # Errors
    /// `Io` if it cannot be opened, `Corrupted` if it is damaged or no such file. Posting lists are checked when they are read.
    pub fn open_file(path: &Path) -> Result<Lookup> {
        let connection = connect(path)?;
        let connections = (1..CONNECTIONS).map(|_| Mutex::new(None));
        let connections = std::iter::once(Mutex::new(None)).chain(connections).collect();
        Self::open(Place::File(path.to_owned()), connections, connection)
    }

    /// Opens the bytes of such a file. Threads that read it take turns.
    ///
    /// # Errors
    /// `Corrupted` as for [`open_file`](Self::open_file), `LimitExceeded` without memory for them.
    pub fn open_bytes(bytes: Vec<u8>) -> Result<Lookup> {
        if bytes.is_empty() {
            return Err(Error::corrupted(LOOKUP, "it is empty"));
        }
        let mut connection = Connection::open_in_memory().map_err(sql)?;
        connection.deserialize_read_exact(MAIN_DB, bytes.as_slice(), bytes.len(), true).map_err(sql)?;
        drop(bytes);
        configure(&connection)?;
        Self::open(Place::Memory, vec![Mutex::new(None)], connection)
    }

    fn open(
        place: Place,
        connections: Vec<Mutex<Option<Connection>>>,
        connection: Connection,
    ) -> Result<Lookup> {
        let with_full_text = schema::check(&connection)?;
        let documents = schema::read_bitmap(&connection, schema::DOCUMENTS)?;
        let full_text = with_full_text
            .then(|| {
                let bytes = schema::read_int(&connection, schema::DOCUMENT_BYTES)?;
                let runs = trigrams::runs(&connection)?;
                Ok::<_, Error>(full_text::Costs::new(documents.len(), bytes.unsigned_abs(), runs))
            })
            .transpose()?;
        *connections[0].lock() = Some(connection);
        Ok(Lookup { place, connections, turn: AtomicUsize::new(0), documents, full_text })
    }

    /// Runs `body` with a connection that no other thread uses.
    fn with<T>(&self, body: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let mut slot = self.slot();
        if slot.is_none()
            && let Place::File(path) = &self.place
        {
            *slot = connect(path).ok();
        }
        if slot.is_none() {
            // The file was removed meanwhile, as that of a segment that was replaced: the first connection still has it.
            slot = self.connections[0].lock();
        }
        let connection = slot.as_ref();
        body(connection.ok_or_else(|| Error::internal(format!("{LOOKUP}: its bytes are gone")))?)
    }

    fn slot(&self) -> MutexGuard<'_, Option<Connection>> {
        if let Some(free) = self.connections.iter().find_map(Mutex::try_lock) {
            return free;
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.connections[turn % self.connections.len()].lock()
    }

    /// The labels under `value` (text, or 0 and 1 for booleans).
    fn posting_list(
        &self,
        connection: &Connection,
        column: ColumnId,
        value: &Scalar,
    ) -> Result<RoaringBitmap> {
        let value = match value {
            Scalar::Str(text) => Column::Text(text.clone()),
            Scalar::Bool(bool) => Column::Integer(i64::from(*bool)),
            Scalar::Int(_) | Scalar::Float(_) => return Ok(RoaringBitmap::new()),
        };
        let mut query = connection
            .prepare_cached("SELECT labels, crc FROM postings WHERE key = ?1 AND element = ?2 AND value = ?3")
            .map_err(sql)?;
        let mut rows = query.query(params![column.key, column.element, value]).map_err(sql)?;
        let Some(row) = rows.next().map_err(sql)? else { return Ok(RoaringBitmap::new()) };
        let labels = blob(row, 0)?;
        if postings_checksum(column, (&value).into(), labels) != row.get::<_, i64>(1).map_err(sql)? {
            return Err(bad_row("postings"));
        }
        read_labels(labels)
    }

    fn equal_in(&self, connection: &Connection, column: ColumnId, scalar: &Scalar) -> Result<RoaringBitmap> {
        match scalar {
            Scalar::Str(_) | Scalar::Bool(_) => self.posting_list(connection, column, scalar),
            Scalar::Int(_) | Scalar::Float(_) => {
                numbers::related(connection, column, Relation::Equal, scalar)
            }
        }
    }

    /// Runs `body` for the column, or returns no labels if no record has the key.
    fn with_column(
        &self,
        key: &str,
        element: bool,
        body: impl FnOnce(&Connection, ColumnId) -> Result<RoaringBitmap>,
    ) -> Result<RoaringBitmap> {
        self.with(|connection| match schema::key_id(connection, key)? {
            Some(key) => body(connection, ColumnId { key, element }),
            None => Ok(RoaringBitmap::new()),
        })
    }
}

impl FilterSource for Lookup {
    fn equal(&self, key: &str, scalar: &Scalar) -> Result<RoaringBitmap> {
        self.with_column(key, false, |connection, column| self.equal_in(connection, column, scalar))
    }

    fn equal_any(&self, key: &str, scalars: &[Scalar]) -> Result<RoaringBitmap> {
        self.with_column(key, false, |connection, column| {
            let is_number = |scalar: &&Scalar| matches!(scalar, Scalar::Int(_) | Scalar::Float(_));
            let others = scalars.iter().filter(|scalar| !is_number(scalar));
            let others = others.map(|scalar| self.posting_list(connection, column, scalar)).union()?;
            Ok(others | numbers::equal_any(connection, column, scalars.iter().filter(is_number))?)
        })
    }

    fn compare(&self, key: &str, comparison: Comparison, operand: &Scalar) -> Result<RoaringBitmap> {
        self.with_column(key, false, |connection, column| {
            numbers::related(connection, column, Relation::Compare(comparison), operand)
        })
    }

    fn compare_all(&self, key: &str, bounds: &[(Comparison, &Scalar)]) -> Result<RoaringBitmap> {
        self.with_column(key, false, |connection, column| numbers::within(connection, column, bounds))
    }

    fn contains(&self, key: &str, element: &Scalar) -> Result<RoaringBitmap> {
        self.with_column(key, true, |connection, column| match element {
            Scalar::Int(_) | Scalar::Float(_) => numbers::element(connection, column, element),
            Scalar::Str(_) | Scalar::Bool(_) => self.posting_list(connection, column, element),
        })
    }

    fn documents(&self) -> Result<Option<RoaringBitmap>> {
        Ok(Some(self.documents.clone()))
    }

    fn document_candidates(
        &self,
        required: &RequiredText,
        within: u64,
        cancel: &CancelToken,
    ) -> Result<Option<RoaringBitmap>> {
        let Some(costs) = self.full_text else { return Ok(None) };
        if costs.favour_reading(required, within) {
            return Ok(None);
        }
        self.with(|connection| {
            full_text::candidates(connection, required, within, costs, &self.documents, cancel)
        })
    }
}

/// A key's scalars, or the elements of its arrays.
#[derive(Clone, Copy)]
struct ColumnId {
    key: i64,
    element: bool,
}

fn connect(path: &Path) -> Result<Connection> {
    let connection =
        open_immutable(path).map_err(|error| sqlite_error(&path.display().to_string(), error))?;
    configure(&connection)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    harden(connection).map_err(sql)
}

fn bad_row(table: &str) -> Error {
    Error::corrupted(LOOKUP, format!("a row of table {table} does not match its checksum"))
}

fn blob<'a>(row: &'a rusqlite::Row<'_>, column: usize) -> Result<&'a [u8]> {
    match row.get_ref(column).map_err(sql)? {
        ValueRef::Blob(bytes) => Ok(bytes),
        _ => Err(Error::corrupted(LOOKUP, "a column that should hold bytes holds something else")),
    }
}

fn postings_checksum(column: ColumnId, value: ValueRef<'_>, labels: &[u8]) -> i64 {
    let sum = RowChecksum::new("postings").int(column.key).int(i64::from(column.element));
    let sum = match value {
        ValueRef::Text(text) => sum.bytes(text),
        ValueRef::Integer(int) => sum.int(int),
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => sum,
    };
    sum.bytes(labels).finish()
}

/// Reads a posting list: four bytes are one label, more a bitmap.
pub(crate) fn read_labels(bytes: &[u8]) -> Result<RoaringBitmap> {
    if let Ok(label) = <[u8; 4]>::try_from(bytes) {
        return Ok(RoaringBitmap::from_iter([u32::from_le_bytes(label)]));
    }
    RoaringBitmap::deserialize_from(bytes)
        .map_err(|error| Error::corrupted(LOOKUP, format!("a posting list: {error}")))
}

/// Writes a posting list that is not a single label.
fn bitmap_bytes(labels: &RoaringBitmap, bytes: &mut Vec<u8>) -> Result<()> {
    bytes.clear();
    labels.serialize_into(bytes).map_err(|error| Error::internal(format!("a posting list: {error}")))
}
