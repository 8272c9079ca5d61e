//! The database as JavaScript holds it.

use std::path::PathBuf;
use std::sync::Arc;

use ferrochrome_engine::{ChangeConfiguration, Compression, Database, DatabaseOptions, Durability, Handle};
use ferrochrome_types::{Error, Result};
use ferrochrome_wire::{CollectionChange, CollectionPatch, CreateCollection, collection_json, database_json};
use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::background::{drain, long_promise, pool, promise, promise_on};
use crate::collection::NativeCollection;

/// An open database.
#[napi]
pub struct NativeDatabase {
    pub(crate) handle: Arc<Handle>,
    /// One thread, so that writes of a program are applied in the order of their calls.
    pub(crate) writer: Arc<rayon::ThreadPool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[derive(Default)]
struct OpenOptions {
    read_only: bool,
    follow: Option<bool>,
    allow_network_file_system: bool,
    durability: Option<String>,
    compression: Option<String>,
    threads: Option<usize>,
    seal_rows: Option<usize>,
    head_bytes: Option<usize>,
    index_cache_bytes: Option<u64>,
    vector_cache_bytes: Option<u64>,
    open_segments: Option<usize>,
    compaction_memory_bytes: Option<u64>,
    disk_reserve_bytes: Option<u64>,
}

impl OpenOptions {
    fn parse(text: &str) -> Result<DatabaseOptions> {
        let given: OpenOptions = serde_json::from_str(text)
            .map_err(|e| Error::invalid(format!("The options cannot be read: {e}")))?;
        let mut options = DatabaseOptions::default();
        options.read_only = given.read_only;
        options.allow_network_file_system = given.allow_network_file_system;
        options.follow = given.follow.unwrap_or(options.follow);
        options.durability = match given.durability.as_deref() {
            None | Some("normal") => Durability::Normal,
            Some("full") => Durability::Full,
            Some(other) => return Err(unknown("durability", other, "`normal`, `full`")),
        };
        options.compression = match given.compression.as_deref() {
            None | Some("none") => Compression::None,
            Some("lz4") => Compression::Lz4,
            Some("zstd") => Compression::Zstd,
            Some(other) => return Err(unknown("compression", other, "`none`, `lz4`, `zstd`")),
        };
        options.threads = given.threads.unwrap_or(options.threads).clamp(1, 256);
        options.seal_rows = given.seal_rows.unwrap_or(options.seal_rows).max(1);
        options.seal_bytes = given.head_bytes.unwrap_or(options.seal_bytes).max(1);
        options.index_cache_bytes = given.index_cache_bytes.unwrap_or(options.index_cache_bytes);
        options.vector_cache_bytes = given.vector_cache_bytes.unwrap_or(options.vector_cache_bytes);
        options.open_segments = given.open_segments.unwrap_or(options.open_segments);
        options.compaction_memory_bytes = given.compaction_memory_bytes;
        options.disk_reserve_bytes = given.disk_reserve_bytes.unwrap_or(options.disk_reserve_bytes);
        Ok(options)
    }
}

fn unknown(option: &str, value: &str, expected: &str) -> Error {
    Error::invalid(format!("unknown {option} `{value}`, expected one of {expected}"))
}

impl NativeDatabase {
    /// The database, until it is closed.
    pub(crate) fn database(&self) -> Result<Arc<Database>> {
        self.handle.database().cloned()
    }

    /// Runs `work` with the database on a worker.
    pub(crate) fn with<'env, T, F>(&self, env: &'env Env, work: F) -> napi::Result<Object<'env>>
    where
        T: napi::bindgen_prelude::ToNapiValue + Send + 'static,
        F: FnOnce(&Arc<Database>) -> Result<T> + Send + 'static,
    {
        let handle = self.handle.clone();
        promise(env, move || work(handle.database()?))
    }

    /// Runs `work` after the writes that were asked for before.
    pub(crate) fn in_write_order<'env, T, F>(&self, env: &'env Env, work: F) -> napi::Result<Object<'env>>
    where
        T: napi::bindgen_prelude::ToNapiValue + Send + 'static,
        F: FnOnce(&Arc<Database>) -> Result<T> + Send + 'static,
    {
        let handle = self.handle.clone();
        promise_on(env, |work| self.writer.spawn_fifo(work), move || work(handle.database()?))
    }
}

pub(crate) fn describe(
    database: &Database,
    row: &ferrochrome_engine::CollectionRow,
) -> Result<serde_json::Value> {
    collection_json(row, &database.catalog().schema_keys(row.id)?)
}

pub(crate) fn change_collection(database: &Database, id: Uuid, change: &CollectionChange) -> Result<()> {
    let apply = change.configuration.as_ref().map(|change| |stored: &str| change.apply(stored));
    let apply = apply.as_ref().map(|apply| apply as &ChangeConfiguration<'_>);
    database.update_collection(
        id,
        change.name.as_deref(),
        change.metadata.as_ref().map(Option::as_ref),
        apply,
    )
}

pub(crate) fn parse_id(id: &str) -> Result<Uuid> {
    Uuid::parse_str(id).map_err(|_| Error::invalid("Collection ID is not a valid UUIDv4"))
}

#[napi]
impl NativeDatabase {
    /// Opens the database in a folder, or an empty one in memory for null. `options` is JSON.
    #[napi(catch_unwind, ts_return_type = "Promise<NativeDatabase>")]
    pub fn open<'env>(env: &'env Env, path: Option<String>, options: String) -> napi::Result<Object<'env>> {
        promise(env, move || {
            let options = OpenOptions::parse(&options)?;
            let handle = Database::open(path.map(PathBuf::from).as_deref(), options)?;
            Ok(NativeDatabase { handle: Arc::new(handle), writer: Arc::new(pool(1, "ferrochrome-writer")?) })
        })
    }

    /// Closes this hold; with the last one on a path the database itself.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn close<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        let handle = self.handle.clone();
        let writer = self.writer.clone();
        long_promise(env, move || {
            // Writes that were asked for before the close come first.
            drain(&writer);
            handle.close()
        })
    }

    /// Creates a tenant.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn create_tenant<'env>(&self, env: &'env Env, name: String) -> napi::Result<Object<'env>> {
        self.with(env, move |database| database.create_tenant(&name))
    }

    /// `{"name"}` of a tenant.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn get_tenant<'env>(&self, env: &'env Env, name: String) -> napi::Result<Object<'env>> {
        self.with(env, move |database| {
            database.catalog().tenant(&name)?;
            Ok(json!({ "name": name }).to_string())
        })
    }

    /// Creates a database in a tenant.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn create_database<'env>(
        &self,
        env: &'env Env,
        tenant: String,
        name: String,
    ) -> napi::Result<Object<'env>> {
        self.with(env, move |database| database.create_database(&tenant, &name))
    }

    /// `{"id", "name", "tenant"}` of a database.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn get_database<'env>(
        &self,
        env: &'env Env,
        tenant: String,
        name: String,
    ) -> napi::Result<Object<'env>> {
        self.with(env, move |database| {
            let row = database.catalog().database(&tenant, &name)?;
            Ok(database_json(row.id, &row.name, &row.tenant).to_string())
        })
    }

    /// Deletes a database and its collections.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn delete_database<'env>(
        &self,
        env: &'env Env,
        tenant: String,
        name: String,
    ) -> napi::Result<Object<'env>> {
        self.with(env, move |database| database.delete_database(&tenant, &name))
    }

    /// Array of databases of a tenant, by name.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn list_databases<'env>(
        &self,
        env: &'env Env,
        tenant: String,
        limit: u32,
        offset: u32,
    ) -> napi::Result<Object<'env>> {
        self.with(env, move |database| {
            let rows = database.catalog().list_databases(&tenant, Some(limit), offset)?;
            let rows: Vec<_> = rows.iter().map(|row| database_json(row.id, &row.name, &row.tenant)).collect();
            Ok(json!(rows).to_string())
        })
    }

    /// Creates a collection and returns it.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn create_collection<'env>(&self, env: &'env Env, request: String) -> napi::Result<Object<'env>> {
        self.with(env, move |database| {
            let request = CreateCollection::parse(&request)?;
            let get_or_create = request.get_or_create();
            let row = database.create_collection(&request.into_row()?, get_or_create)?;
            Ok(describe(database, &row)?.to_string())
        })
    }

    /// A collection by name.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn get_collection<'env>(
        &self,
        env: &'env Env,
        tenant: String,
        database: String,
        name: String,
    ) -> napi::Result<Object<'env>> {
        self.with(env, move |db| {
            let row = db.catalog().collection_by_name(&tenant, &database, &name)?;
            Ok(describe(db, &row)?.to_string())
        })
    }

    /// A collection by its UUID.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn get_collection_by_id<'env>(&self, env: &'env Env, id: String) -> napi::Result<Object<'env>> {
        self.with(env, move |database| {
            let row = database.catalog().collection_by_id(parse_id(&id)?)?;
            Ok(describe(database, &row)?.to_string())
        })
    }

    /// Array of collections, by UUID.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn list_collections<'env>(
        &self,
        env: &'env Env,
        tenant: String,
        database: String,
        limit: u32,
        offset: u32,
    ) -> napi::Result<Object<'env>> {
        self.with(env, move |db| {
            let rows = db.catalog().list_collections(&tenant, &database, Some(limit), offset)?;
            let rows = rows.iter().map(|row| describe(db, row)).collect::<Result<Vec<_>>>()?;
            Ok(json!(rows).to_string())
        })
    }

    /// Number of collections.
    #[napi(catch_unwind, ts_return_type = "Promise<number>")]
    pub fn count_collections<'env>(
        &self,
        env: &'env Env,
        tenant: String,
        database: String,
    ) -> napi::Result<Object<'env>> {
        self.with(env, move |db| db.catalog().count_collections(&tenant, &database).map(|n| n as f64))
    }

    /// Deletes a collection.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn delete_collection<'env>(
        &self,
        env: &'env Env,
        tenant: String,
        database: String,
        name: String,
    ) -> napi::Result<Object<'env>> {
        self.with(env, move |db| db.delete_collection(&tenant, &database, &name))
    }

    /// Changes name, metadata or configuration of a collection.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn update_collection<'env>(
        &self,
        env: &'env Env,
        id: String,
        patch: String,
    ) -> napi::Result<Object<'env>> {
        self.with(env, move |database| {
            change_collection(database, parse_id(&id)?, &CollectionPatch::parse(&patch)?.into_change()?)
        })
    }

    /// Drops everything.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn reset<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        self.with(env, |database| database.reset())
    }

    /// Opens a collection's records.
    #[napi(catch_unwind, ts_return_type = "Promise<NativeCollection>")]
    pub fn open_collection<'env>(&self, env: &'env Env, id: String) -> napi::Result<Object<'env>> {
        let writer = self.writer.clone();
        let handle = self.handle.clone();
        self.with(env, move |database| {
            let collection = database.collection(parse_id(&id)?)?;
            Ok(NativeCollection::new(handle, collection.id(), writer))
        })
    }

    /// Counters of the database, as JSON.
    #[napi(catch_unwind)]
    pub fn stats(&self) -> napi::Result<String> {
        let database = self.handle.database().map_err(|e| crate::failure::failure(&e))?;
        let stats = database.stats();
        let index = stats.index;
        Ok(json!({
            "collections": stats.collections,
            "segments": stats.segments,
            "records": stats.records,
            "index": {
                "open": index.indices,
                "resident": index.resident,
                "bytes": index.bytes,
                "budget": index.budget,
                "hits": index.hits,
                "misses": index.misses,
                "evictions": index.evictions,
            },
            "vectorCache": { "bytes": stats.vector_cache_bytes, "budget": stats.vector_cache_budget },
        })
        .to_string())
    }
}
