//! Opening `chroma.sqlite3` without changing a byte of its directory.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ferrochrome_types::{Code, Error, Result};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use super::{CHROMA_SQLITE, ChromaSqlite};
use crate::sqlite::{harden, open_immutable, sqlite_error};

/// Tables whose columns differ between versions, or that are not there in all of them.
const PROBED: [&str; 9] = [
    "collections",
    "collection_metadata",
    "databases",
    "segments",
    "segment_metadata",
    "embedding_metadata",
    "embedding_metadata_array",
    "embeddings_queue_config",
    "max_seq_id",
];
/// Tables without which nothing can be read.
const REQUIRED: [&str; 4] = ["collections", "segments", "embeddings", "embeddings_queue"];
/// How often a copy is tried again that a running server changed meanwhile.
const COPY_ATTEMPTS: usize = 3;

impl ChromaSqlite {
    /// Opens the file in a Chroma directory.
    ///
    /// A file that a server left with a write-ahead log or a journal is copied to the system's temporary folder, and recovered
    /// there. Otherwise it is read where it is: in a transaction that keeps writers waiting, so that it is read in one state.
    ///
    /// # Errors
    /// `InvalidArgument` where the directory is none of Chroma's, or of a version before 0.4; `Corrupted`, `Io`, `Locked` for one
    /// that a server keeps writing to.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = find(folder)?;
        let file = path.display().to_string();
        let (connection, copy) = connect(&path)?;
        let sqlite = |error| sqlite_error(&file, error);
        harden(&connection).map_err(sqlite)?;
        connection.execute_batch("BEGIN").map_err(sqlite)?;
        let tables =
            names(&connection, "SELECT name FROM sqlite_schema WHERE type = 'table'").map_err(sqlite)?;
        if let Some(missing) = REQUIRED.iter().find(|table| !tables.contains(**table)) {
            return Err(Error::invalid(format!(
                "{file} has no table `{missing}`, so it is no database of Chroma 0.4 or later"
            )));
        }
        let mut columns = HashSet::new();
        for table in PROBED {
            let found = names(&connection, &format!("SELECT name FROM pragma_table_info('{table}')"));
            columns.extend(found.map_err(sqlite)?.into_iter().map(|column| (table, column)));
        }
        let has_arrays = tables.contains("embedding_metadata_array")
            && connection
                .prepare("SELECT 1 FROM embedding_metadata_array LIMIT 1")
                .and_then(|mut query| query.exists([]))
                .map_err(sqlite)?;
        Ok(ChromaSqlite { connection, file, columns, has_arrays, queue: None, _copy: copy })
    }
}

fn names(connection: &Connection, query: &str) -> rusqlite::Result<HashSet<String>> {
    connection.prepare(query)?.query_map([], |row| row.get(0))?.collect()
}

/// The file in the folder, or why there is none.
fn find(folder: &Path) -> Result<PathBuf> {
    let shown = folder.display();
    let path = folder.join(CHROMA_SQLITE);
    if path.is_file() {
        return Ok(path);
    }
    if !folder.exists() {
        return Err(Error::invalid(format!("{shown} does not exist")));
    }
    if !folder.is_dir() {
        return Err(Error::invalid(format!(
            "{shown} is a file; give the directory that holds {CHROMA_SQLITE}, as it was given to Chroma"
        )));
    }
    // DuckDB's tables, as files, or ClickHouse's index files.
    let old = ["chroma-collections.parquet", "chroma-embeddings.parquet", "chroma.duckdb"];
    if old.iter().any(|name| folder.join(name).exists()) {
        return Err(Error::invalid(format!(
            "{shown} was written by Chroma 0.3 or earlier. Bring it to a later version first, with Chroma's own tool: `pip install chroma-migrate`, then `chroma-migrate`"
        )));
    }
    Err(Error::invalid(format!(
        "{shown} holds no {CHROMA_SQLITE}, so it is no directory of Chroma 0.4 or later"
    )))
}

fn connect(path: &Path) -> Result<(Connection, Option<TempDir>)> {
    let shown = path.display().to_string();
    let sqlite = |error| sqlite_error(&shown, error);
    let beside = |suffix: &str| PathBuf::from(format!("{}{suffix}", path.display()));
    let waiting = |suffix: &str| beside(suffix).metadata().is_ok_and(|metadata| metadata.len() > 0);
    if waiting("-wal") || waiting("-journal") {
        let copy = copy(path, &["", "-wal", "-journal"])?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(copy.path().join(CHROMA_SQLITE), flags);
        return Ok((connection.map_err(sqlite)?, Some(copy)));
    }
    if in_wal_mode(path)? {
        // A reader would make a log and its index beside the file. Without a log nobody is writing.
        return Ok((open_immutable(path).map_err(sqlite)?, None));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok((Connection::open_with_flags(path, flags).map_err(sqlite)?, None))
}

/// Whether the header says that changes go into a write-ahead log.
fn in_wal_mode(path: &Path) -> Result<bool> {
    let io = |error| Error::io(path.display(), error);
    let mut header = [0; 20];
    let mut file = File::open(path).map_err(io)?;
    match file.read_exact(&mut header) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(Error::corrupted(path.display(), "it is shorter than the header of an SQLite file"))
        }
        Err(error) => Err(io(error)),
        Ok(()) => Ok(header[18] == 2 || header[19] == 2),
    }
}

/// Copies the file and those beside it as they are at one moment.
fn copy(path: &Path, suffixes: &[&str]) -> Result<TempDir> {
    let beside = |suffix: &&str| PathBuf::from(format!("{}{suffix}", path.display()));
    let sources: Vec<PathBuf> = suffixes.iter().map(beside).collect();
    let state = || -> Vec<Option<(u64, Option<SystemTime>)>> {
        let of = |path: &PathBuf| path.metadata().ok().map(|m| (m.len(), m.modified().ok()));
        sources.iter().map(of).collect()
    };
    for _ in 0..COPY_ATTEMPTS {
        let before = state();
        let folder = tempfile::Builder::new().prefix("ferrochrome-import-").tempdir();
        let folder = folder.map_err(|e| Error::io(std::env::temp_dir().display(), e))?;
        for (source, suffix) in sources.iter().zip(suffixes) {
            let target = folder.path().join(format!("{CHROMA_SQLITE}{suffix}"));
            match fs::copy(source, &target) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io(source.display(), error));
                }
                _ => {}
            }
        }
        if state() == before {
            return Ok(folder);
        }
    }
    Err(Error::new(
        Code::Locked,
        format!(
            "{} changed while it was copied: stop the server that writes to it, or import from its URL",
            path.display()
        ),
    ))
}
