//! Queries that came together, answered by the calling thread and the database's own threads at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ferrochrome_engine::{Collection, PreparedQuery};
use ferrochrome_types::{CancelToken, Result};
use ferrochrome_wire::{Include, Reply, query_reply};
use parking_lot::Mutex;

use crate::failure::{failure, panicked};

/// A query that was checked, with all that its answer needs.
pub(crate) struct Question {
    pub(crate) collection: Arc<Collection>,
    pub(crate) query: PreparedQuery,
    pub(crate) include: Include,
}

impl Question {
    pub(crate) fn answer(&self, cancel: &CancelToken) -> Result<Reply> {
        query_reply(&self.collection.run_query(&self.query, cancel)?, self.include)
    }
}

/// Questions that several threads take one after another.
struct Together {
    questions: Vec<Question>,
    next: AtomicUsize,
    answers: Vec<Mutex<Option<napi::Result<Reply>>>>,
    answered: AtomicUsize,
}

impl Together {
    fn work(&self) {
        loop {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(question) = self.questions.get(at) else { return };
            let answer = match catch_unwind(AssertUnwindSafe(|| question.answer(&CancelToken::default()))) {
                Ok(answer) => answer.map_err(|error| failure(&error)),
                Err(payload) => Err(panicked(payload.as_ref())),
            };
            *self.answers[at].lock() = Some(answer);
            self.answered.fetch_add(1, Ordering::Release);
        }
    }
}

/// The answers in the order of the questions. The calling thread works too, and waits at the end for no more than what another
/// thread has begun: if they are all busy, it answers everything itself.
pub(crate) fn answer_together(
    pool: &rayon::ThreadPool,
    questions: Vec<Question>,
) -> Vec<napi::Result<Reply>> {
    let count = questions.len();
    let together = Arc::new(Together {
        questions,
        next: AtomicUsize::new(0),
        answers: (0..count).map(|_| Mutex::new(None)).collect(),
        answered: AtomicUsize::new(0),
    });
    for _ in 1..pool.current_num_threads().min(count) {
        let together = together.clone();
        pool.spawn(move || together.work());
    }
    together.work();
    while together.answered.load(Ordering::Acquire) < count {
        std::thread::yield_now();
    }
    let lost = || Err(napi::Error::from_reason("an answer was lost"));
    together.answers.iter().map(|answer| answer.lock().take().unwrap_or_else(lost)).collect()
}
