//! The tables of `catalog.sqlite`, and the check that a file holds what was written to it.

use ferrochrome_types::{Code, Error, Result};
use rusqlite::{Connection, OptionalExtension, params};

use super::{CATALOG, CollectionRow, DatabaseRow, database_checksum, sql, tenant_checksum};
use crate::checksum::RowChecksum;
use crate::sqlite::check_schema;

/// Version of the tables below, in `PRAGMA user_version`.
pub(super) const VERSION: i64 = 1;

/// Marks the file as ours (`FeCr`), in `PRAGMA application_id`.
const APPLICATION_ID: i64 = 0x4665_4372;

/// Files up to this size are read completely when opened.
const FULL_CHECK_BYTES: i64 = 32 << 20;

/// Every row ends its key columns with `crc`, over all its columns. `digests` holds per table (and per collection where there is
/// one) how many rows there are and the sum of their checksums, so that a row which vanishes is noticed. Only `log` has rowids:
/// where a row is its own key, SQLite reads it whole, and with it megabytes of payload, whenever it compares two keys.
const TABLES: [&str; 10] = [
    "CREATE TABLE digests (name TEXT NOT NULL, collection BLOB NOT NULL, rows INTEGER NOT NULL, sum INTEGER NOT NULL, \
     bytes INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (name, collection)) WITHOUT ROWID, STRICT",
    "CREATE TABLE tenants (name TEXT PRIMARY KEY, crc INTEGER NOT NULL) WITHOUT ROWID, STRICT",
    "CREATE TABLE databases (tenant TEXT NOT NULL, name TEXT NOT NULL, id BLOB NOT NULL, crc INTEGER NOT NULL, \
     PRIMARY KEY (tenant, name)) WITHOUT ROWID, STRICT",
    "CREATE TABLE collections (id BLOB PRIMARY KEY, tenant TEXT NOT NULL, database TEXT NOT NULL, name TEXT NOT NULL, \
     metadata TEXT, configuration TEXT NOT NULL, schema TEXT, dimension INTEGER, crc INTEGER NOT NULL, \
     UNIQUE (tenant, database, name)) WITHOUT ROWID, STRICT",
    "CREATE TABLE schema_keys (collection BLOB NOT NULL, key TEXT NOT NULL, kind TEXT NOT NULL, crc INTEGER NOT NULL, \
     PRIMARY KEY (collection, key, kind)) WITHOUT ROWID, STRICT",
    "CREATE TABLE manifests (collection BLOB PRIMARY KEY, version INTEGER NOT NULL, log_cut INTEGER NOT NULL, \
     next_ordinal INTEGER NOT NULL, segments INTEGER NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID, STRICT",
    "CREATE TABLE manifest_segments (collection BLOB NOT NULL, position INTEGER NOT NULL, id BLOB NOT NULL, \
     rows INTEGER NOT NULL, tombstones BLOB NOT NULL, PRIMARY KEY (collection, position)) WITHOUT ROWID, STRICT",
    "CREATE TABLE log (collection BLOB NOT NULL, seq INTEGER NOT NULL, crc INTEGER NOT NULL, payload BLOB NOT NULL, \
     PRIMARY KEY (collection, seq)) STRICT",
    "CREATE TABLE versions (collection BLOB NOT NULL, version INTEGER NOT NULL, state BLOB NOT NULL UNIQUE, label TEXT, \
     created INTEGER NOT NULL, records INTEGER NOT NULL, dimension INTEGER, automatic INTEGER NOT NULL, crc INTEGER NOT NULL, \
     PRIMARY KEY (collection, version)) WITHOUT ROWID, STRICT",
    "CREATE TABLE forks (collection BLOB PRIMARY KEY, root BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID, STRICT",
];

/// Table names, dependants first, for emptying them.
pub(super) const TABLE_NAMES: [&str; 10] = [
    "forks",
    "versions",
    "log",
    "manifest_segments",
    "manifests",
    "schema_keys",
    "collections",
    "databases",
    "tenants",
    "digests",
];

/// Tables with one digest for all of their rows; `log` and `schema_keys` have one per collection, `log` also one per version.
pub(super) const WHOLE_TABLES: [&str; 6] =
    ["tenants", "databases", "collections", "manifests", "versions", "forks"];
/// Tables with one digest per collection.
pub(super) const COLLECTION_TABLES: [&str; 2] = ["log", "schema_keys"];

/// The digest row that repeats the format version. Every later version keeps it, so that a damaged `user_version` is not taken
/// for a newer format.
pub(super) const FORMAT: &str = "format";

/// What `digests` says of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) rows: i64,
    /// Sum of the rows' checksums.
    pub(super) sum: i64,
    /// Sum of the payload lengths (log only).
    pub(super) bytes: i64,
}

impl Digest {
    /// One row with this checksum.
    pub(super) fn row(crc: i64) -> Self {
        Digest { rows: 1, sum: crc, bytes: 0 }
    }

    pub(super) fn plus(self, other: Digest) -> Digest {
        Digest {
            rows: self.rows.wrapping_add(other.rows),
            sum: self.sum.wrapping_add(other.sum),
            bytes: self.bytes.wrapping_add(other.bytes),
        }
    }

    pub(super) fn minus(self, other: Digest) -> Digest {
        Digest {
            rows: self.rows.wrapping_sub(other.rows),
            sum: self.sum.wrapping_sub(other.sum),
            bytes: self.bytes.wrapping_sub(other.bytes),
        }
    }

    fn checksum(self, table: &str, collection: &[u8]) -> i64 {
        RowChecksum::new("digests")
            .text(table)
            .bytes(collection)
            .int(self.rows)
            .int(self.sum)
            .int(self.bytes)
            .finish()
    }
}

/// Creates the tables in an empty file, or checks that they are those we know.
pub(super) fn open_schema(connection: &mut Connection, read_only: bool) -> Result<()> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |r| r.get(0)).map_err(sql)?;
    let objects: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0)).map_err(sql)?;
    if version == 0 && objects == 0 {
        if read_only {
            return Err(Error::new(
                Code::NotFound,
                format!("{CATALOG} is empty: there is no database to read yet"),
            ));
        }
        return create(connection);
    }
    if version > VERSION && format_row(connection)? == version {
        return Err(Error::new(
            Code::Unsupported,
            format!(
                "{CATALOG} has format version {version}, this release of Ferrochrome reads up to {VERSION}: \
                 open it with a newer release"
            ),
        ));
    }
    let application: i64 = connection.query_row("PRAGMA application_id", [], |r| r.get(0)).map_err(sql)?;
    if application != APPLICATION_ID {
        return Err(Error::corrupted(CATALOG, "it is not a Ferrochrome catalog (application id)"));
    }
    if version != VERSION || format_row(connection)? != VERSION {
        return Err(Error::corrupted(
            CATALOG,
            format!("format version {version} does not match its contents"),
        ));
    }
    check_schema(connection, CATALOG, &TABLES)
}

fn create(connection: &mut Connection) -> Result<()> {
    let tx = connection.transaction().map_err(sql)?;
    for table in TABLES {
        tx.execute_batch(table).map_err(sql)?;
    }
    fill_defaults(&tx)?;
    tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(sql)?;
    tx.pragma_update(None, "user_version", VERSION).map_err(sql)?;
    tx.commit().map_err(sql)
}

/// Digests of the empty tables, the default tenant and its default database.
pub(super) fn fill_defaults(connection: &Connection) -> Result<()> {
    put_digest(connection, FORMAT, &[], Digest { rows: VERSION, sum: 0, bytes: 0 })?;
    for table in WHOLE_TABLES {
        put_digest(connection, table, &[], Digest::default())?;
    }
    super::tenants::insert_defaults(connection)
}

fn format_row(connection: &Connection) -> Result<i64> {
    read_digest(connection, FORMAT, &[]).map(|digest| digest.rows)
}

/// The digest of `table` (and `collection`, empty for a whole table).
pub(super) fn read_digest(connection: &Connection, table: &str, collection: &[u8]) -> Result<Digest> {
    let mut query = connection
        .prepare_cached("SELECT rows, sum, bytes, crc FROM digests WHERE name = ?1 AND collection = ?2")
        .map_err(sql)?;
    let found = query
        .query_row(params![table, collection], |r| {
            Ok((Digest { rows: r.get(0)?, sum: r.get(1)?, bytes: r.get(2)? }, r.get::<_, i64>(3)?))
        })
        .optional()
        .map_err(sql)?;
    match found {
        Some((digest, crc)) if digest.checksum(table, collection) == crc => Ok(digest),
        Some(_) => Err(bad_row("digests")),
        None => Err(Error::corrupted(CATALOG, format!("the digest of table {table} is missing"))),
    }
}

/// Writes the digest of `table`.
pub(super) fn put_digest(
    connection: &Connection,
    table: &str,
    collection: &[u8],
    digest: Digest,
) -> Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO digests (name, collection, rows, sum, bytes, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
        .map_err(sql)?
        .execute(params![table, collection, digest.rows, digest.sum, digest.bytes, digest.checksum(table, collection)])
        .map_err(sql)?;
    Ok(())
}

/// Replaces `old` by `new` in the digest of a whole table: a row inserted, changed or deleted.
pub(super) fn change_digest(connection: &Connection, table: &str, old: Digest, new: Digest) -> Result<()> {
    let digest = read_digest(connection, table, &[])?;
    put_digest(connection, table, &[], digest.minus(old).plus(new))
}

/// The error for a row whose checksum does not hold.
pub(super) fn bad_row(table: &str) -> Error {
    Error::corrupted(CATALOG, format!("a row of table {table} does not match its checksum"))
}

/// Reads everything but the payloads of the log and compares it with the checksums and digests; small files also
/// go through SQLite's own check of every page.
pub(super) fn verify(connection: &mut Connection) -> Result<()> {
    let tx = connection.transaction().map_err(sql)?;
    let pages: i64 = tx.query_row("PRAGMA page_count", [], |r| r.get(0)).map_err(sql)?;
    let page_size: i64 = tx.query_row("PRAGMA page_size", [], |r| r.get(0)).map_err(sql)?;
    if pages.saturating_mul(page_size) <= FULL_CHECK_BYTES {
        let report: String = tx.query_row("PRAGMA integrity_check(1)", [], |r| r.get(0)).map_err(sql)?;
        if report != "ok" {
            return Err(Error::corrupted(CATALOG, report));
        }
    }
    let mut expected = Expected::default();
    expected.compare(&tx, "tenants", &[], sum_tenants(&tx)?)?;
    expected.compare(&tx, "databases", &[], sum_databases(&tx)?)?;
    let (collections, sum) = sum_collections(&tx)?;
    expected.compare(&tx, "collections", &[], sum)?;
    let mut manifests = Digest::default();
    for id in super::manifest::collections_with_manifest(&tx)? {
        if let Some((_, crc)) = super::manifest::read(&tx, id)? {
            manifests = manifests.plus(Digest::row(crc));
        }
    }
    expected.compare(&tx, "manifests", &[], manifests)?;
    for id in &collections {
        expected.compare(&tx, "schema_keys", id.as_bytes(), super::log::sum_schema_keys(&tx, *id)?)?;
        expected.compare(&tx, "log", id.as_bytes(), super::log::sum_log(&tx, *id, i64::MAX)?)?;
    }
    let (states, sum) = super::versions::sum(&tx)?;
    expected.compare(&tx, "versions", &[], sum)?;
    for id in &states {
        expected.compare(&tx, "log", id.as_bytes(), super::log::sum_log(&tx, *id, i64::MAX)?)?;
    }
    expected.compare(&tx, "forks", &[], super::forks::sum(&tx)?)?;
    let digests: i64 = tx.query_row("SELECT count(*) FROM digests", [], |r| r.get(0)).map_err(sql)?;
    // The format row is a digest too.
    if digests != expected.compared + 1 {
        return Err(Error::corrupted(CATALOG, "table digests has rows that belong to nothing"));
    }
    Ok(())
}

#[derive(Default)]
struct Expected {
    compared: i64,
}

impl Expected {
    fn compare(
        &mut self,
        connection: &Connection,
        table: &str,
        collection: &[u8],
        found: Digest,
    ) -> Result<()> {
        self.compared += 1;
        let expected = read_digest(connection, table, collection)?;
        if expected == found {
            return Ok(());
        }
        Err(Error::corrupted(
            CATALOG,
            format!(
                "table {table} holds {} rows that do not add up to the {} expected",
                found.rows, expected.rows
            ),
        ))
    }
}

fn sum_tenants(connection: &Connection) -> Result<Digest> {
    let mut query = connection.prepare("SELECT name, crc FROM tenants").map_err(sql)?;
    let mut rows = query.query([]).map_err(sql)?;
    let mut sum = Digest::default();
    while let Some(row) = rows.next().map_err(sql)? {
        let name: String = row.get(0).map_err(sql)?;
        let crc: i64 = row.get(1).map_err(sql)?;
        if tenant_checksum(&name) != crc {
            return Err(bad_row("tenants"));
        }
        sum = sum.plus(Digest::row(crc));
    }
    Ok(sum)
}

fn sum_databases(connection: &Connection) -> Result<Digest> {
    let mut query = connection.prepare("SELECT id, name, tenant, crc FROM databases").map_err(sql)?;
    let mut rows = query.query([]).map_err(sql)?;
    let mut sum = Digest::default();
    while let Some(row) = rows.next().map_err(sql)? {
        let database = DatabaseRow::read(row)?;
        sum = sum.plus(Digest::row(database_checksum(&database)));
    }
    Ok(sum)
}

fn sum_collections(connection: &Connection) -> Result<(Vec<uuid::Uuid>, Digest)> {
    let mut query = connection.prepare(super::collections::SELECT_ALL).map_err(sql)?;
    let mut rows = query.query([]).map_err(sql)?;
    let mut ids = Vec::new();
    let mut sum = Digest::default();
    while let Some(row) = rows.next().map_err(sql)? {
        let (collection, crc) = CollectionRow::read(row)?;
        sum = sum.plus(Digest::row(crc));
        ids.push(collection.id);
    }
    Ok((ids, sum))
}
