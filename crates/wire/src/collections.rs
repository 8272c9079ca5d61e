//! Collections in JSON.

use ferrochrome_engine::CollectionRow;
use ferrochrome_types::{Code, Error, Metadata, Result, ValueKind};
use serde::Deserialize;
use serde_json::{Value as Json, json, value::RawValue};
use uuid::Uuid;

use crate::requests::parse;
use crate::values::{JsonPatch, MetadataJson};

/// The body of a create. Configuration and schema are complete already; they are stored as they are.
#[derive(Deserialize)]
pub struct CreateCollection {
    /// The UUID of an imported collection.
    id: Option<Uuid>,
    name: String,
    tenant: String,
    database: String,
    metadata: Option<JsonPatch>,
    configuration: Box<RawValue>,
    schema: Option<Box<RawValue>>,
    #[serde(default)]
    get_or_create: bool,
}

impl CreateCollection {
    /// # Errors
    /// `InvalidArgument` for text that is not JSON, `Unprocessable` for another shape.
    pub fn parse(body: &str) -> Result<Self> {
        parse(body)
    }

    /// Whether an existing collection of the name is to be returned.
    pub fn get_or_create(&self) -> bool {
        self.get_or_create
    }

    /// The collection to create, with a new id where none is given.
    ///
    /// # Errors
    /// `Unprocessable` for a null metadata value.
    pub fn into_row(self) -> Result<CollectionRow> {
        Ok(CollectionRow {
            id: self.id.unwrap_or_else(Uuid::new_v4),
            name: self.name,
            tenant: self.tenant,
            database: self.database,
            metadata: self.metadata.map(complete).transpose()?,
            configuration: self.configuration.get().to_owned(),
            schema: self.schema.map(|schema| schema.get().to_owned()),
            dimension: None,
        })
    }
}

fn complete(patch: JsonPatch) -> Result<Metadata> {
    let null = |key: &str| Error::new(Code::Unprocessable, format!("the metadata key '{key}' has no value"));
    patch.0.into_iter().map(|(key, value)| Ok((key.clone(), value.ok_or_else(|| null(&key))?))).collect()
}

/// The body of an update; what is absent stays.
#[derive(Deserialize)]
pub struct CollectionPatch {
    new_name: Option<String>,
    new_metadata: Option<JsonPatch>,
    new_configuration: Option<Box<RawValue>>,
}

impl CollectionPatch {
    /// # Errors
    /// `InvalidArgument` for text that is not JSON, `Unprocessable` for another shape.
    pub fn parse(body: &str) -> Result<Self> {
        parse(body)
    }

    /// The new name.
    pub fn name(&self) -> Option<&str> {
        self.new_name.as_deref()
    }

    /// The new metadata, which replaces the old; keys without a value are dropped, and without keys there is none.
    pub fn metadata(&self) -> Option<Option<Metadata>> {
        let patch = self.new_metadata.as_ref()?;
        let given = patch.0.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?)));
        let metadata: Metadata = given.collect();
        Some((!metadata.is_empty()).then_some(metadata))
    }

    /// The new configuration, complete.
    pub fn configuration(&self) -> Option<&str> {
        self.new_configuration.as_deref().map(RawValue::get)
    }
}

/// A collection as Chroma's server describes it, and the metadata keys that its records have shown.
///
/// # Errors
/// `Corrupted` where the stored configuration or schema is not JSON.
pub fn collection_json(row: &CollectionRow, keys: &[(String, ValueKind)]) -> Result<Json> {
    let stored = |text: &str| {
        serde_json::from_str::<Json>(text).map_err(|e| {
            Error::corrupted("catalog.sqlite", format!("the configuration of {} is not JSON: {e}", row.id))
        })
    };
    let metadata =
        row.metadata.as_ref().map(|metadata| serde_json::to_value(MetadataJson(metadata))).transpose();
    let metadata = metadata.map_err(|e| Error::internal(format!("metadata cannot be written: {e}")))?;
    let keys: Vec<Json> = keys.iter().map(|(key, kind)| json!([key, kind.as_str()])).collect();
    Ok(json!({
        "id": row.id.to_string(),
        "name": row.name,
        "tenant": row.tenant,
        "database": row.database,
        "metadata": metadata,
        "dimension": row.dimension,
        "configuration_json": stored(&row.configuration)?,
        "schema": row.schema.as_deref().map(stored).transpose()?,
        "schema_keys": keys,
        "version": 0,
        "log_position": 0,
    }))
}

/// A database as Chroma's server describes it.
pub fn database_json(id: Uuid, name: &str, tenant: &str) -> Json {
    json!({ "id": id.to_string(), "name": name, "tenant": tenant })
}
