//! Collections in JSON.

use ferrochrome_engine::{CollectionRow, MetadataPatch};
use ferrochrome_types::{Code, Error, Metadata, Result, ValueKind};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json, value::RawValue};
use uuid::Uuid;

use crate::requests::parse;
use crate::schema::current_schema;
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
        parse(body.as_bytes())
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

/// Metadata that have a value for every key.
pub(crate) fn complete(patch: JsonPatch) -> Result<Metadata> {
    if let Some(key) = patch.null_key() {
        let message = format!(
            "Failed to deserialize the JSON body into the target type: metadata.{key}: null is no value"
        );
        return Err(Error::new(Code::Unprocessable, message));
    }
    Ok(present(patch.into_patch()?))
}

/// The keys that have a value.
pub(crate) fn present(patch: MetadataPatch) -> Metadata {
    patch.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

/// The body of an update; what is absent stays.
#[derive(Deserialize)]
pub struct CollectionPatch {
    new_name: Option<String>,
    new_metadata: Option<JsonPatch>,
    new_configuration: Option<ConfigurationChange>,
}

impl CollectionPatch {
    /// # Errors
    /// `InvalidArgument` for text that is not JSON, `Unprocessable` for another shape.
    pub fn parse(body: &str) -> Result<Self> {
        parse(body.as_bytes())
    }

    /// What it changes.
    ///
    /// # Errors
    /// `Unsupported` for a sparse vector in the metadata.
    pub fn into_change(self) -> Result<CollectionChange> {
        let metadata = self.new_metadata.map(JsonPatch::into_patch).transpose()?.map(present);
        Ok(CollectionChange {
            name: self.new_name,
            metadata: metadata.map(|metadata| (!metadata.is_empty()).then_some(metadata)),
            configuration: self.new_configuration,
        })
    }
}

/// Changes to a collection; what is `None` stays.
#[derive(Debug, Default)]
pub struct CollectionChange {
    /// The new name.
    pub name: Option<String>,
    /// The new metadata, which replace the old. Keys without a value were dropped, and without keys there are none.
    pub metadata: Option<Option<Metadata>>,
    /// Changes to the configuration.
    pub configuration: Option<ConfigurationChange>,
}

/// Changes to a configuration.
#[derive(Debug, Default, Deserialize)]
pub struct ConfigurationChange {
    /// Parameters of the graph that change.
    pub(crate) hnsw: Option<Map<String, Json>>,
    /// The new embedding function.
    pub(crate) embedding_function: Option<Json>,
    /// Which versions are kept automatically from now on.
    pub(crate) versions: Option<Json>,
}

impl ConfigurationChange {
    /// The configuration after the change.
    ///
    /// # Errors
    /// `Corrupted` if the stored configuration is no object.
    pub fn apply(&self, stored: &str) -> Result<String> {
        let mut configuration: Map<String, Json> = serde_json::from_str(stored).map_err(|e| {
            Error::corrupted("catalog.sqlite", format!("a configuration cannot be read: {e}"))
        })?;
        let hnsw = configuration.entry("hnsw").or_insert_with(|| json!({}));
        if !hnsw.is_object() {
            *hnsw = json!({});
        }
        if let Some(hnsw) = hnsw.as_object_mut() {
            hnsw.extend(self.hnsw.iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
        }
        configuration.insert("spann".into(), Json::Null);
        if let Some(function) = &self.embedding_function {
            configuration.insert("embedding_function".into(), function.clone());
        }
        configuration.entry("embedding_function").or_insert(Json::Null);
        if let Some(versions) = &self.versions {
            configuration.insert("versions".into(), versions.clone());
        }
        Ok(Json::Object(configuration).to_string())
    }
}

/// Parameters of the graph that only the schema reports.
const SCHEMA_FIELDS: [&str; 2] = ["num_threads", "batch_size"];

/// A collection as Chroma's server describes it; `keys` are the metadata keys that its records have shown.
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
    let mut configuration = stored(&row.configuration)?;
    let schema = row.schema.as_deref().map(stored).transpose()?;
    let schema = schema.map(|schema| current_schema(schema, &configuration, keys));
    if let Some(hnsw) = configuration.get_mut("hnsw").and_then(Json::as_object_mut) {
        hnsw.retain(|field, _| !SCHEMA_FIELDS.contains(&field.as_str()));
    }
    Ok(json!({
        "id": row.id.to_string(),
        "name": row.name,
        "tenant": row.tenant,
        "database": row.database,
        "metadata": metadata,
        "dimension": row.dimension,
        "configuration_json": configuration,
        "schema": schema,
        "version": 0,
        "log_position": 0,
    }))
}

/// A database as Chroma's server describes it.
pub fn database_json(id: Uuid, name: &str, tenant: &str) -> Json {
    json!({ "id": id.to_string(), "name": name, "tenant": tenant })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_leaves_alone_what_it_does_not_name() {
        let stored = r#"{"hnsw":{"space":"l2","ef_search":100},"embedding_function":{"config":{"t":1.0,"u":9007199254740993}}}"#;
        let change: ConfigurationChange = serde_json::from_str(r#"{"hnsw":{"ef_search":7}}"#).unwrap();
        assert_eq!(
            change.apply(stored).unwrap(),
            r#"{"embedding_function":{"config":{"t":1.0,"u":9007199254740993}},"hnsw":{"ef_search":7,"space":"l2"},"spann":null}"#
        );
        let change: ConfigurationChange =
            serde_json::from_str(r#"{"embedding_function":{"type":"legacy"}}"#).unwrap();
        assert!(
            change.apply(stored).unwrap().starts_with(r#"{"embedding_function":{"type":"legacy"},"hnsw""#)
        );
        assert_eq!(change.apply("[]").unwrap_err().code(), Code::Corrupted);
    }
}
