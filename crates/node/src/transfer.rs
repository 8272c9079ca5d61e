//! Records of a collection as lines of JSON, and records of a Chroma server.

use std::sync::Arc;

use ferrochrome_engine::{Collection, GetRequest, GetResult, WriteBatch, WriteKind};
use ferrochrome_types::{CancelToken, Result};
use ferrochrome_wire::{parse_record_lines, parse_server_page, record_lines};
use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use parking_lot::Mutex;
use serde_json::json;

use crate::background::{long_promise, promise};
use crate::collection::NativeCollection;

/// The records of a collection as they were at one moment, to be read page by page.
#[napi]
pub struct NativeExport {
    rows: Arc<Mutex<(GetResult, usize)>>,
    total: f64,
}

#[napi]
impl NativeExport {
    /// Records in all.
    #[napi(getter, catch_unwind)]
    pub fn total(&self) -> f64 {
        self.total
    }

    /// Records that were read.
    #[napi(getter, catch_unwind)]
    pub fn done(&self) -> f64 {
        self.rows.lock().1 as f64
    }

    /// The next records, `limit` at most and fewer where they are large, each as a line of JSON; empty after the last.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn next<'env>(&self, env: &'env Env, limit: u32) -> napi::Result<Object<'env>> {
        let rows = self.rows.clone();
        promise(env, move || {
            let (result, next) = &mut *rows.lock();
            let (lines, after) = record_lines(result, *next, limit as usize)?;
            *next = after;
            Ok(lines)
        })
    }
}

#[napi]
impl NativeCollection {
    /// The records as they are now.
    #[napi(catch_unwind, ts_return_type = "Promise<NativeExport>")]
    pub fn export<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        let collection = self.usable().map_err(|e| crate::failure::failure(&e))?;
        long_promise(env, move || {
            let result = collection.get(&GetRequest::default(), &CancelToken::default())?;
            let total = result.rows.len() as f64;
            Ok(NativeExport { rows: Arc::new(Mutex::new((result, 0))), total })
        })
    }

    /// Adds records from lines of JSON, the first of which has the number `first`; the promise is for `{"read", "imported"}`.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn add_lines<'env>(&self, env: &'env Env, text: String, first: f64) -> napi::Result<Object<'env>> {
        self.in_write_order(env, move |collection| {
            let batch = parse_record_lines(&text, first as u64)?;
            let read = batch.ids.len();
            let imported = add(collection, batch)?;
            Ok(json!({ "read": read, "imported": imported }).to_string())
        })
    }

    /// Adds the records in a Chroma server's answer to a get; the promise is for `{"read", "imported", "withoutVector"}`.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn add_server_page<'env>(&self, env: &'env Env, body: String) -> napi::Result<Object<'env>> {
        self.in_write_order(env, move |collection| {
            let page = parse_server_page(&body)?;
            let imported = add(collection, page.batch)?;
            Ok(json!({ "read": page.read, "imported": imported, "withoutVector": page.without_vector })
                .to_string())
        })
    }
}

/// Adds a batch, and says how many of its records were new.
fn add(collection: &Collection, batch: WriteBatch) -> Result<u64> {
    let before = collection.count()?;
    if !batch.ids.is_empty() {
        collection.write(WriteKind::Add, batch)?;
    }
    Ok(collection.count()?.saturating_sub(before))
}
