//! Checking and repairing databases.

use std::path::PathBuf;

use ferrochrome_engine::{CheckProgress, CheckReport, RepairOptions, check_folder, repair_folder};
use ferrochrome_types::{Error, Result};
use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use serde::{Deserialize, Serialize};

use crate::background::long_promise;
use crate::database::NativeDatabase;
use crate::failure::failure;

/// How far a check or a repair has come, and the way to stop it.
#[napi]
pub struct NativeCheckProgress(CheckProgress);

#[napi]
impl NativeCheckProgress {
    /// Of work that is about to begin.
    #[napi(constructor, catch_unwind)]
    #[allow(clippy::new_without_default, reason = "JavaScript calls it")]
    pub fn new() -> Self {
        NativeCheckProgress(CheckProgress::default())
    }

    /// Rows that were dealt with, and rows in all as far as is known yet.
    #[napi(catch_unwind)]
    pub fn rows(&self) -> Vec<f64> {
        let (done, total) = self.0.rows();
        vec![done as f64, total as f64]
    }

    /// Ends the work with `CANCELLED`.
    #[napi(catch_unwind)]
    pub fn cancel(&self) {
        self.0.cancel();
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Options {
    dry_run: bool,
    threads: Option<usize>,
}

#[napi]
impl NativeDatabase {
    /// Checks this database; the promise is for a report as JSON.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn check<'env>(&self, env: &'env Env, progress: &NativeCheckProgress) -> napi::Result<Object<'env>> {
        let database = self.database().map_err(|e| failure(&e))?;
        let progress = progress.0.clone();
        long_promise(env, move || database.check(&progress).and_then(|report: CheckReport| json(&report)))
    }

    /// Checks the database in a folder, without opening it; the promise is for a report as JSON.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn check_folder<'env>(
        env: &'env Env,
        path: String,
        progress: &NativeCheckProgress,
    ) -> napi::Result<Object<'env>> {
        let progress = progress.0.clone();
        long_promise(env, move || json(&check_folder(&PathBuf::from(path), &progress)?))
    }

    /// Repairs the database in a folder, which nobody may have open; `options` is JSON, the promise is for a report as JSON.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn repair_folder<'env>(
        env: &'env Env,
        path: String,
        options: String,
        progress: &NativeCheckProgress,
    ) -> napi::Result<Object<'env>> {
        let progress = progress.0.clone();
        long_promise(env, move || {
            let given: Options = serde_json::from_str(&options)
                .map_err(|e| Error::invalid(format!("The options cannot be read: {e}")))?;
            let mut options = RepairOptions { dry_run: given.dry_run, ..RepairOptions::default() };
            options.threads = given.threads.unwrap_or(options.threads).clamp(1, 256);
            json(&repair_folder(&PathBuf::from(path), &options, &progress)?)
        })
    }
}

fn json(report: &impl Serialize) -> Result<String> {
    serde_json::to_string(report)
        .map_err(|e| Error::internal("the report could not be written").with_source(e))
}
