use std::hash::{Hash, Hasher};

use crate::Value;

/// One value on the right-hand side of an operator.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// A string, compared by code points.
    Str(String),
    /// An integer.
    Int(i64),
    /// A finite float.
    Float(f64),
    /// A boolean, never equal to a number.
    Bool(bool),
}

/// As equality has it: both zeros of a float are one.
impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Scalar::Str(v) => v.hash(state),
            Scalar::Int(v) => v.hash(state),
            Scalar::Float(v) => (v + 0.0).to_bits().hash(state),
            Scalar::Bool(v) => v.hash(state),
        }
    }
}

impl From<Scalar> for Value {
    fn from(scalar: Scalar) -> Value {
        match scalar {
            Scalar::Str(v) => Value::Str(v),
            Scalar::Int(v) => Value::Int(v),
            Scalar::Float(v) => Value::Float(v),
            Scalar::Bool(v) => Value::Bool(v),
        }
    }
}

/// An ordering operator. Numeric keys only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `$gt`
    Greater,
    /// `$gte`
    GreaterOrEqual,
    /// `$lt`
    Less,
    /// `$lte`
    LessOrEqual,
}

/// What is asked of one metadata key.
///
/// The negated tests are exact complements: they also hold for records that lack the key, have no metadata at all, or hold
/// a value of another type there.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum Test {
    /// `$eq`: the key holds this scalar. Integers and floats compare by value.
    Equal(Scalar),
    /// `$ne`: complement of `$eq`.
    NotEqual(Scalar),
    /// `$gt`, `$gte`, `$lt`, `$lte` against [`Scalar::Int`] or [`Scalar::Float`]; true arithmetic between the two.
    Compare(Comparison, Scalar),
    /// `$in`: equal to any of these.
    In(Vec<Scalar>),
    /// `$nin`: complement of `$in`.
    NotIn(Vec<Scalar>),
    /// `$contains`: the key holds an array with this element. Never true of a scalar; integers and floats do not mix.
    Contains(Scalar),
    /// `$not_contains`: complement of `$contains`.
    NotContains(Scalar),
}

/// A metadata filter (`where`), possibly with document tests inside (key `#document`).
///
/// An empty `And` holds for every record, an empty `Or` for none.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum Filter {
    /// Every part holds.
    And(Vec<Filter>),
    /// At least one part holds.
    Or(Vec<Filter>),
    /// A test of one key.
    Key(String, Test),
    /// A test of the document.
    Document(DocumentFilter),
}

impl Filter {
    /// Memory that it takes beside its own size, in bytes.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Filter::And(parts) | Filter::Or(parts) => {
                size_of_val(&**parts) + parts.iter().map(Filter::heap_bytes).sum::<usize>()
            }
            Filter::Key(key, test) => key.len() + test.heap_bytes(),
            Filter::Document(filter) => filter.heap_bytes(),
        }
    }
}

impl Test {
    fn heap_bytes(&self) -> usize {
        let of = |scalar: &Scalar| if let Scalar::Str(text) = scalar { text.len() } else { 0 };
        match self {
            Test::In(scalars) | Test::NotIn(scalars) => {
                size_of_val(&**scalars) + scalars.iter().map(of).sum::<usize>()
            }
            Test::Equal(scalar)
            | Test::NotEqual(scalar)
            | Test::Compare(_, scalar)
            | Test::Contains(scalar)
            | Test::NotContains(scalar) => of(scalar),
        }
    }
}

/// A document filter (`where_document`).
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum DocumentFilter {
    /// Every part holds. Empty: every record.
    And(Vec<DocumentFilter>),
    /// At least one part holds. Empty: none.
    Or(Vec<DocumentFilter>),
    /// `$contains`: case-sensitive substring. The empty string: every record that has a document.
    Contains(String),
    /// `$not_contains`: complement, so also records without a document.
    NotContains(String),
    /// `$regex`: unanchored search in the syntax of the Rust `regex` crate.
    Regex(String),
    /// `$not_regex`: complement.
    NotRegex(String),
}

impl DocumentFilter {
    fn heap_bytes(&self) -> usize {
        match self {
            DocumentFilter::And(parts) | DocumentFilter::Or(parts) => {
                size_of_val(&**parts) + parts.iter().map(DocumentFilter::heap_bytes).sum::<usize>()
            }
            DocumentFilter::Contains(text)
            | DocumentFilter::NotContains(text)
            | DocumentFilter::Regex(text)
            | DocumentFilter::NotRegex(text) => text.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use super::*;

    #[test]
    fn equal_filters_have_one_hash() {
        let state = RandomState::new();
        let of = |scalar| state.hash_one(Filter::Key("k".into(), Test::In(vec![Scalar::Bool(true), scalar])));
        assert_eq!(Scalar::Float(0.0), Scalar::Float(-0.0));
        assert_eq!(of(Scalar::Float(0.0)), of(Scalar::Float(-0.0)));
        assert_ne!(of(Scalar::Float(1.0)), of(Scalar::Int(1)));
        assert_ne!(of(Scalar::Float(1.0)), of(Scalar::Float(1.5)));
    }

    #[test]
    fn memory_counts_what_a_filter_holds_wherever() {
        let key = |test| Filter::Key("key".into(), test);
        let nested = |text: &str| {
            let words = DocumentFilter::Or(vec![DocumentFilter::Contains(text.into())]);
            Filter::And(vec![key(Test::In(vec![Scalar::Str(text.into())])), Filter::Document(words)])
        };
        assert_eq!(key(Test::Equal(Scalar::Int(1))).heap_bytes(), 3);
        assert_eq!(nested("abcd").heap_bytes() - nested("").heap_bytes(), 8);
        let many = key(Test::NotIn(vec![Scalar::Int(1); 1_000])).heap_bytes();
        assert_eq!(many, 3 + 1_000 * size_of::<Scalar>());
    }
}
