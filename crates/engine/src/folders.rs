//! Folders whose names are on the medium.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ferrochrome_durable::sync_name;
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
        match sync_name(made) {
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
