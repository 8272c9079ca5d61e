//! Background work: one thread seals, another merges, so that a long merge never keeps the head from being sealed.
//!
//! Neither looks round on its own. A write that may have made something due asks for it ([`Wanted`]), and what only time makes due has a
//! deadline: without either the threads sleep, and a process that does nothing wakes for nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ferrochrome_types::{CancelToken, Code, Error, Result};
use parking_lot::{Condvar, Mutex};
use uuid::Uuid;

use crate::collection::Collection;
use crate::database::Database;

/// Rest after a failure, so that a full disk is not hammered.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Rest of a merge for which there is no space.
const REST_WITHOUT_SPACE: Duration = Duration::from_secs(60);
/// A head of fewer rows stays in the log: writing a segment for it would cost more than replaying it.
const MIN_ROWS_TO_SEAL_WHEN_IDLE: usize = 2_048;
/// Unless the log is so long that it would be replayed for more than a hundredth of a second.
const MIN_LOG_BYTES_TO_SEAL_WHEN_IDLE: u64 = 8 << 20;
/// A collection without writes for this long has its head sealed.
const IDLE: Duration = Duration::from_millis(500);
/// A merge that was stopped is looked at again after this long.
const REST_AFTER_STOP: Duration = Duration::from_millis(1_000);
/// A database without writes for this long has its catalog shrunk.
const CATALOG_IDLE: Duration = Duration::from_millis(1_000);
/// While more segments are open than should be, this is how often collections that are no longer in use are looked for.
const CLOSING_ROUND: Duration = Duration::from_secs(1);

/// Wakes the background threads.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    raised: Mutex<u64>,
    changed: Condvar,
}

impl Signal {
    pub fn raise(&self) {
        *self.raised.lock() += 1;
        self.changed.notify_all();
    }

    /// Waits until raised since `seen`, or until the deadline if there is one.
    fn wait(&self, seen: &mut u64, deadline: Option<Instant>) {
        let mut raised = self.raised.lock();
        while *raised == *seen {
            match deadline {
                None => self.changed.wait(&mut raised),
                Some(deadline) if self.changed.wait_until(&mut raised, deadline).timed_out() => break,
                Some(_) => {}
            }
        }
        *seen = *raised;
    }
}

/// Whether a background thread should look at a collection.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// It has not looked since it was asked.
    asked: AtomicBool,
    /// It will look, now or at a deadline, so that further writes need not ask.
    expected: AtomicBool,
}

impl Default for Wanted {
    /// A collection that was opened may have been left in the middle of something.
    fn default() -> Self {
        Wanted { asked: AtomicBool::new(true), expected: AtomicBool::new(true) }
    }
}

impl Wanted {
    /// Asks for a look as soon as possible.
    pub fn ask_now(&self, signal: &Signal) {
        self.expected.store(true, Ordering::Release);
        self.asked.store(true, Ordering::Release);
        signal.raise();
    }

    /// Asks for a look, if none is to come anyway.
    pub fn ask(&self, signal: &Signal) {
        if !self.expected.swap(true, Ordering::AcqRel) {
            self.ask_now(signal);
        }
    }

    fn take(&self) -> bool {
        self.asked.swap(false, Ordering::AcqRel)
    }

    /// To be said before looking for the last time: what happens from here on asks again.
    pub fn expect_no_more(&self) {
        self.expected.store(false, Ordering::Release);
    }

    /// To be said where a deadline is set.
    pub fn expect(&self) {
        self.expected.store(true, Ordering::Release);
    }
}

#[derive(Clone, Copy, Debug)]
enum Task {
    Seal,
    Compact,
}

impl Task {
    fn wanted(self, collection: &Collection) -> &Wanted {
        match self {
            Task::Seal => &collection.seal_wanted,
            Task::Compact => &collection.merge_wanted,
        }
    }

    /// Does what is due. Returns when to look again, if time alone may make something due.
    fn run(self, collection: &Collection) -> Result<Option<Duration>> {
        match self {
            Task::Seal => seal_if_due(collection),
            Task::Compact => {
                let again = collection.compact_if_due(&collection.shared.shutdown);
                // What a seal has replaced is given up, too, where a merge fails.
                collection.retire_replaced()?;
                again
            }
        }
    }
}

/// Starts both threads. They end when the database is dropped or shut down.
pub(crate) fn start(database: &Arc<Database>) -> Result<Vec<JoinHandle<()>>> {
    let spawn = |name: &str, task: Task| {
        let worker = Worker { database: Arc::downgrade(database), task, timers: HashMap::new(), round: None };
        std::thread::Builder::new()
            .name(format!("ferrochrome-{name}"))
            .spawn(move || worker.run())
            .map_err(|e| Error::io("background thread", e))
    };
    Ok(vec![spawn("seal", Task::Seal)?, spawn("compact", Task::Compact)?])
}

/// When a collection is to be looked at again.
#[derive(Clone, Copy)]
struct Timer {
    at: Instant,
    /// Not before, whatever is asked for.
    resting: bool,
}

/// One of the two threads.
struct Worker {
    database: Weak<Database>,
    task: Task,
    timers: HashMap<Uuid, Timer>,
    /// When to see again to what belongs to no single collection.
    round: Option<Instant>,
}

impl Worker {
    fn run(mut self) {
        if let Task::Compact = self.task {
            yield_to_the_program();
        }
        let mut seen = 0;
        loop {
            let Some(shared) = self.database.upgrade().map(|database| database.shared().clone()) else {
                return;
            };
            let deadline = self.timers.values().map(|timer| timer.at).chain(self.round).min();
            shared.signal.wait(&mut seen, deadline);
            if shared.shutdown.is_cancelled() || self.look_round().is_none() {
                return;
            }
        }
    }

    /// Looks at what was asked for or has become due. `None` when the database is gone.
    fn look_round(&mut self) -> Option<()> {
        let open = self.database.upgrade()?.open_ids();
        self.timers.retain(|id, _| open.contains(id));
        for id in open {
            // Held one at a time, so that a long merge keeps no other collection from being closed.
            let Some(collection) = self.database.upgrade()?.opened(id) else { continue };
            self.look_at(&collection);
        }
        let database = self.database.upgrade()?;
        self.round = match self.task {
            // Collections that were in use when others were opened may be idle by now.
            Task::Seal => database.close_idle().then_some(CLOSING_ROUND),
            Task::Compact => {
                database.shared().provider.trim();
                shrink_catalog(&database)
            }
        }
        .map(|wait| Instant::now() + wait);
        Some(())
    }

    fn look_at(&mut self, collection: &Collection) {
        let now = Instant::now();
        let timer = self.timers.get(&collection.id()).copied();
        if timer.is_some_and(|timer| timer.resting && now < timer.at) {
            return;
        }
        let due = timer.is_some_and(|timer| timer.at <= now);
        if !self.task.wanted(collection).take() && !due {
            return;
        }
        self.timers.remove(&collection.id());
        let (wait, resting) = match self.task.run(collection) {
            Ok(None) => return,
            Ok(Some(wait)) => (wait, false),
            // It was deleted, or the database is being closed.
            Err(_) if collection.check_usable().is_err() => return,
            // A compaction on demand does what was stopped.
            Err(error) if error.code() == Code::Cancelled => (REST_AFTER_STOP, false),
            Err(error) if error.code() == Code::NoSpace => (REST_WITHOUT_SPACE, true),
            Err(_) => (REST_AFTER_FAILURE, true),
        };
        self.task.wanted(collection).expect();
        self.timers.insert(collection.id(), Timer { at: Instant::now() + wait, resting });
    }
}

/// Gives the space of what was cut from the log back, once nobody has written for a while. Returns when to try again.
fn shrink_catalog(database: &Database) -> Option<Duration> {
    let shared = database.shared();
    if !shared.log_was_cut.load(Ordering::Acquire) {
        return None;
    }
    let longest_ago = database.idle();
    if longest_ago < CATALOG_IDLE {
        return Some(CATALOG_IDLE - longest_ago);
    }
    shared.log_was_cut.store(false, Ordering::Release);
    // It is only about space: where it fails, or another process is reading, the next cut of a log tries again.
    let _ = shared.catalog.shrink(&shared.shutdown);
    None
}

/// Lets the system prefer every other thread: background work can wait, a program that writes or asks should not. Threads that
/// this one starts inherit it.
pub(crate) fn yield_to_the_program() {
    #[cfg(target_os = "linux")]
    {
        const NICE: i32 = 10;
        // Elsewhere, and where it is refused, merges compete on equal terms.
        let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
    }
}

/// Whether the head is to be sealed once the collection is idle.
pub(crate) fn head_is_worth_a_segment(rows: usize, log_bytes: u64) -> bool {
    rows >= MIN_ROWS_TO_SEAL_WHEN_IDLE || log_bytes >= MIN_LOG_BYTES_TO_SEAL_WHEN_IDLE
}

fn seal_if_due(collection: &Collection) -> Result<Option<Duration>> {
    loop {
        collection.seal_wanted.expect_no_more();
        let (worth_it, due) = {
            let state = collection.lock_write();
            let worth_it = head_is_worth_a_segment(collection.head_size().0, state.log_bytes);
            let due = collection.head_wants_sealing(&state) || (worth_it && collection.idle() >= IDLE);
            (worth_it, due)
        };
        if !due {
            // Not zero: it may have become idle in between.
            let wait = IDLE.saturating_sub(collection.idle()).max(Duration::from_millis(1));
            return Ok(worth_it.then_some(wait));
        }
        collection.seal(&collection.shared.shutdown)?;
    }
}

/// At closing: a head worth a segment is sealed, a smaller one stays in the log.
pub(crate) fn seal_if_large(collection: &Collection) -> Result<()> {
    if collection.head_size().0 < MIN_ROWS_TO_SEAL_WHEN_IDLE {
        return Ok(());
    }
    collection.seal(&CancelToken::default())
}
