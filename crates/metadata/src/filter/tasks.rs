//! Looking for labels on several cores.

use ferrochrome_types::Result;
use rayon::prelude::*;

/// The labels that each task finds, in the order of the tasks. On a thread of a pool with several, those share the tasks; a pool of one,
/// as that of writers, who hold locks, has nobody to share with.
///
/// # Errors
/// Those of `find`.
pub fn find_in_tasks<T: Sync>(
    tasks: &[T],
    find: impl Fn(&T) -> Result<Vec<u32>> + Sync + Send,
) -> Result<Vec<Vec<u32>>> {
    if rayon::current_thread_index().is_some() && rayon::current_num_threads() > 1 {
        tasks.par_iter().map(find).collect()
    } else {
        tasks.iter().map(find).collect()
    }
}
