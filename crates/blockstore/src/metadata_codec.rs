//! Metadata as bytes: binary JSON that keeps integers and floats apart.
//!
//! ```text
//! metadata = count, { key: text, tag: u8, value }     keys ascending and distinct
//! text     = length, UTF-8 bytes
//! value    = 0: text   1: i64   2: f64   3: (false)   4: (true)
//!            5: count, texts   6: count, i64s   7: count, f64s   8: count, bytes 0 or 1
//! count, length = LEB128, at most 5 bytes;  i64, f64 = 8 bytes, little endian
//! ```

use ferrochrome_types::{Code, Error, Metadata, Result, Value, ValueRef};

const STR: u8 = 0;
const INT: u8 = 1;
const FLOAT: u8 = 2;
const FALSE: u8 = 3;
const TRUE: u8 = 4;
const STR_ARRAY: u8 = 5;
const INT_ARRAY: u8 = 6;
const FLOAT_ARRAY: u8 = 7;
const BOOL_ARRAY: u8 = 8;

/// The bytes of `metadata`.
pub fn encode(metadata: &Metadata) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 * (metadata.len() + 1));
    put_count(&mut out, metadata.len());
    for (key, value) in metadata {
        put_text(&mut out, key);
        put_value(&mut out, value);
    }
    out
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// `Corrupted` for anything else. The message names no file; whoever knows it adds it.
pub fn decode(bytes: &[u8]) -> Result<Metadata> {
    let mut metadata = Metadata::new();
    for_each_entry(bytes, &mut |key, value| {
        metadata.insert(key.to_owned(), value.into());
    })?;
    Ok(metadata)
}

/// Calls `f` with every key and its value of what [`encode`] wrote, keys ascending.
///
/// # Errors
/// As [`decode`], perhaps after `f` saw the entries before what is malformed.
pub fn for_each_entry(bytes: &[u8], f: &mut dyn FnMut(&str, ValueRef<'_>)) -> Result<()> {
    let malformed = || Error::new(Code::Corrupted, "metadata is malformed");
    let mut input = Input(bytes);
    let mut last = None;
    for _ in 0..input.count().ok_or_else(malformed)? {
        let key = input.text().filter(|key| last < Some(*key)).ok_or_else(malformed)?;
        f(key, input.value().ok_or_else(malformed)?);
        last = Some(key);
    }
    if input.0.is_empty() { Ok(()) } else { Err(malformed()) }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let mut rest = count;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_count(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Str(text) => {
            out.push(STR);
            put_text(out, text);
        }
        Value::Int(int) => {
            out.push(INT);
            out.extend_from_slice(&int.to_le_bytes());
        }
        Value::Float(float) => {
            out.push(FLOAT);
            out.extend_from_slice(&float.to_le_bytes());
        }
        Value::Bool(bool) => out.push(if *bool { TRUE } else { FALSE }),
        Value::StrArray(texts) => put_array(out, STR_ARRAY, texts, |out, text| put_text(out, text)),
        Value::IntArray(ints) => {
            put_array(out, INT_ARRAY, ints, |out, int| out.extend_from_slice(&int.to_le_bytes()))
        }
        Value::FloatArray(floats) => {
            put_array(out, FLOAT_ARRAY, floats, |out, float| out.extend_from_slice(&float.to_le_bytes()));
        }
        Value::BoolArray(bools) => put_array(out, BOOL_ARRAY, bools, |out, bool| out.push(u8::from(*bool))),
    }
}

fn put_array<T>(out: &mut Vec<u8>, tag: u8, elements: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    out.push(tag);
    put_count(out, elements.len());
    for element in elements {
        put(out, element);
    }
}

/// What is left to read. Every method is `None` at the end of the bytes.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        self.0.split_off(..len)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn eight(&mut self) -> Option<[u8; 8]> {
        self.take(8)?.try_into().ok()
    }

    fn count(&mut self) -> Option<usize> {
        let mut count = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            count |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(count).ok();
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = self.count()?;
        std::str::from_utf8(self.take(len)?).ok()
    }

    /// No element is shorter than a byte, so a count beyond the bytes that are left is refused before anything is reserved.
    fn array<T>(&mut self, mut element: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.count()?;
        if count > self.0.len() {
            return None;
        }
        (0..count).map(|_| element(self)).collect()
    }

    fn bool(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn value(&mut self) -> Option<ValueRef<'a>> {
        Some(match self.byte()? {
            STR => ValueRef::Str(self.text()?),
            INT => ValueRef::Int(i64::from_le_bytes(self.eight()?)),
            FLOAT => ValueRef::Float(f64::from_le_bytes(self.eight()?)),
            FALSE => ValueRef::Bool(false),
            TRUE => ValueRef::Bool(true),
            STR_ARRAY => ValueRef::StrArray(self.array(Self::text)?),
            INT_ARRAY => ValueRef::IntArray(self.array(|i| i.eight().map(i64::from_le_bytes))?.into()),
            FLOAT_ARRAY => ValueRef::FloatArray(self.array(|i| i.eight().map(f64::from_le_bytes))?.into()),
            BOOL_ARRAY => ValueRef::BoolArray(self.array(Self::bool)?.into()),
            _ => return None,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    /// Any value.
    pub(crate) fn any_value() -> impl Strategy<Value = Value> {
        let finite = || any::<f64>().prop_filter("finite", |f| f.is_finite());
        prop_oneof![
            ".{0,12}".prop_map(Value::Str),
            any::<i64>().prop_map(Value::Int),
            finite().prop_map(Value::Float),
            any::<bool>().prop_map(Value::Bool),
            vec(".{0,4}", 1..4).prop_map(Value::StrArray),
            vec(any::<i64>(), 1..4).prop_map(Value::IntArray),
            vec(finite(), 1..4).prop_map(Value::FloatArray),
            vec(any::<bool>(), 1..4).prop_map(Value::BoolArray),
        ]
    }

    /// Any metadata with at least one key.
    pub(crate) fn any_metadata() -> impl Strategy<Value = Metadata> {
        btree_map(".{0,8}", any_value(), 1..6)
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(metadata in any_metadata()) {
            prop_assert_eq!(decode(&encode(&metadata)).unwrap(), metadata);
        }

        #[test]
        fn a_prefix_or_a_longer_string_is_refused(metadata in any_metadata(), cut in any::<prop::sample::Index>()) {
            let bytes = encode(&metadata);
            prop_assert!(decode(&bytes[..cut.index(bytes.len())]).is_err());
            prop_assert!(decode(&[&bytes[..], &[0]].concat()).is_err());
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes in vec(any::<u8>(), 0..64)) {
            if let Ok(metadata) = decode(&bytes) {
                prop_assert_eq!(decode(&encode(&metadata)).map(|m| m.len()).ok(), Some(metadata.len()));
            }
        }
    }

    #[test]
    fn a_huge_count_reserves_nothing() {
        let huge = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(decode(&huge).is_err());
        for tag in [STR, STR_ARRAY, INT_ARRAY, FLOAT_ARRAY, BOOL_ARRAY] {
            assert!(decode(&[&[1, 1, b'k', tag][..], &huge].concat()).is_err());
        }
    }

    #[test]
    fn keys_out_of_order_or_twice_are_refused() {
        let entry = |key: u8| [1, key, TRUE];
        assert!(decode(&[&[2][..], &entry(b'a'), &entry(b'b')].concat()).is_ok());
        assert!(decode(&[&[2][..], &entry(b'b'), &entry(b'a')].concat()).is_err());
        assert!(decode(&[&[2][..], &entry(b'a'), &entry(b'a')].concat()).is_err());
    }
}
