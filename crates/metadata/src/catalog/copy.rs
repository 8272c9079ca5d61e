//! A copy of the catalog while it is written to.

use std::path::Path;

use ferrochrome_durable::sync_file;
use ferrochrome_types::Result;
use rusqlite::Connection;

use super::{BUSY_TIMEOUT, Catalog, open, open_file, sql};
use crate::sqlite::harden;

impl Catalog {
    /// Writes the state of one moment to a new file, without the space of what was deleted, and puts it on the medium. Commits go
    /// on meanwhile, except those of a catalog in memory.
    ///
    /// # Errors
    /// `Io` also if there is such a file.
    pub fn copy_to(&self, path: &Path) -> Result<()> {
        let into = path.to_string_lossy();
        match &self.file {
            None => vacuum_into(open(&self.lock())?, &into)?,
            Some(file) => {
                open(&self.lock())?;
                // Of its own, since a connection does one thing at a time.
                let (connection, _) = open_file(file, true)?;
                connection.busy_timeout(BUSY_TIMEOUT).map_err(sql)?;
                harden(&connection).map_err(sql)?;
                vacuum_into(&connection, &into)?;
            }
        }
        sync_file(path)
    }
}

fn vacuum_into(connection: &Connection, path: &str) -> Result<()> {
    connection.execute("VACUUM INTO ?1", [path]).map_err(sql)?;
    Ok(())
}
