//! Requests of Chroma's HTTP API, bodies and replies as bytes.

use std::sync::Arc;

use ferrochrome_engine::{Collection, PreparedQuery, QueryResult};
use ferrochrome_types::{CancelToken, Code, Error, Result};
use ferrochrome_wire::{
    BodyLimits, CreateBody, IncludeList, Operation, UpdateBody, check_body, get_http_reply,
    parse_delete_body, parse_get_body, parse_name_body, parse_query_body, parse_write_body, query_http_reply,
};
use napi::Env;
use napi::bindgen_prelude::{Buffer, Either, Object, Uint8ArraySlice};
use napi_derive::napi;
use parking_lot::Mutex;

use crate::background::{promise, promise_on};
use crate::collection::{NativeCancel, NativeCollection};
use crate::database::{NativeDatabase, change_collection, describe, parse_id};
use crate::failure::failure;

/// A longer body of a query is read on another thread.
const LONG_BODY_BYTES: usize = 64 << 10;

/// The body of a request, handed over chunk by chunk as it arrives.
#[napi]
pub struct NativeBody {
    bytes: Mutex<Vec<u8>>,
}

/// What one request may ask for at most.
#[napi(object, object_to_js = false)]
pub struct NativeBodyLimits {
    /// Records, ids or query vectors.
    pub rows: f64,
    /// Results of all vectors of one query together.
    pub results: f64,
    /// Bytes of the reply.
    pub reply_bytes: f64,
}

impl From<NativeBodyLimits> for BodyLimits {
    fn from(limits: NativeBodyLimits) -> Self {
        let NativeBodyLimits { rows, results, reply_bytes } = limits;
        // A cast from a float saturates.
        BodyLimits { rows: rows as usize, results: results as usize, reply_bytes: reply_bytes as usize }
    }
}

#[napi]
impl NativeBody {
    /// A body without bytes; `bytes` says how many are to come, for a start.
    #[napi(constructor, catch_unwind)]
    pub fn new(bytes: u32) -> napi::Result<Self> {
        let mut content = Vec::new();
        content.try_reserve_exact(bytes as usize).map_err(|_| {
            failure(&Error::new(Code::LimitExceeded, format!("no memory for a body of {bytes} bytes")))
        })?;
        Ok(NativeBody { bytes: Mutex::new(content) })
    }

    /// Appends bytes, which are copied before the call returns.
    #[napi(catch_unwind)]
    pub fn push(&self, chunk: Uint8ArraySlice<'_>) {
        self.bytes.lock().extend_from_slice(&chunk);
    }

    /// Finds fault with the form of a body: of `add`, `update`, `upsert`, `get`, `query` or `delete`.
    #[napi(catch_unwind)]
    pub fn check(&self, operation: String) -> napi::Result<()> {
        self.read(|body| check_body(Operation::parse(&operation)?, body))
    }

    /// The name in the body of the creation of a tenant or a database.
    #[napi(catch_unwind)]
    pub fn name(&self) -> napi::Result<String> {
        self.read(parse_name_body)
    }

    /// What of the creation of a collection is judged in TypeScript, as JSON.
    #[napi(catch_unwind)]
    pub fn create_outline(&self) -> napi::Result<String> {
        self.read(|body| CreateBody::parse(body).map(|body| body.outline()))
    }

    /// What of the update of a collection is judged in TypeScript, as JSON.
    #[napi(catch_unwind)]
    pub fn update_outline(&self) -> napi::Result<String> {
        self.read(|body| UpdateBody::parse(body).map(|body| body.outline()))
    }
}

impl NativeBody {
    fn read<T>(&self, read: impl FnOnce(&[u8]) -> Result<T>) -> napi::Result<T> {
        read(&self.bytes.lock()).map_err(|e| failure(&e))
    }

    /// The bytes; the body is empty then.
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.bytes.lock())
    }
}

/// A query that was checked, with all that its answer needs.
struct HttpQuestion {
    collection: Arc<Collection>,
    query: PreparedQuery,
    /// Vectors without a component, which the prepared query does not have: nothing is near them.
    without_components: usize,
    include: IncludeList,
    most: usize,
}

impl HttpQuestion {
    fn read(collection: Arc<Collection>, body: &[u8], limits: &BodyLimits) -> Result<Self> {
        let (request, vectors, include) = parse_query_body(body, limits)?;
        limits.check_results(vectors, request.k, collection.count()?)?;
        let without_components = if request.dim == 0 { vectors } else { 0 };
        if let Some(dimension) = collection.snapshot()?.dimension().filter(|_| without_components > 0) {
            let message = format!("Collection expecting embedding with dimension of {dimension}, got 0");
            return Err(Error::invalid(message));
        }
        let query = collection.prepare_query(request)?;
        Ok(HttpQuestion { collection, query, without_components, include, most: limits.reply_bytes })
    }

    fn answer(&self, cancel: &CancelToken) -> Result<Vec<u8>> {
        self.reply(self.collection.run_query(&self.query, cancel)?)
    }

    /// As [`answer`](Self::answer) on the calling thread. `None` if that turns out to take long.
    fn short_answer(&self, cancel: &CancelToken) -> Result<Option<Vec<u8>>> {
        let result = self.collection.run_short_query(&self.query, cancel)?;
        result.map(|result| self.reply(result)).transpose()
    }

    fn reply(&self, mut result: QueryResult) -> Result<Vec<u8>> {
        result.queries.resize(result.queries.len() + self.without_components, Vec::new());
        query_http_reply(&result, &self.include, self.most)
    }
}

#[napi]
impl NativeCollection {
    /// Answers a query from its body. A short one is answered at once, a long one by a promise.
    #[napi(catch_unwind, ts_return_type = "Buffer | Promise<Buffer>")]
    pub fn answer_query<'env>(
        &self,
        env: &'env Env,
        body: &NativeBody,
        limits: NativeBodyLimits,
        cancel: Option<&NativeCancel>,
    ) -> napi::Result<Either<Buffer, Object<'env>>> {
        let collection = self.usable().map_err(|e| failure(&e))?;
        let database = self.handle.database().map_err(|e| failure(&e))?;
        let cancel = cancel.map(|cancel| cancel.token.clone()).unwrap_or_default();
        let (body, limits) = (body.take(), BodyLimits::from(limits));
        let spawn = |work: Box<dyn FnOnce() + Send>| database.threads().pool().spawn_fifo(work);
        if body.len() > LONG_BODY_BYTES {
            let work =
                move || HttpQuestion::read(collection, &body, &limits)?.answer(&cancel).map(Buffer::from);
            return promise_on(env, spawn, work).map(Either::B);
        }
        let question = HttpQuestion::read(collection, &body, &limits).map_err(|e| failure(&e))?;
        if question.query.is_short()
            && let Some(reply) = question.short_answer(&cancel).map_err(|e| failure(&e))?
        {
            return Ok(Either::A(reply.into()));
        }
        promise_on(env, spawn, move || question.answer(&cancel).map(Buffer::from)).map(Either::B)
    }

    /// Answers a get from its body.
    #[napi(catch_unwind, ts_return_type = "Promise<Buffer>")]
    pub fn answer_get<'env>(
        &self,
        env: &'env Env,
        body: &NativeBody,
        limits: NativeBodyLimits,
        cancel: Option<&NativeCancel>,
    ) -> napi::Result<Object<'env>> {
        let collection = self.usable().map_err(|e| failure(&e))?;
        let cancel = cancel.map(|cancel| cancel.token.clone()).unwrap_or_default();
        let (body, limits) = (body.take(), BodyLimits::from(limits));
        promise(env, move || {
            let (request, include) = parse_get_body(&body, &limits)?;
            let result = collection.get(&request, &cancel)?;
            get_http_reply(&result, &include, limits.reply_bytes).map(Buffer::from)
        })
    }

    /// Does the `add`, `update` or `upsert` of a body.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn write_body<'env>(
        &self,
        env: &'env Env,
        operation: String,
        body: &NativeBody,
        limits: NativeBodyLimits,
    ) -> napi::Result<Object<'env>> {
        let Operation::Write(kind) = Operation::parse(&operation).map_err(|e| failure(&e))? else {
            return Err(failure(&Error::invalid(format!("`{operation}` is no write"))));
        };
        let (body, limits) = (body.take(), BodyLimits::from(limits));
        self.in_write_order(env, move |collection| {
            collection.write(kind, parse_write_body(kind, &body, &limits)?)
        })
    }

    /// Does the delete of a body; the promise is for the number of records.
    #[napi(catch_unwind, ts_return_type = "Promise<number>")]
    pub fn delete_body<'env>(
        &self,
        env: &'env Env,
        body: &NativeBody,
        limits: NativeBodyLimits,
    ) -> napi::Result<Object<'env>> {
        let (body, limits) = (body.take(), BodyLimits::from(limits));
        self.in_write_order(env, move |collection| {
            collection.delete(&parse_delete_body(&body, &limits)?).map(|n| n as f64)
        })
    }
}

#[napi]
impl NativeDatabase {
    /// Creates the collection of a body, whose configuration and schema TypeScript completed, and returns it as JSON.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn create_collection_from<'env>(
        &self,
        env: &'env Env,
        tenant: String,
        database: String,
        body: &NativeBody,
        configuration: String,
        schema: String,
    ) -> napi::Result<Object<'env>> {
        let body = body.take();
        self.with(env, move |db| {
            let body = CreateBody::parse(&body)?;
            let get_or_create = body.get_or_create();
            let row = body.into_row(tenant, database, &configuration, &schema)?;
            Ok(describe(db, &db.create_collection(&row, get_or_create)?)?.to_string())
        })
    }

    /// Updates a collection by a body, of whose configuration TypeScript approved `approved`, a JSON object.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn update_collection_from<'env>(
        &self,
        env: &'env Env,
        id: String,
        body: &NativeBody,
        approved: String,
    ) -> napi::Result<Object<'env>> {
        let body = body.take();
        self.with(env, move |database| {
            change_collection(database, parse_id(&id)?, &UpdateBody::parse(&body)?.into_change(&approved)?)
        })
    }
}
