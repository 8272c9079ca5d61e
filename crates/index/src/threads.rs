//! Waiting for threads that share a piece of work.

use std::thread::ScopedJoinHandle;

use ferrochrome_types::Result;

/// Waits for all workers, and returns what they did, in their order. A panic of one goes on in the caller.
///
/// # Errors
/// That of the first worker that has one.
pub(crate) fn join_all<T>(workers: Vec<ScopedJoinHandle<'_, Result<T>>>) -> Result<Vec<T>> {
    let join = |worker: ScopedJoinHandle<'_, Result<T>>| {
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    };
    let results: Vec<Result<T>> = workers.into_iter().map(join).collect();
    results.into_iter().collect()
}
