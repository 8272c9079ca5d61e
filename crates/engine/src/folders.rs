//! Folders whose names are on the medium.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ferrochrome_types::{Code, Error, Result};

/// The path from the root of the file system, without looking at any file.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .map_err(|e| Error::new(Code::InvalidArgument, format!("{}: {e}", path.display())))
}

/// Makes a folder, and those above it that are missing, and puts their names on the medium: what is synced in a folder is lost with the
/// folder's own name.
///
/// # Errors
/// `Io`.
pub(crate) fn make_folders(folder: &Path) -> Result<()> {
    let folder = absolute(folder)?;
    let missing = folder.ancestors().take_while(|folder| !folder.exists()).count();
    fs::create_dir_all(&folder).map_err(|e| Error::io(folder.display(), e))?;
    // At least the folder's own: an earlier call may have been interrupted before it came to this.
    for made in folder.ancestors().take(missing.max(1)) {
        match sync_parent(made) {
            // Whoever may not list a folder cannot sync it.
            Err(e) if is_denied(&e) => {}
            synced => synced?,
        }
    }
    Ok(())
}

fn is_denied(error: &Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| source.kind() == io::ErrorKind::PermissionDenied)
}

/// Puts the name of a folder on the medium.
pub(crate) fn sync_parent(folder: &Path) -> Result<()> {
    folder.parent().map_or(Ok(()), sync_folder)
}

/// Puts the names in a folder on the medium.
#[cfg(unix)]
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    // What is above a relative path of one part.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| Error::io(folder.display(), e))
}

/// Elsewhere a folder cannot be synced; the file system journals its entries.
#[cfg(not(unix))]
pub(crate) fn sync_folder(_folder: &Path) -> Result<()> {
    Ok(())
}
