//! Vectors in the body of an HTTP request.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ferrochrome_types::{Code, Error, Result, limits};
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, SeqAccess, Visitor};

/// Vectors, read into one row-major array: each from an array of numbers, or from the base64 of its little-endian `f32`s.
///
/// What is wrong with their values, rather than with their form, is remembered and told by [`check`](Self::check), since Chroma
/// finds fault with the form of the whole body first.
#[derive(Default)]
pub(crate) struct Vectors {
    /// `[rows, dim]`; rows that are null have zeros.
    pub values: Vec<f32>,
    /// Components of each vector; 0 while there is none.
    pub dim: usize,
    /// Vectors and nulls.
    pub rows: usize,
    /// Places of the nulls, ascending.
    pub nulls: Vec<usize>,
    /// Vectors that were numbers, and such that were base64.
    numbers: usize,
    texts: usize,
    fault: Option<Error>,
    scratch: Vec<u8>,
}

impl Vectors {
    /// # Errors
    /// `Unprocessable` if numbers and base64 are mixed; `InvalidArgument` for base64 that is none, a value that is not finite in it,
    /// and vectors of several dimensions; `LimitExceeded` if there are too many.
    pub fn check(&mut self) -> Result<()> {
        if self.numbers > 0 && self.texts > 0 {
            let message = "Failed to deserialize the JSON body into the target type: embeddings: all must be arrays of \
                           numbers, or all base64 strings";
            return Err(Error::new(Code::Unprocessable, message));
        }
        self.fault.take().map_or(Ok(()), Err)
    }

    /// Whether all are arrays of numbers.
    pub fn are_numbers(&self) -> bool {
        self.texts == 0 && self.nulls.is_empty()
    }

    fn keep_first(&mut self, fault: Error) {
        self.fault.get_or_insert(fault);
    }

    /// Ends a row that began at `start` of `values`.
    fn end_row(&mut self, start: usize) {
        let dim = self.values.len() - start;
        let first = self.rows == self.nulls.len();
        self.rows += 1;
        if first {
            // The zeros of nulls that came before.
            self.dim = dim;
            let nulls = self.nulls.len();
            self.values.splice(0..0, std::iter::repeat_n(0.0, nulls * dim));
        } else if dim != self.dim {
            self.values.truncate(start);
            self.values.resize(start + self.dim, 0.0);
            self.keep_first(Error::invalid("Inconsistent dimensions in provided embeddings"));
        }
    }

    fn push_null(&mut self) {
        self.nulls.push(self.rows);
        self.rows += 1;
        self.values.resize(self.values.len() + self.dim, 0.0);
    }

    fn push_base64(&mut self, text: &str) {
        let start = self.values.len();
        self.texts += 1;
        if let Err(fault) = self.decode(text) {
            self.keep_first(fault);
            self.values.truncate(start);
            self.values.resize(start + self.dim, 0.0);
        }
        self.end_row(start);
    }

    fn decode(&mut self, text: &str) -> Result<()> {
        self.scratch.clear();
        STANDARD
            .decode_vec(text, &mut self.scratch)
            .map_err(|e| Error::invalid(format!("Invalid base64 string: {e}")))?;
        let (components, rest) = self.scratch.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(Error::invalid(format!(
                "Invalid byte length: {} bytes cannot be converted to f32 values (must be divisible by 4)",
                self.scratch.len()
            )));
        }
        let components = components.iter().map(|bytes| f32::from_le_bytes(*bytes));
        if let Some(odd) = components.clone().find(|component| !component.is_finite()) {
            let message = format!("Non-finite float value at embedding index {}: {odd}", self.rows);
            return Err(Error::invalid(message));
        }
        self.values.extend(components);
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Vectors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(VectorsVisitor)
    }
}

struct VectorsVisitor;

impl<'de> Visitor<'de> for VectorsVisitor {
    type Value = Vectors;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vectors, A::Error> {
        let mut vectors = Vectors::default();
        while vectors.rows < limits::MAX_BODY_ROWS {
            if seq.next_element_seed(Row(&mut vectors))?.is_none() {
                return Ok(vectors);
            }
        }
        if seq.next_element::<de::IgnoredAny>()?.is_some() {
            while seq.next_element::<de::IgnoredAny>()?.is_some() {}
            vectors.keep_first(too_many("embeddings"));
        }
        Ok(vectors)
    }
}

/// One vector.
struct Row<'a>(&'a mut Vectors);

impl<'de> DeserializeSeed<'de> for Row<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.push_null();
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.push_base64(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let start = self.0.values.len();
        self.0.values.reserve(self.0.dim);
        // As Chroma reads it: a number too large for an `f32` is an infinity.
        while let Some(component) = seq.next_element::<f64>()? {
            self.0.values.push(component as f32);
        }
        self.0.numbers += 1;
        self.0.end_row(start);
        Ok(())
    }
}

pub(crate) fn too_many(what: &str) -> Error {
    let message = format!("More than {} {what} in one request: send them in several", limits::MAX_BODY_ROWS);
    Error::new(Code::LimitExceeded, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Vectors {
        serde_json::from_str(json).unwrap()
    }

    fn fault(json: &str) -> String {
        read(json).check().unwrap_err().message().to_owned()
    }

    #[test]
    fn numbers_and_base64_are_the_same_vectors() {
        for json in ["[[1,2.0],[-0.5,0.1]]", r#"["AACAPwAAAEA=","AAAAv83MzD0="]"#] {
            let mut vectors = read(json);
            vectors.check().unwrap();
            assert_eq!((vectors.rows, vectors.dim), (2, 2));
            assert_eq!(vectors.values, [1.0, 2.0, -0.5, 0.1]);
        }
    }

    #[test]
    fn nulls_hold_a_place() {
        let mut vectors = read("[null,[1,2],null,[3,4]]");
        vectors.check().unwrap();
        assert_eq!(vectors.values, [0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 3.0, 4.0]);
        assert_eq!(vectors.nulls, [0, 2]);
        assert_eq!((vectors.rows, vectors.dim), (4, 2));
        let nothing = read("[null,null]");
        assert_eq!((nothing.rows, nothing.dim, nothing.values.len()), (2, 0, 0));
    }

    #[test]
    fn faults_have_chromas_words() {
        assert_eq!(fault(r#"["AAA"]"#), "Invalid base64 string: Invalid padding");
        let odd = "Invalid byte length: 3 bytes cannot be converted to f32 values (must be divisible by 4)";
        assert_eq!(fault(r#"["AAAA"]"#), odd);
        assert_eq!(
            fault(r#"["AACAPwAAAEA=","AACAPwAAgH8="]"#),
            "Non-finite float value at embedding index 1: inf"
        );
        assert_eq!(fault("[[1,2],[1]]"), "Inconsistent dimensions in provided embeddings");
        assert!(
            fault(r#"["AACAPw==",[1]]"#).contains("all must be arrays of numbers, or all base64 strings")
        );
        let many = format!("[{}[1]]", "[1],".repeat(limits::MAX_BODY_ROWS));
        assert!(fault(&many).contains("embeddings in one request"));
    }

    #[test]
    fn other_forms_are_refused() {
        for json in ["3", "[3]", r#"[["a"]]"#, "[[[1]]]", "[[null]]", "[{}]", "[true]"] {
            assert!(serde_json::from_str::<Vectors>(json).is_err(), "{json}");
        }
    }
}
