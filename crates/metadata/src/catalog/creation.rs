//! Making the file of a catalog, so that it is there whole or not at all.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use ferrochrome_durable::{remove_if_there, sync_file, sync_name};
use ferrochrome_types::{Error, Result};
use rusqlite::Connection;

use super::durable::with_suffix;
use super::{Durability, close_without_log, configure, schema, sqlite_error, truncate};

/// What is added to the name of a catalog that is being made.
const UNFINISHED: &str = ".new";
/// What SQLite adds to the name of a database for files of its own.
const COMPANIONS: [&str; 4] = ["", "-journal", "-wal", "-shm"];

/// Makes an empty catalog at `path` if there is no file, or an empty one. It is written under another name, and is on the medium when
/// it gets its own: the first pages of a file in its place could be left half written by a failed sync and a power cut, and what they
/// leave cannot be told from a damaged catalog.
///
/// # Errors
/// `Io`. There is no catalog then.
pub(super) fn create_missing(path: &Path) -> Result<()> {
    let unfinished = with_suffix(path, UNFINISHED);
    for companion in COMPANIONS {
        remove_if_there(&with_suffix(&unfinished, companion))?;
    }
    match fs::metadata(path) {
        Ok(file) if file.len() > 0 => return Ok(()),
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::io(path.display(), e)),
        _ => {}
    }
    // SQLite would add to the new catalog what the log of another one holds.
    let [_, companions @ ..] = COMPANIONS;
    let removed = companions.map(|companion| remove_if_there(&with_suffix(path, companion)));
    if removed.into_iter().collect::<Result<Vec<bool>>>()?.contains(&true) {
        sync_name(path)?;
    }
    write(&unfinished)?;
    sync_file(&unfinished)?;
    fs::rename(&unfinished, path).map_err(|e| Error::io(path.display(), e))?;
    sync_name(path)
}

/// Writes a catalog without any collection, with nothing beside it.
fn write(path: &Path) -> Result<()> {
    let mut connection =
        Connection::open(path).map_err(|error| sqlite_error(&path.display().to_string(), error))?;
    configure(&connection, Durability::Full, false)?;
    schema::open_schema(&mut connection, false)?;
    if !truncate(&connection)? {
        return Err(Error::internal("somebody else reads a catalog that has no name yet"));
    }
    close_without_log(connection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Catalog, Location};

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_catalog_appears_whole_and_what_an_interrupted_creation_left_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        for companion in COMPANIONS {
            fs::write(with_suffix(&path, &format!("{UNFINISHED}{companion}")), [7; 4096]).unwrap();
        }
        fs::write(&path, []).unwrap();
        create_missing(&path).unwrap();
        assert_eq!(names(folder.path()), ["catalog.sqlite"]);
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes[18..20], [2, 2], "it says that there is a write-ahead log");

        fs::write(with_suffix(&path, UNFINISHED), [7; 4096]).unwrap();
        drop(Catalog::open(Location::File(path.clone()), Durability::Normal, false).unwrap());
        assert_eq!(names(folder.path()), ["catalog.sqlite"]);
        assert_eq!(fs::read(&path).unwrap()[..16], bytes[..16]);
    }
}
