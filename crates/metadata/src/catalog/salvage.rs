//! Reading what is left of a damaged catalog.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ferrochrome_types::{Error, Result, ValueKind};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row, params};
use tempfile::TempDir;
use uuid::Uuid;

use super::collections::SELECT_ALL;
use super::log::{key_checksum, kind_from_name, log_checksum};
use super::schema::read_digest;
use super::versions::{SELECT_ALL as SELECT_VERSIONS, VersionRow};
use super::{CATALOG, CollectionRow, DatabaseRow, Manifest, forks, manifest, sql, tenant_checksum};
use crate::sqlite::harden;

/// Rows of the log that are tried one by one where a scan from both ends leaves a gap.
const MAX_PROBED_ROWS: i64 = 100_000;

/// Most batches between two others that are reported as missing.
const MAX_MISSING_BATCHES: u64 = 1_000;

/// What every catalog's file begins with: SQLite's magic, pages of 4096 bytes, a write-ahead log, no reserved space, and SQLite's
/// fixed fractions.
const HEADER: [u8; 24] = *b"SQLite format 3\0\x10\x00\x02\x02\x00\x40\x20\x20";
/// Bytes 56..60: the text encoding, UTF-8.
const ENCODING: (u64, [u8; 4]) = (56, [0, 0, 0, 1]);

/// A copy of a damaged catalog, open. Nothing that is read fails: what cannot be read, or does not match its checksum, is left out
/// and counted as a problem.
///
/// Tables are scanned from both ends, so that a damaged page costs no more than its own rows; rows of the log are then read one by
/// one.
pub struct SalvagedCatalog {
    connection: Option<Connection>,
    problems: BTreeSet<String>,
    /// Removed behind the connection.
    _folder: TempDir,
}

impl std::fmt::Debug for SalvagedCatalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SalvagedCatalog").field("problems", &self.problems).finish_non_exhaustive()
    }
}

/// A batch of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchState<'a> {
    /// Its payload, as it was written.
    Whole(&'a [u8]),
    /// What is left of the payload does not match its checksum.
    Damaged(&'a [u8]),
    /// Nothing of it can be read.
    Missing,
}

impl SalvagedCatalog {
    /// Copies the catalog at `path`, with the write-ahead log beside it, to a temporary folder, and opens the copy. What is constant
    /// in the header of a catalog is put right in it.
    ///
    /// # Errors
    /// `Io` where the copy cannot be made.
    pub fn open(path: &Path) -> Result<Self> {
        let (copy, folder) = copied(path).map_err(|e| Error::io(path.display(), e))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut problems = BTreeSet::new();
        if !copy.exists() {
            return Ok(SalvagedCatalog { connection: None, problems, _folder: folder });
        }
        let opened = Connection::open_with_flags(&copy, flags).and_then(|connection| {
            harden(&connection)?;
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
            Ok(connection)
        });
        let connection = opened.map_err(|e| problems.insert(sql(e).message().to_owned())).ok();
        Ok(SalvagedCatalog { connection, problems, _folder: folder })
    }

    /// Whether nothing at all can be read.
    pub fn is_lost(&self) -> bool {
        self.connection.is_none()
    }

    /// What could not be read so far.
    pub fn problems(&self) -> impl Iterator<Item = &str> {
        self.problems.iter().map(String::as_str)
    }

    /// The tenants.
    pub fn tenants(&mut self) -> Vec<String> {
        self.scan("tenants", "SELECT name, crc FROM tenants ORDER BY name", |row| {
            let name: String = row.get(0).map_err(sql)?;
            let crc: i64 = row.get(1).map_err(sql)?;
            if tenant_checksum(&name) != crc {
                return Err(super::schema::bad_row("tenants"));
            }
            Ok((name.clone(), name))
        })
    }

    /// The databases.
    pub fn databases(&mut self) -> Vec<DatabaseRow> {
        self.scan("databases", "SELECT id, name, tenant, crc FROM databases ORDER BY tenant, name", |row| {
            let row = DatabaseRow::read(row)?;
            Ok(((row.tenant.clone(), row.name.clone()), row))
        })
    }

    /// The collections.
    pub fn collections(&mut self) -> Vec<CollectionRow> {
        self.scan("collections", &format!("{SELECT_ALL} ORDER BY id"), |row| {
            let (row, _) = CollectionRow::read(row)?;
            Ok((row.id, row))
        })
    }

    /// The metadata keys of a collection's records.
    pub fn schema_keys(&mut self, collection: Uuid) -> Vec<(String, ValueKind)> {
        let query = format!(
            "SELECT key, kind, crc FROM schema_keys WHERE collection = x'{}' ORDER BY key, kind",
            collection.simple()
        );
        self.scan("schema_keys", &query, |row| {
            let (key, kind): (String, String) = (row.get(0).map_err(sql)?, row.get(1).map_err(sql)?);
            if key_checksum(collection, &key, &kind) != row.get::<_, i64>(2).map_err(sql)? {
                return Err(super::schema::bad_row("schema_keys"));
            }
            let found = (key.clone(), kind_from_name(&kind)?);
            Ok(((key, kind), found))
        })
    }

    /// The versions that a collection had.
    pub fn versions(&mut self, collection: Uuid) -> Vec<VersionRow> {
        let query =
            format!("{SELECT_VERSIONS} WHERE collection = x'{}' ORDER BY version", collection.simple());
        self.scan("versions", &query, |row| {
            let (version, _) = VersionRow::read(row)?;
            Ok((version.version, version))
        })
    }

    /// The manifest of a version and the batches of its log that this does not contain, if all of it is whole.
    pub fn version(&mut self, version: &VersionRow) -> Option<(Manifest, Vec<Vec<u8>>)> {
        // Without one it has its log from the first batch on.
        let manifest = self.manifest(version.state).unwrap_or_default();
        let mut batches = Vec::new();
        let mut is_whole = true;
        let read = self.each_batch(version.state, manifest.log_cut, &mut |_, state| {
            match state {
                BatchState::Whole(payload) => batches.push(payload.to_vec()),
                BatchState::Damaged(_) | BatchState::Missing => is_whole = false,
            }
            Ok(())
        });
        // A version is named after the number of batches that had been written.
        let complete = manifest.log_cut.checked_add(batches.len() as u64) == Some(version.version);
        (is_whole && complete && read.is_ok()).then_some((manifest, batches))
    }

    /// The collection that was first in the family of a fork; `None` for what is no fork, as far as can be seen.
    pub fn fork_root(&mut self, collection: Uuid) -> Option<Uuid> {
        match forks::find(self.connection.as_ref()?, collection) {
            Ok(found) => found.map(|(root, _)| root),
            Err(error) => {
                self.problems.insert(error.message().to_owned());
                None
            }
        }
    }

    /// The manifest of a collection, if it has one that is whole.
    pub fn manifest(&mut self, collection: Uuid) -> Option<Manifest> {
        match manifest::read(self.connection.as_ref()?, collection) {
            Ok(found) => found.map(|(manifest, _)| manifest),
            Err(error) => {
                self.problems.insert(error.message().to_owned());
                None
            }
        }
    }

    /// Calls `f` with every batch of a collection's log after `after_seq`, ascending, the missing ones between them included.
    ///
    /// # Errors
    /// What `f` returns.
    pub fn each_batch(
        &mut self,
        collection: Uuid,
        after_seq: u64,
        f: &mut dyn FnMut(u64, BatchState<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut last = after_seq;
        let miss = |last: u64, next: u64, f: &mut dyn FnMut(u64, BatchState<'_>) -> Result<()>| {
            // A wider gap is one of what is known of the log, not of the log.
            let is_gap = next.saturating_sub(last) <= MAX_MISSING_BATCHES;
            (last + 1..next).filter(|_| is_gap).try_for_each(|missing| f(missing, BatchState::Missing))
        };
        for (seq, rowid) in self.log_rows(collection, after_seq) {
            miss(last, seq, f)?;
            last = seq;
            self.with_batch(collection, seq, rowid, f)?;
        }
        miss(last, self.end_of_log(collection), f)
    }

    /// The number after the last batch, if the manifest and the digest of the log are whole.
    fn end_of_log(&mut self, collection: Uuid) -> u64 {
        let cut = self.manifest(collection).map_or(0, |manifest| manifest.log_cut);
        let digest = self.connection.as_ref().map(|c| read_digest(c, "log", collection.as_bytes()));
        match digest {
            Some(Ok(digest)) => cut.saturating_add(digest.rows.unsigned_abs()).saturating_add(1),
            _ => 0,
        }
    }

    fn with_batch(
        &mut self,
        collection: Uuid,
        seq: u64,
        rowid: i64,
        f: &mut dyn FnMut(u64, BatchState<'_>) -> Result<()>,
    ) -> Result<()> {
        let Some(connection) = &self.connection else { return f(seq, BatchState::Missing) };
        let mut query =
            connection.prepare("SELECT crc, payload FROM log NOT INDEXED WHERE rowid = ?1").map_err(sql)?;
        let mut rows = query.query([rowid]).map_err(sql)?;
        let Ok(Some(row)) = rows.next() else { return f(seq, BatchState::Missing) };
        match (row.get::<_, i64>(0), row.get_ref(1)) {
            (Ok(crc), Ok(ValueRef::Blob(payload))) if log_checksum(collection, seq, payload) == crc => {
                f(seq, BatchState::Whole(payload))
            }
            (_, Ok(ValueRef::Blob(payload))) => f(seq, BatchState::Damaged(payload)),
            _ => f(seq, BatchState::Missing),
        }
    }

    /// Number and rowid of the batches after `after_seq` that the table or its index knows.
    fn log_rows(&mut self, collection: Uuid, after_seq: u64) -> BTreeMap<u64, i64> {
        let mut found = BTreeMap::new();
        let Some(connection) = &self.connection else { return found };
        let mut take = |row: &Row<'_>| -> rusqlite::Result<i64> {
            let rowid = row.get(0)?;
            let id: [u8; 16] = row.get(1)?;
            let seq = row.get::<_, i64>(2)?.unsigned_abs();
            if id == *collection.as_bytes() && seq > after_seq {
                found.insert(seq, rowid);
            }
            Ok(rowid)
        };
        let scan = |order: &str, take: &mut dyn FnMut(&Row<'_>) -> rusqlite::Result<i64>| {
            let query = format!("SELECT rowid, collection, seq FROM log {order}");
            let (mut end, mut whole) = (None, false);
            if let Ok(mut statement) = connection.prepare(&query)
                && let Ok(mut rows) = statement.query([])
            {
                loop {
                    match rows.next() {
                        Ok(Some(row)) => end = take(row).ok().or(end),
                        Ok(None) => {
                            whole = true;
                            break;
                        }
                        Err(_) => break,
                    }
                }
            }
            (end, whole)
        };
        // The index has every number that the table has, and the other way round; either may be damaged.
        scan("INDEXED BY sqlite_autoindex_log_1 ORDER BY collection, seq", &mut take);
        scan("INDEXED BY sqlite_autoindex_log_1 ORDER BY collection DESC, seq DESC", &mut take);
        let (from, whole) = scan("NOT INDEXED ORDER BY rowid", &mut take);
        if !whole {
            let (to, _) = scan("NOT INDEXED ORDER BY rowid DESC", &mut take);
            let from = from.unwrap_or(0);
            let to =
                to.unwrap_or(from.saturating_add(MAX_PROBED_ROWS)).min(from.saturating_add(MAX_PROBED_ROWS));
            if let Ok(mut one) =
                connection.prepare("SELECT rowid, collection, seq FROM log NOT INDEXED WHERE rowid = ?1")
            {
                for rowid in from..to {
                    // What cannot be read is what this is about.
                    let _ = one.query_row([rowid], |row| take(row));
                }
            }
            self.problems.insert(format!("{CATALOG}: table log cannot be read as a whole"));
        }
        found
    }

    /// The rows of a query that is ordered by one key, from its start and, where that ends at damage, from its end.
    fn scan<K: Ord, T>(
        &mut self,
        table: &str,
        query: &str,
        read: impl Fn(&Row<'_>) -> Result<(K, T)>,
    ) -> Vec<T> {
        let Some(connection) = &self.connection else { return Vec::new() };
        let mut found = BTreeMap::new();
        let problems = &mut self.problems;
        let mut pass = |query: &str| -> rusqlite::Result<()> {
            let mut statement = connection.prepare(query)?;
            let mut rows = statement.query(params![])?;
            while let Some(row) = rows.next()? {
                match read(row) {
                    Ok((key, value)) => _ = found.insert(key, value),
                    Err(error) => _ = problems.insert(error.message().to_owned()),
                }
            }
            Ok(())
        };
        if let Err(error) = pass(query) {
            // The damage is known from the first pass; the second gathers what lies behind it.
            let _ = pass(&descending(query));
            problems.insert(format!("{CATALOG}: table {table}: {error}"));
        }
        found.into_values().collect()
    }
}

/// The query with every column of its order descending.
fn descending(query: &str) -> String {
    match query.split_once(" ORDER BY ") {
        Some((query, order)) => {
            let order: Vec<String> = order.split(", ").map(|column| format!("{column} DESC")).collect();
            format!("{query} ORDER BY {}", order.join(", "))
        }
        None => query.to_owned(),
    }
}

/// Copies a catalog that may be missing.
fn copied(path: &Path) -> std::io::Result<(PathBuf, TempDir)> {
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join(CATALOG);
    let mut wal = [path.as_os_str().to_owned(), copy.clone().into_os_string()];
    wal.iter_mut().for_each(|name| name.push("-wal"));
    for (from, to) in [(path.as_os_str(), copy.as_os_str()), (&wal[0], &wal[1])] {
        match std::fs::copy(from, to) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    if copy.exists() {
        mend_header(&copy)?;
    }
    Ok((copy, folder))
}

/// Puts right what is the same in every catalog's header.
fn mend_header(path: &Path) -> std::io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut header = [0; 100];
    if file.read_exact(&mut header).is_err() {
        return Ok(());
    }
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&HEADER)?;
    file.seek(SeekFrom::Start(ENCODING.0))?;
    file.write_all(&ENCODING.1)
}
