//! Bodies of HTTP requests about tenants, databases and collections.
//!
//! What the configuration and the schema of a collection may be is decided in TypeScript, where numbers do not keep their form. So a body goes there
//! and back with the configurations of its embedding functions, which are anybody's data, left out, and its metadata stay here.

use ferrochrome_engine::CollectionRow;
use ferrochrome_types::{Metadata, Result};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::collections::{CollectionChange, ConfigurationChange, complete, present};
use crate::requests::parse;
use crate::values::{JsonPatch, MetadataJson};

/// Where embedding functions are found in configurations and schemas.
const EMBEDDING_FUNCTION: &str = "embedding_function";

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// Reads the body of the creation of a tenant or a database: `{"name"}`.
///
/// # Errors
/// `InvalidArgument` for text that is not JSON, `Unprocessable` for another shape.
pub fn parse_name_body(body: &[u8]) -> Result<String> {
    parse::<Named>(body).map(|body| body.name)
}

#[derive(Deserialize)]
struct Create {
    name: String,
    metadata: Option<JsonPatch>,
    configuration: Option<Map<String, Json>>,
    schema: Option<Map<String, Json>>,
    #[serde(default)]
    get_or_create: bool,
}

/// The body of a create.
#[derive(Debug)]
pub struct CreateBody {
    name: String,
    metadata: Option<Metadata>,
    configuration: Json,
    schema: Json,
    get_or_create: bool,
    /// The configurations of embedding functions, in the order of their numbers.
    functions: Vec<Json>,
}

impl CreateBody {
    /// # Errors
    /// `InvalidArgument` for text that is not JSON, `Unprocessable` for another shape, `Unsupported` for a sparse vector in metadata.
    pub fn parse(body: &[u8]) -> Result<Self> {
        let body: Create = parse(body)?;
        let mut functions = Vec::new();
        let mut sealed = |json: Option<Map<String, Json>>| {
            let mut json = json.map_or(Json::Null, Json::Object);
            seal(&mut json, &mut functions);
            json
        };
        let (configuration, schema) = (sealed(body.configuration), sealed(body.schema));
        Ok(CreateBody {
            name: body.name,
            metadata: body.metadata.map(complete).transpose()?,
            configuration,
            schema,
            get_or_create: body.get_or_create,
            functions,
        })
    }

    /// Whether an existing collection of the name is to be returned.
    pub fn get_or_create(&self) -> bool {
        self.get_or_create
    }

    /// What TypeScript judges: `{"name", "metadata", "configuration", "schema"}`.
    pub fn outline(&self) -> String {
        json!({
            "name": self.name,
            "metadata": self.metadata.as_ref().map(metadata_outline),
            "configuration": self.configuration,
            "schema": self.schema,
        })
        .to_string()
    }

    /// The collection to create, with a new id, of the configuration and the schema that TypeScript made of the outline's.
    ///
    /// # Errors
    /// `InvalidArgument`, `Unprocessable` if they are no objects.
    pub fn into_row(
        self,
        tenant: String,
        database: String,
        configuration: &str,
        schema: &str,
    ) -> Result<CollectionRow> {
        let unsealed = |text: &str| -> Result<String> {
            let mut json = Json::Object(parse(text.as_bytes())?);
            unseal(&mut json, &self.functions);
            Ok(json.to_string())
        };
        Ok(CollectionRow {
            id: Uuid::new_v4(),
            configuration: unsealed(configuration)?,
            schema: Some(unsealed(schema)?),
            name: self.name,
            tenant,
            database,
            metadata: self.metadata,
            dimension: None,
        })
    }
}

fn metadata_outline(metadata: &Metadata) -> Json {
    serde_json::to_value(MetadataJson(metadata)).unwrap_or_default()
}

/// Puts numbers in the place of the configurations of embedding functions.
fn seal(json: &mut Json, functions: &mut Vec<Json>) {
    for_each_function(json, &mut |config| {
        let number = functions.len();
        functions.push(std::mem::replace(config, json!({ "sealed": number })));
    });
}

/// Puts the configurations of embedding functions back.
fn unseal(json: &mut Json, functions: &[Json]) {
    for_each_function(json, &mut |config| {
        let number = config.get("sealed").and_then(Json::as_u64);
        if let Some(function) = number.and_then(|number| functions.get(number as usize)) {
            *config = function.clone();
        }
    });
}

fn for_each_function(json: &mut Json, with: &mut impl FnMut(&mut Json)) {
    match json {
        Json::Object(object) => {
            for (key, value) in object {
                match value.get_mut("config").filter(|config| key == EMBEDDING_FUNCTION && config.is_object())
                {
                    Some(config) => with(config),
                    None => for_each_function(value, with),
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(|item| for_each_function(item, with)),
        _ => {}
    }
}

#[derive(Deserialize)]
struct Update {
    new_name: Option<String>,
    new_metadata: Option<JsonPatch>,
    new_configuration: Option<Map<String, Json>>,
}

/// The body of an update; what is absent stays.
#[derive(Debug)]
pub struct UpdateBody {
    change: CollectionChange,
    /// Whether there were keys of metadata at all, and all keys that there were.
    keys: Option<Vec<String>>,
    configuration: Option<Map<String, Json>>,
}

impl UpdateBody {
    /// # Errors
    /// `InvalidArgument` for text that is not JSON, `Unprocessable` for another shape, `Unsupported` for a sparse vector in metadata.
    pub fn parse(body: &[u8]) -> Result<Self> {
        let body: Update = parse(body)?;
        let patch = body.new_metadata.map(JsonPatch::into_patch).transpose()?;
        let keys = patch.as_ref().map(|patch| patch.keys().cloned().collect());
        let metadata = patch.map(present).map(|metadata| (!metadata.is_empty()).then_some(metadata));
        let change = CollectionChange { name: body.new_name, metadata, configuration: None };
        Ok(UpdateBody { change, keys, configuration: body.new_configuration })
    }

    /// What TypeScript judges: `{"new_name", "keys", "new_configuration"}`.
    pub fn outline(&self) -> String {
        let name = &self.change.name;
        json!({ "new_name": name, "keys": self.keys, "new_configuration": self.configuration }).to_string()
    }

    /// What it changes. Of the configuration, TypeScript approved the object `approved`; its embedding function is nobody's to judge.
    ///
    /// # Errors
    /// `InvalidArgument`, `Unprocessable` if that is none.
    pub fn into_change(self, approved: &str) -> Result<CollectionChange> {
        let mut change = self.change;
        if let Some(mut configuration) = self.configuration {
            let function = configuration.remove(EMBEDDING_FUNCTION).filter(|function| !function.is_null());
            let approved: ConfigurationChange = parse(approved.as_bytes())?;
            change.configuration = Some(ConfigurationChange { embedding_function: function, ..approved });
        }
        Ok(change)
    }
}

#[cfg(test)]
mod tests {
    use ferrochrome_types::Code;

    use super::*;

    const BODY: &[u8] = br##"{"name":"abc","get_or_create":true,"metadata":{"i":1,"f":1.0},
        "configuration":{"hnsw":{"ef_search":7},"embedding_function":{"type":"known","name":"x","config":{"t":1.0,"u":9007199254740993}}},
        "schema":{"defaults":{},"keys":{"#embedding":{"float_list":{"vector_index":{"enabled":true,"config":{"embedding_function":
        {"type":"known","name":"y","config":{"sealed":0,"e":1e0}}}}}}}}}"##;

    #[test]
    fn configurations_of_embedding_functions_stay_as_they_were() {
        let body = CreateBody::parse(BODY).unwrap();
        assert!(body.get_or_create());
        let outline: Json = serde_json::from_str(&body.outline()).unwrap();
        assert_eq!(
            outline.pointer("/configuration/embedding_function/config").unwrap(),
            &json!({ "sealed": 0 })
        );
        assert_eq!(outline["metadata"], json!({ "i": 1, "f": 1.0 }));
        let (configuration, schema) = (outline["configuration"].to_string(), outline["schema"].to_string());
        let row = body.into_row("t".into(), "d".into(), &configuration, &schema).unwrap();
        assert!(
            row.configuration.contains(r#""config":{"t":1.0,"u":9007199254740993}"#),
            "{}",
            row.configuration
        );
        assert!(row.schema.unwrap().contains(r#""config":{"e":1.0,"sealed":0}"#));
    }

    #[test]
    fn a_null_in_metadata_is_told_from_an_empty_array() {
        let parse = |body: &str| CreateBody::parse(body.as_bytes());
        let null = parse(r#"{"name":"abc","metadata":{"a":null}}"#).unwrap_err();
        assert_eq!(null.code(), Code::Unprocessable);
        assert!(null.message().contains("metadata.a"), "{null}");
        assert_eq!(parse(r#"{"name":"abc","metadata":{"a":[]}}"#).unwrap().metadata, Some(Metadata::new()));
    }

    #[test]
    fn an_update_replaces_metadata_and_keeps_the_embedding_function_as_it_was() {
        let body = br#"{"new_metadata":{"a":null,"f":2.0},"new_configuration":{"embedding_function":{"config":{"t":1.0}}}}"#;
        let update = UpdateBody::parse(body).unwrap();
        assert!(update.outline().contains(r#""keys":["a","f"]"#));
        let change = update.into_change(r#"{"hnsw":{"ef_search":7},"versions":{"keep":1}}"#).unwrap();
        assert_eq!(change.metadata.unwrap().unwrap().len(), 1);
        let configuration = change.configuration.unwrap().apply("{}").unwrap();
        assert!(configuration.contains(r#"{"config":{"t":1.0}},"hnsw":{"ef_search":7}"#));
        assert!(configuration.contains(r#""versions":{"keep":1}"#));
        let nothing = UpdateBody::parse(br#"{"new_metadata":{"a":null}}"#).unwrap();
        assert_eq!(nothing.into_change("{}").unwrap().metadata, Some(None));
    }
}
