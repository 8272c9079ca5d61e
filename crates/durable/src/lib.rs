//! Puts files and names on the medium, as each system wants it: what is not there is lost when the power fails.
#![forbid(unsafe_code)]

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use ferrochrome_types::{Error, Result};

/// Puts what was written to a file on the medium. Its name is put there by [`sync_folder`].
///
/// # Errors
/// `Io`. The system then takes what it could not write for written: a later sync may succeed without it.
pub fn sync_file(file: &Path) -> Result<()> {
    // Windows syncs no handle that is only for reading.
    let synced = fs::OpenOptions::new().write(true).open(file).and_then(|file| file.sync_all());
    synced.map_err(|e| Error::io(file.display(), e))
}

/// Puts the names in a folder on the medium. The empty path is the current folder: it is what lies above a relative path of one part.
///
/// # Errors
/// `Io`; its source is of kind `PermissionDenied` for a folder that may not be listed.
#[cfg(unix)]
pub fn sync_folder(folder: &Path) -> Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| Error::io(folder.display(), e))
}

/// Does nothing, where a folder cannot be synced: the file system journals its entries.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn sync_folder(_folder: &Path) -> Result<()> {
    Ok(())
}

/// Puts the name of a file or folder on the medium.
///
/// # Errors
/// As [`sync_folder`].
pub fn sync_name(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), sync_folder)
}

/// Removes a file. Whether there was one.
///
/// # Errors
/// `Io`.
pub fn remove_if_there(file: &Path) -> Result<bool> {
    match fs::remove_file(file) {
        Ok(()) => Ok(true),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(e) => Err(Error::io(file.display(), e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_synced_and_removed_and_what_is_not_is_said() {
        let folder = std::env::temp_dir().join(format!("ferrochrome-durable-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let file = folder.join("file");
        let missing = sync_file(&file).unwrap_err();
        assert!(missing.message().contains(&file.display().to_string()), "{missing}");
        fs::write(&file, b"bytes").unwrap();
        sync_file(&file).unwrap();
        sync_name(&file).unwrap();
        sync_folder(Path::new("")).unwrap();
        assert!(!remove_if_there(&file.join("below a file")).unwrap());
        assert!(remove_if_there(&file).unwrap());
        assert!(!remove_if_there(&file).unwrap());
        remove_if_there(&folder).unwrap_err();
        fs::remove_dir(&folder).unwrap();
    }
}
