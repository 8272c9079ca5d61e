//! Names of folders beside a database that is copied or replaced, and what to do with one that a restore left behind.
//!
//! A restore that replaces a database moves it aside and then renames the copy. Between the two, nothing lies at the path of the
//! database; who opens it next puts the former one back, as the restore was not acknowledged.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ferrochrome_durable::sync_name;
use ferrochrome_types::{Code, Error, Result};
use uuid::Uuid;

use crate::folders::{absolute, make_folders};
use crate::lock::DatabaseLock;

/// Of a folder that holds a copy until it is complete, or a database that is being removed: the name of the target, a UUID, and this.
const INCOMPLETE: &str = "incomplete";
/// Of a folder that holds the database that a copy is about to replace.
const REPLACED: &str = "replaced";

/// A database that was moved aside to be replaced.
pub(crate) struct Replaced {
    folder: PathBuf,
    /// Kept until the copy is in its place, so that nobody takes the restore for interrupted. Windows moves no folder with an open
    /// file: there it is given up before.
    _lock: Option<DatabaseLock>,
}

impl Replaced {
    /// Moves the database at `target`, whose lock this is, aside.
    ///
    /// # Errors
    /// `Io`. It is where it was then.
    pub fn move_aside(target: &Path, lock: DatabaseLock) -> Result<Self> {
        // Of a restore that was acknowledged, and stopped before they were removed. Beside them nobody could tell which to put back.
        for left in replaced_beside(&absolute(target)?) {
            discard(&left)?;
        }
        let folder = beside(target, REPLACED)?;
        let lock = (!cfg!(windows)).then_some(lock);
        fs::rename(target, &folder).map_err(|e| Error::io(target.display(), e))?;
        Ok(Replaced { folder, _lock: lock })
    }

    /// Moves it back, since the copy could not take its place. If that fails too, whoever opens `target` next does it.
    pub fn put_back(self, target: &Path) {
        let _ = fs::rename(self.folder, target);
    }

    /// Removes it, as the copy has taken its place on the medium. Where something cannot be removed, the copy stands all the same.
    pub fn remove(self) {
        let _ = discard(&self.folder);
    }
}

/// Removes a database that was moved aside, as far as it can be removed.
///
/// # Errors
/// `Io` where it might still be put back.
fn discard(replaced: &Path) -> Result<()> {
    let leaving = replaced.with_extension(INCOMPLETE);
    match fs::rename(replaced, &leaving) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed.map_err(|e| Error::io(replaced.display(), e))?,
    }
    // What is half removed must not be put back, whatever a power cut takes: nothing of it goes before its name is on the medium.
    sync_name(&leaving)?;
    let _ = fs::remove_dir_all(leaving);
    Ok(())
}

/// A folder for a copy that is to become `target`: beside it, not there yet. What is above `target` is made.
pub(crate) fn staging_folder(target: &Path) -> Result<PathBuf> {
    let staging = beside(target, INCOMPLETE)?;
    if let Some(parent) = target.parent() {
        make_folders(parent)?;
    }
    Ok(staging)
}

/// Refuses a folder in which a copy was cut off.
pub(crate) fn expect_complete(folder: &Path) -> Result<()> {
    let is_copy = folder.file_name().and_then(OsStr::to_str).is_some_and(|name| {
        let parts = name.strip_suffix(INCOMPLETE).and_then(|name| name.strip_suffix('.'));
        parts.and_then(|name| name.rsplit_once('.')).is_some_and(|(_, id)| Uuid::parse_str(id).is_ok())
    });
    if is_copy {
        return Err(Error::invalid(format!(
            "{} holds a copy that was cut off, or what is left of a database that was replaced, and no database: remove it",
            folder.display()
        )));
    }
    Ok(())
}

/// Puts a database back that a restore had moved aside from `folder`, where no database lies, if there is one.
///
/// # Errors
/// `Locked` while the restore is under way, `Io`.
pub(crate) fn undo(folder: &Path) -> Result<()> {
    let Some(replaced) = find(folder)? else { return Ok(()) };
    let lock = match DatabaseLock::acquire(&replaced) {
        // The restore came to its end this very moment.
        Err(_) if !replaced.exists() => return Ok(()),
        lock => lock?,
    };
    let lock = (!cfg!(windows)).then_some(lock);
    match fs::remove_dir(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io(folder.display(), e)),
        _ => {}
    }
    fs::rename(&replaced, folder).map_err(|e| Error::io(folder.display(), e))?;
    drop(lock);
    sync_name(folder)
}

/// Refuses a folder without a database from which a restore had moved one aside: only who may write puts it back.
pub(crate) fn expect_undone(folder: &Path) -> Result<()> {
    match find(folder)? {
        None => Ok(()),
        Some(replaced) => Err(Error::new(
            Code::NotFound,
            format!(
                "{} holds no database because a restore was interrupted: open it once to write, which puts the former database \
                 back, from {}",
                folder.display(),
                replaced.display()
            ),
        )),
    }
}

/// The database that a restore had moved aside from `folder`, which is missing or empty.
fn find(folder: &Path) -> Result<Option<PathBuf>> {
    let is_empty = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(e) => e.kind() == io::ErrorKind::NotFound,
    };
    if !is_empty {
        return Ok(None);
    }
    Ok(replaced_beside(&absolute(folder)?).next())
}

/// The databases that were moved aside from `folder`, an absolute path.
fn replaced_beside(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let name = folder.file_name().and_then(OsStr::to_str).map(str::to_owned);
    let is_replaced = move |other: &OsString| {
        let id = other.to_str().and_then(|other| other.strip_prefix(name.as_deref()?)?.strip_prefix('.'));
        let id = id.and_then(|id| id.strip_suffix(REPLACED)?.strip_suffix('.'));
        id.is_some_and(|id| Uuid::parse_str(id).is_ok())
    };
    // A parent that is missing, or may not be listed, has nothing to put back.
    let parent = folder.parent().map(Path::to_owned).unwrap_or_default();
    let entries = fs::read_dir(&parent).ok().into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).filter(is_replaced).map(move |name| parent.join(name))
}

fn beside(target: &Path, suffix: &str) -> Result<PathBuf> {
    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
        return Err(Error::invalid(format!("{} cannot be the folder of a database", target.display())));
    };
    let mut folder = name.to_owned();
    folder.push(format!(".{}.{suffix}", Uuid::new_v4()));
    Ok(parent.join(folder))
}
