//! What another process wrote since we last looked.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ferrochrome_types::{Error, Result};
use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

use super::collections::existing;
use super::log::{read_log, signed};
use super::manifest::{self, Manifest};
use super::{Catalog, CollectionRow, closed, configure, open_file, sql};

/// A state of a collection: its manifest and the last batch of its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogPosition {
    /// Checksum of the manifest, which its random segment ids make unique; 0 before the first.
    manifest: i64,
    /// Number of the last batch, and its checksum; 0 where the log is empty.
    seq: u64,
    crc: i64,
}

/// How a collection differs from what it was at a [`LogPosition`].
#[derive(Debug)]
pub struct Changes {
    /// What the catalog says of it now.
    pub row: CollectionRow,
    /// The manifest that the batches follow; `None` where they follow those that were read before.
    pub manifest: Option<Manifest>,
    /// Where it is now.
    pub position: LogPosition,
}

/// A file that is read without locks, as it was when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frozen {
    length: u64,
    modified: Option<SystemTime>,
    /// Length and change of the write-ahead log beside it, if there is one.
    pub(super) wal: Option<(u64, Option<SystemTime>)>,
}

impl Frozen {
    pub(super) fn of(path: &Path) -> Result<Self> {
        let file = std::fs::metadata(path).map_err(|e| Error::io(path.display(), e))?;
        let wal = std::fs::metadata(wal_of(path)).ok().map(|wal| (wal.len(), wal.modified().ok()));
        Ok(Frozen { length: file.len(), modified: file.modified().ok(), wal })
    }
}

/// The write-ahead log of a SQLite file.
fn wal_of(path: &Path) -> PathBuf {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    PathBuf::from(wal)
}

impl Catalog {
    /// A number that changes with every commit of another connection, and with none of this one. Takes microseconds.
    pub fn data_version(&self) -> Result<i64> {
        self.reopen_if_thawed()?;
        let mut guard = self.lock();
        let connection = guard.as_mut().ok_or_else(closed)?;
        let mut query = connection.prepare_cached("PRAGMA data_version").map_err(sql)?;
        let version: i64 = query.query_row([], |r| r.get(0)).map_err(sql)?;
        let reopened = self.frozen.lock().reopened;
        Ok((reopened << 32) + version)
    }

    /// A file that was read without locks, because nobody wrote to it, is opened anew once somebody does.
    fn reopen_if_thawed(&self) -> Result<()> {
        let Some(path) = &self.file else { return Ok(()) };
        let mut frozen = self.frozen.lock();
        let Some(before) = &frozen.file else { return Ok(()) };
        if *before == Frozen::of(path)? {
            return Ok(());
        }
        let (connection, now) = open_file(path, true)?;
        configure(&connection, self.durability, true)?;
        *self.lock() = Some(connection);
        frozen.file = now;
        frozen.reopened += 1;
        Ok(())
    }

    /// What became of a collection since it was at `known`. `f` gets the batches that are new: those behind the known ones, or all
    /// that follow the manifest which is returned then. All are of one moment. `f` must not call this catalog.
    ///
    /// # Errors
    /// `NotFound` if there is no such collection any more; as [`read_log`](Self::read_log).
    pub fn changes_since(
        &self,
        collection: Uuid,
        known: &LogPosition,
        f: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<Changes> {
        self.read(|connection| {
            let (row, _) = existing(connection, collection)?;
            let found = manifest::read(connection, collection)?;
            let crc_of = |seq: u64| -> Result<Option<i64>> {
                connection
                    .prepare_cached("SELECT crc FROM log WHERE collection = ?1 AND seq = ?2")
                    .map_err(sql)?
                    .query_row(params![collection.as_bytes(), signed(seq)?], |r| r.get(0))
                    .optional()
                    .map_err(sql)
            };
            let of_manifest = found.as_ref().map_or(0, |(_, crc)| *crc);
            let cut = found.as_ref().map_or(0, |(manifest, _)| manifest.log_cut);
            // A collection that was deleted and made anew with the same id has another log.
            let same = of_manifest == known.manifest
                && if known.crc == 0 { known.seq <= cut } else { crc_of(known.seq)? == Some(known.crc) };
            let after = if same { known.seq.max(cut) } else { cut };
            let mut last = after;
            read_log(connection, collection, after, &mut |seq, payload| {
                last = seq;
                f(seq, payload)
            })?;
            let crc = crc_of(last)?.unwrap_or(0);
            let position = LogPosition { manifest: of_manifest, seq: last, crc };
            let manifest = if same { None } else { Some(found.map_or_else(Manifest::default, |(m, _)| m)) };
            Ok(Changes { row, manifest, position })
        })
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::catalog::{DEFAULT_DATABASE, DEFAULT_TENANT, Durability, Location};
    use crate::{ManifestSegment, catalog::Catalog};

    fn row() -> CollectionRow {
        CollectionRow {
            id: Uuid::from_u128(7),
            name: "c".to_owned(),
            tenant: DEFAULT_TENANT.to_owned(),
            database: DEFAULT_DATABASE.to_owned(),
            metadata: None,
            configuration: "{}".to_owned(),
            schema: None,
            dimension: None,
        }
    }

    fn pair(dir: &TempDir) -> (Catalog, Catalog) {
        let open = |read_only| {
            let path = dir.path().join("catalog.sqlite");
            Catalog::open(Location::File(path), Durability::Normal, read_only).unwrap()
        };
        let writer = open(false);
        (writer, open(true))
    }

    /// The manifest's version, if it is a new one, and the batches.
    fn look(reader: &Catalog, position: &mut LogPosition) -> (Option<u64>, Vec<u64>) {
        let mut batches = Vec::new();
        let changes = reader
            .changes_since(row().id, position, &mut |seq, _| {
                batches.push(seq);
                Ok(())
            })
            .unwrap();
        *position = changes.position;
        (changes.manifest.map(|manifest| manifest.version), batches)
    }

    fn manifest(version: u64, log_cut: u64) -> Manifest {
        let segment = ManifestSegment { id: Uuid::new_v4(), rows: 3, tombstones: Default::default() };
        Manifest { version, segments: vec![segment], log_cut, next_ordinal: 9 }
    }

    #[test]
    fn batches_and_manifests_arrive_once() {
        let dir = TempDir::new().unwrap();
        let (writer, reader) = pair(&dir);
        writer.create_collection(&row()).unwrap();
        let append = |seq| writer.append(row().id, seq, b"batch", None, &[]).unwrap();
        let mut at = LogPosition::default();
        assert_eq!(look(&reader, &mut at), (None, vec![]));
        append(1);
        append(2);
        assert_eq!(look(&reader, &mut at), (None, vec![1, 2]));
        assert_eq!(look(&reader, &mut at), (None, vec![]));
        append(3);
        assert_eq!(look(&reader, &mut at), (None, vec![3]));
        append(4);
        writer.publish(row().id, &manifest(1, 3)).unwrap();
        assert_eq!(look(&reader, &mut at), (Some(1), vec![4]));
        append(5);
        assert_eq!(look(&reader, &mut at), (None, vec![5]));
        writer.publish(row().id, &manifest(2, 5)).unwrap();
        assert_eq!(look(&reader, &mut at), (Some(2), vec![]));
        append(6);
        assert_eq!(look(&reader, &mut at), (None, vec![6]));
    }

    #[test]
    fn a_collection_of_the_same_id_is_another_one() {
        let dir = TempDir::new().unwrap();
        let (writer, reader) = pair(&dir);
        writer.create_collection(&row()).unwrap();
        let mut at = LogPosition::default();
        let append = |seq, payload: &[u8]| writer.append(row().id, seq, payload, None, &[]).unwrap();
        append(1, b"first");
        assert_eq!(look(&reader, &mut at), (None, vec![1]));
        writer.delete_collection(DEFAULT_TENANT, DEFAULT_DATABASE, "c").unwrap();
        assert!(reader.changes_since(row().id, &at, &mut |_, _| Ok(())).is_err());
        writer.create_collection(&row()).unwrap();
        append(1, b"second");
        append(2, b"third");
        assert_eq!(look(&reader, &mut at), (Some(0), vec![1, 2]));
    }

    #[test]
    fn the_version_changes_with_commits_of_others() {
        let dir = TempDir::new().unwrap();
        let (writer, reader) = pair(&dir);
        let before = reader.data_version().unwrap();
        assert_eq!(reader.data_version().unwrap(), before);
        let own = writer.data_version().unwrap();
        writer.create_tenant("t").unwrap();
        assert_eq!(writer.data_version().unwrap(), own);
        assert_ne!(reader.data_version().unwrap(), before);
    }

    #[test]
    fn a_file_that_nobody_wrote_to_is_opened_anew_when_somebody_does() {
        let dir = TempDir::new().unwrap();
        let (writer, reader) = pair(&dir);
        reader.close().unwrap();
        writer.close().unwrap();
        let (_, reader) = {
            let path = dir.path().join("catalog.sqlite");
            let reader = Catalog::open(Location::File(path.clone()), Durability::Normal, true).unwrap();
            // As in a folder that this process may not write to.
            *reader.lock() = Some(crate::sqlite::open_immutable(&path).unwrap());
            reader.frozen.lock().file = Some(Frozen::of(&path).unwrap());
            (path, reader)
        };
        let before = reader.data_version().unwrap();
        assert_eq!(reader.data_version().unwrap(), before);
        let (writer, other) = pair(&dir);
        writer.create_tenant("t").unwrap();
        assert_ne!(reader.data_version().unwrap(), before);
        reader.tenant("t").unwrap();
        drop(other);
    }
}
