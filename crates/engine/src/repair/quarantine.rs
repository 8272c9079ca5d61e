//! Where a repair puts what it replaces. Nothing in there is ever deleted.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ferrochrome_blockstore::LocalStore;
use ferrochrome_durable::{sync_file, sync_name};
use ferrochrome_types::{Error, Result};
use uuid::Uuid;

use crate::folders::make_folders;

/// Its name, beside the catalog.
pub(crate) const QUARANTINE_FOLDER: &str = "quarantine";
const REPORT_FILE: &str = "report.json";

/// A folder of its own for each repair, made when it is first needed.
pub(super) struct Quarantine {
    folder: PathBuf,
    is_made: bool,
    content: Vec<String>,
}

impl Quarantine {
    pub fn new(database: &Path) -> Self {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let name = format!("{seconds}-{}", Uuid::new_v4());
        Quarantine {
            folder: database.join(QUARANTINE_FOLDER).join(name),
            is_made: false,
            content: Vec::new(),
        }
    }

    /// The folder, if anything lies in it, and what.
    pub fn into_content(self) -> (Option<String>, Vec<String>) {
        let folder = self.is_made.then(|| self.folder.display().to_string());
        (folder, self.content)
    }

    fn make(&mut self, name: &str) -> Result<PathBuf> {
        if !self.is_made {
            make_folders(&self.folder)?;
        }
        self.is_made = true;
        self.content.push(name.to_owned());
        Ok(self.folder.join(name))
    }

    /// Copies a file, if it is there, and waits until the copy and its name are on the medium.
    pub fn copy(&mut self, file: &Path) -> Result<()> {
        let Some(name) = file.file_name().filter(|_| file.is_file()) else { return Ok(()) };
        let target = self.make(&name.to_string_lossy())?;
        fs::copy(file, &target).map_err(|e| Error::io(target.display(), e))?;
        sync_file(&target)?;
        sync_name(&target)
    }

    /// Writes a file, and waits until it and its name are on the medium.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let target = self.make(name)?;
        fs::write(&target, bytes).map_err(|e| Error::io(target.display(), e))?;
        sync_file(&target)?;
        sync_name(&target)
    }

    /// Keeps what a folder of the store holds, if it is there.
    pub fn keep(&mut self, store: &LocalStore, folder: &str) -> Result<()> {
        if !store.all_folders()?.iter().any(|known| known == folder) {
            return Ok(());
        }
        let target = self.make(folder)?;
        store.copy_folder(folder, &target)
    }

    /// Leaves what was done beside what it was done to.
    pub fn write_report(&mut self, json: &[u8]) -> Result<()> {
        if self.is_made { self.write(REPORT_FILE, json) } else { Ok(()) }
    }
}
