//! The threads of a database that answer queries, and work that a calling thread shares with them.
//!
//! To wake a thread up takes as long as to scan some thousand rows (60 to 100 us on a virtual machine). So one that has just helped keeps
//! looking for more while calls come closely one after another, as they do where a program awaits one query after the other: for as long as
//! [`PATIENCE`], and not at all where they come singly.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ferrochrome_types::{Error, Result};
use parking_lot::Mutex;
use rayon::{ThreadPool, Yield};

/// How long a thread that has helped looks for more work before it sleeps, and how near calls are that are said to come one after another.
const PATIENCE: Duration = Duration::from_micros(300);
/// How long it does so at most, whatever comes: it may have begun while it waited for a part of other work, which goes on afterwards.
const LONGEST_WATCH: Duration = Duration::from_millis(5);
/// What is predicted to take so long is worth sharing with a thread that is awake, and what takes longer with one that must be woken up.
const SHARED_NANOSECONDS: f64 = 25_000.0;
const WAKING_NANOSECONDS: f64 = 90_000.0;
/// Most shares of what one thread does in less than a millisecond: each costs some microseconds.
const MOST_SHARES: usize = 4;
/// Looks of a watching thread between those at the clock and at the pool's own work: some 30 microseconds.
const LOOKS: usize = 1_000;
/// How often a thread that waits for what another has begun looks before it lets others run: as long.
const LOOKS_AT_END: usize = 1_000;

/// What a calling thread offers to others.
trait Offer: Send + Sync {
    /// Takes tasks until there are none.
    fn take_all(&self);
}

/// Tasks that several threads take one after another.
struct Tasks<T> {
    work: Box<dyn Fn(usize) -> T + Send + Sync>,
    next: AtomicUsize,
    done: AtomicUsize,
    results: Vec<Mutex<Option<std::thread::Result<T>>>>,
}

impl<T: Send> Offer for Tasks<T> {
    fn take_all(&self) {
        while self.take_one() {}
    }
}

impl<T> Tasks<T> {
    /// Does the next task, if there is one.
    fn take_one(&self) -> bool {
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(result) = self.results.get(at) else { return false };
        *result.lock() = Some(catch_unwind(AssertUnwindSafe(|| (self.work)(at))));
        self.done.fetch_add(1, Ordering::Release);
        true
    }

    fn are_done(&self) -> bool {
        self.done.load(Ordering::Acquire) == self.results.len()
    }

    /// What all have given, when the last one is done.
    fn results(&self) -> Vec<std::thread::Result<T>> {
        let mut looks = 0;
        while !self.are_done() {
            looks += 1;
            if looks < LOOKS_AT_END { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        let lost = || Err(Box::new("a task was lost") as _);
        self.results.iter().map(|result| result.lock().take().unwrap_or_else(lost)).collect()
    }
}

/// Tasks that were [offered](QueryThreads::offer).
pub struct Offered<T>(Arc<Tasks<T>>);

impl<T> Offered<T> {
    fn new(tasks: usize, work: impl Fn(usize) -> T + Send + Sync + 'static) -> Self {
        let results = (0..tasks).map(|_| Mutex::new(None)).collect();
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Offered(Arc::new(Tasks { work: Box::new(work), next, done, results }))
    }
}

/// Where calling threads put what they offer, and others look for it.
struct Board {
    opened: Instant,
    /// Nanoseconds from `opened` to when the last call ended.
    end: AtomicU64,
    /// Whether the present call came soon after the one before.
    calls_are_near: AtomicBool,
    /// How many offers were made so far.
    count: AtomicU64,
    /// Those that may have tasks left, the oldest in front. Who comes too late to one holds nothing of what the tasks were about.
    offers: Mutex<VecDeque<Weak<dyn Offer>>>,
    /// Threads that look at it, or are about to.
    watchers: AtomicUsize,
}

impl Board {
    fn new() -> Self {
        Board {
            opened: Instant::now(),
            end: AtomicU64::new(0),
            calls_are_near: AtomicBool::new(false),
            count: AtomicU64::new(0),
            offers: Mutex::default(),
            watchers: AtomicUsize::new(0),
        }
    }

    fn now(&self) -> u64 {
        self.opened.elapsed().as_nanos() as u64
    }

    fn call_begins(&self) {
        let idle = self.now().saturating_sub(self.end.load(Ordering::Relaxed));
        self.calls_are_near.store(idle < PATIENCE.as_nanos() as u64, Ordering::Relaxed);
    }

    fn call_ends(&self) {
        self.end.store(self.now(), Ordering::Relaxed);
    }

    /// Takes tasks of the offers that come after the first `seen`, until none does for a while or there is something else to do.
    fn watch(&self, mut seen: u64) {
        let begun = Instant::now();
        let mut since = begun;
        loop {
            let is_old = |_: &usize| self.count.load(Ordering::SeqCst) == seen;
            (0..LOOKS).take_while(is_old).for_each(|_| std::hint::spin_loop());
            if self.take_offered(&mut seen) {
                since = Instant::now();
                if self.calls_are_near.load(Ordering::Relaxed) && since - begun < LONGEST_WATCH {
                    continue;
                }
            } else if since.elapsed() < PATIENCE && rayon::yield_now() == Some(Yield::Idle) {
                continue;
            }
            self.watchers.fetch_sub(1, Ordering::SeqCst);
            // Who made an offer before that counts on this thread.
            if self.count.load(Ordering::SeqCst) == seen {
                return;
            }
            self.watchers.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Works at all that is offered, if more was than the first `seen`.
    fn take_offered(&self, seen: &mut u64) -> bool {
        let count = self.count.load(Ordering::SeqCst);
        if count == *seen {
            return false;
        }
        *seen = count;
        while let Some(offer) = self.oldest() {
            if let Some(offer) = offer.upgrade() {
                offer.take_all();
            }
            self.offers.lock().retain(|other| !other.ptr_eq(&offer));
        }
        true
    }

    fn oldest(&self) -> Option<Weak<dyn Offer>> {
        self.offers.lock().front().cloned()
    }

    /// Makes an offer, and returns how many were made before.
    fn offer(&self, offer: Weak<dyn Offer>) -> u64 {
        let mut offers = self.offers.lock();
        // Where no thread is free, nobody else takes them away.
        offers.retain(|other| other.strong_count() > 0);
        offers.push_back(offer);
        self.count.fetch_add(1, Ordering::SeqCst)
    }
}

/// The threads of a database that answer queries.
pub struct QueryThreads {
    pool: ThreadPool,
    board: Arc<Board>,
}

impl QueryThreads {
    /// Starts so many, at least one.
    ///
    /// # Errors
    /// `Internal` where the system has none left.
    pub(crate) fn start(threads: usize) -> Result<Self> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.max(1))
            .thread_name(|i| format!("ferrochrome-query-{i}"))
            .build()
            .map_err(|e| Error::internal(format!("threads for queries cannot be started: {e}")))?;
        Ok(QueryThreads { pool, board: Arc::new(Board::new()) })
    }

    /// The pool that they are, for work that must not run on the caller's thread.
    pub fn pool(&self) -> &ThreadPool {
        &self.pool
    }

    /// Wakes one up, if all sleep, for what is about to be shared.
    pub fn expect_work(&self) {
        self.wake(1, self.board.count.load(Ordering::SeqCst));
    }

    /// Has so many watch for what is offered after the first `seen`, where fewer do; one less than there are at most, as the calling
    /// thread works too.
    fn wake(&self, watchers: usize, seen: u64) {
        let watchers = watchers.min(self.pool.current_num_threads() - 1);
        for _ in self.board.watchers.load(Ordering::SeqCst)..watchers {
            self.board.watchers.fetch_add(1, Ordering::SeqCst);
            let board = self.board.clone();
            self.pool.spawn(move || board.watch(seen));
        }
    }

    /// Notes that a thread which is none of these begins what it may share.
    pub(crate) fn call_begins(&self) {
        if rayon::current_thread_index().is_none() {
            self.board.call_begins();
        }
    }

    /// Notes that it is done.
    pub(crate) fn call_ends(&self) {
        self.board.call_ends();
    }

    /// Whether one is awake, or worth being woken up since calls come one after another.
    fn are_awake(&self) -> bool {
        self.board.calls_are_near.load(Ordering::Relaxed) || self.board.watchers.load(Ordering::SeqCst) > 0
    }

    /// Into how many shares a calling thread had better divide what it would take so long for alone.
    pub(crate) fn shares_of(&self, nanoseconds: f64) -> usize {
        let least = if self.are_awake() { SHARED_NANOSECONDS } else { WAKING_NANOSECONDS };
        if nanoseconds < least { 1 } else { self.pool.current_num_threads().min(MOST_SHARES) }
    }

    /// Has other threads, as far as they are free, find what `work` gives for each number below `tasks`, while the calling one, which is none
    /// of these, does something else.
    pub fn offer<T, F>(&self, tasks: usize, work: F) -> Offered<T>
    where
        T: Send + 'static,
        F: Fn(usize) -> T + Send + Sync + 'static,
    {
        let offered = Offered::new(tasks, work);
        self.announce(&offered, tasks);
        offered
    }

    /// What was offered, of each in order, or what it panicked with. The calling thread works too and waits at the end for no more than
    /// what another thread has begun: if they are all busy, it does everything itself.
    pub fn finish<T: Send + 'static>(&self, offered: Vec<Offered<T>>) -> Vec<std::thread::Result<T>> {
        self.finish_before(offered, std::iter::empty())
    }

    /// As [`finish`](Self::finish), with something else to do than to wait: tasks of `later`, which stay offered.
    pub fn finish_before<'a, T: Send + 'static>(
        &self,
        offered: Vec<Offered<T>>,
        later: impl Iterator<Item = &'a Offered<T>> + Clone,
    ) -> Vec<std::thread::Result<T>> {
        offered.iter().for_each(|offered| offered.0.take_all());
        let are_done = || offered.iter().all(|offered| offered.0.are_done());
        while !are_done() && later.clone().any(|later| later.0.take_one()) {}
        let results = offered.iter().flat_map(|offered| offered.0.results()).collect();
        self.call_ends();
        results
    }

    /// What `work` gives for each number below `tasks`, found by the calling thread and others as [offered](Self::offer) and
    /// [finished](Self::finish).
    pub fn share<T, F>(&self, tasks: usize, work: F) -> Vec<std::thread::Result<T>>
    where
        T: Send + 'static,
        F: Fn(usize) -> T + Send + Sync + 'static,
    {
        let offered = Offered::new(tasks, work);
        self.announce(&offered, tasks.saturating_sub(1));
        self.finish(vec![offered])
    }

    /// Has up to so many threads, beside the calling one, know of an offer.
    fn announce<T: Send + 'static>(&self, offered: &Offered<T>, threads: usize) {
        if threads > 0 && self.pool.current_num_threads() > 1 {
            let offer: Arc<dyn Offer> = offered.0.clone();
            let seen = self.board.offer(Arc::downgrade(&offer));
            self.wake(threads, seen);
        }
    }

    /// As [`share`](Self::share), for work that may fail: all that it gives, or the first error. A panic goes on in the calling thread.
    pub(crate) fn try_share<T, F>(&self, tasks: usize, work: F) -> Result<Vec<T>>
    where
        T: Send + 'static,
        F: Fn(usize) -> Result<T> + Send + Sync + 'static,
    {
        let results = self.share(tasks, work).into_iter();
        results.map(|result| result.unwrap_or_else(|panic| resume_unwind(panic))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn start(threads: usize) -> QueryThreads {
        QueryThreads::start(threads).unwrap()
    }

    #[test]
    fn results_come_in_the_order_of_tasks() {
        let threads = start(3);
        for tasks in [0, 1, 2, 500] {
            let found: Vec<usize> =
                threads.share(tasks, |at| at * 7).into_iter().map(Result::unwrap).collect();
            assert_eq!(found, (0..tasks).map(|at| at * 7).collect::<Vec<_>>());
        }
    }

    #[test]
    fn busy_threads_are_not_waited_for_and_keep_nothing() {
        let threads = start(2);
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        for _ in 0..2 {
            let held = held.clone();
            threads.pool().spawn(move || _ = held.lock().recv());
        }
        let about = Arc::new(());
        let of_work = about.clone();
        assert_eq!(threads.share(20, move |_| Arc::strong_count(&of_work)).len(), 20);
        assert_eq!(Arc::strong_count(&about), 1);
        drop(release);
    }

    #[test]
    fn a_panic_is_the_result_of_its_task_alone() {
        let results = start(2).share(9, |at| if at == 4 { panic!("four") } else { at });
        let failed: Vec<usize> =
            results.iter().enumerate().filter(|(_, result)| result.is_err()).map(|(at, _)| at).collect();
        assert_eq!(failed, [4]);
    }

    #[test]
    fn each_of_many_calls_one_after_another_is_done_whole_and_none_is_awake_for_long() {
        let threads = start(3);
        for call in 0..3_000 {
            threads.call_begins();
            let done: Arc<[AtomicUsize; 4]> = Arc::default();
            let of_work = done.clone();
            let found = threads.share(4, move |at| of_work[at].fetch_add(1, Ordering::Relaxed) + call);
            assert!(found.into_iter().all(|found| found.unwrap() == call));
            assert!(done.iter().all(|done| done.load(Ordering::Relaxed) == 1));
        }
        while threads.board.watchers.load(Ordering::SeqCst) > 0 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn threads_sleep_where_calls_come_singly() {
        let threads = start(2);
        for _ in 0..2 {
            std::thread::sleep(2 * PATIENCE);
            threads.call_begins();
            assert!(!threads.board.calls_are_near.load(Ordering::Relaxed));
            threads.share(2, |_| ());
        }
        // As if the last one ended later than now.
        threads.board.end.store(u64::MAX, Ordering::Relaxed);
        threads.call_begins();
        assert!(threads.are_awake());
        assert_eq!(threads.shares_of(SHARED_NANOSECONDS), 2);
    }

    #[test]
    fn several_threads_may_share_at_once() {
        let threads = start(2);
        std::thread::scope(|scope| {
            for caller in 0..4 {
                let threads = &threads;
                scope.spawn(move || {
                    for call in 0..1_000 {
                        threads.call_begins();
                        let found = threads.share(3, move |at| caller * 10_000 + call * at);
                        let found: Vec<usize> = found.into_iter().map(Result::unwrap).collect();
                        assert_eq!(found, [0, call, 2 * call].map(|of| caller * 10_000 + of));
                    }
                });
            }
        });
    }

    #[test]
    fn other_work_goes_on_while_calls_come_one_after_another() {
        let threads = start(2);
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..50 {
                    let halves = || rayon::join(|| (0..20_000).sum::<u64>(), || (0..20_000).sum::<u64>());
                    let (a, b) = threads.pool().install(halves);
                    assert_eq!(a, b);
                }
                is_done.store(true, Ordering::Relaxed);
            });
            while !is_done.load(Ordering::Relaxed) {
                threads.call_begins();
                assert_eq!(threads.share(2, |at| at).len(), 2);
            }
        });
    }

    #[test]
    fn what_is_offered_is_done_once_whoever_does_it() {
        let threads = start(2);
        for call in 0..500 {
            let offers =
                [2, 0, 1, 5].map(|tasks| threads.offer(tasks, move |at| 100 * call + 10 * tasks + at));
            let found: Vec<usize> = threads.finish(offers.into()).into_iter().map(Result::unwrap).collect();
            assert_eq!(found, [20, 21, 10, 50, 51, 52, 53, 54].map(|of| 100 * call + of));
        }
        let done = Arc::new(AtomicUsize::new(0));
        let of_work = done.clone();
        let offered = threads.offer(1, move |_| of_work.fetch_add(1, Ordering::SeqCst));
        while done.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        assert_eq!(threads.finish(vec![offered]).len(), 1);
        drop(threads.offer(1, |_| ()));
    }

    #[test]
    fn a_thread_that_would_wait_for_another_does_what_was_offered_later() {
        let threads = start(2);
        let (release, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let slow = threads.offer(1, move |at| held.lock().recv().map_or(at, |()| 7));
        while slow.0.next.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        let let_go = move |at| {
            _ = release.send(());
            at
        };
        let later = [threads.offer(3, |at| at), threads.offer(2, let_go)];
        let first = threads.finish_before(vec![slow], later.iter());
        assert_eq!(first.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [7]);
        let others = threads.finish(later.into());
        assert_eq!(others.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [0, 1, 2, 0, 1]);
    }
}
