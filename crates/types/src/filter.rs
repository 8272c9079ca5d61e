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
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
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

/// A document filter (`where_document`).
#[derive(Clone, Debug, PartialEq)]
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
