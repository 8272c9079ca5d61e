//! A copy of a whole database: a snapshot taken while it is written to, and the way back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferrochrome_blockstore::{BlobStore, CopyMode, LocalStore, copy_segment};
use ferrochrome_durable::{sync_folder, sync_name};
use ferrochrome_metadata::{Catalog, Durability, Location};
use ferrochrome_types::{Error, Result};
use uuid::Uuid;

use crate::collection::Shared;
use crate::database::{CATALOG_FILE, Database, SEGMENTS_FOLDER};
use crate::folders::absolute;
use crate::interrupted_restore::{self, Replaced, staging_folder};
use crate::lock::DatabaseLock;
use crate::open_segments::RemovalHold;
use crate::options::DatabaseOptions;

/// How often a copy of a database that another process writes begins again because segments were merged away meanwhile.
const ATTEMPTS: usize = 5;

/// A copy that is being made, segment by segment.
///
/// It is made in a folder beside its target, which is renamed last: what lies at the target is complete. Dropped before
/// [`finish`](Self::finish), it leaves nothing.
#[derive(Debug)]
pub struct DatabaseCopy {
    shared: Arc<Shared>,
    mode: CopyMode,
    target: PathBuf,
    /// `None` once it has become the target.
    staging: Option<PathBuf>,
    store: Arc<LocalStore>,
    waiting: Vec<Uuid>,
    attempt: usize,
    progress: CopyProgress,
    _files_stay: RemovalHold,
    /// The lock of the database that is to be replaced.
    replaced: Option<DatabaseLock>,
}

/// How far a copy has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyProgress {
    /// Segments that were copied.
    pub segments: usize,
    /// Segments in all.
    pub total: usize,
    /// Bytes of the segments that were copied, checksums not counted.
    pub bytes: u64,
}

impl Database {
    /// Begins a copy of the present state into the folder `target`, which must be empty or missing. Writers and background work go
    /// on meanwhile; files of segments are linked where the file system can, as they never change, and are not removed before the
    /// copy ends.
    ///
    /// # Errors
    /// `InvalidArgument` for a target that is not empty, `Io`, `Closed`.
    pub fn copy_to(&self, target: &Path) -> Result<DatabaseCopy> {
        DatabaseCopy::begin(self.shared().clone(), target, CopyMode::Link, false)
    }
}

/// Begins to make a database of a snapshot, or of another database that nobody writes to: a copy in the folder `target`, byte for
/// byte, of which every byte is compared with its checksum. `target` must be empty or missing; with `replace` it may hold a
/// database that nobody has open, whose place the copy takes when it is complete.
///
/// # Errors
/// `NotFound` where `source` holds no database, `Corrupted`, `InvalidArgument` for a target that is not empty, `Locked` for one that
/// is in use, `Io`.
pub fn restore(source: &Path, target: &Path, replace: bool) -> Result<DatabaseCopy> {
    let options = DatabaseOptions { read_only: true, threads: 1, ..DatabaseOptions::default() };
    let handle = Database::open(Some(source), options)?;
    DatabaseCopy::begin(handle.database()?.shared().clone(), target, CopyMode::Verified, replace)
}

impl DatabaseCopy {
    fn begin(shared: Arc<Shared>, target: &Path, mode: CopyMode, replace: bool) -> Result<Self> {
        let target = absolute(target)?;
        let replaced = check_target(&target, replace)?;
        let files_stay = shared.segments.hold_removals();
        let staging = staging_folder(&target)?;
        fs::create_dir(&staging).map_err(|e| Error::io(staging.display(), e))?;
        let store = LocalStore::open(&staging.join(SEGMENTS_FOLDER), false)
            .inspect_err(|_| _ = fs::remove_dir_all(&staging))?;
        let mut copy = DatabaseCopy {
            shared,
            mode,
            target,
            store: Arc::new(store),
            staging: Some(staging),
            waiting: Vec::new(),
            attempt: 1,
            progress: CopyProgress::default(),
            _files_stay: files_stay,
            replaced,
        };
        copy.copy_catalog()?;
        Ok(copy)
    }

    fn copy_catalog(&mut self) -> Result<()> {
        let path = self.staging()?.join(CATALOG_FILE);
        self.shared.catalog.copy_to(&path)?;
        // Opened to be checked, as any catalog is, and because it says which segments belong to this moment.
        let copied = Catalog::open(Location::File(path), Durability::Normal, true)?;
        let mut named = copied.all_segment_ids()?;
        copied.close()?;
        for folder in self.store.folders()? {
            // Of an earlier attempt.
            let is_named = Uuid::parse_str(&folder).is_ok_and(|id| named.remove(&id));
            if !is_named {
                self.store.discard_folder(&folder)?;
            }
        }
        self.waiting = named.into_iter().collect();
        self.progress.total = self.progress.segments + self.waiting.len();
        Ok(())
    }

    fn staging(&self) -> Result<&Path> {
        self.staging.as_deref().ok_or_else(|| Error::internal("the copy was finished already"))
    }

    /// How far it has come.
    pub fn progress(&self) -> CopyProgress {
        self.progress
    }

    /// Copies a segment. Returns false when none is left.
    ///
    /// # Errors
    /// `Corrupted`, `Io`. The copy cannot be finished then.
    pub fn step(&mut self) -> Result<bool> {
        let Some(segment) = self.waiting.last() else { return Ok(false) };
        match copy_segment(&self.shared.store, *segment, &self.store, self.mode) {
            Ok(bytes) => {
                self.progress.bytes += bytes;
                self.progress.segments += 1;
                self.waiting.pop();
            }
            // Another process, which knows nothing of the hold, may have merged it into another one and removed it.
            Err(e) => {
                let named = self.shared.catalog.unnamed_segments(&[*segment])?.is_empty();
                if named || self.attempt == ATTEMPTS {
                    return Err(e);
                }
                self.begin_again()?;
            }
        }
        Ok(true)
    }

    fn begin_again(&mut self) -> Result<()> {
        self.attempt += 1;
        let path = self.staging()?.join(CATALOG_FILE);
        fs::remove_file(&path).map_err(|e| Error::io(path.display(), e))?;
        self.copy_catalog()
    }

    /// Copies what is left, and puts the copy in its place, on the medium.
    ///
    /// # Errors
    /// As [`step`](Self::step); `InvalidArgument` where the target is not empty any more. The target is as it was then, unless it
    /// was only the sync of its name that failed.
    pub fn finish(mut self) -> Result<CopyProgress> {
        while self.step()? {}
        let staging = self.staging()?.to_owned();
        sync_folder(&staging)?;
        let old = self.make_room()?;
        if let Err(e) = fs::rename(&staging, &self.target) {
            if let Some(old) = old {
                old.put_back(&self.target);
            }
            return Err(Error::io(self.target.display(), e));
        }
        self.staging = None;
        sync_name(&self.target)?;
        if let Some(old) = old {
            old.remove();
        }
        Ok(self.progress)
    }

    /// Takes away what is at the target: an empty folder, or the database to be replaced, which is moved aside.
    fn make_room(&mut self) -> Result<Option<Replaced>> {
        if let Some(lock) = self.replaced.take() {
            return Replaced::move_aside(&self.target, lock).map(Some);
        }
        match fs::remove_dir(&self.target) {
            Ok(()) => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) if matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {
                Err(not_empty(&self.target))
            }
            Err(e) => Err(Error::io(self.target.display(), e)),
        }
    }
}

impl Drop for DatabaseCopy {
    fn drop(&mut self) {
        if let Some(staging) = &self.staging {
            // What cannot be removed is under a name that says what it is.
            let _ = fs::remove_dir_all(staging);
        }
    }
}

/// Makes sure that a copy may take the place of what is at `target`; returns the lock of a database that it would replace.
fn check_target(target: &Path, replace: bool) -> Result<Option<DatabaseLock>> {
    interrupted_restore::undo(target)?;
    let mut entries = match fs::read_dir(target) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
            return Err(Error::invalid(format!("{} is a file; a database needs a folder", target.display())));
        }
        Err(e) => return Err(Error::io(target.display(), e)),
    };
    if entries.next().is_none() {
        return Ok(None);
    }
    let is_database = target.join(CATALOG_FILE).is_file();
    match (replace, is_database) {
        (true, true) => DatabaseLock::acquire(target).map(Some),
        (true, false) => Err(Error::invalid(format!(
            "{} holds other files and no Ferrochrome database to be replaced; choose an empty or a new folder",
            target.display()
        ))),
        (false, _) => Err(not_empty(target)),
    }
}

fn not_empty(target: &Path) -> Error {
    Error::invalid(format!("{} is not empty; choose an empty or a new folder", target.display()))
}
