use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Metadata of a record: keys to values, in key order.
pub type Metadata = BTreeMap<String, Value>;

/// One metadata value. Integers and floats are kept apart; arrays hold one type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A string.
    Str(String),
    /// A 64-bit integer.
    Int(i64),
    /// A finite float.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// A non-empty array of strings.
    StrArray(Vec<String>),
    /// A non-empty array of integers.
    IntArray(Vec<i64>),
    /// A non-empty array of finite floats.
    FloatArray(Vec<f64>),
    /// A non-empty array of booleans.
    BoolArray(Vec<bool>),
}

/// The type of a value as an index sees it; arrays count as their elements' type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ValueKind {
    /// Strings.
    Str,
    /// Integers.
    Int,
    /// Floats.
    Float,
    /// Booleans.
    Bool,
}

impl ValueKind {
    /// The name that Chroma's messages use: `Str`, `Int`, `Float`, `Bool`.
    pub fn as_str(self) -> &'static str {
        match self {
            ValueKind::Str => "Str",
            ValueKind::Int => "Int",
            ValueKind::Float => "Float",
            ValueKind::Bool => "Bool",
        }
    }
}

impl Value {
    /// The type as an index sees it.
    pub fn kind(&self) -> ValueKind {
        match self {
            Value::Str(_) | Value::StrArray(_) => ValueKind::Str,
            Value::Int(_) | Value::IntArray(_) => ValueKind::Int,
            Value::Float(_) | Value::FloatArray(_) => ValueKind::Float,
            Value::Bool(_) | Value::BoolArray(_) => ValueKind::Bool,
        }
    }
}

/// A [`Value`] that borrows its text.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueRef<'a> {
    /// A string.
    Str(&'a str),
    /// A 64-bit integer.
    Int(i64),
    /// A finite float.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// An array of strings.
    StrArray(Vec<&'a str>),
    /// An array of integers.
    IntArray(Cow<'a, [i64]>),
    /// An array of finite floats.
    FloatArray(Cow<'a, [f64]>),
    /// An array of booleans.
    BoolArray(Cow<'a, [bool]>),
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Str(text) => ValueRef::Str(text),
            Value::Int(int) => ValueRef::Int(*int),
            Value::Float(float) => ValueRef::Float(*float),
            Value::Bool(bool) => ValueRef::Bool(*bool),
            Value::StrArray(texts) => ValueRef::StrArray(texts.iter().map(String::as_str).collect()),
            Value::IntArray(ints) => ValueRef::IntArray(ints.into()),
            Value::FloatArray(floats) => ValueRef::FloatArray(floats.into()),
            Value::BoolArray(bools) => ValueRef::BoolArray(bools.into()),
        }
    }
}

impl From<ValueRef<'_>> for Value {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Str(text) => Value::Str(text.to_owned()),
            ValueRef::Int(int) => Value::Int(int),
            ValueRef::Float(float) => Value::Float(float),
            ValueRef::Bool(bool) => Value::Bool(bool),
            ValueRef::StrArray(texts) => Value::StrArray(texts.into_iter().map(str::to_owned).collect()),
            ValueRef::IntArray(ints) => Value::IntArray(ints.into_owned()),
            ValueRef::FloatArray(floats) => Value::FloatArray(floats.into_owned()),
            ValueRef::BoolArray(bools) => Value::BoolArray(bools.into_owned()),
        }
    }
}

/// Compares an integer with a float exactly, without rounding either. `None` for NaN.
pub fn compare_int_float(int: i64, float: f64) -> Option<Ordering> {
    const TWO_POW_63: f64 = 9_223_372_036_854_775_808.0;
    if float.is_nan() {
        return None;
    }
    if float >= TWO_POW_63 {
        return Some(Ordering::Less);
    }
    if float < -TWO_POW_63 {
        return Some(Ordering::Greater);
    }
    // In range: the truncated float is exactly representable as i64.
    let whole = float.trunc();
    Some(match int.cmp(&(whole as i64)) {
        Ordering::Equal => 0.0_f64.partial_cmp(&(float - whole))?,
        unequal => unequal,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn int_and_float_compare_without_rounding() {
        let big = (1_i64 << 53) + 1;
        assert_eq!(compare_int_float(big, (1_i64 << 53) as f64), Some(Ordering::Greater));
        assert_eq!(compare_int_float(1, 1.0), Some(Ordering::Equal));
        assert_eq!(compare_int_float(1, 1.5), Some(Ordering::Less));
        assert_eq!(compare_int_float(-1, -1.5), Some(Ordering::Greater));
        assert_eq!(compare_int_float(i64::MAX, 9_223_372_036_854_775_808.0), Some(Ordering::Less));
        assert_eq!(compare_int_float(i64::MIN, -9_223_372_036_854_775_808.0), Some(Ordering::Equal));
        assert_eq!(compare_int_float(0, f64::NEG_INFINITY), Some(Ordering::Greater));
        assert_eq!(compare_int_float(0, f64::NAN), None);
    }
}
