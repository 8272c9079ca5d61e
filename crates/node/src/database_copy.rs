//! Snapshots of a database, and restoring one.

use std::path::PathBuf;
use std::sync::Arc;

use ferrochrome_engine::{CopyProgress, DatabaseCopy, restore};
use ferrochrome_types::{Error, Result};
use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use parking_lot::Mutex;
use serde_json::json;

use crate::background::{drain, long_promise};
use crate::database::NativeDatabase;

/// A copy of a database that is being made.
#[napi]
pub struct NativeDatabaseCopy {
    /// `None` once it is finished or given up.
    copy: Arc<Mutex<Option<DatabaseCopy>>>,
}

#[napi]
impl NativeDatabase {
    /// Begins a copy of the state after the writes that were asked for before.
    #[napi(catch_unwind, ts_return_type = "Promise<NativeDatabaseCopy>")]
    pub fn snapshot<'env>(&self, env: &'env Env, path: String) -> napi::Result<Object<'env>> {
        let (handle, writer) = (self.handle.clone(), self.writer.clone());
        long_promise(env, move || {
            drain(&writer);
            handle.database()?.copy_to(&PathBuf::from(path)).map(NativeDatabaseCopy::new)
        })
    }
}

#[napi]
impl NativeDatabaseCopy {
    /// Begins to make the database in `to` of the snapshot in `from`.
    #[napi(catch_unwind, ts_return_type = "Promise<NativeDatabaseCopy>")]
    pub fn restore<'env>(
        env: &'env Env,
        from: String,
        to: String,
        replace: bool,
    ) -> napi::Result<Object<'env>> {
        long_promise(env, move || {
            restore(&PathBuf::from(from), &PathBuf::from(to), replace).map(NativeDatabaseCopy::new)
        })
    }

    /// Copies a segment; the promise is for `{"segments", "total", "bytes"}`.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn step<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        let copy = self.copy.clone();
        long_promise(env, move || {
            let mut copy = copy.lock();
            let copy = copy.as_mut().ok_or_else(over)?;
            copy.step()?;
            Ok(progress_json(copy.progress()))
        })
    }

    /// Copies what is left and puts the copy in its place; the promise is for what `step` answers.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn finish<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        let copy = self.copy.clone();
        long_promise(env, move || {
            let copy = copy.lock().take().ok_or_else(over)?;
            copy.finish().map(progress_json)
        })
    }

    /// Gives the copy up; nothing of it is left.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn discard<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        let copy = self.copy.clone();
        long_promise(env, move || -> Result<()> {
            drop(copy.lock().take());
            Ok(())
        })
    }
}

impl NativeDatabaseCopy {
    fn new(copy: DatabaseCopy) -> Self {
        NativeDatabaseCopy { copy: Arc::new(Mutex::new(Some(copy))) }
    }
}

fn progress_json(progress: CopyProgress) -> String {
    let CopyProgress { segments, total, bytes } = progress;
    json!({ "segments": segments, "total": total, "bytes": bytes }).to_string()
}

fn over() -> Error {
    Error::internal("the copy was finished or given up")
}
