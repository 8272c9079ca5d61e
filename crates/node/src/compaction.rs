//! Compaction on demand, and how far it has come.

use ferrochrome_engine::CompactOptions;
use ferrochrome_types::Progress;
use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use serde_json::json;

use crate::background::{drain, long_promise};
use crate::collection::{NativeCancel, NativeCollection};
use crate::failure::failure;

/// How far a compaction that it was given to has come, for whoever looks.
#[napi]
#[derive(Default)]
pub struct NativeProgress {
    progress: Progress,
}

#[napi]
impl NativeProgress {
    /// The progress of nothing yet.
    #[napi(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// `{"stage", "done", "total"}`.
    #[napi(catch_unwind)]
    pub fn now(&self) -> String {
        let now = self.progress.now();
        json!({ "stage": now.stage.as_str(), "done": now.done, "total": now.total }).to_string()
    }
}

#[napi]
impl NativeCollection {
    /// Seals the head and merges all segments into one without tombstones.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn compact<'env>(
        &self,
        env: &'env Env,
        secure: bool,
        cancel: &NativeCancel,
        progress: &NativeProgress,
    ) -> napi::Result<Object<'env>> {
        let collection = self.usable().map_err(|e| failure(&e))?;
        let writer = self.writer.clone();
        let options =
            CompactOptions { secure, cancel: cancel.token.clone(), progress: progress.progress.clone() };
        long_promise(env, move || {
            // What was written before the call belongs into the segment.
            drain(&writer);
            collection.compact_with(&options)
        })
    }
}
