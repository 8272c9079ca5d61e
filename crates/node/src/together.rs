//! Queries that came together, answered by the calling thread and the database's own threads at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ferrochrome_engine::{Collection, IdList, PreparedQuery, QueryResult};
use ferrochrome_types::{CancelToken, Result};
use ferrochrome_wire::{Include, Reply, query_reply};
use parking_lot::Mutex;
use uuid::Uuid;

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

    /// As [`answer`](Self::answer) on the calling thread. `None` if that turns out to take long.
    pub(crate) fn short_answer(&self, cancel: &CancelToken) -> Result<Option<Reply>> {
        let result = self.collection.run_short_query(&self.query, cancel)?;
        result.map(|result| query_reply(&result, self.include)).transpose()
    }

    /// The only reply of one query, or those of a group of queries, each with one vector.
    fn answers(&self, group: usize) -> Result<Vec<Reply>> {
        if group == 1 {
            return Ok(vec![self.answer(&CancelToken::default())?]);
        }
        let QueryResult { snapshot, queries } =
            self.collection.run_query(&self.query, &CancelToken::default())?;
        let single = |rows| QueryResult { snapshot: snapshot.clone(), queries: vec![rows] };
        queries.into_iter().map(|rows| query_reply(&single(rows), self.include)).collect()
    }
}

/// What queries have in common that can be asked as one with several vectors: all but the vectors.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape<'a> {
    pub(crate) collection: Uuid,
    pub(crate) dim: u32,
    pub(crate) request: &'a str,
    /// The ids asked for, where they did not come in the request.
    pub(crate) ids: Option<&'a IdList>,
    /// Whether it may be joined with others: there is one vector, and not too much besides.
    pub(crate) single: bool,
}

/// Joins neighbours of one shape into groups, as index ranges. Groups are small enough that every thread gets some, and large
/// enough that one thread can overlap the memory accesses of several.
pub(crate) fn groups(shapes: &[Shape<'_>], threads: usize) -> Vec<std::ops::Range<usize>> {
    const MOST: usize = 4;
    let most = (shapes.len() / (2 * threads.max(1))).clamp(1, MOST);
    let mut groups: Vec<std::ops::Range<usize>> = Vec::new();
    for (i, shape) in shapes.iter().enumerate() {
        match groups.last_mut() {
            Some(group) if group.len() < most && shape.single && shapes[group.start] == *shape => {
                group.end = i + 1;
            }
            _ => groups.push(i..i + 1),
        }
    }
    groups
}

/// Questions that several threads take one after another.
struct Together {
    /// With the number of queries that each stands for.
    questions: Vec<(Question, usize)>,
    next: AtomicUsize,
    answers: Vec<Mutex<Option<napi::Result<Vec<Reply>>>>>,
    answered: AtomicUsize,
}

impl Together {
    fn work(&self) {
        loop {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some((question, group)) = self.questions.get(at) else { return };
            let answer = match catch_unwind(AssertUnwindSafe(|| question.answers(*group))) {
                Ok(answer) => answer.map_err(|error| failure(&error)),
                Err(payload) => Err(panicked(payload.as_ref())),
            };
            *self.answers[at].lock() = Some(answer);
            self.answered.fetch_add(1, Ordering::Release);
        }
    }
}

/// For each question, in order, the replies to the queries that it stands for. The calling thread works too, and waits at the end for no more than what
/// another thread has begun: if they are all busy, it answers everything itself.
pub(crate) fn answer_together(
    pool: &rayon::ThreadPool,
    questions: Vec<(Question, usize)>,
) -> Vec<napi::Result<Vec<Reply>>> {
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
