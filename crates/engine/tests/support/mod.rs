//! What the integration tests share.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::Path;
use std::sync::Arc;

use ferrochrome_engine::{Collection, CollectionRow, Database, DatabaseOptions, Handle};
use ferrochrome_testing::Entry;
use ferrochrome_types::Value;
use uuid::Uuid;

pub fn options(seal_rows: usize) -> DatabaseOptions {
    let mut options = DatabaseOptions::default();
    options.seal_rows = seal_rows;
    options
}

pub fn open(folder: &Path, options: DatabaseOptions) -> Handle {
    Database::open(Some(folder), options).unwrap()
}

/// Creates a collection with this configuration JSON.
pub fn create(handle: &Handle, name: &str, configuration: &str) -> Arc<Collection> {
    let row = CollectionRow {
        id: Uuid::new_v4(),
        name: name.to_owned(),
        tenant: "default_tenant".to_owned(),
        database: "default_database".to_owned(),
        metadata: None,
        configuration: configuration.to_owned(),
        schema: None,
        dimension: None,
    };
    let database = handle.database().unwrap();
    database.create_collection(&row, false).unwrap();
    database.collection(row.id).unwrap()
}

/// A dictionary entry's metadata as a write takes it.
pub fn metadata_of(entry: &Entry) -> ferrochrome_engine::MetadataPatch {
    let value = |json: &serde_json::Value| match json.as_i64() {
        Some(number) => Value::Int(number),
        None => Value::Str(json.as_str().unwrap_or_default().to_owned()),
    };
    entry.metadata.as_object().unwrap().iter().map(|(key, json)| (key.clone(), Some(value(json)))).collect()
}
