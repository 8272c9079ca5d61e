//! The log: batches that are not in a sealed segment yet; and the metadata keys that records introduced.

use std::collections::HashSet;

use ferrochrome_types::{Error, Result, ValueKind};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::collections::{existing, replace};
use super::manifest::{self, Manifest};
use super::schema::{Digest, bad_row, put_digest, read_digest};
use super::{CATALOG, Catalog, sql};
use crate::checksum::RowChecksum;

/// How much of a collection is in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSize {
    /// Batches.
    pub rows: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
}

impl Catalog {
    /// Appends one batch: a payload that [`read_log`](Self::read_log) returns whole or not at all.
    ///
    /// `seq` counts batches of the collection without gaps, from 1. `dimension` is stored if the collection has none yet.
    /// `new_keys` are added to [`schema_keys`](Self::schema_keys); those that are there already do no harm.
    ///
    /// # Errors
    /// `NotFound` if there is no such collection, `InvalidArgument` if `seq` is not the next, `LimitExceeded` if the payload
    /// passes SQLite's limit of about 1 GB.
    pub fn append(
        &self,
        collection: Uuid,
        seq: u64,
        payload: &[u8],
        dimension: Option<u32>,
        new_keys: &[(String, ValueKind)],
    ) -> Result<()> {
        let crc = log_checksum(collection, seq, payload);
        self.write(|tx| {
            let (mut row, old_crc) = existing(tx, collection)?;
            if row.dimension.is_none() && dimension.is_some() {
                row.dimension = dimension;
                replace(tx, &row, old_crc)?;
            }
            check_next(tx, collection, seq)?;
            tx.prepare_cached("INSERT INTO log (collection, seq, crc, payload) VALUES (?1, ?2, ?3, ?4)")
                .map_err(sql)?
                .execute(params![collection.as_bytes(), signed(seq)?, crc, payload])
                .map_err(sql)?;
            let digest = read_digest(tx, "log", collection.as_bytes())?;
            let batch = Digest { rows: 1, sum: crc, bytes: payload.len() as i64 };
            put_digest(tx, "log", collection.as_bytes(), digest.plus(batch))?;
            insert_keys(tx, collection, new_keys)
        })
    }

    /// Calls `f` with every batch after `after_seq`, ascending. `f` must not call this catalog.
    ///
    /// # Errors
    /// `Corrupted` if a payload does not match its checksum or a batch is missing; what `f` returns.
    pub fn read_log(
        &self,
        collection: Uuid,
        after_seq: u64,
        f: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<()> {
        self.read(|c| read_log(c, collection, after_seq, f))
    }

    /// The manifest and every batch that its segments do not contain, as of one moment: what a reader needs while another
    /// process writes. `collection` may be the state of a version. `f` must not call this catalog.
    ///
    /// # Errors
    /// As [`read_log`](Self::read_log); `NotFound` if there is no such collection.
    pub fn manifest_and_log(
        &self,
        collection: Uuid,
        f: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<Option<Manifest>> {
        self.read(|c| {
            existing_state(c, collection)?;
            let manifest = manifest::read(c, collection)?.map(|(manifest, _)| manifest);
            read_log(c, collection, manifest.as_ref().map_or(0, |m| m.log_cut), f)?;
            Ok(manifest)
        })
    }

    /// How much of the collection is in the log.
    ///
    /// # Errors
    /// `NotFound` if there is no such collection.
    pub fn log_size(&self, collection: Uuid) -> Result<LogSize> {
        self.read(|c| {
            existing(c, collection)?;
            let digest = read_digest(c, "log", collection.as_bytes())?;
            Ok(LogSize { rows: digest.rows.unsigned_abs(), bytes: digest.bytes.unsigned_abs() })
        })
    }

    /// The metadata keys that the collection's records introduced, with the types seen, in key order. None for the state of a
    /// version.
    ///
    /// # Errors
    /// `NotFound` if there is no such collection.
    pub fn schema_keys(&self, collection: Uuid) -> Result<Vec<(String, ValueKind)>> {
        self.read(|c| {
            existing_state(c, collection)?;
            let mut keys = Vec::new();
            each_key(c, collection, &mut |key, kind, _| keys.push((key, kind)))?;
            Ok(keys)
        })
    }
}

impl Catalog {
    /// Removes the keys that are not in `used` from [`schema_keys`](Self::schema_keys).
    ///
    /// # Errors
    /// `NotFound` if there is no such collection.
    pub fn retain_schema_keys(&self, collection: Uuid, used: &HashSet<(String, ValueKind)>) -> Result<()> {
        self.write(|tx| {
            existing(tx, collection)?;
            let mut unused = Vec::new();
            each_key(tx, collection, &mut |key, kind, crc| {
                if !used.contains(&(key.clone(), kind)) {
                    unused.push((key, kind, crc));
                }
            })?;
            let mut digest = read_digest(tx, "schema_keys", collection.as_bytes())?;
            for (key, kind, crc) in unused {
                tx.prepare_cached("DELETE FROM schema_keys WHERE collection = ?1 AND key = ?2 AND kind = ?3")
                    .map_err(sql)?
                    .execute(params![collection.as_bytes(), key, kind.as_str()])
                    .map_err(sql)?;
                digest = digest.minus(Digest::row(crc));
            }
            put_digest(tx, "schema_keys", collection.as_bytes(), digest)
        })
    }
}

/// Deletes the batches up to `seq`.
pub(super) fn cut(connection: &Connection, collection: Uuid, seq: i64) -> Result<()> {
    let gone = sum_log(connection, collection, seq)?;
    if gone.rows == 0 {
        return Ok(());
    }
    connection
        .prepare_cached("DELETE FROM log WHERE collection = ?1 AND seq <= ?2")
        .map_err(sql)?
        .execute(params![collection.as_bytes(), seq])
        .map_err(sql)?;
    let digest = read_digest(connection, "log", collection.as_bytes())?;
    put_digest(connection, "log", collection.as_bytes(), digest.minus(gone))
}

/// The digest of the batches up to `seq`, without reading payloads.
pub(super) fn sum_log(connection: &Connection, collection: Uuid, seq: i64) -> Result<Digest> {
    connection
        .prepare_cached(
            "SELECT count(*), coalesce(sum(crc), 0), coalesce(sum(length(payload)), 0) FROM log \
             WHERE collection = ?1 AND seq <= ?2",
        )
        .map_err(sql)?
        .query_row(params![collection.as_bytes(), seq], |r| {
            Ok(Digest { rows: r.get(0)?, sum: r.get(1)?, bytes: r.get(2)? })
        })
        .map_err(sql)
}

/// The digest of the keys of a collection; each is checked.
pub(super) fn sum_schema_keys(connection: &Connection, collection: Uuid) -> Result<Digest> {
    let mut sum = Digest::default();
    each_key(connection, collection, &mut |_, _, crc| sum = sum.plus(Digest::row(crc)))?;
    Ok(sum)
}

/// A `u64` that counts as a column.
pub(super) fn signed(value: u64) -> Result<i64> {
    i64::try_from(value)
        .map_err(|_| Error::invalid(format!("{value} is too large for the catalog, at most 2^63 - 1")))
}

pub(super) fn log_checksum(collection: Uuid, seq: u64, payload: &[u8]) -> i64 {
    RowChecksum::new("log").bytes(collection.as_bytes()).int(seq as i64).bytes(payload).finish()
}

fn check_next(connection: &Connection, collection: Uuid, seq: u64) -> Result<()> {
    let last = last_seq(connection, collection)?;
    if seq.checked_sub(1) == Some(last) {
        return Ok(());
    }
    Err(Error::invalid(format!("batch {seq} does not follow batch {last} of the log")))
}

/// The number of the last batch, in the log or in the segments; 0 before the first.
pub(super) fn last_seq(connection: &Connection, collection: Uuid) -> Result<u64> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT max(seq) FROM log WHERE collection = ?1")
        .map_err(sql)?
        .query_row([collection.as_bytes()], |r| r.get(0))
        .map_err(sql)?;
    match last {
        Some(last) => Ok(last.unsigned_abs()),
        None => Ok(manifest::read(connection, collection)?.map_or(0, |(manifest, _)| manifest.log_cut)),
    }
}

/// `NotFound` unless this is the UUID of a collection or of the state of a version.
fn existing_state(connection: &Connection, id: Uuid) -> Result<()> {
    if super::versions::is_state(connection, id)? {
        return Ok(());
    }
    existing(connection, id).map(|_| ())
}

/// Copies the batches of `from` to `to`, which has none.
pub(super) fn copy(connection: &Connection, from: Uuid, to: Uuid) -> Result<()> {
    let cut = manifest::read(connection, from)?.map_or(0, |(manifest, _)| manifest.log_cut);
    fill(connection, to, |put| read_log(connection, from, cut, put))
}

/// Puts the batches that `each` passes on, by number, into the log of `to`, which has none.
pub(super) fn fill(
    connection: &Connection,
    to: Uuid,
    each: impl FnOnce(&mut dyn FnMut(u64, &[u8]) -> Result<()>) -> Result<()>,
) -> Result<()> {
    let mut insert = connection
        .prepare_cached("INSERT INTO log (collection, seq, crc, payload) VALUES (?1, ?2, ?3, ?4)")
        .map_err(sql)?;
    let mut sum = Digest::default();
    each(&mut |seq, payload| {
        let crc = log_checksum(to, seq, payload);
        insert.execute(params![to.as_bytes(), signed(seq)?, crc, payload]).map_err(sql)?;
        sum = sum.plus(Digest { rows: 1, sum: crc, bytes: payload.len() as i64 });
        Ok(())
    })?;
    put_digest(connection, "log", to.as_bytes(), sum)
}

/// Deletes all batches and their digest.
pub(super) fn delete(connection: &Connection, id: Uuid) -> Result<()> {
    for statement in [
        "DELETE FROM log WHERE collection = ?1",
        "DELETE FROM digests WHERE name = 'log' AND collection = ?1",
    ] {
        connection.prepare_cached(statement).map_err(sql)?.execute([id.as_bytes()]).map_err(sql)?;
    }
    Ok(())
}

/// Copies the metadata keys of `from` to `to`, which has none.
pub(super) fn copy_keys(connection: &Connection, from: Uuid, to: Uuid) -> Result<()> {
    let mut keys = Vec::new();
    each_key(connection, from, &mut |key, kind, _| keys.push((key, kind)))?;
    insert_keys(connection, to, &keys)
}

pub(super) fn read_log(
    connection: &Connection,
    collection: Uuid,
    after_seq: u64,
    f: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut query = connection
        .prepare_cached("SELECT seq, crc, payload FROM log WHERE collection = ?1 AND seq > ?2 ORDER BY seq")
        .map_err(sql)?;
    let mut rows = query.query(params![collection.as_bytes(), signed(after_seq)?]).map_err(sql)?;
    let mut last = after_seq;
    while let Some(row) = rows.next().map_err(sql)? {
        let seq = row.get::<_, i64>(0).map_err(sql)?.unsigned_abs();
        let crc: i64 = row.get(1).map_err(sql)?;
        let ValueRef::Blob(payload) = row.get_ref(2).map_err(sql)? else { return Err(bad_row("log")) };
        if seq != last + 1 {
            return Err(Error::corrupted(CATALOG, format!("the log goes from batch {last} to {seq}")));
        }
        if log_checksum(collection, seq, payload) != crc {
            return Err(bad_row("log"));
        }
        f(seq, payload)?;
        last = seq;
    }
    Ok(())
}

pub(super) fn key_checksum(collection: Uuid, key: &str, kind: &str) -> i64 {
    RowChecksum::new("schema_keys").bytes(collection.as_bytes()).text(key).text(kind).finish()
}

pub(super) fn kind_from_name(name: &str) -> Result<ValueKind> {
    [ValueKind::Str, ValueKind::Int, ValueKind::Float, ValueKind::Bool]
        .into_iter()
        .find(|kind| kind.as_str() == name)
        .ok_or_else(|| bad_row("schema_keys"))
}

pub(super) fn insert_keys(
    connection: &Connection,
    collection: Uuid,
    keys: &[(String, ValueKind)],
) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let mut insert = connection
        .prepare_cached(
            "INSERT OR IGNORE INTO schema_keys (collection, key, kind, crc) VALUES (?1, ?2, ?3, ?4)",
        )
        .map_err(sql)?;
    let mut added = Digest::default();
    for (key, kind) in keys {
        let crc = key_checksum(collection, key, kind.as_str());
        if insert.execute(params![collection.as_bytes(), key, kind.as_str(), crc]).map_err(sql)? == 1 {
            added = added.plus(Digest::row(crc));
        }
    }
    let digest = read_digest(connection, "schema_keys", collection.as_bytes())?;
    put_digest(connection, "schema_keys", collection.as_bytes(), digest.plus(added))
}

pub(super) fn each_key(
    connection: &Connection,
    collection: Uuid,
    f: &mut dyn FnMut(String, ValueKind, i64),
) -> Result<()> {
    let mut query = connection
        .prepare_cached("SELECT key, kind, crc FROM schema_keys WHERE collection = ?1 ORDER BY key, kind")
        .map_err(sql)?;
    let mut rows = query.query([collection.as_bytes()]).map_err(sql)?;
    while let Some(row) = rows.next().map_err(sql)? {
        let key: String = row.get(0).map_err(sql)?;
        let kind: String = row.get(1).map_err(sql)?;
        let crc: i64 = row.get(2).map_err(sql)?;
        if key_checksum(collection, &key, &kind) != crc {
            return Err(bad_row("schema_keys"));
        }
        f(key, kind_from_name(&kind)?, crc);
    }
    Ok(())
}
