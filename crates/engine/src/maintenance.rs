//! Background work: one thread seals, another merges, so that a long merge never keeps the head from being sealed.

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ferrochrome_types::{CancelToken, Error, Result};
use parking_lot::{Condvar, Mutex};

use crate::collection::{Collection, Shared};
use crate::database::Database;

/// How often background threads look round without being asked, for what only time makes due.
const ROUND: Duration = Duration::from_millis(250);
/// Rest after a failure, so that a full disk is not hammered.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// A head of fewer rows stays in the log: writing a segment for it would cost more than replaying it.
const MIN_ROWS_TO_SEAL_WHEN_IDLE: usize = 2_048;
const IDLE: Duration = Duration::from_millis(500);

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

    /// Waits until raised since `seen`, or for `timeout`.
    fn wait(&self, seen: &mut u64, timeout: Duration) {
        let mut raised = self.raised.lock();
        if *raised == *seen {
            self.changed.wait_for(&mut raised, timeout);
        }
        *seen = *raised;
    }
}

#[derive(Clone, Copy, Debug)]
enum Task {
    Seal,
    Compact,
}

/// Starts both threads. They end when the database is dropped or shut down.
pub(crate) fn start(database: &Arc<Database>) -> Result<Vec<JoinHandle<()>>> {
    let spawn = |name: &str, task: Task| {
        let database = Arc::downgrade(database);
        std::thread::Builder::new()
            .name(format!("ferrochrome-{name}"))
            .spawn(move || run(&database, task))
            .map_err(|e| Error::io("background thread", e))
    };
    Ok(vec![spawn("seal", Task::Seal)?, spawn("compact", Task::Compact)?])
}

fn run(database: &Weak<Database>, task: Task) {
    if let Task::Compact = task {
        yield_to_the_program();
    }
    let mut seen = 0;
    loop {
        let Some(shared) = database.upgrade().map(|database| database.shared().clone()) else { return };
        shared.signal.wait(&mut seen, ROUND);
        if shared.shutdown.is_cancelled() {
            return;
        }
        let Some(open) = database.upgrade().map(|database| database.open_ids()) else { return };
        let mut failed = false;
        for id in open {
            // Held one at a time, so that a long merge keeps no other collection from being closed.
            let Some(database) = database.upgrade() else { return };
            let Some(collection) = database.opened(id) else { continue };
            drop(database);
            let outcome = match task {
                Task::Seal => seal_if_due(&collection),
                Task::Compact => {
                    collection.compact_if_due(&shared.shutdown).and_then(|_| collection.retire_replaced())
                }
            };
            failed |= outcome.is_err() && collection.check_usable().is_ok();
        }
        match (task, database.upgrade()) {
            // Collections that were in use when others were opened may be idle by now.
            (Task::Seal, Some(database)) => database.close_idle(),
            (Task::Compact, _) => shared.provider.trim(),
            (Task::Seal, None) => return,
        }
        if failed {
            rest(&shared);
        }
    }
}

/// Waits after a failure, whatever is asked for meanwhile, but not beyond the closing of the database.
fn rest(shared: &Shared) {
    let began = Instant::now();
    while began.elapsed() < REST_AFTER_FAILURE && !shared.shutdown.is_cancelled() {
        std::thread::sleep(ROUND);
    }
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

fn seal_if_due(collection: &Collection) -> Result<()> {
    let due = {
        let state = collection.lock_write();
        let idle = collection.idle() >= IDLE && collection.head_size().0 >= MIN_ROWS_TO_SEAL_WHEN_IDLE;
        collection.head_wants_sealing(&state) || idle
    };
    if due { collection.seal(&collection.shared.shutdown) } else { Ok(()) }
}

/// At closing: a head worth a segment is sealed, a smaller one stays in the log.
pub(crate) fn seal_if_large(collection: &Collection) -> Result<()> {
    if collection.head_size().0 < MIN_ROWS_TO_SEAL_WHEN_IDLE {
        return Ok(());
    }
    collection.seal(&CancelToken::default())
}
