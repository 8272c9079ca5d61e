//! Metadata in JSON.

use std::collections::BTreeMap;
use std::fmt;

use ferrochrome_engine::MetadataPatch;
use ferrochrome_types::{Metadata, Value};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// A metadata value as JSON has it. `null` and the empty array both mean that the key holds nothing.
pub(crate) struct JsonValue(pub Option<Value>);

impl<'de> Deserialize<'de> for JsonValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(JsonValue)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a number, a boolean, an array of one of these, or null")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Self::Value, E> {
        Ok(Some(Value::Bool(v)))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Self::Value, E> {
        Ok(Some(Value::Int(v)))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Self::Value, E> {
        // Chroma's rule: what does not fit an i64 becomes a float.
        Ok(Some(i64::try_from(v).map_or(Value::Float(v as f64), Value::Int)))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Self::Value, E> {
        Ok(Some(Value::Float(v)))
    }

    fn visit_str<E>(self, v: &str) -> Result<Self::Value, E> {
        Ok(Some(Value::Str(v.to_owned())))
    }

    fn visit_string<E>(self, v: String) -> Result<Self::Value, E> {
        Ok(Some(Value::Str(v)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut is_sparse_vector = false;
        while let Some((key, _)) = map.next_entry::<String, de::IgnoredAny>()? {
            is_sparse_vector |= key == "#type" || key == "indices";
        }
        Err(de::Error::custom(if is_sparse_vector {
            "Unimplemented: Sparse vector is not supported for local chroma"
        } else {
            "a metadata value must not be an object"
        }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(JsonValue(item)) = seq.next_element()? {
            items.push(item.ok_or_else(|| de::Error::custom("a metadata array must not hold null"))?);
        }
        array_of(items).map_err(de::Error::custom)
    }
}

/// One typed array; integers among floats become floats.
fn array_of(items: Vec<Value>) -> Result<Option<Value>, &'static str> {
    const MIXED: &str = "a metadata array must hold values of one type";
    let Some(first) = items.first() else { return Ok(None) };
    let floats = items.iter().any(|item| matches!(item, Value::Float(_)));
    Ok(Some(match first {
        Value::Str(_) => {
            let strings =
                items.into_iter().map(|item| if let Value::Str(s) = item { Ok(s) } else { Err(MIXED) });
            Value::StrArray(strings.collect::<Result<_, _>>()?)
        }
        Value::Bool(_) => {
            let bools =
                items.into_iter().map(|item| if let Value::Bool(b) = item { Ok(b) } else { Err(MIXED) });
            Value::BoolArray(bools.collect::<Result<_, _>>()?)
        }
        Value::Int(_) | Value::Float(_) if floats => {
            let numbers = items.into_iter().map(|item| match item {
                Value::Int(i) => Ok(i as f64),
                Value::Float(f) => Ok(f),
                _ => Err(MIXED),
            });
            Value::FloatArray(numbers.collect::<Result<_, _>>()?)
        }
        Value::Int(_) => {
            let ints =
                items.into_iter().map(|item| if let Value::Int(i) = item { Ok(i) } else { Err(MIXED) });
            Value::IntArray(ints.collect::<Result<_, _>>()?)
        }
        _ => return Err("a metadata array must not hold arrays"),
    }))
}

/// The metadata of one record of a write.
pub(crate) struct JsonPatch(pub MetadataPatch);

impl<'de> Deserialize<'de> for JsonPatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = BTreeMap::<String, JsonValue>::deserialize(deserializer)?;
        Ok(JsonPatch(values.into_iter().map(|(key, JsonValue(value))| (key, value)).collect()))
    }
}

/// Metadata on its way out.
pub(crate) struct MetadataJson<'a>(pub &'a Metadata);

impl Serialize for MetadataJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in self.0 {
            match value {
                Value::Str(v) => map.serialize_entry(key, v)?,
                Value::Int(v) => map.serialize_entry(key, v)?,
                Value::Float(v) => map.serialize_entry(key, v)?,
                Value::Bool(v) => map.serialize_entry(key, v)?,
                Value::StrArray(v) => map.serialize_entry(key, v)?,
                Value::IntArray(v) => map.serialize_entry(key, v)?,
                Value::FloatArray(v) => map.serialize_entry(key, v)?,
                Value::BoolArray(v) => map.serialize_entry(key, v)?,
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<MetadataPatch, serde_json::Error> {
        serde_json::from_str::<JsonPatch>(json).map(|patch| patch.0)
    }

    #[test]
    fn integers_and_floats_stay_apart() {
        let json =
            r#"{"a":1,"b":1.0,"c":9223372036854775807,"d":18446744073709551615,"e":[1,2.5],"__proto__":"x"}"#;
        let patch = parse(json).unwrap();
        let metadata: Metadata = patch.into_iter().map(|(key, value)| (key, value.unwrap())).collect();
        assert_eq!(metadata["a"], Value::Int(1));
        assert_eq!(metadata["b"], Value::Float(1.0));
        assert_eq!(metadata["d"], Value::Float(18_446_744_073_709_551_615.0));
        assert_eq!(metadata["e"], Value::FloatArray(vec![1.0, 2.5]));
        let text = serde_json::to_string(&MetadataJson(&metadata)).unwrap();
        assert_eq!(
            text,
            r#"{"__proto__":"x","a":1,"b":1.0,"c":9223372036854775807,"d":1.8446744073709552e+19,"e":[1.0,2.5]}"#
        );
    }

    #[test]
    fn floats_come_back_as_they_were_given() {
        for text in ["0.10000000000000009", "0.7818279273423427", "5e-324", "1.7976931348623157e308"] {
            let patch = parse(&format!(r#"{{"x":{text}}}"#)).unwrap();
            assert_eq!(patch["x"], Some(Value::Float(text.parse().unwrap())), "{text}");
        }
    }

    #[test]
    fn null_and_the_empty_array_mean_nothing() {
        let patch = parse(r#"{"a":null,"b":[]}"#).unwrap();
        assert!(patch.values().all(Option::is_none));
    }

    #[test]
    fn other_shapes_are_refused() {
        for json in [
            r#"{"a":{}}"#,
            r#"{"a":[1,"x"]}"#,
            r#"{"a":[null]}"#,
            r#"{"a":[[1]]}"#,
            r#"{"a":[true,1]}"#,
            "[]",
            "3",
        ] {
            assert!(parse(json).is_err(), "{json}");
        }
    }
}
