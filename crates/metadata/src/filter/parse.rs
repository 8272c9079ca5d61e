//! Chroma's `where` and `where_document`.

use ferrochrome_types::{
    Code, Comparison, DocumentFilter, Error, Filter, Result, Scalar, Test, ValueKind, limits,
};
use serde_json::{Map, Value as Json};

use super::compile_regex;

/// The key under which a metadata filter tests the document.
const DOCUMENT_KEY: &str = "#document";

/// Reads a metadata filter: Chroma's `where`.
///
/// An object with one key: `$and` or `$or` with an array of filters, or a metadata key with a scalar (which means `$eq`) or
/// with an object of one operator and its operand. The key `#document` takes document tests.
///
/// # Errors
/// `InvalidArgument` with Chroma's text `Invalid where clause` for whatever else it is, and with texts of their own for an
/// integer beyond 64 bits or a bad regular expression; `LimitExceeded` if it is nested too deep or has too many operators.
pub fn parse_filter(json: &Json) -> Result<Filter> {
    Parser { nodes: 0 }.filter(json, 0)
}

/// Reads a document filter: Chroma's `where_document`.
///
/// An object with one key: `$and` or `$or` with an array of filters, or `$contains`, `$not_contains`, `$regex`, `$not_regex`
/// with a string.
///
/// # Errors
/// `InvalidArgument` with Chroma's text `Invalid where document clause` for whatever else it is, and with texts of its own for a
/// bad regular expression; `LimitExceeded` if it is nested too deep or has too many operators.
pub fn parse_document_filter(json: &Json) -> Result<DocumentFilter> {
    Parser { nodes: 0 }.document_filter(json, 0)
}

struct Parser {
    nodes: usize,
}

fn invalid() -> Error {
    Error::invalid("Invalid where clause")
}

fn invalid_document() -> Error {
    Error::invalid("Invalid where document clause")
}

/// The one entry of an object that has exactly one.
fn single(object: &Map<String, Json>) -> Option<(&str, &Json)> {
    let (key, value) = object.iter().next()?;
    (object.len() == 1).then_some((key, value))
}

impl Parser {
    fn count(&mut self, depth: usize) -> Result<()> {
        self.nodes += 1;
        if depth > limits::MAX_FILTER_DEPTH {
            return Err(Error::new(
                Code::LimitExceeded,
                format!(
                    "The filter nests $and/$or deeper than {} levels: flatten it",
                    limits::MAX_FILTER_DEPTH
                ),
            ));
        }
        if self.nodes > limits::MAX_FILTER_NODES {
            return Err(Error::new(
                Code::LimitExceeded,
                format!(
                    "The filter has more than {} operators: use $in for lists of values",
                    limits::MAX_FILTER_NODES
                ),
            ));
        }
        Ok(())
    }

    fn filter(&mut self, json: &Json, depth: usize) -> Result<Filter> {
        self.count(depth)?;
        let (key, operand) = json.as_object().and_then(single).ok_or_else(invalid)?;
        match key {
            "$and" | "$or" => {
                let parts = operand.as_array().ok_or_else(invalid)?;
                let parts = parts.iter().map(|part| self.filter(part, depth + 1)).collect::<Result<_>>()?;
                Ok(if key == "$and" { Filter::And(parts) } else { Filter::Or(parts) })
            }
            _ if key.starts_with('$') => Err(invalid()),
            DOCUMENT_KEY => document_key(operand),
            _ => Ok(Filter::Key(key.to_owned(), test(operand)?)),
        }
    }

    fn document_filter(&mut self, json: &Json, depth: usize) -> Result<DocumentFilter> {
        self.count(depth)?;
        let (operator, operand) = json.as_object().and_then(single).ok_or_else(invalid_document)?;
        match operator {
            "$and" | "$or" => {
                let parts = operand.as_array().ok_or_else(invalid_document)?;
                let parts =
                    parts.iter().map(|part| self.document_filter(part, depth + 1)).collect::<Result<_>>()?;
                Ok(if operator == "$and" { DocumentFilter::And(parts) } else { DocumentFilter::Or(parts) })
            }
            _ => document_test(operator, operand)?.ok_or_else(invalid_document),
        }
    }
}

/// A document test, or `None` if the operator or its operand is none.
fn document_test(operator: &str, operand: &Json) -> Result<Option<DocumentFilter>> {
    let Some(text) = operand.as_str() else { return Ok(None) };
    let test: fn(String) -> DocumentFilter = match operator {
        "$contains" => DocumentFilter::Contains,
        "$not_contains" => DocumentFilter::NotContains,
        "$regex" => DocumentFilter::Regex,
        "$not_regex" => DocumentFilter::NotRegex,
        _ => return Ok(None),
    };
    if matches!(operator, "$regex" | "$not_regex") {
        compile_regex(text)?;
    }
    Ok(Some(test(text.to_owned())))
}

/// What follows the key `#document`.
fn document_key(operand: &Json) -> Result<Filter> {
    if let Some((operator, operand)) = operand.as_object().and_then(single)
        && let Some(test) = document_test(operator, operand)?
    {
        return Ok(Filter::Document(test));
    }
    // Documents have no index by value. Chroma says it so.
    Err(match test(operand)? {
        Test::Equal(scalar) | Test::NotEqual(scalar) | Test::Compare(_, scalar) => not_indexed(&scalar),
        Test::In(list) | Test::NotIn(list) => list.first().map_or_else(invalid, not_indexed),
        Test::Contains(_) | Test::NotContains(_) => invalid(),
    })
}

fn not_indexed(scalar: &Scalar) -> Error {
    let kind = match scalar {
        Scalar::Str(_) => ValueKind::Str,
        Scalar::Int(_) => ValueKind::Int,
        Scalar::Float(_) => ValueKind::Float,
        Scalar::Bool(_) => ValueKind::Bool,
    };
    Error::invalid(format!(
        "Cannot filter using metadata key '{DOCUMENT_KEY}' with type '{}' because indexing is disabled",
        kind.as_str()
    ))
}

fn test(operand: &Json) -> Result<Test> {
    let Json::Object(object) = operand else { return Ok(Test::Equal(scalar(operand)?)) };
    let (operator, operand) = single(object).ok_or_else(invalid)?;
    Ok(match operator {
        "$eq" => Test::Equal(scalar(operand)?),
        "$ne" => Test::NotEqual(scalar(operand)?),
        "$gt" => Test::Compare(Comparison::Greater, number(operand)?),
        "$gte" => Test::Compare(Comparison::GreaterOrEqual, number(operand)?),
        "$lt" => Test::Compare(Comparison::Less, number(operand)?),
        "$lte" => Test::Compare(Comparison::LessOrEqual, number(operand)?),
        "$in" => Test::In(list(operand)?),
        "$nin" => Test::NotIn(list(operand)?),
        "$contains" => Test::Contains(scalar(operand)?),
        "$not_contains" => Test::NotContains(scalar(operand)?),
        _ => return Err(invalid()),
    })
}

fn scalar(json: &Json) -> Result<Scalar> {
    match json {
        Json::String(v) => Ok(Scalar::Str(v.clone())),
        Json::Bool(v) => Ok(Scalar::Bool(*v)),
        Json::Number(_) => number(json),
        Json::Null | Json::Array(_) | Json::Object(_) => Err(invalid()),
    }
}

fn number(json: &Json) -> Result<Scalar> {
    let Json::Number(number) = json else { return Err(invalid()) };
    if let Some(int) = number.as_i64() {
        return Ok(Scalar::Int(int));
    }
    if number.is_u64() {
        return Err(Error::invalid(format!(
            "Invalid where clause: the integer {number} does not fit 64 bits with a sign, at most {} does",
            i64::MAX
        )));
    }
    number.as_f64().filter(|float| float.is_finite()).map(Scalar::Float).ok_or_else(invalid)
}

/// A list has the type of its first element; integers may follow a float, but not the other way round.
fn list(json: &Json) -> Result<Vec<Scalar>> {
    let items = json.as_array().filter(|items| !items.is_empty()).ok_or_else(invalid)?;
    let scalars = items.iter().map(scalar).collect::<Result<Vec<_>>>()?;
    let same_type = |scalar: &Scalar| {
        matches!(
            (&scalars[0], scalar),
            (Scalar::Str(_), Scalar::Str(_))
                | (Scalar::Bool(_), Scalar::Bool(_))
                | (Scalar::Int(_), Scalar::Int(_))
                | (Scalar::Float(_), Scalar::Float(_) | Scalar::Int(_))
        )
    };
    if scalars.iter().all(same_type) { Ok(scalars) } else { Err(invalid()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_every_operator() {
        let key = |test| Filter::Key("k".into(), test);
        for (json, expected) in [
            (json!({"k": "v"}), key(Test::Equal(Scalar::Str("v".into())))),
            (json!({"k": true}), key(Test::Equal(Scalar::Bool(true)))),
            (json!({"k": {"$ne": 1.0}}), key(Test::NotEqual(Scalar::Float(1.0)))),
            (json!({"k": {"$gt": 1}}), key(Test::Compare(Comparison::Greater, Scalar::Int(1)))),
            (json!({"k": {"$gte": 1.5}}), key(Test::Compare(Comparison::GreaterOrEqual, Scalar::Float(1.5)))),
            (json!({"k": {"$lt": i64::MIN}}), key(Test::Compare(Comparison::Less, Scalar::Int(i64::MIN)))),
            (json!({"k": {"$lte": 1}}), key(Test::Compare(Comparison::LessOrEqual, Scalar::Int(1)))),
            (json!({"k": {"$in": [1.5, 2]}}), key(Test::In(vec![Scalar::Float(1.5), Scalar::Int(2)]))),
            (json!({"k": {"$nin": ["a"]}}), key(Test::NotIn(vec![Scalar::Str("a".into())]))),
            (json!({"k": {"$contains": 1}}), key(Test::Contains(Scalar::Int(1)))),
            (json!({"k": {"$not_contains": "x"}}), key(Test::NotContains(Scalar::Str("x".into())))),
            (json!({"": 1}), Filter::Key("".into(), Test::Equal(Scalar::Int(1)))),
            (json!({"#id": "a"}), Filter::Key("#id".into(), Test::Equal(Scalar::Str("a".into())))),
            (json!({"$and": []}), Filter::And(vec![])),
            (json!({"$or": []}), Filter::Or(vec![])),
            (json!({"$or": [{"k": 1}]}), Filter::Or(vec![key(Test::Equal(Scalar::Int(1)))])),
            (
                json!({"#document": {"$contains": "x"}}),
                Filter::Document(DocumentFilter::Contains("x".into())),
            ),
            (
                json!({"#document": {"$not_regex": "x"}}),
                Filter::Document(DocumentFilter::NotRegex("x".into())),
            ),
        ] {
            assert_eq!(parse_filter(&json).unwrap(), expected, "{json}");
        }
    }

    #[test]
    fn refuses_malformed_clauses() {
        for json in [
            json!({}),
            json!(null),
            json!([]),
            json!("x"),
            json!({"a": 1, "b": 2}),
            json!({"k": null}),
            json!({"k": []}),
            json!({"k": {}}),
            json!({"k": {"$eq": 1, "$ne": 2}}),
            json!({"k": {"$eq": null}}),
            json!({"k": {"$eq": [1]}}),
            json!({"k": {"$gt": "a"}}),
            json!({"k": {"$gt": true}}),
            json!({"k": {"$in": []}}),
            json!({"k": {"$in": [1, "a"]}}),
            json!({"k": {"$in": [1, 1.5]}}),
            json!({"k": {"$in": [true, 1]}}),
            json!({"k": {"$in": "a"}}),
            json!({"k": {"$contains": [1]}}),
            json!({"k": {"$regex": "a"}}),
            json!({"k": {"nested": 1}}),
            json!({"$eq": 1}),
            json!({"$not": [{"k": 1}]}),
            json!({"$and": {"k": 1}}),
            json!({"$and": [1]}),
            json!({"#document": {"$contains": 1}}),
            json!({"#document": {"$matches": "a"}}),
        ] {
            let error = parse_filter(&json).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{json}");
            assert_eq!(error.message(), "Invalid where clause", "{json}");
        }
    }

    #[test]
    fn documents_cannot_be_looked_up_by_value() {
        let error = parse_filter(&json!({"#document": "a"})).unwrap_err();
        assert_eq!(
            error.message(),
            "Cannot filter using metadata key '#document' with type 'Str' because indexing is disabled"
        );
    }

    #[test]
    fn integers_beyond_64_bits_are_refused() {
        for json in [json!({"k": u64::MAX}), json!({"k": {"$in": [1, 1_u64 << 63]}})] {
            assert_eq!(parse_filter(&json).unwrap_err().code(), Code::InvalidArgument);
        }
    }

    #[test]
    fn reads_document_filters() {
        assert_eq!(
            parse_document_filter(
                &json!({"$and": [{"$contains": "a"}, {"$or": [{"$not_contains": ""}, {"$regex": "b"}]}]})
            )
            .unwrap(),
            DocumentFilter::And(vec![
                DocumentFilter::Contains("a".into()),
                DocumentFilter::Or(vec![
                    DocumentFilter::NotContains("".into()),
                    DocumentFilter::Regex("b".into())
                ])
            ])
        );
        for json in [
            json!({}),
            json!({"$contains": 1}),
            json!({"$contains": "a", "$regex": "b"}),
            json!({"$matches": "a"}),
            json!({"$not_matches": "a"}),
            json!({"k": {"$contains": "a"}}),
            json!({"$and": "a"}),
        ] {
            let error = parse_document_filter(&json).unwrap_err();
            assert_eq!(error.message(), "Invalid where document clause", "{json}");
        }
        let error = parse_document_filter(&json!({"$regex": "("})).unwrap_err();
        assert!(error.message().starts_with("Regex syntax errror: "), "{error}");
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let mut deep = json!({"k": 1});
        for _ in 0..limits::MAX_FILTER_DEPTH {
            deep = json!({"$and": [deep]});
        }
        parse_filter(&deep).unwrap();
        assert_eq!(parse_filter(&json!({"$or": [deep]})).unwrap_err().code(), Code::LimitExceeded);
        let wide = json!({"$or": vec![json!({"$contains": "x"}); limits::MAX_FILTER_NODES]});
        assert_eq!(parse_document_filter(&wide).unwrap_err().code(), Code::LimitExceeded);
    }
}
