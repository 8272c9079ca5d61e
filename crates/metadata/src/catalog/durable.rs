//! What makes commits survive: syncs and their failures, and whether the file is still where it was opened.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use ferrochrome_durable::sync_name;
use ferrochrome_types::{Code, Error, Result};
use rusqlite::TransactionBehavior;

use super::{Catalog, schema, sql};

impl Catalog {
    /// Makes every commit so far survive a power failure, whatever the [`Durability`](super::Durability). Unlike a checkpoint it does not depend on
    /// who else is reading.
    pub fn make_durable(&self) -> Result<()> {
        let Some(wal) = self.log_file() else { return Ok(()) };
        self.write_log_again()?;
        // Commits go on meanwhile. What was committed before lies in this file; or a checkpoint has moved all of it, and had
        // synced it in its new place before the first byte here was written over.
        match OpenOptions::new().write(true).open(&wal).and_then(|file| file.sync_all()) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                self.notice_failed_sync(Err(Error::io(wal.display(), e)))?;
            }
            _ => {}
        }
        sync_name(&wal)
    }

    /// The write-ahead log, where this catalog may write it.
    pub(super) fn log_file(&self) -> Option<PathBuf> {
        self.file.as_deref().filter(|_| !self.read_only).map(log_of)
    }

    /// Remembers that a sync may have failed.
    pub(super) fn notice_failed_sync<T>(&self, outcome: Result<T>) -> Result<T> {
        if outcome.is_err() {
            self.sync_failed.store(true, Ordering::Release);
        }
        outcome
    }

    /// After what may have been a failed sync, writes every byte of the write-ahead log once more, so that the next sync concerns it.
    pub(super) fn write_log_again(&self) -> Result<()> {
        let Some(wal) = self.log_file().filter(|_| self.sync_failed.load(Ordering::Acquire)) else {
            return Ok(());
        };
        let mut guard = self.lock();
        let Some(connection) = guard.as_mut() else { return Ok(()) };
        // No commit meanwhile, by whomever.
        let _commit = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
        match OpenOptions::new().read(true).write(true).open(&wal) {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            file => {
                let written = file.and_then(|file| write_again(&file).and_then(|()| file.sync_all()));
                written.map_err(|e| Error::io(wal.display(), e))?;
            }
        }
        self.sync_failed.store(false, Ordering::Release);
        Ok(())
    }

    /// Commits without changing anything. A commit that failed may have left its pages in the write-ahead log, where the next opening
    /// after a crash would find them whole; those of this one take their place.
    pub fn supersede_failed_commits(&self) -> Result<()> {
        self.write(|tx| tx.pragma_update(None, "user_version", schema::VERSION).map_err(sql))
    }

    /// What is written to a file that has no name any more is lost when it is closed.
    pub(super) fn check_in_place(&self) -> Result<()> {
        match &self.file {
            Some(file) if identity(file) != self.identity => Err(Error::new(
                Code::Io,
                format!(
                    "{} was removed, moved or replaced while the database was open, and what is written now would be lost. \
                     Close the database, and open it where it is now",
                    file.display()
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// Writes every byte of a file in its place.
fn write_again(mut file: &File) -> std::io::Result<()> {
    let mut piece = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        file.seek(SeekFrom::Start(at))?;
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&piece[..read])?;
        at += read as u64;
    }
}

/// The write-ahead log of a catalog in this file.
pub(super) fn log_of(file: &Path) -> PathBuf {
    with_suffix(file, "-wal")
}

/// The path with this behind its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Whether there is no file, or nothing in it.
pub(super) fn is_empty(file: &Path) -> bool {
    !std::fs::metadata(file).is_ok_and(|file| file.len() > 0)
}

/// Which file a path names: device and number. `None` for no file, and where the system keeps open files from being removed.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}
