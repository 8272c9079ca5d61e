//! Queries that came together, answered by the calling thread and the database's own threads at once.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use ferrochrome_engine::{Collection, Database, IdList, Offered, PreparedQuery, QueryResult};
use ferrochrome_types::{CancelToken, Result};
use ferrochrome_wire::{Include, Reply, query_reply};
use napi::Env;
use napi::bindgen_prelude::{ClassInstance, Either3, Float32ArraySlice};
use napi_derive::napi;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::collection::{Answer, LONG_REQUEST_BYTES, NativeCollection, answer_beside};
use crate::failure::{failure, panicked};
use crate::id_list::NativeIds;

/// A query that was checked, with all that its answer needs.
pub(crate) struct Question {
    pub(crate) collection: Arc<Collection>,
    pub(crate) query: PreparedQuery,
    pub(crate) include: Include,
}

impl Question {
    pub(crate) fn answer(&self, cancel: &CancelToken) -> Result<Reply> {
        query_reply(&self.collection.run_query(&self.query, cancel)?, self.include, 0)
    }

    /// As [`answer`](Self::answer) on the calling thread, with distances beside the text where they have `room`. `None` if that turns out
    /// to take long.
    pub(crate) fn short_answer(&self, cancel: &CancelToken, room: usize) -> Result<Option<Reply>> {
        let result = self.collection.run_short_query(&self.query, cancel)?;
        result.map(|result| query_reply(&result, self.include, room)).transpose()
    }

    /// The only reply of one query, or those of a group of queries, each with one vector: with distances beside the text where each has
    /// `room` for them.
    fn answers(&self, group: usize, room: usize) -> Result<Vec<Reply>> {
        let result = self.collection.run_query(&self.query, &CancelToken::default())?;
        if group == 1 {
            return Ok(vec![query_reply(&result, self.include, room)?]);
        }
        let QueryResult { snapshot, queries } = result;
        let single = |rows| QueryResult { snapshot: snapshot.clone(), queries: vec![rows] };
        queries.into_iter().map(|rows| query_reply(&single(rows), self.include, room)).collect()
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
pub(crate) fn groups(shapes: &[Shape<'_>], threads: usize) -> Vec<Range<usize>> {
    const MOST: usize = 4;
    let most = (shapes.len() / (2 * threads.max(1))).clamp(1, MOST);
    let mut groups: Vec<Range<usize>> = Vec::new();
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

/// Queries that came together are answered on the calling thread while the sum of their predicted costs is below this.
const TOGETHER_NANOSECONDS: f64 = 2_500_000.0;

/// Queries of one database that a program starts without awaiting each, answered by the calling thread and those of the database that
/// are free: which begin with the first ones while the program makes the others ready, and go on with the last ones while it reads
/// the answers to the first.
#[napi]
#[derive(Default)]
pub struct NativeQueries {
    begun: Mutex<Begun>,
}

/// What is answered by several threads.
#[derive(Default)]
struct Begun {
    database: Option<Arc<Database>>,
    /// The oldest in front.
    batches: VecDeque<Batch>,
}

/// Queries that were begun by one call.
struct Batch {
    questions: Offered<napi::Result<Vec<Reply>>>,
    /// How many queries each task of `questions` stands for.
    sizes: Vec<usize>,
    /// Predicted nanoseconds.
    cost: f64,
}

impl Batch {
    fn queries(&self) -> usize {
        self.sizes.iter().sum()
    }
}

impl Begun {
    /// Takes the oldest out, with half of all queries or more.
    fn first_half(&mut self) -> Vec<Batch> {
        let all: usize = self.batches.iter().map(Batch::queries).sum();
        let (mut first, mut taken) = (Vec::new(), 0);
        while 2 * taken < all
            && let Some(batch) = self.batches.pop_front()
        {
            taken += batch.queries();
            first.push(batch);
        }
        first
    }
}

#[napi]
impl NativeQueries {
    /// None.
    #[napi(constructor)]
    pub fn new() -> Self {
        NativeQueries::default()
    }

    /// Begins queries, each as for `query` of its collection. In the place of one that `finish` will answer there is null; the failure
    /// of one is a text, `!` and its JSON.
    #[napi(catch_unwind, ts_return_type = "(string | PackedReply | Promise<string | PackedReply> | null)[]")]
    pub fn begin<'env>(
        &self,
        env: &'env Env,
        collections: Vec<ClassInstance<'_, NativeCollection>>,
        queries: Vec<Float32ArraySlice<'_>>,
        dims: Vec<u32>,
        requests: Vec<String>,
        ids: Vec<Option<ClassInstance<'_, NativeIds>>>,
    ) -> napi::Result<Vec<Option<Answer<'env>>>> {
        let ids: Vec<Option<IdList>> =
            ids.iter().map(|ids| ids.as_ref().and_then(|ids| ids.take())).collect();
        let mut shapes = Vec::with_capacity(queries.len());
        for (i, collection) in collections.iter().enumerate().take(queries.len()) {
            let collection: &NativeCollection = collection;
            let (Some(&dim), Some(request)) = (dims.get(i), requests.get(i)) else { break };
            let ids = ids.get(i).and_then(Option::as_ref);
            shapes.push(collection.shape(&queries[i], dim, request, ids));
        }
        let Some(first) = collections.first() else { return Ok(Vec::new()) };
        let database = first.handle.database().map_err(|e| failure(&e))?;
        let threads = database.threads();
        let mut begun = self.begun.lock();
        let cost_before: f64 = begun.batches.iter().map(|batch| batch.cost).sum();
        let mut sorted = Sorted::new(shapes.len(), cost_before);
        for group in groups(&shapes, threads.pool().current_num_threads()) {
            sorted.sort(env, &collections[group.start], &queries, shapes[group.start], group)?;
        }
        let Sorted { answers, short, cost } = sorted;
        if short.is_empty() {
            return Ok(answers);
        }
        let sizes = short.iter().map(|short| short.queries).collect();
        let questions = threads.offer(short.len(), move |at| {
            let Short { question, queries, room } = &short[at];
            question.answers(*queries, *room).map_err(|error| failure(&error))
        });
        begun.batches.push_back(Batch { questions, sizes, cost: cost - cost_before });
        begun.database = Some(database.clone());
        Ok(answers)
    }

    /// The answers to the first half, or more, of those that were begun and are not answered yet, in order. `queries` are the vectors of
    /// all of them, where distances are left as by `query`.
    #[napi(catch_unwind, ts_return_type = "(string | PackedReply)[]")]
    pub fn finish<'env>(&self, mut queries: Vec<Float32ArraySlice<'_>>) -> Vec<Answer<'env>> {
        let mut begun = self.begun.lock();
        let Some(database) = begun.database.clone() else { return Vec::new() };
        let (questions, sizes): (Vec<_>, Vec<_>) =
            begun.first_half().into_iter().map(|batch| (batch.questions, batch.sizes)).unzip();
        let later = begun.batches.iter().map(|batch| &batch.questions);
        let found = database.threads().finish_before(questions, later);
        let mut memory = queries.iter_mut();
        let mut answers = Vec::with_capacity(memory.len());
        for (replies, queries) in found.into_iter().zip(sizes.into_iter().flatten()) {
            let memory = memory.by_ref().take(queries);
            match replies.unwrap_or_else(|payload| Err(panicked(payload.as_ref()))) {
                Ok(replies) => {
                    answers.extend(memory.zip(replies).map(|(memory, reply)| answer_beside(reply, memory)));
                }
                Err(error) => answers.extend(memory.map(|_| failed(&error))),
            }
        }
        answers
    }
}

/// A question that several threads answer with others.
struct Short {
    question: Question,
    /// How many queries it stands for.
    queries: usize,
    /// So many distances have room where the vectors of each are.
    room: usize,
}

/// Queries that came together, by how they are answered.
struct Sorted<'env> {
    /// Promises and failures, in the places of their queries.
    answers: Vec<Option<Answer<'env>>>,
    /// What several threads answer.
    short: Vec<Short>,
    /// Predicted nanoseconds of `short` and of what was begun before.
    cost: f64,
}

impl<'env> Sorted<'env> {
    fn new(queries: usize, cost: f64) -> Self {
        Sorted { answers: (0..queries).map(|_| None).collect(), short: Vec::new(), cost }
    }

    /// Sorts a group of queries of one shape in; one that takes too long as a whole, query by query.
    fn sort(
        &mut self,
        env: &'env Env,
        collection: &NativeCollection,
        queries: &[Float32ArraySlice<'_>],
        shape: Shape<'_>,
        group: Range<usize>,
    ) -> napi::Result<()> {
        let vectors = queries[group.clone()].iter().flat_map(|vectors| vectors.iter().copied()).collect();
        if shape.request.len() > LONG_REQUEST_BYTES {
            let later = collection.ask_later(env, vectors, shape, CancelToken::default())?;
            self.answers[group.start] = Some(later);
            return Ok(());
        }
        match collection.question(vectors, shape, false) {
            Ok(None) if group.len() == 1 => {
                let vectors = queries[group.start].to_vec();
                let later = collection.ask_later(env, vectors, shape, CancelToken::default())?;
                self.answers[group.start] = Some(later);
            }
            Ok(Some(question)) if question.query.is_short() && self.cost < TOGETHER_NANOSECONDS => {
                self.cost += question.query.predicted_nanoseconds();
                let room = queries[group.start].len() / 2;
                self.short.push(Short { question, queries: group.len(), room });
            }
            Ok(Some(question)) if group.len() == 1 => {
                let later = collection.answer_later(env, question, CancelToken::default())?;
                self.answers[group.start] = Some(later);
            }
            Ok(_) => {
                for place in group {
                    self.sort(env, collection, queries, shape, place..place + 1)?;
                }
            }
            Err(error) => group.for_each(|place| self.answers[place] = Some(failed(&failure(&error)))),
        }
        Ok(())
    }
}

/// A failure in the place of an answer, which `src/query-queue.ts` knows by its beginning.
fn failed<'env>(error: &napi::Error) -> Answer<'env> {
    Either3::A(error.reason.to_string())
}
