//! Collection metadata as JSON text that keeps integers and floats apart.
//!
//! Strings, integers and booleans are themselves; a float is `{"float": "1.5"}`, because JSON parsers need not return the very
//! float that was printed.

use ferrochrome_types::{Error, Metadata, Result, Value};
use serde_json::{Map, Value as Json, json};

use super::CATALOG;

/// The text of `metadata`.
pub(super) fn encode(metadata: &Metadata) -> String {
    let object: Map<String, Json> =
        metadata.iter().map(|(key, value)| (key.clone(), to_json(value))).collect();
    Json::Object(object).to_string()
}

/// The metadata that [`encode`] made `text` of.
pub(super) fn decode(text: &str) -> Result<Metadata> {
    let parsed: Map<String, Json> =
        serde_json::from_str(text).map_err(|error| Error::corrupted(CATALOG, error))?;
    parsed.into_iter().map(|(key, json)| Ok((key, from_json(&json).ok_or_else(malformed)?))).collect()
}

fn malformed() -> Error {
    Error::corrupted(CATALOG, "collection metadata holds a value of no known type")
}

fn float_to_json(float: f64) -> Json {
    json!({ "float": format!("{float:?}") })
}

fn float_from_json(json: &Json) -> Option<f64> {
    json.as_object()?.get("float")?.as_str()?.parse().ok()
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Str(v) => json!(v),
        Value::Int(v) => json!(v),
        Value::Float(v) => float_to_json(*v),
        Value::Bool(v) => json!(v),
        Value::StrArray(v) => json!(v),
        Value::IntArray(v) => json!(v),
        Value::FloatArray(v) => v.iter().map(|float| float_to_json(*float)).collect(),
        Value::BoolArray(v) => json!(v),
    }
}

fn from_json(json: &Json) -> Option<Value> {
    Some(match json {
        Json::String(v) => Value::Str(v.clone()),
        Json::Bool(v) => Value::Bool(*v),
        Json::Number(v) => Value::Int(v.as_i64()?),
        Json::Object(_) => Value::Float(float_from_json(json)?),
        Json::Array(items) => match items.first()? {
            Json::String(_) => {
                Value::StrArray(items.iter().map(|i| i.as_str().map(String::from)).collect::<Option<_>>()?)
            }
            Json::Bool(_) => Value::BoolArray(items.iter().map(Json::as_bool).collect::<Option<_>>()?),
            Json::Number(_) => Value::IntArray(items.iter().map(Json::as_i64).collect::<Option<_>>()?),
            Json::Object(_) => Value::FloatArray(items.iter().map(float_from_json).collect::<Option<_>>()?),
            Json::Array(_) | Json::Null => return None,
        },
        Json::Null => return None,
    })
}
