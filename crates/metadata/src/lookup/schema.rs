//! The tables of `lookup.sqlite`.

use ferrochrome_types::{Code, Error, Result};
use roaring::RoaringBitmap;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, params};

use super::{LOOKUP, bad_row, blob, sql};
use crate::checksum::RowChecksum;
use crate::sqlite::check_schema;

/// Version of the tables below, in `PRAGMA user_version`.
const VERSION: i64 = 1;
/// Marks the file as ours (`FeLu`), in `PRAGMA application_id`.
const APPLICATION_ID: i64 = 0x4665_4c75;

/// `facts` row: bitmap of the rows that have a document.
pub(super) const DOCUMENTS: &str = "documents";
/// `facts` row: bytes of all documents.
pub(super) const DOCUMENT_BYTES: &str = "document_bytes";

/// `element` is 1 for the elements of arrays, 0 for scalars. `postings` holds strings as text and booleans as 0 and 1; its labels
/// are one label in 4 bytes or a roaring bitmap. `numbers` holds blocks of a list that is sorted by value: `low` and `high` are the
/// first and last sort key (an integer itself, a float's ordered bits), `labels` all labels of the block, `pairs` the keys (8 bytes each),
/// then the labels (4 bytes each), then a CRC-32.
const TABLES: [&str; 4] = [
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value ANY NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID, STRICT",
    "CREATE TABLE keys (name TEXT PRIMARY KEY, id INTEGER NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID, STRICT",
    "CREATE TABLE postings (key INTEGER NOT NULL, element INTEGER NOT NULL, value ANY NOT NULL, crc INTEGER NOT NULL, \
     labels BLOB NOT NULL, PRIMARY KEY (key, element, value)) WITHOUT ROWID, STRICT",
    "CREATE TABLE numbers (key INTEGER NOT NULL, element INTEGER NOT NULL, kind TEXT NOT NULL, high INTEGER NOT NULL, \
     block INTEGER NOT NULL, low INTEGER NOT NULL, crc INTEGER NOT NULL, labels BLOB NOT NULL, pairs BLOB NOT NULL, \
     PRIMARY KEY (key, element, kind, high, block)) WITHOUT ROWID, STRICT",
];

/// The full-text index over documents. It proposes documents by the trigrams that they contain, and of a text with more than one the
/// documents decide: so it need not know positions, sizes or the text. A run holds the lists of as many documents as fit in memory, a
/// row a block of lists in the order of their trigrams: `high` is the last one, `documents` the most that a list has.
const TRIGRAMS: &str = "CREATE TABLE trigrams (run INTEGER NOT NULL, high INTEGER NOT NULL, documents INTEGER NOT NULL, \
     crc INTEGER NOT NULL, lists BLOB NOT NULL, UNIQUE (run, high)) STRICT";

/// Creates the tables in an empty file.
pub(super) fn create(connection: &Connection, full_text: bool) -> Result<()> {
    for table in TABLES {
        connection.execute_batch(table).map_err(sql)?;
    }
    if full_text {
        connection.execute_batch(TRIGRAMS).map_err(sql)?;
    }
    connection.pragma_update(None, "application_id", APPLICATION_ID).map_err(sql)?;
    connection.pragma_update(None, "user_version", VERSION).map_err(sql)
}

/// Checks that the tables are those we know; returns whether there is a full-text index.
pub(super) fn check(connection: &Connection) -> Result<bool> {
    let application: i64 = connection.query_row("PRAGMA application_id", [], |r| r.get(0)).map_err(sql)?;
    if application != APPLICATION_ID {
        return Err(Error::corrupted(LOOKUP, "it is not a Ferrochrome lookup file (application id)"));
    }
    let version: i64 = connection.query_row("PRAGMA user_version", [], |r| r.get(0)).map_err(sql)?;
    if version > VERSION {
        return Err(Error::new(
            Code::Unsupported,
            format!(
                "{LOOKUP} has format version {version}, this release of Ferrochrome reads up to {VERSION}: open it with a \
                 newer release"
            ),
        ));
    }
    if version != VERSION {
        return Err(Error::corrupted(
            LOOKUP,
            format!("it has format version {version}, which there never was"),
        ));
    }
    let full_text = connection
        .query_row("SELECT 1 FROM sqlite_schema WHERE name = 'trigrams'", [], |_| Ok(()))
        .optional()
        .map_err(sql)?
        .is_some();
    let mut tables = TABLES.to_vec();
    if full_text {
        tables.push(TRIGRAMS);
    }
    check_schema(connection, LOOKUP, &tables)?;
    Ok(full_text)
}

fn fact_checksum(name: &str, value: ValueRef<'_>) -> i64 {
    let sum = RowChecksum::new("facts").text(name);
    match value {
        ValueRef::Integer(int) => sum.int(int),
        ValueRef::Blob(bytes) => sum.bytes(bytes),
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Text(_) => sum,
    }
    .finish()
}

/// Writes a row of `facts`.
pub(super) fn put_fact(connection: &Connection, name: &str, value: Value) -> Result<()> {
    let crc = fact_checksum(name, (&value).into());
    connection
        .execute("INSERT INTO facts (name, value, crc) VALUES (?1, ?2, ?3)", params![name, value, crc])
        .map_err(sql)?;
    Ok(())
}

fn fact<T>(
    connection: &Connection,
    name: &str,
    read: impl FnOnce(&rusqlite::Row<'_>) -> Result<T>,
) -> Result<T> {
    let mut query = connection.prepare("SELECT value, crc FROM facts WHERE name = ?1").map_err(sql)?;
    let mut rows = query.query([name]).map_err(sql)?;
    let row = rows
        .next()
        .map_err(sql)?
        .ok_or_else(|| Error::corrupted(LOOKUP, format!("table facts lacks `{name}`")))?;
    if fact_checksum(name, row.get_ref(0).map_err(sql)?) != row.get::<_, i64>(1).map_err(sql)? {
        return Err(bad_row("facts"));
    }
    read(row)
}

/// A row of `facts` that is a number.
pub(super) fn read_int(connection: &Connection, name: &str) -> Result<i64> {
    fact(connection, name, |row| row.get(0).map_err(sql))
}

/// A row of `facts` that is a bitmap.
pub(super) fn read_bitmap(connection: &Connection, name: &str) -> Result<RoaringBitmap> {
    fact(connection, name, |row| {
        RoaringBitmap::deserialize_from(blob(row, 0)?).map_err(|error| Error::corrupted(LOOKUP, error))
    })
}

/// The checksum of a row of `keys`.
pub(super) fn key_checksum(name: &str, id: i64) -> i64 {
    RowChecksum::new("keys").text(name).int(id).finish()
}

/// The number of a metadata key, if any record has it.
pub(super) fn key_id(connection: &Connection, name: &str) -> Result<Option<i64>> {
    let found: Option<(i64, i64)> = connection
        .prepare_cached("SELECT id, crc FROM keys WHERE name = ?1")
        .map_err(sql)?
        .query_row([name], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()
        .map_err(sql)?;
    match found {
        Some((id, crc)) if key_checksum(name, id) != crc => Err(bad_row("keys")),
        found => Ok(found.map(|(id, _)| id)),
    }
}
