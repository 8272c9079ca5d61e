//! A collection as JavaScript holds it.

use std::sync::Arc;

use ferrochrome_engine::{Collection, Handle, PreparedQuery, WriteBatch, WriteKind};
use ferrochrome_types::{CancelToken, Code, Error, Result};
use ferrochrome_wire::{
    Include, Records, Reply, get_reply, parse_delete, parse_get, parse_query, query_reply,
};
use napi::Env;
use napi::bindgen_prelude::{Either, Either3, Float32ArraySlice, Float64Array, Object, ToNapiValue};
use napi_derive::napi;
use parking_lot::Mutex;

use crate::background::{drain, long_promise, promise, promise_on};
use crate::failure::failure;

/// The records of one collection.
#[napi]
pub struct NativeCollection {
    handle: Arc<Handle>,
    collection: Arc<Collection>,
    writer: Arc<rayon::ThreadPool>,
}

/// Cancels queries that it was given to.
#[napi]
#[derive(Default)]
pub struct NativeCancel {
    token: CancelToken,
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
        Ok(records.into_batch((dim > 0).then_some(self.vectors), dim))
    }
}

/// A reply with vectors beside its text.
#[napi(object, object_from_js = false)]
pub struct PackedReply {
    /// The columns but for the vectors, as JSON.
    pub text: String,
    /// Row-major vectors of all rows in order.
    pub embeddings: Float64Array,
}

type TextOrPacked = Either<String, PackedReply>;

fn to_js(reply: Reply) -> TextOrPacked {
    match reply.embeddings {
        None => Either::A(reply.text),
        Some(embeddings) => Either::B(PackedReply { text: reply.text, embeddings: embeddings.into() }),
    }
}

impl NativeCollection {
    pub(crate) fn new(
        handle: Arc<Handle>,
        collection: Arc<Collection>,
        writer: Arc<rayon::ThreadPool>,
    ) -> Self {
        NativeCollection { handle, collection, writer }
    }

    /// The collection, while the hold on its database lasts.
    fn usable(&self) -> Result<&Arc<Collection>> {
        self.handle.database()?;
        Ok(&self.collection)
    }

    fn in_write_order<'env, T, F>(&self, env: &'env Env, work: F) -> napi::Result<Object<'env>>
    where
        T: ToNapiValue + Send + 'static,
        F: FnOnce(&Collection) -> Result<T> + Send + 'static,
    {
        let collection = self.usable().map_err(|e| failure(&e))?.clone();
        promise_on(env, |work| self.writer.spawn_fifo(work), move || work(&collection))
    }
}

fn answer(
    collection: &Collection,
    query: &PreparedQuery,
    include: Include,
    cancel: &CancelToken,
) -> Result<Reply> {
    query_reply(&collection.run_query(query, cancel)?, include)
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
    pub fn delete<'env>(&self, env: &'env Env, request: String) -> napi::Result<Object<'env>> {
        self.in_write_order(env, move |collection| {
            collection.delete(&parse_delete(&request)?).map(|n| n as f64)
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
    pub fn get<'env>(&self, env: &'env Env, request: String) -> napi::Result<Object<'env>> {
        let collection = self.usable().map_err(|e| failure(&e))?.clone();
        promise(env, move || {
            let (request, include) = parse_get(&request)?;
            let result = collection.get(&request, &CancelToken::default())?;
            get_reply(&result, include).map(to_js)
        })
    }

    /// The nearest records of each query vector. A short query is answered at once, a long one by a promise.
    #[napi(catch_unwind, ts_return_type = "string | PackedReply | Promise<string | PackedReply>")]
    pub fn query<'env>(
        &self,
        env: &'env Env,
        queries: Float32ArraySlice<'_>,
        dim: u32,
        request: String,
        cancel: Option<&NativeCancel>,
    ) -> napi::Result<Either3<String, PackedReply, Object<'env>>> {
        let collection = self.usable().map_err(|e| failure(&e))?;
        let cancel = cancel.map(|cancel| cancel.token.clone()).unwrap_or_default();
        let (request, include) =
            parse_query(&request, queries.to_vec(), dim as usize).map_err(|e| failure(&e))?;
        let query = collection.prepare_query(request).map_err(|e| failure(&e))?;
        if query.is_short() {
            let reply = answer(collection, &query, include, &cancel).map_err(|e| failure(&e))?;
            return Ok(match to_js(reply) {
                Either::A(text) => Either3::A(text),
                Either::B(packed) => Either3::B(packed),
            });
        }
        let database = self.handle.database().map_err(|e| failure(&e))?;
        let collection = collection.clone();
        let work = move || answer(&collection, &query, include, &cancel).map(to_js);
        promise_on(env, |work| database.pool().spawn_fifo(work), work).map(Either3::C)
    }

    /// Seals the head and merges all segments into one without tombstones.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn compact<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        let collection = self.usable().map_err(|e| failure(&e))?.clone();
        let writer = self.writer.clone();
        long_promise(env, move || {
            // What was written before the call belongs into the segment.
            drain(&writer);
            collection.compact(&CancelToken::default())
        })
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
