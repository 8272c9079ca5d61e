//! Values as Chroma's tables hold them: one column each for strings, integers, floats and booleans.

use ferrochrome_types::Value;
use rusqlite::Row;
use rusqlite::types::ValueRef;

/// Columns of a value, in the order in which [`read`] expects them.
pub(super) const VALUE_COLUMNS: [&str; 4] = ["string_value", "int_value", "float_value", "bool_value"];

/// The value in the four columns from `first` on; `None` where all are null.
///
/// # Errors
/// A sentence that says what the columns hold instead.
pub(super) fn read(row: &Row<'_>, first: usize) -> Result<Option<Value>, String> {
    let column = |at: usize| row.get_ref(first + at).unwrap_or(ValueRef::Null);
    match (column(3), column(1), column(2), column(0)) {
        (ValueRef::Integer(flag @ (0 | 1)), ..) => Ok(Some(Value::Bool(flag == 1))),
        (ValueRef::Null, ValueRef::Integer(int), ..) => Ok(Some(Value::Int(int))),
        (ValueRef::Null, ValueRef::Null, ValueRef::Real(float), _) if float.is_finite() => {
            Ok(Some(Value::Float(float)))
        }
        (ValueRef::Null, ValueRef::Null, ValueRef::Integer(int), _) => Ok(Some(Value::Float(int as f64))),
        (ValueRef::Null, ValueRef::Null, ValueRef::Null, ValueRef::Text(text)) => {
            match std::str::from_utf8(text) {
                Ok(text) => Ok(Some(Value::Str(text.to_owned()))),
                Err(_) => Err("a text that is not UTF-8".to_owned()),
            }
        }
        (ValueRef::Null, ValueRef::Null, ValueRef::Null, ValueRef::Null) => Ok(None),
        (ValueRef::Null, ValueRef::Null, ValueRef::Real(float), _) => Err(format!("the number {float}")),
        _ => Err("a value of no type that its column is for".to_owned()),
    }
}

/// One array of values of one type. The first decides the type.
///
/// # Errors
/// A sentence where one has another type.
pub(super) fn array(values: Vec<Value>) -> Result<Option<Value>, String> {
    macro_rules! all {
        ($kind:ident, $array:ident) => {
            values
                .into_iter()
                .map(|value| match value {
                    Value::$kind(value) => Some(value),
                    _ => None,
                })
                .collect::<Option<Vec<_>>>()
                .map(Value::$array)
        };
    }
    let found = match values.first() {
        None => return Ok(None),
        Some(Value::Str(_)) => all!(Str, StrArray),
        Some(Value::Int(_)) => all!(Int, IntArray),
        Some(Value::Float(_)) => all!(Float, FloatArray),
        Some(Value::Bool(_)) => all!(Bool, BoolArray),
        Some(_) => None,
    };
    found.map(Some).ok_or_else(|| "an array whose elements have several types".to_owned())
}

/// Why a key cannot be one of a record here, if it cannot.
pub(super) fn refused_key(key: &str) -> Option<&'static str> {
    match key.chars().next() {
        None => Some("its key is empty"),
        Some('#' | '$') => Some("keys that begin with `#` or `$` are reserved"),
        Some(_) => None,
    }
}
