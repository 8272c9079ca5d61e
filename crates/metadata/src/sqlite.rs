//! Opening SQLite files that are not trusted, and SQLite's errors in our words.

use std::fmt::Write as _;
use std::path::Path;

use ferrochrome_types::{Code, Error, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

/// Puts a SQLite error in our words; `file` is what the user knows the file as.
pub(crate) fn sqlite_error(file: &str, error: rusqlite::Error) -> Error {
    use rusqlite::Error as E;
    let code = match &error {
        E::SqliteFailure(failure, _) => failure_code(failure),
        E::SqlInputError { error, .. } => failure_code(error),
        // A column holds what we never wrote there.
        E::FromSqlConversionFailure(..)
        | E::IntegralValueOutOfRange(..)
        | E::InvalidColumnType(..)
        | E::Utf8Error(..)
        | E::QueryReturnedNoRows => Code::Corrupted,
        _ => Code::Internal,
    };
    match code {
        Code::Corrupted => Error::corrupted(file, &error),
        _ => Error::new(code, format!("{file}: {error}")),
    }
    .with_source(error)
}

fn failure_code(failure: &ffi::Error) -> Code {
    if failure.extended_code == ffi::SQLITE_IOERR_SHORT_READ {
        return Code::Corrupted;
    }
    match failure.code {
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Code::Corrupted,
        // SQLITE_ERROR. Our statements are constant and fit our tables: SQLite objects if the file has others.
        ErrorCode::Unknown if failure.extended_code == ffi::SQLITE_ERROR => Code::Corrupted,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            Code::Locked
        }
        // Nothing is written to what was opened for reading: SQLite says so of files that the system did not let it open as asked.
        ErrorCode::ReadOnly
        | ErrorCode::SystemIoFailure
        | ErrorCode::DiskFull
        | ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::NoLargeFileSupport => Code::Io,
        ErrorCode::TooBig | ErrorCode::OutOfMemory => Code::LimitExceeded,
        ErrorCode::OperationInterrupted | ErrorCode::OperationAborted => Code::Cancelled,
        _ => Code::Internal,
    }
}

/// Opens a file that nobody changes any more: without locks, and without looking for a write-ahead log beside it.
pub(crate) fn open_immutable(path: &Path) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(immutable_uri(path), flags)
}

fn immutable_uri(path: &Path) -> String {
    let path = path.to_string_lossy();
    // Windows: `C:\x` is `file:///C:/x`.
    let path = if cfg!(windows) { path.replace('\\', "/") } else { path.into_owned() };
    let mut uri = String::from("file:");
    if path.starts_with('/') {
        uri.push_str("//");
    } else if cfg!(windows) && path.as_bytes().get(1) == Some(&b':') {
        uri.push_str("///");
    }
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b':' | b'.' | b'-' | b'_' => {
                uri.push(char::from(byte))
            }
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri.push_str("?immutable=1");
    uri
}

/// Refuses what a hostile file might bring along: functions in its schema, writes to its own structures, unchecked cells.
pub(crate) fn harden(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.execute_batch("PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;")
}

/// Begins the names of the indices that SQLite makes for `UNIQUE` and `PRIMARY KEY`.
const AUTOMATIC_INDEX: &str = "sqlite_autoindex_";

/// Checks that the file's tables are those of `statements`, one `CREATE TABLE name ...` each, and no others.
pub(crate) fn check_schema(connection: &Connection, file: &str, statements: &[&str]) -> Result<()> {
    let mut found = 0;
    let sqlite = |e| sqlite_error(file, e);
    let mut query = connection.prepare("SELECT name, sql FROM sqlite_schema").map_err(sqlite)?;
    let mut rows = query.query([]).map_err(sqlite)?;
    while let Some(row) = rows.next().map_err(sqlite)? {
        let name: String = row.get(0).map_err(sqlite)?;
        let sql: Option<String> = row.get(1).map_err(sqlite)?;
        if sql.as_deref().is_some_and(|sql| statements.contains(&sql)) {
            found += 1;
        } else if !name.starts_with(AUTOMATIC_INDEX) {
            return Err(Error::corrupted(
                file,
                format!("its schema holds `{}`, which does not belong there", name.escape_debug()),
            ));
        }
    }
    if found == statements.len() {
        Ok(())
    } else {
        Err(Error::corrupted(file, format!("{found} of {} tables are there", statements.len())))
    }
}
