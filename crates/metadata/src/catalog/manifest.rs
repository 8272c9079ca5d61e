//! Manifests: which sealed segments a collection consists of.

use std::collections::HashSet;

use ferrochrome_types::{Error, Result};
use roaring::RoaringBitmap;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::collections::existing;
use super::log::signed;
use super::schema::{Digest, bad_row, change_digest};
use super::{CATALOG, Catalog, read_uuid, sql};
use crate::checksum::RowChecksum;

/// One sealed segment of a collection.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestSegment {
    /// The name of its folder.
    pub id: Uuid,
    /// Records, including deleted ones.
    pub rows: u32,
    /// Labels of the deleted records.
    pub tombstones: RoaringBitmap,
}

/// The sealed segments of a collection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// Grows with every manifest that is published.
    pub version: u64,
    /// In the order in which they are to be read.
    pub segments: Vec<ManifestSegment>,
    /// Every log batch with `seq <= log_cut` is contained in the segments.
    pub log_cut: u64,
    /// The ordinal of the next record that is inserted after those of the segments.
    pub next_ordinal: u64,
}

impl Catalog {
    /// Replaces the manifest of a collection and deletes the log up to its `log_cut`, in one transaction.
    ///
    /// # Errors
    /// `NotFound` if there is no such collection; `InvalidArgument` if `version` is not above that of the manifest there
    /// or `log_cut` is below it.
    pub fn publish(&self, collection: Uuid, manifest: &Manifest) -> Result<()> {
        self.write(|tx| {
            existing(tx, collection)?;
            let old = match read(tx, collection)? {
                Some((old, _)) if old.version >= manifest.version || old.log_cut > manifest.log_cut => {
                    return Err(Error::invalid(format!(
                        "manifest {} (log cut {}) does not follow manifest {} (log cut {})",
                        manifest.version, manifest.log_cut, old.version, old.log_cut
                    )));
                }
                Some((_, crc)) => Digest::row(crc),
                None => Digest::default(),
            };
            let crc = put(tx, collection, manifest)?;
            change_digest(tx, "manifests", old, Digest::row(crc))?;
            super::log::cut(tx, collection, signed(manifest.log_cut)?)
        })
    }

    /// The manifest of a collection, `None` before the first is published.
    ///
    /// # Errors
    /// `NotFound` if there is no such collection.
    pub fn manifest(&self, collection: Uuid) -> Result<Option<Manifest>> {
        self.read(|c| {
            existing(c, collection)?;
            Ok(read(c, collection)?.map(|(manifest, _)| manifest))
        })
    }

    /// The segments that the manifest of a collection names, in its order; none before the first manifest.
    ///
    /// # Errors
    /// `NotFound` if there is no such collection.
    pub fn segment_ids(&self, collection: Uuid) -> Result<Vec<Uuid>> {
        let manifest = self.manifest(collection)?.unwrap_or_default();
        Ok(manifest.segments.into_iter().map(|segment| segment.id).collect())
    }

    /// Those of `segments` that no manifest names, neither that of a collection nor that of a version.
    ///
    /// They will not be named again: a manifest names segments that another one named in the same transaction, or that are new.
    pub fn unnamed_segments(&self, segments: &[Uuid]) -> Result<Vec<Uuid>> {
        self.read(|c| {
            let mut unnamed: HashSet<Uuid> = segments.iter().copied().collect();
            let mut query = c.prepare_cached("SELECT id FROM manifest_segments").map_err(sql)?;
            let mut rows = query.query([]).map_err(sql)?;
            while let Some(row) = rows.next().map_err(sql)? {
                unnamed.remove(&read_uuid(row, 0)?);
            }
            Ok(unnamed.into_iter().collect())
        })
    }

    /// The segments that a collection and its versions name.
    ///
    /// # Errors
    /// `NotFound` if there is no such collection.
    pub fn segment_ids_with_versions(&self, collection: Uuid) -> Result<HashSet<Uuid>> {
        self.read(|c| {
            existing(c, collection)?;
            let mut ids = HashSet::new();
            for state in super::versions::states_of(c, collection)?.into_iter().chain([collection]) {
                let manifest = read(c, state)?.map(|(manifest, _)| manifest).unwrap_or_default();
                ids.extend(manifest.segments.iter().map(|segment| segment.id));
            }
            Ok(ids)
        })
    }

    /// The segments that any manifest names, be it of a collection or of a version. Folders of others are garbage.
    pub fn all_segment_ids(&self) -> Result<HashSet<Uuid>> {
        self.read(|c| {
            let mut ids = HashSet::new();
            for collection in collections_with_manifest(c)? {
                if let Some((manifest, _)) = read(c, collection)? {
                    ids.extend(manifest.segments.iter().map(|segment| segment.id));
                }
            }
            Ok(ids)
        })
    }
}

/// The collections, and states of versions, that have a manifest.
pub(super) fn collections_with_manifest(connection: &Connection) -> Result<Vec<Uuid>> {
    let mut query = connection.prepare_cached("SELECT collection FROM manifests").map_err(sql)?;
    let mut rows = query.query([]).map_err(sql)?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next().map_err(sql)? {
        ids.push(read_uuid(row, 0)?);
    }
    Ok(ids)
}

/// The manifest of a collection and its checksum, which covers its segments too.
pub(super) fn read(connection: &Connection, collection: Uuid) -> Result<Option<(Manifest, i64)>> {
    let mut query = connection
        .prepare_cached(
            "SELECT version, log_cut, next_ordinal, segments, crc FROM manifests WHERE collection = ?1",
        )
        .map_err(sql)?;
    let mut rows = query.query([collection.as_bytes()]).map_err(sql)?;
    let Some(row) = rows.next().map_err(sql)? else { return Ok(None) };
    let head = [row.get(0).map_err(sql)?, row.get(1).map_err(sql)?, row.get(2).map_err(sql)?];
    let count: i64 = row.get(3).map_err(sql)?;
    let crc: i64 = row.get(4).map_err(sql)?;
    let (segments, sum) = read_segments(connection, collection, start_checksum(collection, head, count))?;
    if sum.finish() != crc {
        return Err(bad_row("manifests"));
    }
    if head.iter().any(|number| *number < 0) || count != segments.len() as i64 {
        let what = "a manifest has negative numbers, or counts segments that it does not name";
        return Err(Error::corrupted(CATALOG, what));
    }
    let [version, log_cut, next_ordinal] = head.map(i64::unsigned_abs);
    Ok(Some((Manifest { version, segments, log_cut, next_ordinal }, crc)))
}

/// Copies the manifest of `from`, if it has one, to `to`, which has none.
pub(super) fn copy(connection: &Connection, from: Uuid, to: Uuid) -> Result<()> {
    let Some((manifest, _)) = read(connection, from)? else { return Ok(()) };
    let crc = put(connection, to, &manifest)?;
    change_digest(connection, "manifests", Digest::default(), Digest::row(crc))
}

/// Deletes the manifest of a collection, if it has one.
pub(super) fn delete(connection: &Connection, collection: Uuid) -> Result<()> {
    let Some((_, crc)) = read(connection, collection)? else { return Ok(()) };
    delete_segments(connection, collection)?;
    connection
        .prepare_cached("DELETE FROM manifests WHERE collection = ?1")
        .map_err(sql)?
        .execute([collection.as_bytes()])
        .map_err(sql)?;
    change_digest(connection, "manifests", Digest::row(crc), Digest::default())
}

pub(super) fn start_checksum(collection: Uuid, head: [i64; 3], segments: i64) -> RowChecksum {
    RowChecksum::new("manifests")
        .bytes(collection.as_bytes())
        .int(head[0])
        .int(head[1])
        .int(head[2])
        .int(segments)
}

fn read_segments(
    connection: &Connection,
    collection: Uuid,
    mut sum: RowChecksum,
) -> Result<(Vec<ManifestSegment>, RowChecksum)> {
    let mut query = connection
        .prepare_cached(
            "SELECT position, id, rows, tombstones FROM manifest_segments WHERE collection = ?1 ORDER BY position",
        )
        .map_err(sql)?;
    let mut rows = query.query([collection.as_bytes()]).map_err(sql)?;
    let mut segments = Vec::new();
    while let Some(row) = rows.next().map_err(sql)? {
        let position: i64 = row.get(0).map_err(sql)?;
        let id = read_uuid(row, 1)?;
        let count: u32 = row.get(2).map_err(sql)?;
        let ValueRef::Blob(bytes) = row.get_ref(3).map_err(sql)? else {
            return Err(bad_row("manifest_segments"));
        };
        sum = sum.int(position).bytes(id.as_bytes()).int(i64::from(count)).bytes(bytes);
        let tombstones = RoaringBitmap::deserialize_from(bytes).map_err(|_| bad_row("manifest_segments"))?;
        segments.push(ManifestSegment { id, rows: count, tombstones });
    }
    Ok((segments, sum))
}

fn delete_segments(connection: &Connection, collection: Uuid) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM manifest_segments WHERE collection = ?1")
        .map_err(sql)?
        .execute([collection.as_bytes()])
        .map_err(sql)?;
    Ok(())
}

pub(super) fn put(connection: &Connection, collection: Uuid, manifest: &Manifest) -> Result<i64> {
    let head = [signed(manifest.version)?, signed(manifest.log_cut)?, signed(manifest.next_ordinal)?];
    let count = manifest.segments.len() as i64;
    let mut sum = start_checksum(collection, head, count);
    delete_segments(connection, collection)?;
    let mut insert = connection
        .prepare_cached(
            "INSERT INTO manifest_segments (collection, position, id, rows, tombstones) VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .map_err(sql)?;
    let mut bytes = Vec::new();
    for (position, segment) in (0_i64..).zip(&manifest.segments) {
        bytes.clear();
        segment
            .tombstones
            .serialize_into(&mut bytes)
            .map_err(|e| Error::internal(format!("tombstones: {e}")))?;
        sum = sum.int(position).bytes(segment.id.as_bytes()).int(i64::from(segment.rows)).bytes(&bytes);
        insert
            .execute(params![collection.as_bytes(), position, segment.id.as_bytes(), segment.rows, bytes])
            .map_err(sql)?;
    }
    let crc = sum.finish();
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO manifests (collection, version, log_cut, next_ordinal, segments, crc) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .map_err(sql)?
        .execute(params![collection.as_bytes(), head[0], head[1], head[2], count, crc])
        .map_err(sql)?;
    Ok(crc)
}
