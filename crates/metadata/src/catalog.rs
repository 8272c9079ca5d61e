//! The catalog: one SQLite file that names everything else in a database.

mod collections;
mod copy;
mod creation;
mod durable;
mod follow;
mod forks;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod log;
mod manifest;
mod metadata_json;
mod restore;
mod salvage;
mod schema;
mod space;
mod tenants;
#[cfg(test)]
mod tests;
mod versions;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ferrochrome_types::{Code, Error, Result};
use parking_lot::{Mutex, MutexGuard};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags, Transaction, TransactionBehavior};
use uuid::Uuid;

pub use collections::CollectionRow;
pub use follow::{Changes, LogPosition};
pub use log::LogSize;
pub use manifest::{Manifest, ManifestSegment};
pub use salvage::{BatchState, SalvagedCatalog};
pub use tenants::{DEFAULT_DATABASE, DEFAULT_TENANT, DatabaseRow};
pub use versions::{NewVersion, VersionRow};

use crate::checksum::RowChecksum;
use crate::sqlite::{harden, open_immutable, sqlite_error};
use follow::Frozen;

/// The name of the file in messages.
const CATALOG: &str = "catalog.sqlite";
/// A commit that finds the write-ahead log this long moves it into the file, and waits for the disk: that is for programs which never
/// call [`Catalog::checkpoint`]. A log of this length is read in well under a tenth of a second when a catalog is opened after a crash.
const CHECKPOINT_BYTES: u64 = 64 << 20;
/// How often a checkpoint looks for what was committed meanwhile. Each time there is less.
const CHECKPOINT_PASSES: usize = 3;
/// What is left of the write-ahead log file after a checkpoint.
const JOURNAL_LIMIT_BYTES: i64 = 32 << 20;
/// How long to wait for another process that is in the middle of a commit.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of the smallest SQLite page.
const HEADER_BYTES: u64 = 512;
/// Prepared statements kept; every statement of this crate's catalog fits.
const STATEMENTS: usize = 64;

/// An error of the catalog's SQLite file.
fn sql(error: rusqlite::Error) -> Error {
    sqlite_error(CATALOG, error)
}

/// Where a catalog lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In this file, created if missing. Its folder must exist.
    File(PathBuf),
    /// In memory, gone when dropped.
    Memory,
}

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process, however it ends. A power failure may take the last writes, whole batches of them, never more.
    #[default]
    Normal,
    /// Power failure too: every commit waits for the disk.
    Full,
}

/// The catalog of a database: tenants, databases, collections, manifests and logs.
///
/// May be shared between threads; calls take turns. Every method may fail with
/// - `Closed` after [`close`](Self::close),
/// - `Corrupted` if something in the file does not match its checksum,
/// - `Locked` if another process keeps writing for five seconds,
/// - `Io` if the operating system refuses,
///
/// and those that write with `ReadOnly` if it was opened so. A method that fails has changed nothing.
pub struct Catalog {
    connection: Mutex<Option<Connection>>,
    /// Another connection to the file, made for the first checkpoint: commits go on during one. Lock order: this, then `connection`.
    checkpointer: Mutex<Option<Connection>>,
    durability: Durability,
    read_only: bool,
    /// `None` in memory.
    file: Option<PathBuf>,
    /// Which file was opened, as far as the system tells.
    identity: Option<(u64, u64)>,
    /// Whether the write-ahead log could not be synced. The system then takes what it could not write for written: the next sync
    /// would succeed without it.
    sync_failed: AtomicBool,
    frozen: Mutex<ReadFrozen>,
}

/// A file that could only be read without locks, and how often it was opened anew because somebody wrote to it after all.
#[derive(Default)]
struct ReadFrozen {
    file: Option<Frozen>,
    reopened: i64,
}

impl Catalog {
    /// Opens a catalog, creating it with the default tenant and database if it is new, and checks it.
    ///
    /// Everything but the payloads of the log is compared with its checksums (those are when read), and a file up to
    /// 32 MiB is checked page by page. `read_only` neither creates nor changes anything, and allows another process to write.
    ///
    /// # Errors
    /// `Corrupted` if the file is damaged or no catalog, `Unsupported` if a newer release wrote it, `NotFound` if it
    /// is to be read and not there, `Io` or `Locked` if it cannot be opened.
    pub fn open(location: Location, durability: Durability, read_only: bool) -> Result<Catalog> {
        let (mut connection, frozen) = match &location {
            Location::File(path) => {
                if !read_only {
                    creation::create_missing(path)?;
                }
                open_file(path, read_only)?
            }
            Location::Memory => (Connection::open_in_memory().map_err(sql)?, None),
        };
        configure(&connection, durability, read_only)?;
        // An in-memory catalog is new: there is nothing yet that could only be read.
        schema::open_schema(&mut connection, read_only && location != Location::Memory)?;
        schema::verify(&mut connection)?;
        let file = match location {
            // SQLite follows links: its log lies beside the file itself.
            Location::File(path) => Some(path.canonicalize().map_err(|e| Error::io(path.display(), e))?),
            Location::Memory => None,
        };
        let identity = file.as_deref().and_then(durable::identity);
        let found_log = file.as_deref().is_some_and(|file| !durable::is_empty(&durable::log_of(file)));
        let (connection, checkpointer) = (Mutex::new(Some(connection)), Mutex::default());
        let frozen = Mutex::new(ReadFrozen { file: frozen, reopened: 0 });
        let catalog = Catalog {
            connection,
            checkpointer,
            durability,
            read_only,
            file,
            identity,
            // Whoever wrote the log may have ended after a failed sync.
            sync_failed: AtomicBool::new(found_log),
            frozen,
        };
        if durability == Durability::Full {
            // The first commit is synced in it.
            catalog.write_log_again()?;
        }
        Ok(catalog)
    }

    /// Moves the write-ahead log into the file, as far as other processes that are reading allow. Commits go on meanwhile, and need
    /// not do it themselves then.
    pub fn checkpoint(&self) -> Result<()> {
        self.move_log(&mut self.checkpointer.lock())
    }

    /// A checkpoint, if the write-ahead log has grown long because nobody else makes one.
    fn checkpoint_long_log(&self) {
        let is_long = |log: PathBuf| std::fs::metadata(log).is_ok_and(|file| file.len() >= CHECKPOINT_BYTES);
        if !self.log_file().is_some_and(is_long) {
            return;
        }
        // Otherwise one is under way.
        if let Some(mut checkpointer) = self.checkpointer.try_lock() {
            // What was committed stays in the log where this fails, and the next commit tries again.
            let _ = self.move_log(&mut checkpointer);
        }
    }

    fn move_log(&self, checkpointer: &mut Option<Connection>) -> Result<()> {
        let Some(path) = self.file.as_ref().filter(|_| !self.read_only) else { return Ok(()) };
        open(&self.lock())?;
        if checkpointer.is_none() {
            // Not created if it is gone.
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags).map_err(sql)?;
            configure(&connection, self.durability, false)?;
            *checkpointer = Some(connection);
        }
        let connection = open(checkpointer)?;
        self.write_log_again()?;
        for _ in 0..CHECKPOINT_PASSES {
            let outcome = connection
                .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |r| Ok((r.get(1)?, r.get(2)?)))
                .map_err(sql);
            let (frames, moved): (i64, i64) = self.notice_failed_sync(outcome)?;
            if moved == frames {
                break;
            }
        }
        Ok(())
    }

    /// Closes the file; no `-wal` or `-shm` remains beside it unless another process has it open. Closing twice is fine.
    ///
    /// # Errors
    /// `Io` if the write-ahead log could not be moved into the file. What was acknowledged stays in it then, and
    /// the next open finds it.
    pub fn close(&self) -> Result<()> {
        // Held to the end, so that no checkpoint opens the file again.
        let mut checkpointer = self.checkpointer.lock();
        *checkpointer = None;
        let written = self.write_log_again();
        let Some(connection) = self.lock().take() else { return Ok(()) };
        written?;
        if self.read_only {
            return connection.close().map_err(|(_, error)| sql(error));
        }
        truncate(&connection)?;
        close_without_log(connection)
    }

    /// Drops every tenant, database and collection with its manifest and log; the default tenant and database are there again.
    pub fn reset(&self) -> Result<()> {
        self.write(|tx| {
            for table in schema::TABLE_NAMES {
                // Names from a constant list, not from a caller.
                tx.execute(&format!("DELETE FROM {table}"), []).map_err(sql)?;
            }
            schema::fill_defaults(tx)
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock()
    }

    fn writable(&self) -> Result<()> {
        if self.read_only {
            return Err(Error::new(
                Code::ReadOnly,
                "The database was opened read-only: open it without readOnly to change it",
            ));
        }
        Ok(())
    }

    /// Runs `body` in one transaction that sees one state of the file.
    fn read<T>(&self, body: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let mut guard = self.lock();
        let connection = guard.as_mut().ok_or_else(closed)?;
        let tx = connection.transaction().map_err(sql)?;
        body(&tx)
    }

    /// Runs `body` in one transaction that is committed if it succeeds and undone if it fails.
    fn write<T>(&self, body: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        self.writable()?;
        let mut guard = self.lock();
        let connection = guard.as_mut().ok_or_else(closed)?;
        self.check_in_place()?;
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
        let result = body(&tx)?;
        self.notice_failed_sync(tx.commit().map_err(sql))?;
        drop(guard);
        self.checkpoint_long_log();
        Ok(result)
    }
}

impl Drop for Catalog {
    fn drop(&mut self) {
        // Whoever wants to know of a failure calls `close`; what was acknowledged stays in the log.
        let _ = self.close();
    }
}

fn open(connection: &Option<Connection>) -> Result<&Connection> {
    connection.as_ref().ok_or_else(closed)
}

/// Moves the write-ahead log into the file and gives its disk space back, as far as other processes that are reading allow. Whether all
/// was moved.
fn truncate(connection: &Connection) -> Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| Ok(r.get::<_, i64>(0)? == 0)).map_err(sql)
}

/// Whether SQLite moves the write-ahead log into the file when the last connection is closed, and removes it. It would do so after a
/// sync that failed, too.
fn checkpoint_on_close(connection: &Connection, checkpoints: bool) -> Result<()> {
    let set = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !checkpoints);
    set.map(drop).map_err(sql)
}

/// Closes a connection whose write-ahead log has been moved into the file, and removes the log if it is the last.
fn close_without_log(connection: Connection) -> Result<()> {
    checkpoint_on_close(&connection, true)?;
    connection.close().map_err(|(_, error)| sql(error))
}

fn closed() -> Error {
    Error::new(Code::Closed, "The database is closed")
}

/// Opens the file. One that can only be read without locks is returned with what it is now.
fn open_file(path: &Path, read_only: bool) -> Result<(Connection, Option<Frozen>)> {
    let at_path = |error| sqlite_error(&path.display().to_string(), error);
    // SQLite takes a file without a whole header for an empty one, and would write over it.
    if std::fs::metadata(path).is_ok_and(|file| (1..HEADER_BYTES).contains(&file.len())) {
        return Err(Error::corrupted(CATALOG, format!("it is shorter than {HEADER_BYTES} bytes")));
    }
    if !read_only {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(at_path)?;
        // SQLite opens what it cannot open for writing for reading, and every write would fail later.
        if connection.is_readonly(MAIN_DB).map_err(at_path)? {
            let opened = std::fs::OpenOptions::new().write(true).open(path);
            let reason =
                opened.err().unwrap_or_else(|| std::io::Error::other("the system refused it; try again"));
            return Err(Error::io(format!("{}: it cannot be opened for writing", path.display()), reason));
        }
        return Ok((connection, None));
    }
    if !path.exists() {
        return Err(Error::new(
            Code::NotFound,
            format!("There is no database at {}: open it once without readOnly to create it", path.display()),
        ));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(at_path)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(at_path)?;
    // In a folder that this process may not write to, SQLite cannot make the shared memory for a write-ahead log. Without
    // such a log nobody is writing, and the file can be read as it is.
    match connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())) {
        Err(error)
            if matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)) =>
        {
            // Looked at before it is opened: what is written meanwhile counts as a change.
            let frozen = Frozen::of(path)?;
            if frozen.wal.is_some() {
                return Err(at_path(error));
            }
            Ok((open_immutable(path).map_err(at_path)?, Some(frozen)))
        }
        // Other failures are found again, and named, when the schema is read.
        _ => Ok((connection, None)),
    }
}

fn configure(connection: &Connection, durability: Durability, read_only: bool) -> Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT).map_err(sql)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    harden(connection).map_err(sql)?;
    if read_only {
        return Ok(());
    }
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).map_err(sql)?;
    let synchronous = match durability {
        Durability::Normal => "NORMAL",
        Durability::Full => "FULL",
    };
    connection.pragma_update(None, "synchronous", synchronous).map_err(sql)?;
    if durability == Durability::Full {
        // macOS: fsync alone leaves the data in the drive's cache.
        connection.execute_batch("PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON").map_err(sql)?;
    }
    // SQLite says nothing of a sync that fails in a checkpoint of its own, and would rely on it in the next.
    connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(sql)?;
    checkpoint_on_close(connection, false)?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_LIMIT_BYTES).map_err(sql)
}

fn tenant_checksum(name: &str) -> i64 {
    RowChecksum::new("tenants").text(name).finish()
}

fn database_checksum(row: &DatabaseRow) -> i64 {
    RowChecksum::new("databases").bytes(row.id.as_bytes()).text(&row.tenant).text(&row.name).finish()
}

/// Reads a UUID column.
fn read_uuid(row: &rusqlite::Row<'_>, column: usize) -> Result<Uuid> {
    let bytes: [u8; 16] = row.get(column).map_err(sql)?;
    Ok(Uuid::from_bytes(bytes))
}
