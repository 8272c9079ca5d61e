//! Versions: states of a collection that can be read again.
//!
//! A version has a manifest and a log of its own, under a UUID that is no collection's: its *state*. Whatever asks which segments
//! are named, or adds up checksums, finds them there without knowing of versions.

use ferrochrome_types::{Code, Error, Result};
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::collections;
use super::log::{self, signed};
use super::schema::{Digest, bad_row, change_digest};
use super::{Catalog, Manifest, manifest, read_uuid, sql};
use crate::checksum::RowChecksum;

/// A version of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRow {
    /// Number of batches that had been written: grows from version to version, and names one state for ever.
    pub version: u64,
    /// Under which its manifest and its log are kept.
    pub state: Uuid,
    /// What the user calls it.
    pub label: Option<String>,
    /// Milliseconds since 1970.
    pub created: u64,
    /// Number of records.
    pub records: u64,
    /// Components of each vector; `None` before the first.
    pub dimension: Option<u32>,
    /// Made by the collection's setting rather than by a call, and deleted by it too.
    pub automatic: bool,
}

/// A version to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewVersion {
    /// What the user calls it.
    pub label: Option<String>,
    /// Milliseconds since 1970.
    pub created: u64,
    /// Number of records in the present state.
    pub records: u64,
    /// Made by the collection's setting rather than by a call.
    pub automatic: bool,
}

pub(super) const SELECT_ALL: &str =
    "SELECT collection, version, state, label, created, records, dimension, automatic, crc FROM versions";
const SELECT_OF_COLLECTION: &str = "SELECT collection, version, state, label, created, records, dimension, automatic, crc \
     FROM versions WHERE collection = ?1 ORDER BY version";
const SELECT_ONE: &str = "SELECT collection, version, state, label, created, records, dimension, automatic, crc \
     FROM versions WHERE collection = ?1 AND version = ?2";

impl VersionRow {
    /// Reads the columns of [`SELECT_ALL`]; returns the row's checksum too.
    pub(super) fn read(row: &Row<'_>) -> Result<(VersionRow, i64)> {
        let collection = read_uuid(row, 0)?;
        let [number, created, records, automatic] = [1, 4, 5, 7].map(|column| row.get::<_, i64>(column));
        let version = VersionRow {
            version: number.map_err(sql)?.unsigned_abs(),
            state: read_uuid(row, 2)?,
            label: row.get(3).map_err(sql)?,
            created: created.map_err(sql)?.unsigned_abs(),
            records: records.map_err(sql)?.unsigned_abs(),
            dimension: row.get(6).map_err(sql)?,
            automatic: automatic.map_err(sql)? != 0,
        };
        let crc: i64 = row.get(8).map_err(sql)?;
        if version.checksum(collection) == crc { Ok((version, crc)) } else { Err(bad_row("versions")) }
    }

    fn checksum(&self, collection: Uuid) -> i64 {
        RowChecksum::new("versions")
            .bytes(collection.as_bytes())
            .int(self.version as i64)
            .bytes(self.state.as_bytes())
            .optional_text(self.label.as_deref())
            .int(self.created as i64)
            .int(self.records as i64)
            .int(self.dimension.map_or(-1, i64::from))
            .int(i64::from(self.automatic))
            .finish()
    }
}

impl Catalog {
    /// Keeps the present state of a collection. Where it is kept already, because nothing was written since, it stays the version
    /// that it is; a label replaces the former, and what was made by a call is automatic no more.
    ///
    /// # Errors
    /// `NotFound` if there is no such collection.
    pub fn create_version(&self, collection: Uuid, new: &NewVersion) -> Result<VersionRow> {
        self.write(|tx| {
            let (row, _) = collections::existing(tx, collection)?;
            let number = log::last_seq(tx, collection)?;
            if let Some((mut version, old_crc)) = find(tx, collection, number)? {
                version.label = new.label.clone().or(version.label);
                version.automatic &= new.automatic;
                put(tx, collection, &version, Digest::row(old_crc))?;
                return Ok(version);
            }
            let version = VersionRow {
                version: number,
                state: Uuid::new_v4(),
                label: new.label.clone(),
                created: new.created,
                records: new.records,
                dimension: row.dimension,
                automatic: new.automatic,
            };
            put(tx, collection, &version, Digest::default())?;
            manifest::copy(tx, collection, version.state)?;
            log::copy(tx, collection, version.state)?;
            Ok(version)
        })
    }

    /// The versions of a collection, oldest first.
    ///
    /// # Errors
    /// `NotFound` if there is no such collection.
    pub fn versions(&self, collection: Uuid) -> Result<Vec<VersionRow>> {
        self.read(|c| {
            collections::existing(c, collection)?;
            of_collection(c, collection)
        })
    }

    /// The versions of a collection with the manifest of each, oldest first.
    ///
    /// # Errors
    /// `NotFound` if there is no such collection.
    pub fn version_manifests(&self, collection: Uuid) -> Result<Vec<(VersionRow, Manifest)>> {
        self.read(|c| {
            collections::existing(c, collection)?;
            let with_manifest = |row: VersionRow| {
                let found = manifest::read(c, row.state)?;
                Ok((row, found.map(|(manifest, _)| manifest).unwrap_or_default()))
            };
            of_collection(c, collection)?.into_iter().map(with_manifest).collect()
        })
    }

    /// A version of a collection.
    ///
    /// # Errors
    /// `NotFound` if there is no such collection, or it has no such version.
    pub fn version(&self, collection: Uuid, version: u64) -> Result<VersionRow> {
        self.read(|c| {
            collections::existing(c, collection)?;
            existing(c, collection, version)
        })
    }

    /// Deletes a version; returns the segments that it named.
    ///
    /// # Errors
    /// `NotFound` if there is no such collection, or it has no such version.
    pub fn delete_version(&self, collection: Uuid, version: u64) -> Result<Vec<Uuid>> {
        self.write(|tx| {
            collections::existing(tx, collection)?;
            let Some((row, crc)) = find(tx, collection, version)? else {
                return Err(not_found(collection, version));
            };
            let manifest = manifest::read(tx, row.state)?.map(|(manifest, _)| manifest).unwrap_or_default();
            delete(tx, collection, &row, crc)?;
            Ok(manifest.segments.into_iter().map(|segment| segment.id).collect())
        })
    }
}

/// The version, or `NotFound`.
pub(super) fn existing(connection: &Connection, collection: Uuid, version: u64) -> Result<VersionRow> {
    let found = find(connection, collection, version)?;
    found.map(|(row, _)| row).ok_or_else(|| not_found(collection, version))
}

/// Whether this is the state of a version.
pub(super) fn is_state(connection: &Connection, id: Uuid) -> Result<bool> {
    let found: Option<i64> = connection
        .prepare_cached("SELECT 1 FROM versions WHERE state = ?1")
        .map_err(sql)?
        .query_row([id.as_bytes()], |r| r.get(0))
        .optional()
        .map_err(sql)?;
    Ok(found.is_some())
}

/// The states of the versions of a collection.
pub(super) fn states_of(connection: &Connection, collection: Uuid) -> Result<Vec<Uuid>> {
    Ok(of_collection(connection, collection)?.into_iter().map(|version| version.state).collect())
}

/// Deletes all versions of a collection.
pub(super) fn delete_all(connection: &Connection, collection: Uuid) -> Result<()> {
    for row in of_collection(connection, collection)? {
        let crc = row.checksum(collection);
        delete(connection, collection, &row, crc)?;
    }
    Ok(())
}

/// The states of all versions, and the digest of the table; each row is checked.
pub(super) fn sum(connection: &Connection) -> Result<(Vec<Uuid>, Digest)> {
    let mut query = connection.prepare(SELECT_ALL).map_err(sql)?;
    let mut rows = query.query([]).map_err(sql)?;
    let (mut states, mut sum) = (Vec::new(), Digest::default());
    while let Some(row) = rows.next().map_err(sql)? {
        let (version, crc) = VersionRow::read(row)?;
        states.push(version.state);
        sum = sum.plus(Digest::row(crc));
    }
    Ok((states, sum))
}

fn of_collection(connection: &Connection, collection: Uuid) -> Result<Vec<VersionRow>> {
    let mut query = connection.prepare_cached(SELECT_OF_COLLECTION).map_err(sql)?;
    let mut rows = query.query([collection.as_bytes()]).map_err(sql)?;
    let mut versions = Vec::new();
    while let Some(row) = rows.next().map_err(sql)? {
        versions.push(VersionRow::read(row)?.0);
    }
    Ok(versions)
}

fn find(connection: &Connection, collection: Uuid, version: u64) -> Result<Option<(VersionRow, i64)>> {
    // A number that no column holds is no version's.
    let Ok(number) = signed(version) else { return Ok(None) };
    let mut query = connection.prepare_cached(SELECT_ONE).map_err(sql)?;
    let mut rows = query.query(params![collection.as_bytes(), number]).map_err(sql)?;
    rows.next().map_err(sql)?.map(VersionRow::read).transpose()
}

/// Writes a version in the place of one with the digest `old`, which is empty for none.
pub(super) fn put(
    connection: &Connection,
    collection: Uuid,
    version: &VersionRow,
    old: Digest,
) -> Result<()> {
    let crc = version.checksum(collection);
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO versions (collection, version, state, label, created, records, dimension, automatic, crc) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )
        .map_err(sql)?
        .execute(params![
            collection.as_bytes(),
            signed(version.version)?,
            version.state.as_bytes(),
            version.label,
            signed(version.created)?,
            signed(version.records)?,
            version.dimension,
            version.automatic,
            crc
        ])
        .map_err(sql)?;
    change_digest(connection, "versions", old, Digest::row(crc))
}

/// Deletes a version that is there with checksum `crc`, with its manifest and its log.
fn delete(connection: &Connection, collection: Uuid, version: &VersionRow, crc: i64) -> Result<()> {
    manifest::delete(connection, version.state)?;
    log::delete(connection, version.state)?;
    connection
        .prepare_cached("DELETE FROM versions WHERE collection = ?1 AND version = ?2")
        .map_err(sql)?
        .execute(params![collection.as_bytes(), signed(version.version)?])
        .map_err(sql)?;
    change_digest(connection, "versions", Digest::row(crc), Digest::default())
}

fn not_found(collection: Uuid, version: u64) -> Error {
    Error::new(
        Code::NotFound,
        format!("Collection [{collection}] has no version {version}. versions() lists those that are kept."),
    )
}
