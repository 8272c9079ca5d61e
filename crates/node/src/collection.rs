//! A collection as JavaScript holds it.

use std::sync::Arc;

use ferrochrome_engine::{Collection, Handle, IdList, WriteBatch, WriteKind};
use ferrochrome_types::{CancelToken, Code, Error, Result};
use ferrochrome_wire::{Records, Reply, explanation_json, get_reply, parse_delete, parse_get, parse_query};
use napi::Env;
use napi::bindgen_prelude::{Either, Either3, Float32ArraySlice, Float64Array, Object, ToNapiValue};
use napi_derive::napi;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::background::{long_promise, promise, promise_on};
use crate::failure::failure;
use crate::id_list::NativeIds;
use crate::together::{Question, Shape};

/// The records of one collection.
#[napi]
pub struct NativeCollection {
    pub(crate) handle: Arc<Handle>,
    /// Not the collection itself, so that one that is not used may be closed.
    id: Uuid,
    /// A version is kept open: it cannot change, and nothing but this would find it.
    version: Option<Arc<Collection>>,
    pub(crate) writer: Arc<rayon::ThreadPool>,
}

/// Cancels queries and compactions that it was given to.
#[napi]
#[derive(Default)]
pub struct NativeCancel {
    pub(crate) token: CancelToken,
}

#[napi]
impl NativeCancel {
    /// A token that nobody has cancelled yet.
    #[napi(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops the queries as soon as they look.
    #[napi(catch_unwind)]
    pub fn cancel(&self) {
        self.token.cancel();
    }
}

/// The records of one write, handed over piece by piece, so that the event loop may turn in between.
#[napi]
pub struct NativeBatch {
    dim: usize,
    content: Mutex<BatchContent>,
}

#[derive(Default)]
struct BatchContent {
    /// Each the JSON of some records.
    pieces: Vec<String>,
    /// Row-major `[n, dim]`; empty where `dim` is 0.
    vectors: Vec<f32>,
}

#[napi]
impl NativeBatch {
    /// A batch without records. `dim` is 0 for one without vectors; `rows` says how many are to come, for a start.
    #[napi(constructor, catch_unwind)]
    pub fn new(rows: u32, dim: u32) -> napi::Result<Self> {
        let dim = dim as usize;
        let mut content = BatchContent::default();
        content.vectors.try_reserve_exact((rows as usize).saturating_mul(dim)).map_err(|_| {
            let message =
                format!("no memory for {rows} vectors of {dim} components: send them in several calls");
            failure(&Error::new(Code::LimitExceeded, message))
        })?;
        Ok(NativeBatch { dim, content: Mutex::new(content) })
    }

    /// Appends records: JSON `{"ids", "documents"?, "metadatas"?, "uris"?}`, and their vectors, row-major `[n, dim]`, or null.
    /// Both are copied before the call returns.
    #[napi(catch_unwind)]
    pub fn push(
        &self,
        records: String,
        #[napi(ts_arg_type = "Float32Array | null")] vectors: Option<Float32ArraySlice<'_>>,
    ) {
        let mut content = self.content.lock();
        content.pieces.push(records);
        content.vectors.extend_from_slice(vectors.as_deref().unwrap_or_default());
    }
}

impl NativeBatch {
    /// What was pushed; the batch is empty then.
    fn take(&self) -> BatchContent {
        std::mem::take(&mut self.content.lock())
    }
}

impl BatchContent {
    fn parse(self, dim: usize) -> Result<WriteBatch> {
        let mut pieces = self.pieces.into_iter();
        let mut records = Records::parse(&pieces.next().unwrap_or_default())?;
        for piece in pieces {
            records.append(Records::parse(&piece)?)?;
        }
        records.into_batch((dim > 0).then_some(self.vectors), dim)
    }
}

/// A reply with numbers beside its text.
#[napi(object, object_from_js = false)]
pub struct PackedReply {
    /// The other columns, as JSON.
    pub text: String,
    /// Row-major vectors of all rows in order.
    pub embeddings: Option<Float64Array>,
    /// Distances of all hits in order.
    pub distances: Option<Float64Array>,
}

/// The beginning of a query's memory as so many doubles. `None` where it is too short, or does not lie as doubles do.
fn room_for<'a>(doubles: usize, queries: &'a mut Float32ArraySlice<'_>) -> Option<&'a mut [f64]> {
    // SAFETY: JavaScript, which may write there too, does not run before the call returns, and nothing else in it refers to this memory.
    let memory = unsafe { queries.as_mut() };
    bytemuck::try_cast_slice_mut(memory.get_mut(..2 * doubles)?).ok()
}

type TextOrPacked = Either<String, PackedReply>;

/// An answer, or the promise of one.
pub(crate) type Answer<'env> = Either3<String, PackedReply, Object<'env>>;

/// A longer request, one with thousands of ids, is read on another thread: finding them takes milliseconds.
pub(crate) const LONG_REQUEST_BYTES: usize = 16 << 10;

/// An answer whose distances are left in the memory of the query's vectors, if they are beside the text and it holds them.
pub(crate) fn answer_beside<'env>(mut reply: Reply, queries: &mut Float32ArraySlice<'_>) -> Answer<'env> {
    if let Some(distances) = &reply.distances
        && let Some(room) = room_for(distances.len(), queries)
    {
        room.copy_from_slice(distances);
        reply.distances = None;
    }
    match to_js(reply) {
        Either::A(text) => Either3::A(text),
        Either::B(packed) => Either3::B(packed),
    }
}

fn to_js(reply: Reply) -> TextOrPacked {
    let Reply { text, embeddings, distances } = reply;
    if embeddings.is_none() && distances.is_none() {
        return Either::A(text);
    }
    Either::B(PackedReply {
        text,
        embeddings: embeddings.map(Float64Array::from),
        distances: distances.map(Float64Array::from),
    })
}

impl NativeCollection {
    pub(crate) fn new(handle: Arc<Handle>, id: Uuid, writer: Arc<rayon::ThreadPool>) -> Self {
        NativeCollection { handle, id, version: None, writer }
    }

    pub(crate) fn of_version(
        handle: Arc<Handle>,
        version: Arc<Collection>,
        writer: Arc<rayon::ThreadPool>,
    ) -> Self {
        NativeCollection { handle, id: version.id(), version: Some(version), writer }
    }

    /// The collection, while the hold on its database lasts; opened again if it was closed meanwhile.
    pub(crate) fn usable(&self) -> Result<Arc<Collection>> {
        (self.finder())()
    }

    /// What finds the collection as [`usable`](Self::usable) does, on another thread: it may have to be opened, or to catch up with
    /// another process.
    fn finder(&self) -> impl Fn() -> Result<Arc<Collection>> + Send + use<> {
        let (handle, id, version) = (self.handle.clone(), self.id, self.version.clone());
        move || {
            let database = handle.database()?;
            version.clone().map_or_else(|| database.collection(id), Ok)
        }
    }

    /// Checks a query and predicts what it costs. `None` where that takes too long for the calling thread: the collection must catch up
    /// with another process first, or many ids are to be looked up: of a query `alone`, some more.
    pub(crate) fn question(
        &self,
        queries: Vec<f32>,
        shape: Shape<'_>,
        alone: bool,
    ) -> Result<Option<Question>> {
        let database = self.handle.database()?;
        let collection = self
            .version
            .clone()
            .map_or_else(|| database.collection_at_once(self.id), |view| Ok(Some(view)))?;
        let Some(collection) = collection else { return Ok(None) };
        if let Some(ids) = shape.ids
            && (if alone { ids.is_very_long() } else { ids.is_long() })
            && !collection.remembers_ids(ids)?
        {
            return Ok(None);
        }
        question(collection, queries, shape.dim, shape.request, shape.ids.cloned()).map(Some)
    }

    /// A promise for what `work` answers on the database's own threads.
    fn later<'env>(
        &self,
        env: &'env Env,
        work: impl FnOnce() -> Result<Reply> + Send + 'static,
    ) -> napi::Result<Answer<'env>> {
        let database = self.handle.database().map_err(|e| failure(&e))?;
        let reply = move || work().map(to_js);
        promise_on(env, |work| database.threads().pool().spawn_fifo(work), reply).map(Either3::C)
    }

    /// A promise for the answer.
    pub(crate) fn answer_later<'env>(
        &self,
        env: &'env Env,
        question: Question,
        cancel: CancelToken,
    ) -> napi::Result<Answer<'env>> {
        self.later(env, move || question.answer(&cancel))
    }

    /// As [`answer_later`](Self::answer_later), of a request that is to be read there too.
    pub(crate) fn ask_later<'env>(
        &self,
        env: &'env Env,
        queries: Vec<f32>,
        shape: Shape<'_>,
        cancel: CancelToken,
    ) -> napi::Result<Answer<'env>> {
        let find = self.finder();
        let (dim, request, ids) = (shape.dim, shape.request.to_owned(), shape.ids.cloned());
        self.later(env, move || question(find()?, queries, dim, &request, ids)?.answer(&cancel))
    }

    /// What of a query can be shared with others.
    pub(crate) fn shape<'a>(
        &self,
        queries: &[f32],
        dim: u32,
        request: &'a str,
        ids: Option<&'a IdList>,
    ) -> Shape<'a> {
        let single = queries.len() == dim as usize && request.len() <= LONG_REQUEST_BYTES;
        Shape { collection: self.id, dim, request, ids, single }
    }

    pub(crate) fn in_write_order<'env, T, F>(&self, env: &'env Env, work: F) -> napi::Result<Object<'env>>
    where
        T: ToNapiValue + Send + 'static,
        F: FnOnce(&Collection) -> Result<T> + Send + 'static,
    {
        let collection = self.usable().map_err(|e| failure(&e))?;
        promise_on(env, |work| self.writer.spawn_fifo(work), move || work(&collection))
    }
}

/// Checks a query and predicts what it costs.
fn question(
    collection: Arc<Collection>,
    queries: Vec<f32>,
    dim: u32,
    request: &str,
    ids: Option<IdList>,
) -> Result<Question> {
    let (request, include) = parse_query(request, queries, dim as usize, ids.clone())?;
    let query = collection.prepare_query(request);
    // Known by now, if all were found.
    if ids.is_some_and(|ids| !ids.is_distinct()) {
        return Err(Error::invalid("Expected IDs to be unique"));
    }
    Ok(Question { collection, query: query?, include })
}

#[napi]
impl NativeCollection {
    /// add, update or upsert of what `batch` holds; it is empty afterwards.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn write<'env>(
        &self,
        env: &'env Env,
        kind: String,
        batch: &NativeBatch,
    ) -> napi::Result<Object<'env>> {
        let (content, dim) = (batch.take(), batch.dim);
        self.in_write_order(env, move |collection| {
            let kind = match kind.as_str() {
                "add" => WriteKind::Add,
                "update" => WriteKind::Update,
                "upsert" => WriteKind::Upsert,
                other => return Err(Error::invalid(format!("unknown write `{other}`"))),
            };
            collection.write(kind, content.parse(dim)?)
        })
    }

    /// Deletes records; the promise is for their number.
    #[napi(catch_unwind, ts_return_type = "Promise<number>")]
    pub fn delete<'env>(
        &self,
        env: &'env Env,
        request: String,
        ids: Option<&NativeIds>,
    ) -> napi::Result<Object<'env>> {
        let ids = ids.and_then(NativeIds::take);
        self.in_write_order(env, move |collection| {
            collection.delete(&parse_delete(&request, ids)?).map(|n| n as f64)
        })
    }

    /// Number of records.
    #[napi(catch_unwind)]
    pub fn count(&self) -> napi::Result<f64> {
        let count = self.usable().and_then(|collection| collection.count()).map_err(|e| failure(&e))?;
        Ok(count as f64)
    }

    /// Reads records in insertion order.
    #[napi(catch_unwind, ts_return_type = "Promise<string | PackedReply>")]
    pub fn get<'env>(
        &self,
        env: &'env Env,
        request: String,
        ids: Option<&NativeIds>,
    ) -> napi::Result<Object<'env>> {
        let find = self.finder();
        let ids = ids.and_then(NativeIds::take);
        promise(env, move || {
            let (request, include) = parse_get(&request, ids)?;
            let result = find()?.get(&request, &CancelToken::default())?;
            get_reply(&result, include).map(to_js)
        })
    }

    /// The nearest records of each query vector. A short query is answered at once, a long one by a promise.
    ///
    /// Distances that are wanted, but neither in the text of an answer at once nor beside it, lie where the vectors were, as doubles.
    #[napi(catch_unwind, ts_return_type = "string | PackedReply | Promise<string | PackedReply>")]
    pub fn query<'env>(
        &self,
        env: &'env Env,
        mut queries: Float32ArraySlice<'_>,
        dim: u32,
        request: String,
        ids: Option<&NativeIds>,
        cancel: Option<&NativeCancel>,
    ) -> napi::Result<Answer<'env>> {
        let cancel = cancel.map(|cancel| cancel.token.clone()).unwrap_or_default();
        let ids = ids.and_then(NativeIds::take);
        let shape = self.shape(&queries, dim, &request, ids.as_ref());
        if request.len() > LONG_REQUEST_BYTES {
            return self.ask_later(env, queries.to_vec(), shape, cancel);
        }
        let Some(question) = self.question(queries.to_vec(), shape, true).map_err(|e| failure(&e))? else {
            return self.ask_later(env, queries.to_vec(), shape, cancel);
        };
        if question.query.is_short()
            && let Some(reply) = question.short_answer(&cancel, queries.len() / 2).map_err(|e| failure(&e))?
        {
            return Ok(answer_beside(reply, &mut queries));
        }
        self.answer_later(env, question, cancel)
    }

    /// Wakes a thread up that is to share queries, or the look-up of many ids, which are about to come, since that takes a while.
    #[napi(catch_unwind)]
    pub fn expect_queries(&self) {
        if let Ok(database) = self.handle.database() {
            database.threads().expect_work();
        }
    }

    /// How a query is answered and what that takes, as JSON.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn explain<'env>(
        &self,
        env: &'env Env,
        queries: Float32ArraySlice<'_>,
        dim: u32,
        request: String,
        ids: Option<&NativeIds>,
    ) -> napi::Result<Object<'env>> {
        let collection = self.usable().map_err(|e| failure(&e))?;
        let (vectors, ids) = (queries.to_vec(), ids.and_then(NativeIds::take));
        promise(env, move || {
            let (request, _) = parse_query(&request, vectors, dim as usize, ids)?;
            Ok(explanation_json(&collection.explain(request, &CancelToken::default())?).to_string())
        })
    }

    /// Opens all files, and copies indices into memory as far as there is room.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn preload<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        let collection = self.usable().map_err(|e| failure(&e))?;
        long_promise(env, move || collection.preload())
    }

    /// How much of the collection has its final index, as JSON in Chroma's words.
    #[napi(catch_unwind)]
    pub fn indexing_status(&self) -> napi::Result<String> {
        let status =
            self.usable().and_then(|collection| collection.indexing_status()).map_err(|e| failure(&e))?;
        Ok(serde_json::json!({
            "op_indexing_progress": status.progress(),
            "num_unindexed_ops": status.unindexed,
            "num_indexed_ops": status.indexed,
            "total_ops": status.indexed + status.unindexed,
        })
        .to_string())
    }
}
