//! Forks and versions of collections.

use ferrochrome_types::{Error, Result};
use ferrochrome_wire::version_json;
use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use serde_json::Value as Json;

use crate::background::long_promise;
use crate::collection::NativeCollection;
use crate::database::{NativeDatabase, describe, parse_id};

/// The number of a version as it crosses the boundary.
fn parse_version(version: f64) -> Result<u64> {
    // Of larger integers JavaScript does not have every one.
    const MOST: f64 = 9_007_199_254_740_991.0;
    if (0.0..=MOST).contains(&version) && version.fract() == 0.0 {
        return Ok(version as u64);
    }
    Err(Error::invalid(format!("the number of a version is a whole number, but got {version}")))
}

#[napi]
impl NativeDatabase {
    /// Copies a collection, or a version of it, under a new name, after the writes that were asked for before. The promise is for
    /// the copy's description.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn fork_collection<'env>(
        &self,
        env: &'env Env,
        id: String,
        version: Option<f64>,
        name: String,
    ) -> napi::Result<Object<'env>> {
        self.in_write_order(env, move |database| {
            let version = version.map(parse_version).transpose()?;
            let row = database.fork_collection(parse_id(&id)?, version, &name)?;
            Ok(describe(database, &row)?.to_string())
        })
    }

    /// Number of forks in the family of a collection.
    #[napi(catch_unwind, ts_return_type = "Promise<number>")]
    pub fn fork_count<'env>(&self, env: &'env Env, id: String) -> napi::Result<Object<'env>> {
        self.with(env, move |database| database.catalog().fork_count(parse_id(&id)?).map(|n| n as f64))
    }

    /// Keeps the state of a collection after the writes that were asked for before. The promise is for its description.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn create_version<'env>(
        &self,
        env: &'env Env,
        id: String,
        label: Option<String>,
    ) -> napi::Result<Object<'env>> {
        self.in_write_order(env, move |database| {
            let version = database.collection(parse_id(&id)?)?.create_version(label)?;
            Ok(version_json(&version).to_string())
        })
    }

    /// Array of the versions of a collection, oldest first.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn versions<'env>(&self, env: &'env Env, id: String) -> napi::Result<Object<'env>> {
        self.with(env, move |database| {
            let versions = database.catalog().versions(parse_id(&id)?)?;
            Ok(versions.iter().map(version_json).collect::<Json>().to_string())
        })
    }

    /// Opens a version of a collection, to be read only.
    #[napi(catch_unwind, ts_return_type = "Promise<NativeCollection>")]
    pub fn open_version<'env>(&self, env: &'env Env, id: String, version: f64) -> napi::Result<Object<'env>> {
        let (handle, writer) = (self.handle.clone(), self.writer.clone());
        let shared = self.handle.clone();
        long_promise(env, move || {
            let view = shared.database()?.collection_version(parse_id(&id)?, parse_version(version)?)?;
            Ok(NativeCollection::of_version(handle, view, writer))
        })
    }

    /// Deletes a version of a collection.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn delete_version<'env>(
        &self,
        env: &'env Env,
        id: String,
        version: f64,
    ) -> napi::Result<Object<'env>> {
        self.with(env, move |database| database.delete_version(parse_id(&id)?, parse_version(version)?))
    }
}
