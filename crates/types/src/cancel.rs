use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Code, Error, Result};

/// Tells a running search or background job that its result is no longer wanted.
///
/// Clones share one flag. Loops over data poll it every few hundred steps.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Asks everyone who holds a clone to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Errors with [`Code::Cancelled`] once cancelled.
    #[inline]
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() {
            Err(Error::new(Code::Cancelled, "The operation was cancelled"))
        } else {
            Ok(())
        }
    }
}
