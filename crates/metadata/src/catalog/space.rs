//! The space that the catalog takes on disk, and giving it back.

use ferrochrome_types::{CancelToken, Code, Error, Result};

use super::{CATALOG, Catalog, closed, open, sql, truncate};

/// Steps of SQLite's between two looks at the cancel token: some tenths of a millisecond.
const CANCEL_STEPS: i32 = 10_000;
/// Less than so much is not worth the work.
const LEAST_SHRUNK_BYTES: i64 = 1 << 20;

impl Catalog {
    /// Rewrites the file without the space and the bytes of what was deleted, and empties the write-ahead log.
    ///
    /// Takes time and free disk space in proportion to the file.
    ///
    /// # Errors
    /// `Cancelled`; `Locked` where another process is reading old pages, which then stay in the log.
    pub fn vacuum(&self, cancel: &CancelToken) -> Result<()> {
        self.writable()?;
        // A checkpoint under way would keep the log from being emptied.
        let _no_checkpoint = self.checkpointer.lock();
        self.write_log_again()?;
        self.notice_failed_sync(self.vacuum_file(cancel))?;
        if self.notice_failed_sync(truncate(open(&self.lock())?))? {
            return Ok(());
        }
        Err(Error::new(
            Code::Locked,
            format!(
                "{CATALOG}: another process is reading what was deleted, so that its bytes stay in the log: close it and compact again"
            ),
        ))
    }

    /// Gives space back: that of the write-ahead log, and that of pages without content where they are a third of the file.
    ///
    /// # Errors
    /// As [`vacuum`](Self::vacuum).
    pub fn shrink(&self, cancel: &CancelToken) -> Result<()> {
        let much_is_empty = {
            let guard = self.lock();
            let connection = open(&guard)?;
            let pragma = |name: &str| -> Result<i64> {
                connection.query_row(&format!("PRAGMA {name}"), [], |r| r.get(0)).map_err(sql)
            };
            let (pages, free) = (pragma("page_count")?, pragma("freelist_count")?);
            3 * free >= pages && free.saturating_mul(pragma("page_size")?) >= LEAST_SHRUNK_BYTES
        };
        if much_is_empty {
            return self.vacuum(cancel);
        }
        self.writable()?;
        let _no_checkpoint = self.checkpointer.lock();
        self.write_log_again()?;
        self.notice_failed_sync(truncate(open(&self.lock())?)).map(drop)
    }

    /// Bytes of the file, its write-ahead log not counted.
    pub fn bytes(&self) -> Result<u64> {
        let guard = self.lock();
        let connection = open(&guard)?;
        let query = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
        let bytes: i64 = connection.query_row(query, [], |r| r.get(0)).map_err(sql)?;
        Ok(bytes.unsigned_abs())
    }

    fn vacuum_file(&self, cancel: &CancelToken) -> Result<()> {
        let mut guard = self.lock();
        let connection = guard.as_mut().ok_or_else(closed)?;
        // The copy of a large catalog belongs on disk, not in memory.
        connection.execute_batch("PRAGMA temp_store = FILE").map_err(sql)?;
        let cancel = cancel.clone();
        connection.progress_handler(CANCEL_STEPS, Some(move || cancel.is_cancelled())).map_err(sql)?;
        let vacuumed = connection.execute_batch("VACUUM").map_err(sql);
        connection.progress_handler(0, None::<fn() -> bool>).map_err(sql)?;
        connection.execute_batch("PRAGMA temp_store = MEMORY").map_err(sql)?;
        vacuumed
    }
}
