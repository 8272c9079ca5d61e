//! Queries that came together, answered by the calling thread and the database's own threads at once.

use std::sync::Arc;

use ferrochrome_engine::{Collection, IdList, PreparedQuery, QueryResult, QueryThreads};
use ferrochrome_types::{CancelToken, Result};
use ferrochrome_wire::{Include, Reply, query_reply};
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

/// For each question, in order, the replies to the queries that it stands for, by the calling thread and those of the database that are free.
pub(crate) fn answer_together(
    threads: &QueryThreads,
    questions: Vec<(Question, usize)>,
) -> Vec<napi::Result<Vec<Reply>>> {
    let count = questions.len();
    let answer = move |at: usize| {
        let (question, queries): &(Question, usize) = &questions[at];
        question.answers(*queries)
    };
    let reply = |answer: std::thread::Result<Result<Vec<Reply>>>| match answer {
        Ok(answer) => answer.map_err(|error| failure(&error)),
        Err(payload) => Err(panicked(payload.as_ref())),
    };
    threads.share(count, answer).into_iter().map(reply).collect()
}
