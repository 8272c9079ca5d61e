//! The schema of a collection as it is now: what was stored, with the present vector parameters and the keys that records introduced.

use ferrochrome_types::ValueKind;
use serde_json::{Map, Value as Json, json};

const DOCUMENT: &str = "#document";
const EMBEDDING: &str = "#embedding";

/// The stored schema with what changed since: `configuration` is the collection's present one, `keys` are those of its records.
pub(crate) fn current_schema(stored: Json, configuration: &Json, keys: &[(String, ValueKind)]) -> Json {
    let Json::Object(mut schema) = stored else { return stored };
    let vector = vector_config(&schema, configuration);
    let source = |types: &Json| types.pointer("/float_list/vector_index/config/source_key").cloned();
    let defaults = entry(&mut schema, "defaults");
    let default_source = source(&Json::Object(defaults.clone()));
    defaults.insert("float_list".into(), vector_index(false, &vector, default_source));
    let defaults = Json::Object(defaults.clone());
    let all_keys = entry(&mut schema, "keys");
    let embedding = entry(all_keys, EMBEDDING);
    let embedding_source = source(&Json::Object(embedding.clone())).filter(|key| !key.is_null());
    let embedding_source = embedding_source.unwrap_or_else(|| DOCUMENT.into());
    embedding.insert("float_list".into(), vector_index(true, &vector, Some(embedding_source)));
    for (key, kind) in keys {
        introduce(entry(all_keys, key), *kind, &defaults);
    }
    Json::Object(schema)
}

/// The object at `key`, made if there is none.
fn entry<'a>(object: &'a mut Map<String, Json>, key: &str) -> &'a mut Map<String, Json> {
    let value = object.entry(key).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().unwrap_or_else(|| unreachable!("it was made an object"))
}

/// The vector parameters: of the stored schema, the defaults' and over them those of `#embedding`, and over both the configuration's.
fn vector_config(schema: &Map<String, Json>, configuration: &Json) -> Map<String, Json> {
    let mut config = Map::new();
    let schema_places = [schema.get("defaults"), schema.get("keys").and_then(|keys| keys.get(EMBEDDING))];
    for types in schema_places.into_iter().flatten() {
        let stored = types.pointer("/float_list/vector_index/config").and_then(Json::as_object);
        config.extend(stored.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
    }
    config.remove("source_key");
    let graph = configuration.get("hnsw").and_then(Json::as_object);
    for (key, value) in graph.into_iter().flatten() {
        if key == "space" {
            config.insert(key.clone(), value.clone());
        } else {
            entry(&mut config, "hnsw").insert(key.clone(), value.clone());
        }
    }
    if let Some(function) = configuration.get("embedding_function").filter(|function| !function.is_null()) {
        config.insert("embedding_function".into(), function.clone());
    }
    config
}

fn vector_index(enabled: bool, vector: &Map<String, Json>, source: Option<Json>) -> Json {
    let mut config = vector.clone();
    if let Some(source) = source.filter(|source| !source.is_null()) {
        config.insert("source_key".into(), source);
    }
    json!({ "vector_index": { "enabled": enabled, "config": config } })
}

/// Adds the index of a key's type, on or off as in the defaults, where the key has none.
fn introduce(types: &mut Map<String, Json>, kind: ValueKind, defaults: &Json) {
    let (kind, index) = match kind {
        ValueKind::Str => ("string", "string_inverted_index"),
        ValueKind::Int => ("int", "int_inverted_index"),
        ValueKind::Float => ("float", "float_inverted_index"),
        ValueKind::Bool => ("bool", "bool_inverted_index"),
    };
    if types.get(kind).is_some_and(|indexes| !indexes.is_null()) {
        return;
    }
    let enabled = |index: &str, otherwise: bool| {
        let enabled = defaults.pointer(&format!("/{kind}/{index}/enabled")).and_then(Json::as_bool);
        json!({ "enabled": enabled.unwrap_or(otherwise), "config": {} })
    };
    let mut indexes = Map::new();
    if kind == "string" {
        indexes.insert("fts_index".into(), enabled("fts_index", false));
    }
    indexes.insert(index.into(), enabled(index, true));
    types.insert(kind.into(), Json::Object(indexes));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Json {
        json!({
            "defaults": { "int": { "int_inverted_index": { "enabled": false, "config": {} } } },
            "keys": {
                "#embedding": { "float_list": { "vector_index": { "enabled": true, "config": {
                    "space": "l2", "source_key": "title", "hnsw": { "ef_search": 100, "num_threads": 4 },
                    "embedding_function": { "type": "legacy" },
                } } } },
                "known": { "int": { "int_inverted_index": { "enabled": true, "config": {} } } },
            },
        })
    }

    #[test]
    fn the_configuration_counts() {
        let configuration =
            json!({ "hnsw": { "space": "ip", "ef_search": 7 }, "spann": null, "embedding_function": null });
        let schema = current_schema(stored(), &configuration, &[]);
        assert_eq!(
            schema.pointer("/keys/#embedding/float_list/vector_index").unwrap(),
            &json!({ "enabled": true, "config": {
                "space": "ip", "source_key": "title", "hnsw": { "ef_search": 7, "num_threads": 4 },
                "embedding_function": { "type": "legacy" },
            } })
        );
        let defaults = schema.pointer("/defaults/float_list/vector_index").unwrap();
        assert_eq!(defaults["enabled"], false);
        assert_eq!(defaults["config"]["hnsw"], json!({ "ef_search": 7, "num_threads": 4 }));
        assert_eq!(defaults["config"].get("source_key"), None);
    }

    #[test]
    fn keys_of_records_are_added_as_the_defaults_say() {
        let keys = [
            ("n", ValueKind::Int),
            ("known", ValueKind::Int),
            ("known", ValueKind::Str),
            ("__proto__", ValueKind::Bool),
        ];
        let keys = keys.map(|(key, kind)| (key.to_owned(), kind));
        let schema = current_schema(stored(), &json!({}), &keys);
        let enabled = |path: &str| schema.pointer(path).and_then(Json::as_bool);
        assert_eq!(enabled("/keys/n/int/int_inverted_index/enabled"), Some(false));
        assert_eq!(enabled("/keys/known/int/int_inverted_index/enabled"), Some(true));
        assert_eq!(enabled("/keys/known/string/string_inverted_index/enabled"), Some(true));
        assert_eq!(enabled("/keys/known/string/fts_index/enabled"), Some(false));
        assert_eq!(enabled("/keys/__proto__/bool/bool_inverted_index/enabled"), Some(true));
    }

    #[test]
    fn what_is_no_object_does_no_harm() {
        assert_eq!(current_schema(json!(3), &json!({}), &[]), json!(3));
        let odd = current_schema(json!({ "defaults": 3, "keys": [] }), &json!({ "hnsw": 3 }), &[]);
        assert_eq!(odd.pointer("/keys/#embedding/float_list/vector_index/enabled"), Some(&json!(true)));
    }
}
