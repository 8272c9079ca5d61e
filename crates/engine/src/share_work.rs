use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ferrochrome_types::Result;
use parking_lot::Mutex;

/// Tasks that several threads take one after another.
struct Tasks<T, F> {
    work: F,
    next: AtomicUsize,
    done: AtomicUsize,
    results: Vec<Mutex<Option<std::thread::Result<T>>>>,
}

impl<T, F: Fn(usize) -> T> Tasks<T, F> {
    fn take_all(&self) {
        loop {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(result) = self.results.get(at) else { return };
            *result.lock() = Some(catch_unwind(AssertUnwindSafe(|| (self.work)(at))));
            self.done.fetch_add(1, Ordering::Release);
        }
    }
}

/// What `work` gives for each number below `tasks`, or what it panicked with. The calling thread, which is none of `pool`, works too and
/// waits at the end for no more than what another thread has begun: if they are all busy, it does everything itself.
pub fn share_work<T, F>(pool: &rayon::ThreadPool, tasks: usize, work: F) -> Vec<std::thread::Result<T>>
where
    T: Send + 'static,
    F: Fn(usize) -> T + Send + Sync + 'static,
{
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let results = (0..tasks).map(|_| Mutex::new(None)).collect();
    let shared = Arc::new(Tasks { work, next, done, results });
    for _ in 1..pool.current_num_threads().min(tasks) {
        // One that comes too late holds nothing of what the tasks were about.
        let shared = Arc::downgrade(&shared);
        pool.spawn(move || {
            if let Some(shared) = shared.upgrade() {
                shared.take_all();
            }
        });
    }
    shared.take_all();
    while shared.done.load(Ordering::Acquire) < tasks {
        std::thread::yield_now();
    }
    let lost = || Err(Box::new("a task was lost") as _);
    shared.results.iter().map(|result| result.lock().take().unwrap_or_else(lost)).collect()
}

/// As [`share_work`], for work that may fail: all that it gives, or the first error. A panic goes on in the calling thread.
pub(crate) fn try_share_work<T, F>(pool: &rayon::ThreadPool, tasks: usize, work: F) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Fn(usize) -> Result<T> + Send + Sync + 'static,
{
    let results = share_work(pool, tasks, work).into_iter();
    results.map(|result| result.unwrap_or_else(|panic| resume_unwind(panic))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
    }

    #[test]
    fn results_come_in_the_order_of_tasks() {
        let pool = pool(3);
        for tasks in [0, 1, 2, 500] {
            let found: Vec<usize> =
                share_work(&pool, tasks, |at| at * 7).into_iter().map(Result::unwrap).collect();
            assert_eq!(found, (0..tasks).map(|at| at * 7).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_busy_pool_is_not_waited_for_and_keeps_nothing() {
        let pool = pool(2);
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        for _ in 0..2 {
            let held = held.clone();
            pool.spawn(move || _ = held.lock().recv());
        }
        let about = Arc::new(());
        let of_work = about.clone();
        assert_eq!(share_work(&pool, 20, move |_| Arc::strong_count(&of_work)).len(), 20);
        assert_eq!(Arc::strong_count(&about), 1);
        drop(release);
    }

    #[test]
    fn a_panic_is_the_result_of_its_task_alone() {
        let results = share_work(&pool(2), 9, |at| if at == 4 { panic!("four") } else { at });
        let failed: Vec<usize> =
            results.iter().enumerate().filter(|(_, result)| result.is_err()).map(|(at, _)| at).collect();
        assert_eq!(failed, [4]);
    }
}
