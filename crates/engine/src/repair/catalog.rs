//! Replacing a damaged catalog by a new one.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use ferrochrome_durable::{remove_if_there, sync_file, sync_folder};
use ferrochrome_types::{Error, Result};

use super::quarantine::Quarantine;
use crate::database::CATALOG_FILE;

/// The new catalog while it is being filled.
const UNFINISHED: &str = "catalog.sqlite.unfinished";
/// The new catalog once it is complete: from here on it counts, wherever a repair is interrupted.
const REPAIRED: &str = "catalog.sqlite.repaired";
const WAL: &str = "-wal";
const SHM: &str = "-shm";

/// Errors where a repair was interrupted between completing a new catalog and putting it in its place.
///
/// # Errors
/// `Corrupted`, which says what to do.
pub(crate) fn expect_finished(folder: &Path) -> Result<()> {
    if !folder.join(REPAIRED).exists() {
        return Ok(());
    }
    Err(Error::corrupted(
        folder.join(CATALOG_FILE).display(),
        "a repair was interrupted and must be run again",
    ))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// The files that a catalog consists of.
pub(super) fn files(folder: &Path) -> [PathBuf; 2] {
    let catalog = folder.join(CATALOG_FILE);
    let wal = with_suffix(&catalog, WAL);
    [catalog, wal]
}

/// Where the new catalog is to be written. What an interrupted repair left there is removed: it was never in use.
pub(super) fn unfinished(folder: &Path) -> Result<PathBuf> {
    let path = folder.join(UNFINISHED);
    for file in [path.clone(), with_suffix(&path, WAL), with_suffix(&path, SHM)] {
        remove_if_there(&file)?;
    }
    Ok(path)
}

/// Puts the new catalog, which was closed, in the place of the old one, of which the quarantine has a copy.
pub(super) fn install(folder: &Path, quarantine: &mut Quarantine) -> Result<()> {
    for file in files(folder) {
        quarantine.copy(&file)?;
    }
    let (unfinished, repaired) = (folder.join(UNFINISHED), folder.join(REPAIRED));
    sync_file(&unfinished)?;
    fs::rename(&unfinished, &repaired).map_err(|e| Error::io(repaired.display(), e))?;
    sync_folder(folder)?;
    finish(folder)
}

/// Does the rest of [`install`], also of one that was interrupted.
pub(super) fn finish(folder: &Path) -> Result<()> {
    let repaired = folder.join(REPAIRED);
    if !repaired.exists() {
        return Ok(());
    }
    let catalog = folder.join(CATALOG_FILE);
    // SQLite would apply an old log to the new file.
    remove_if_there(&with_suffix(&catalog, WAL))?;
    remove_if_there(&with_suffix(&catalog, SHM))?;
    sync_folder(folder)?;
    fs::rename(&repaired, &catalog).map_err(|e| Error::io(catalog.display(), e))?;
    sync_folder(folder)
}
