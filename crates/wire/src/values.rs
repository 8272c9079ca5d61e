//! Metadata in JSON.

use std::collections::BTreeMap;
use std::fmt;

use ferrochrome_engine::MetadataPatch;
use ferrochrome_types::{Code, Error, Metadata, Value, ValueRef};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// A metadata value as JSON has it.
pub(crate) enum JsonValue {
    /// A value of Chroma's types.
    Value(Value),
    /// The empty array: the key holds nothing.
    Empty,
    /// `null`: the key holds nothing, or is to be deleted.
    Null,
    /// A sparse vector, which is not offered here.
    SparseVector,
}

impl<'de> Deserialize<'de> for JsonValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = JsonValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a number, a boolean, an array of one of these, or null")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(JsonValue::Null)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Self::Value, E> {
        Ok(JsonValue::Value(Value::Bool(v)))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Self::Value, E> {
        Ok(JsonValue::Value(Value::Int(v)))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Self::Value, E> {
        // Chroma's rule: what does not fit an i64 becomes a float.
        Ok(JsonValue::Value(i64::try_from(v).map_or(Value::Float(v as f64), Value::Int)))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Self::Value, E> {
        Ok(JsonValue::Value(Value::Float(v)))
    }

    fn visit_str<E>(self, v: &str) -> Result<Self::Value, E> {
        Ok(JsonValue::Value(Value::Str(v.to_owned())))
    }

    fn visit_string<E>(self, v: String) -> Result<Self::Value, E> {
        Ok(JsonValue::Value(Value::Str(v)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut is_sparse_vector = false;
        while let Some((key, _)) = map.next_entry::<String, de::IgnoredAny>()? {
            is_sparse_vector |= key == "#type" || key == "indices";
        }
        if is_sparse_vector {
            return Ok(JsonValue::SparseVector);
        }
        Err(de::Error::custom("a metadata value must not be an object"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            match item {
                JsonValue::Value(item) => items.push(item),
                JsonValue::Null => return Err(de::Error::custom("a metadata array must not hold null")),
                _ => return Err(de::Error::custom("a metadata array must not hold arrays or objects")),
            }
        }
        let array = array_of(items).map_err(de::Error::custom)?;
        Ok(array.map_or(JsonValue::Empty, JsonValue::Value))
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

/// The metadata of one record of a write, or of a collection.
pub(crate) struct JsonPatch(BTreeMap<String, JsonValue>);

impl<'de> Deserialize<'de> for JsonPatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(JsonPatch)
    }
}

impl JsonPatch {
    /// A key that `null` was given for.
    pub fn null_key(&self) -> Option<&str> {
        self.0.iter().find(|(_, value)| matches!(value, JsonValue::Null)).map(|(key, _)| key.as_str())
    }

    /// The patch: nothing, in the place of `null` and of an empty array.
    ///
    /// # Errors
    /// `Unsupported`, in Chroma's words, for a sparse vector.
    pub fn into_patch(self) -> ferrochrome_types::Result<MetadataPatch> {
        let value = |(key, value): (String, JsonValue)| match value {
            JsonValue::Value(value) => Ok((key, Some(value))),
            JsonValue::Empty | JsonValue::Null => Ok((key, None)),
            JsonValue::SparseVector => Err(Error::new(
                Code::Unsupported,
                format!("Unimplemented: Sparse vector is not supported for local chroma: {key}"),
            )),
        };
        self.0.into_iter().map(value).collect()
    }
}

/// Metadata on its way out.
pub(crate) struct MetadataJson<'a>(pub &'a Metadata);

impl Serialize for MetadataJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, ValueJson(value.into()))))
    }
}

/// A metadata value on its way out.
pub(crate) struct ValueJson<'a>(pub ValueRef<'a>);

impl Serialize for ValueJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            ValueRef::Str(v) => v.serialize(serializer),
            ValueRef::Int(v) => v.serialize(serializer),
            ValueRef::Float(v) => v.serialize(serializer),
            ValueRef::Bool(v) => v.serialize(serializer),
            ValueRef::StrArray(v) => v.serialize(serializer),
            ValueRef::IntArray(v) => v.serialize(serializer),
            ValueRef::FloatArray(v) => v.serialize(serializer),
            ValueRef::BoolArray(v) => v.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<MetadataPatch, serde_json::Error> {
        serde_json::from_str::<JsonPatch>(json).map(|patch| patch.into_patch().unwrap())
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
    fn sparse_vectors_are_not_offered() {
        let patch: JsonPatch =
            serde_json::from_str(r##"{"s":{"#type":"sparse_vector","indices":[1],"values":[1.0]}}"##)
                .unwrap();
        let error = patch.into_patch().unwrap_err();
        assert_eq!(error.code(), Code::Unsupported);
        assert_eq!(error.message(), "Unimplemented: Sparse vector is not supported for local chroma: s");
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
