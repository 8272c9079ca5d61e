//! Forks: collections that began as a copy of another one and share its segments until they diverge.

use ferrochrome_types::Result;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::collections::{self, CollectionRow, existing};
use super::schema::{Digest, bad_row, change_digest};
use super::{Catalog, log, manifest, read_uuid, sql, versions};
use crate::checksum::RowChecksum;

impl Catalog {
    /// Creates a collection with the records, the metadata, the configuration and the schema of another one in the same database.
    ///
    /// With `version` the records are those of that version. What is copied is the list of segments with their tombstones, and the
    /// log: no more than a bounded amount, however many records there are.
    ///
    /// # Errors
    /// `NotFound` if there is no such collection or version, `AlreadyExists` if the name is taken or there is a collection with this
    /// UUID.
    pub fn fork(
        &self,
        collection: Uuid,
        version: Option<u64>,
        id: Uuid,
        name: &str,
    ) -> Result<CollectionRow> {
        self.write(|tx| {
            let (source, _) = existing(tx, collection)?;
            let (state, dimension) = match version {
                None => (collection, source.dimension),
                Some(version) => {
                    let version = versions::existing(tx, collection, version)?;
                    (version.state, version.dimension)
                }
            };
            let row = CollectionRow { id, name: name.to_owned(), dimension, ..source };
            collections::insert(tx, &row)?;
            manifest::copy(tx, state, id)?;
            log::copy(tx, state, id)?;
            log::copy_keys(tx, collection, id)?;
            insert(tx, id, root_of(tx, collection)?)?;
            Ok(row)
        })
    }

    /// How many forks there are in the collection's family: of itself, of the collection it is a fork of, and of their forks. All
    /// members of a family have the same count, as in Chroma; the collection that was there first is no fork.
    ///
    /// # Errors
    /// `NotFound` if there is no such collection.
    pub fn fork_count(&self, collection: Uuid) -> Result<u64> {
        self.read(|c| {
            existing(c, collection)?;
            let root = root_of(c, collection)?;
            let count: i64 = c
                .prepare_cached("SELECT count(*) FROM forks WHERE root = ?1")
                .map_err(sql)?
                .query_row([root.as_bytes()], |r| r.get(0))
                .map_err(sql)?;
            Ok(count.unsigned_abs())
        })
    }
}

/// The collection that was first in the family of this one: itself, if it is no fork. It may be gone.
fn root_of(connection: &Connection, collection: Uuid) -> Result<Uuid> {
    Ok(find(connection, collection)?.map_or(collection, |(root, _)| root))
}

/// The collection that was first in the family of a fork, and the checksum of the row that says so; `None` for what is no fork.
pub(super) fn find(connection: &Connection, collection: Uuid) -> Result<Option<(Uuid, i64)>> {
    let found: Option<([u8; 16], i64)> = connection
        .prepare_cached("SELECT root, crc FROM forks WHERE collection = ?1")
        .map_err(sql)?
        .query_row([collection.as_bytes()], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()
        .map_err(sql)?;
    let Some((root, crc)) = found else { return Ok(None) };
    let root = Uuid::from_bytes(root);
    if checksum(collection, root) == crc { Ok(Some((root, crc))) } else { Err(bad_row("forks")) }
}

/// Notes that a collection is a fork in the family of `root`.
pub(super) fn insert(connection: &Connection, collection: Uuid, root: Uuid) -> Result<()> {
    let crc = checksum(collection, root);
    connection
        .prepare_cached("INSERT INTO forks (collection, root, crc) VALUES (?1, ?2, ?3)")
        .map_err(sql)?
        .execute(params![collection.as_bytes(), root.as_bytes(), crc])
        .map_err(sql)?;
    change_digest(connection, "forks", Digest::default(), Digest::row(crc))
}

/// Forgets that a collection is a fork, if it is one.
pub(super) fn delete(connection: &Connection, collection: Uuid) -> Result<()> {
    let Some((_, crc)) = find(connection, collection)? else { return Ok(()) };
    connection
        .prepare_cached("DELETE FROM forks WHERE collection = ?1")
        .map_err(sql)?
        .execute([collection.as_bytes()])
        .map_err(sql)?;
    change_digest(connection, "forks", Digest::row(crc), Digest::default())
}

/// The digest of the table; each row is checked.
pub(super) fn sum(connection: &Connection) -> Result<Digest> {
    let mut query = connection.prepare("SELECT collection, root, crc FROM forks").map_err(sql)?;
    let mut rows = query.query([]).map_err(sql)?;
    let mut sum = Digest::default();
    while let Some(row) = rows.next().map_err(sql)? {
        let crc: i64 = row.get(2).map_err(sql)?;
        if checksum(read_uuid(row, 0)?, read_uuid(row, 1)?) != crc {
            return Err(bad_row("forks"));
        }
        sum = sum.plus(Digest::row(crc));
    }
    Ok(sum)
}

fn checksum(collection: Uuid, root: Uuid) -> i64 {
    RowChecksum::new("forks").bytes(collection.as_bytes()).bytes(root.as_bytes()).finish()
}
