//! How far long work has come, to be looked at from another thread.

use std::sync::atomic::{AtomicU64, Ordering};

use ferrochrome_types::{CancelToken, Result};

/// Counts rows while somebody else looks on, and may be told to stop.
#[derive(Clone, Debug, Default)]
pub struct CheckProgress {
    counts: std::sync::Arc<Counts>,
    cancel: CancelToken,
}

#[derive(Debug, Default)]
struct Counts {
    done: AtomicU64,
    total: AtomicU64,
}

impl CheckProgress {
    /// Rows that were dealt with, and rows in all as far as is known yet.
    pub fn rows(&self) -> (u64, u64) {
        let total = self.counts.total.load(Ordering::Relaxed);
        (self.counts.done.load(Ordering::Relaxed).min(total), total)
    }

    /// Asks the work to end; it then fails with `Cancelled`.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    pub(crate) fn token(&self) -> &CancelToken {
        &self.cancel
    }

    pub(crate) fn expect(&self, rows: u64) {
        self.counts.total.fetch_add(rows, Ordering::Relaxed);
    }

    pub(crate) fn advance(&self, rows: u64) -> Result<()> {
        self.counts.done.fetch_add(rows, Ordering::Relaxed);
        self.cancel.check()
    }
}
