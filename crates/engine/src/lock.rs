//! One writing process per database.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ferrochrome_types::{Code, Error, Result};

/// Name of the lock file.
pub(crate) const LOCK_FILE: &str = "LOCK";

/// The operating system's lock on a database, given up when dropped or when the process dies.
#[derive(Debug)]
pub(crate) struct DatabaseLock {
    file: File,
    path: PathBuf,
}

impl DatabaseLock {
    /// # Errors
    /// `Locked`, naming the owner's pid, when another process writes; `Io`.
    pub fn acquire(folder: &Path) -> Result<Self> {
        let path = folder.join(LOCK_FILE);
        let io = |e| Error::io(path.display(), e);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(locked(folder, &mut file)),
            Err(std::fs::TryLockError::Error(e)) => return Err(io(e)),
        }
        Ok(DatabaseLock { file, path })
    }

    /// Writes the owner into the file. Done once the catalog exists: a signed lock without a catalog means that the catalog was
    /// lost, an unsigned one that a first opening was interrupted.
    pub fn sign(&mut self) -> Result<()> {
        let opened = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        let text = format!("pid {}\nopened {opened}\n", std::process::id());
        let written = self.file.set_len(0).and_then(|()| self.file.rewind());
        written
            .and_then(|()| self.file.write_all(text.as_bytes()))
            .map_err(|e| Error::io(self.path.display(), e))
    }
}

fn locked(folder: &Path, file: &mut File) -> Error {
    let mut text = String::new();
    // The owner may be writing its pid this very moment; the message then goes without.
    let _ = file.rewind().and_then(|()| file.take(256).read_to_string(&mut text));
    let pid = text.lines().find_map(|line| line.strip_prefix("pid "));
    let owner = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
    Error::new(
        Code::Locked,
        format!(
            "The database at {} is in use by {owner}. Close it there, or open it here with readOnly: true",
            folder.display()
        ),
    )
}
