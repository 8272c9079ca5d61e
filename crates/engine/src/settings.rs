//! What a collection's stored JSON means to the engine.

use std::collections::BTreeMap;
use std::time::Duration;

use ferrochrome_index::Quantization;
use ferrochrome_types::{Error, Filter, Metric, Result, Scalar, Test, ValueKind};
use serde::Deserialize;

use crate::versions::Retention;

/// The part of a collection's configuration and schema that steers index, search and filters.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub metric: Metric,
    pub m: usize,
    pub ef_construction: usize,
    pub ef_search: usize,
    pub quantization: Quantization,
    pub indexed: IndexedTypes,
    pub versions: Option<Retention>,
}

#[derive(Deserialize)]
struct StoredConfiguration {
    #[serde(default)]
    hnsw: StoredHnsw,
    versions: Option<StoredRetention>,
}

#[derive(Deserialize)]
struct StoredRetention {
    keep: usize,
    max_age_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(default)]
struct StoredHnsw {
    space: String,
    ef_construction: usize,
    ef_search: usize,
    max_neighbors: usize,
    quantization: String,
}

impl Default for StoredHnsw {
    fn default() -> Self {
        StoredHnsw {
            space: Metric::default().as_str().to_owned(),
            ef_construction: 100,
            ef_search: 100,
            max_neighbors: 16,
            quantization: Quantization::default().as_str().to_owned(),
        }
    }
}

impl Settings {
    /// Reads a stored configuration and schema.
    ///
    /// # Errors
    /// `InvalidArgument` or `Unprocessable` where a field has the wrong type, names an unknown space or quantization, or where the two do
    /// not go together.
    pub fn parse(configuration: &str, schema: Option<&str>) -> Result<Self> {
        let stored: StoredConfiguration = serde_json::from_str(configuration)
            .map_err(|e| Error::invalid(format!("The collection configuration cannot be read: {e}")))?;
        let metric = stored.hnsw.space.parse::<Metric>()?;
        let quantization = stored.hnsw.quantization.parse::<Quantization>()?;
        if matches!(quantization, Quantization::Int4 | Quantization::Int8) && !metric.has_codes() {
            return Err(Error::invalid(format!(
                "quantization `{}` needs space `l2`, `cosine` or `ip`: under `{metric}` vectors are compared in full precision",
                quantization.as_str()
            )));
        }
        Ok(Settings {
            metric,
            m: stored.hnsw.max_neighbors,
            ef_construction: stored.hnsw.ef_construction,
            ef_search: stored.hnsw.ef_search.max(1),
            quantization,
            indexed: IndexedTypes::parse(schema)?,
            versions: stored.versions.map(|stored| Retention {
                keep: stored.keep,
                max_age: stored.max_age_seconds.map(Duration::from_secs),
            }),
        })
    }
}

/// Which value types of which keys the schema lets a filter use.
///
/// Chroma refuses a filter on a type whose inverted index is switched off, rather than scanning.
#[derive(Clone, Debug, Default)]
pub(crate) struct IndexedTypes {
    disabled_by_default: Vec<ValueKind>,
    keys: BTreeMap<String, Vec<(ValueKind, bool)>>,
    full_text_disabled: bool,
}

const INVERTED: [(ValueKind, &str, &str); 4] = [
    (ValueKind::Str, "string", "string_inverted_index"),
    (ValueKind::Int, "int", "int_inverted_index"),
    (ValueKind::Float, "float", "float_inverted_index"),
    (ValueKind::Bool, "bool", "bool_inverted_index"),
];

impl IndexedTypes {
    fn parse(schema: Option<&str>) -> Result<Self> {
        let Some(schema) = schema else { return Ok(Self::default()) };
        let schema: serde_json::Value = serde_json::from_str(schema)
            .map_err(|e| Error::invalid(format!("The collection schema cannot be read: {e}")))?;
        let enabled =
            |types: &serde_json::Value, kind: &str, index: &str| types[kind][index]["enabled"].as_bool();
        let disabled_by_default = INVERTED
            .iter()
            .filter(|(_, kind, index)| enabled(&schema["defaults"], kind, index) == Some(false))
            .map(|(kind, ..)| *kind)
            .collect();
        let mut keys = BTreeMap::new();
        for (key, types) in schema["keys"].as_object().into_iter().flatten() {
            let overrides: Vec<_> = INVERTED
                .iter()
                .filter_map(|(kind, name, index)| Some((*kind, enabled(types, name, index)?)))
                .collect();
            keys.insert(key.clone(), overrides);
        }
        let full_text_disabled = enabled(&schema["keys"]["#document"], "string", "fts_index") == Some(false);
        Ok(IndexedTypes { disabled_by_default, keys, full_text_disabled })
    }

    fn is_indexed(&self, key: &str, kind: ValueKind) -> bool {
        let of_key = self.keys.get(key).and_then(|types| types.iter().find(|(k, _)| *k == kind));
        of_key.map_or_else(|| !self.disabled_by_default.contains(&kind), |(_, enabled)| *enabled)
    }

    /// Whether documents go into the full-text index.
    pub fn full_text(&self) -> bool {
        !self.full_text_disabled
    }

    /// Refuses a filter on a disabled index, in Chroma's words.
    pub fn check(&self, filter: &Filter) -> Result<()> {
        match filter {
            Filter::And(parts) | Filter::Or(parts) => parts.iter().try_for_each(|part| self.check(part)),
            Filter::Document(_) => self.check_full_text(),
            Filter::Key(key, test) => {
                let operand = match test {
                    Test::Equal(v)
                    | Test::NotEqual(v)
                    | Test::Compare(_, v)
                    | Test::Contains(v)
                    | Test::NotContains(v) => Some(v),
                    Test::In(vs) | Test::NotIn(vs) => vs.first(),
                };
                let Some(kind) = operand.map(scalar_kind) else { return Ok(()) };
                if self.is_indexed(key, kind) {
                    return Ok(());
                }
                Err(Error::invalid(format!(
                    "Cannot filter using metadata key '{key}' with type '{}' because indexing is disabled",
                    kind.as_str()
                )))
            }
        }
    }

    fn check_full_text(&self) -> Result<()> {
        if self.full_text() {
            return Ok(());
        }
        Err(Error::invalid("Cannot filter using full-text search because FTS indexing is disabled"))
    }
}

fn scalar_kind(scalar: &Scalar) -> ValueKind {
    match scalar {
        Scalar::Str(_) => ValueKind::Str,
        Scalar::Int(_) => ValueKind::Int,
        Scalar::Float(_) => ValueKind::Float,
        Scalar::Bool(_) => ValueKind::Bool,
    }
}
