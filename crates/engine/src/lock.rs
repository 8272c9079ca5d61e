//! One writing process per database.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use ferrochrome_types::{Code, Error, Result};

/// Name of the lock file.
pub(crate) const LOCK_FILE: &str = "LOCK";

/// The operating system's lock on a database, given up when dropped or when the process dies.
#[derive(Debug)]
pub(crate) struct DatabaseLock {
    _file: File,
}

impl DatabaseLock {
    /// # Errors
    /// `Locked`, naming the owner's pid, when another process writes; `Io`.
    pub fn acquire(folder: &Path) -> Result<Self> {
        let path = folder.join(LOCK_FILE);
        let shown = path.display();
        let io = |e| Error::io(&shown, e);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(locked(folder, &mut file)),
            Err(std::fs::TryLockError::Error(e)) => return Err(io(e)),
        }
        let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        file.set_len(0).map_err(io)?;
        writeln!(file, "pid {}\nopened {started}", std::process::id()).map_err(io)?;
        file.flush().map_err(io)?;
        Ok(DatabaseLock { _file: file })
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
