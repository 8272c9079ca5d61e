use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{Code, Error, Result};

/// Tells a running search or background job that its result is no longer wanted.
///
/// Clones share one state. Loops over data poll it every few hundred steps.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<State>);

#[derive(Debug, Default)]
struct State {
    cancelled: AtomicBool,
    /// Others that cancel this one, too.
    parents: Vec<CancelToken>,
    /// Looks that are left until it cancels itself.
    looks: Option<AtomicU64>,
}

impl CancelToken {
    /// A token that cancels itself when it has been looked at `looks` times: for tests that stop work at every point where it can be
    /// stopped.
    pub fn after_looks(looks: u64) -> Self {
        CancelToken(Arc::new(State { looks: Some(AtomicU64::new(looks)), ..State::default() }))
    }

    /// A token that is cancelled when this one or `other` is, or when itself is.
    #[must_use]
    pub fn or(&self, other: &CancelToken) -> CancelToken {
        CancelToken(Arc::new(State { parents: vec![self.clone(), other.clone()], ..State::default() }))
    }

    /// Asks everyone who holds a clone to stop.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        let State { cancelled, parents, looks } = &*self.0;
        if cancelled.load(Ordering::Relaxed) || parents.iter().any(CancelToken::is_cancelled) {
            return true;
        }
        let used_up = looks.as_ref().is_some_and(|looks| {
            looks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
        });
        if used_up {
            self.cancel();
        }
        used_up
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_cancelled_by_itself_by_its_parents_and_by_looks() {
        let (one, other) = (CancelToken::default(), CancelToken::after_looks(2));
        let both = one.or(&other);
        assert!(both.check().is_ok() && !both.is_cancelled());
        assert!(both.is_cancelled() && other.is_cancelled() && !one.is_cancelled());
        let third = one.or(&CancelToken::default());
        assert!(!third.is_cancelled());
        one.cancel();
        assert_eq!(third.check().unwrap_err().code(), Code::Cancelled);
        let alone = CancelToken::default().or(&CancelToken::default());
        alone.cancel();
        assert!(alone.is_cancelled());
    }
}
