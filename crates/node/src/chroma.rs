//! A directory of a Chroma server as JavaScript holds it.

use std::path::PathBuf;
use std::sync::Arc;

use ferrochrome_chroma::{ChromaCollection, ChromaSource, CollectionReader};
use ferrochrome_engine::WriteKind;
use ferrochrome_types::{Error, Result};
use ferrochrome_wire::{batch_report, server_collections, source_json, write_batch};
use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use parking_lot::Mutex;

use crate::background::long_promise;
use crate::collection::NativeCollection;

/// An open directory, and its collections.
struct Open {
    source: ChromaSource,
    collections: Vec<ChromaCollection>,
}

/// A directory that a Chroma server wrote.
#[napi]
pub struct NativeChromaSource {
    open: Arc<Mutex<Open>>,
}

#[napi]
impl NativeChromaSource {
    /// Opens a directory; nothing in it is changed.
    #[napi(catch_unwind, ts_return_type = "Promise<NativeChromaSource>")]
    pub fn open<'env>(env: &'env Env, path: String) -> napi::Result<Object<'env>> {
        long_promise(env, move || {
            let source = ChromaSource::open(&PathBuf::from(path))?;
            let collections = source.collections()?;
            Ok(NativeChromaSource { open: Arc::new(Mutex::new(Open { source, collections })) })
        })
    }

    /// `{"tenants", "databases", "collections"}`.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn describe<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        let open = self.open.clone();
        long_promise(env, move || {
            let open = open.lock();
            let (tenants, databases) = (open.source.tenants()?, open.source.databases()?);
            source_json(&tenants, &databases, &open.collections).map(|json| json.to_string())
        })
    }

    /// Fails where the pickle of one of these collections would run code.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn check_pickles<'env>(&self, env: &'env Env, ids: Vec<String>) -> napi::Result<Object<'env>> {
        let open = self.open.clone();
        long_promise(env, move || {
            let open = open.lock();
            ids.iter().try_for_each(|id| open.source.check_pickle(open.collection(id)?))
        })
    }

    /// Prepares to read the records of a collection.
    #[napi(catch_unwind, ts_return_type = "Promise<NativeChromaReader>")]
    pub fn reader<'env>(&self, env: &'env Env, id: String, cosine: bool) -> napi::Result<Object<'env>> {
        let shared = self.open.clone();
        long_promise(env, move || {
            let mut open = shared.lock();
            let collection = open.collection(&id)?.clone();
            let reader = open.source.reader(&collection, cosine)?;
            let total = reader.total() as f64;
            drop(open);
            Ok(NativeChromaReader { open: shared, reader: Arc::new(Mutex::new(reader)), total })
        })
    }
}

impl Open {
    fn collection(&self, id: &str) -> Result<&ChromaCollection> {
        let found = self.collections.iter().find(|collection| collection.id.to_string() == id);
        found.ok_or_else(|| Error::invalid(format!("the source has no collection {id}")))
    }
}

/// Reads the records of one collection of a [`NativeChromaSource`].
#[napi]
pub struct NativeChromaReader {
    open: Arc<Mutex<Open>>,
    reader: Arc<Mutex<CollectionReader>>,
    total: f64,
}

#[napi]
impl NativeChromaReader {
    /// Records of the collection.
    #[napi(getter, catch_unwind)]
    pub fn total(&self) -> f64 {
        self.total
    }

    /// Adds the next records, `limit` at most, to a collection, and says as JSON what became of them: `{"read", "leftOut",
    /// "imported", "done", "problems", "counts"}`.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn next<'env>(
        &self,
        env: &'env Env,
        target: &NativeCollection,
        limit: u32,
    ) -> napi::Result<Object<'env>> {
        let (open, reader) = (self.open.clone(), self.reader.clone());
        target.in_write_order(env, move |collection| {
            let mut batch = open.lock().source.next_batch(&mut reader.lock(), limit as usize)?;
            let kept = batch.ids.len() as u64;
            let before = collection.count()?;
            if !batch.ids.is_empty() {
                collection.write(WriteKind::Add, write_batch(&mut batch))?;
            }
            // Writes of this program take turns, so the difference is this batch's.
            Ok(batch_report(&batch, kept, collection.count()?.saturating_sub(before)).to_string())
        })
    }
}

/// A Chroma server's list of collections, with metadata, configuration and schema as texts of JSON.
#[napi(catch_unwind)]
pub fn read_server_collections(body: String) -> napi::Result<String> {
    let described = server_collections(&body).map_err(|e| crate::failure::failure(&e))?;
    Ok(described.to_string())
}
