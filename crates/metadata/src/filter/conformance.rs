//! Every [`FilterSource`] against an evaluator that looks at one row after the other.

use std::cmp::Ordering;

use ferrochrome_types::{
    CancelToken, Code, Comparison, DocumentFilter, DocumentRows, Error, Filter, Metadata, Result, Scalar,
    Test, Value, compare_int_float,
};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{Lookup, Postings, write_lookup};

pub(crate) struct Documents(pub(crate) Vec<Option<String>>);

impl DocumentRows for Documents {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn document(&self, label: u32) -> Result<Option<&str>> {
        match self.0.get(label as usize) {
            Some(document) => Ok(document.as_deref()),
            None => Err(Error::corrupted("records.arrow", format!("no label {label}"))),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Row {
    metadata: Option<Metadata>,
    document: Option<String>,
}

type Source = (&'static str, Box<dyn FilterSource>);

/// Every source over the same rows, by name.
fn sources(rows: &[Row]) -> (Documents, Vec<Source>) {
    let documents = Documents(rows.iter().map(|row| row.document.clone()).collect());
    let mut postings = Postings::new();
    for (label, row) in (0..).zip(rows) {
        postings.insert(label, row.metadata.as_ref());
    }
    let cancel = CancelToken::default();
    let lookup = |full_text| {
        let bytes = write_lookup(None, &postings, &documents, full_text, &cancel).unwrap().unwrap();
        Box::new(Lookup::open_bytes(bytes).unwrap())
    };
    let sources: Vec<Source> = vec![
        ("lookup without full text", lookup(false)),
        ("lookup", lookup(true)),
        ("postings", Box::new(postings.clone())),
    ];
    (documents, sources)
}

fn check(rows: &[Row], filters: &[Filter]) {
    let (documents, sources) = sources(rows);
    for filter in filters {
        let expected: Vec<u32> =
            (0..).zip(rows).filter(|(_, row)| holds(filter, row)).map(|(label, _)| label).collect();
        for (name, source) in &sources {
            let cancel = CancelToken::default();
            let found = evaluate(filter, source.as_ref(), &documents, rows.len() as u32, &cancel).unwrap();
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{name}: {filter:?}");
        }
    }
}

fn order(value: &Value, scalar: &Scalar) -> Option<Ordering> {
    match (value, scalar) {
        (Value::Int(v), Scalar::Int(s)) => Some(v.cmp(s)),
        (Value::Int(v), Scalar::Float(s)) => compare_int_float(*v, *s),
        (Value::Float(v), Scalar::Int(s)) => compare_int_float(*s, *v).map(Ordering::reverse),
        (Value::Float(v), Scalar::Float(s)) => v.partial_cmp(s),
        _ => None,
    }
}

fn equal(value: &Value, scalar: &Scalar) -> bool {
    match (value, scalar) {
        (Value::Str(v), Scalar::Str(s)) => v == s,
        (Value::Bool(v), Scalar::Bool(s)) => v == s,
        _ => order(value, scalar) == Some(Ordering::Equal),
    }
}

fn contains(value: &Value, scalar: &Scalar) -> bool {
    match (value, scalar) {
        (Value::StrArray(v), Scalar::Str(s)) => v.contains(s),
        (Value::IntArray(v), Scalar::Int(s)) => v.contains(s),
        (Value::FloatArray(v), Scalar::Float(s)) => v.contains(s),
        (Value::BoolArray(v), Scalar::Bool(s)) => v.contains(s),
        _ => false,
    }
}

fn compares(comparison: Comparison, order: Option<Ordering>) -> bool {
    order.is_some_and(|order| match comparison {
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
    })
}

fn holds(filter: &Filter, row: &Row) -> bool {
    match filter {
        Filter::And(parts) => parts.iter().all(|part| holds(part, row)),
        Filter::Or(parts) => parts.iter().any(|part| holds(part, row)),
        Filter::Document(filter) => document_holds(filter, row.document.as_deref()),
        Filter::Key(key, test) => {
            let value = row.metadata.as_ref().and_then(|metadata| metadata.get(key));
            let has = |test: &dyn Fn(&Value) -> bool| value.is_some_and(test);
            match test {
                Test::Equal(s) => has(&|v| equal(v, s)),
                Test::NotEqual(s) => !has(&|v| equal(v, s)),
                Test::Compare(c, s) => has(&|v| compares(*c, order(v, s))),
                Test::In(list) => list.iter().any(|s| has(&|v| equal(v, s))),
                Test::NotIn(list) => !list.iter().any(|s| has(&|v| equal(v, s))),
                Test::Contains(s) => has(&|v| contains(v, s)),
                Test::NotContains(s) => !has(&|v| contains(v, s)),
            }
        }
    }
}

fn document_holds(filter: &DocumentFilter, document: Option<&str>) -> bool {
    let matches = |pattern: &str| document.is_some_and(|d| regex::Regex::new(pattern).unwrap().is_match(d));
    match filter {
        DocumentFilter::And(parts) => parts.iter().all(|part| document_holds(part, document)),
        DocumentFilter::Or(parts) => parts.iter().any(|part| document_holds(part, document)),
        DocumentFilter::Contains(needle) => document.is_some_and(|d| d.contains(needle.as_str())),
        DocumentFilter::NotContains(needle) => !document.is_some_and(|d| d.contains(needle.as_str())),
        DocumentFilter::Regex(pattern) => matches(pattern),
        DocumentFilter::NotRegex(pattern) => !matches(pattern),
    }
}

const HOSTILE: [&str; 14] = [
    "",
    "a",
    "A",
    "\0",
    "a\0b",
    "%",
    "_",
    "\\",
    "' OR 1=1 --",
    "\"",
    "__proto__",
    "\u{1F980}",
    "e\u{301}",
    "\u{e9}",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(&HOSTILE[..]).prop_map(String::from),
        1 => any::<char>().prop_map(|c| c.to_string().repeat(10_000 / c.len_utf8())),
        2 => ".{0,6}",
    ]
}

fn int() -> impl Strategy<Value = i64> {
    prop_oneof![-2..3_i64, Just(1 << 53), Just((1 << 53) + 1), Just(i64::MAX), Just(i64::MIN)]
}

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![
        int().prop_map(|i| i as f64),
        int().prop_map(|i| i as f64 / 2.0),
        prop::sample::select(vec![-0.0, 0.1, 1.5, 1e300, -1e300, f64::MIN_POSITIVE])
    ]
}

fn value() -> impl Strategy<Value = Value> {
    use prop::collection::vec;
    prop_oneof![
        text().prop_map(Value::Str),
        int().prop_map(Value::Int),
        float().prop_map(Value::Float),
        any::<bool>().prop_map(Value::Bool),
        vec(text(), 1..4).prop_map(Value::StrArray),
        vec(int(), 1..4).prop_map(Value::IntArray),
        vec(float(), 1..4).prop_map(Value::FloatArray),
        vec(any::<bool>(), 1..4).prop_map(Value::BoolArray),
    ]
}

fn scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        text().prop_map(Scalar::Str),
        int().prop_map(Scalar::Int),
        float().prop_map(Scalar::Float),
        any::<bool>().prop_map(Scalar::Bool),
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(&["k", "", "__proto__", "a\0b", "\u{1F980}", "K", "'", "#id"][..])
        .prop_map(String::from)
}

fn number() -> impl Strategy<Value = Scalar> {
    prop_oneof![int().prop_map(Scalar::Int), float().prop_map(Scalar::Float)]
}

fn key_test() -> impl Strategy<Value = Test> {
    let comparison = prop::sample::select(vec![
        Comparison::Greater,
        Comparison::GreaterOrEqual,
        Comparison::Less,
        Comparison::LessOrEqual,
    ]);
    prop_oneof![
        scalar().prop_map(Test::Equal),
        scalar().prop_map(Test::NotEqual),
        (comparison, number()).prop_map(|(c, s)| Test::Compare(c, s)),
        prop::collection::vec(scalar(), 0..4).prop_map(Test::In),
        prop::collection::vec(scalar(), 0..4).prop_map(Test::NotIn),
        scalar().prop_map(Test::Contains),
        scalar().prop_map(Test::NotContains),
    ]
}

/// Text over a small alphabet, so that needles are found.
fn words() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[abAB\"\\\\%_*\0\u{1}\u{e9}\u{1F980} \u{4F60}\u{597D}]{0,24}", 1 => any::<String>(), 1 => text()]
}

fn document_test() -> impl Strategy<Value = DocumentFilter> {
    let needle =
        || prop_oneof![6 => "[abAB\"\\\\%_*\0\u{1}\u{e9}\u{1F980} \u{4F60}\u{597D}]{0,5}", 1 => words()];
    let pattern = || {
        prop::sample::select(
            &[
                "",
                "a",
                "aba",
                "(?i)aba",
                "a.b",
                "aba|bab",
                "(aba)+ ?b",
                "^ab",
                "[ab]{3}",
                "\u{4F60}\u{597D}",
                r"a\x00b",
                "(?s)a.*bab",
                r"\bab",
            ][..],
        )
        .prop_map(String::from)
    };
    let leaf = prop_oneof![
        needle().prop_map(DocumentFilter::Contains),
        needle().prop_map(DocumentFilter::NotContains),
        pattern().prop_map(DocumentFilter::Regex),
        pattern().prop_map(DocumentFilter::NotRegex),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(DocumentFilter::And),
            prop::collection::vec(inner, 0..3).prop_map(DocumentFilter::Or),
        ]
    })
}

fn filter() -> impl Strategy<Value = Filter> {
    let leaf = prop_oneof![
        3 => (key(), key_test()).prop_map(|(k, t)| Filter::Key(k, t)),
        1 => document_test().prop_map(Filter::Document),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::And),
            prop::collection::vec(inner, 0..4).prop_map(Filter::Or),
        ]
    })
}

fn row() -> impl Strategy<Value = Row> {
    let metadata = prop::option::weighted(0.9, prop::collection::btree_map(key(), value(), 0..5));
    (metadata, prop::option::weighted(0.8, words()))
        .prop_map(|(metadata, document)| Row { metadata, document })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn sources_agree_with_the_rows(
        rows in prop::collection::vec(row(), 0..30),
        filters in prop::collection::vec(filter(), 1..24)
    ) {
        check(&rows, &filters);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2))]
    /// Enough documents that the full-text index is asked.
    #[test]
    fn full_text_agrees_with_the_documents(
        documents in prop::collection::vec(words(), 1..60),
        filters in prop::collection::vec(document_test(), 1..24)
    ) {
        let mut rows: Vec<Row> =
            (0..800).map(|i| Row { document: Some(documents[i * i % documents.len()].clone()), metadata: None }).collect();
        // Ballast makes the trigrams of the others rare.
        for i in 0..6_000 {
            rows.push(Row { document: Some(format!("{i:08} ballast without any of it {i}")), metadata: None });
        }
        let filters: Vec<Filter> = filters.into_iter().map(Filter::Document).collect();
        check(&rows, &filters);
    }
}

fn with(key: &str, value: Value) -> Row {
    Row { metadata: Some([(key.to_owned(), value)].into()), document: None }
}

fn labels(rows: &[Row], filter: serde_json::Value) -> Vec<u32> {
    let filter = parse_filter(&filter).unwrap();
    check(rows, std::slice::from_ref(&filter));
    let (documents, sources) = sources(rows);
    let found =
        evaluate(&filter, sources[0].1.as_ref(), &documents, rows.len() as u32, &CancelToken::default());
    found.unwrap().iter().collect()
}

#[test]
fn negations_match_records_without_the_key() {
    let rows = [
        with("k", Value::Int(1)),
        with("k", Value::Str("1".into())),
        with("other", Value::Int(1)),
        Row::default(),
        with("k", Value::IntArray(vec![1, 2])),
        Row { document: Some("text 1".into()), metadata: None },
    ];
    assert_eq!(labels(&rows, json!({"k": {"$ne": 1}})), [1, 2, 3, 4, 5]);
    assert_eq!(labels(&rows, json!({"k": {"$nin": [1, 2]}})), [1, 2, 3, 4, 5]);
    assert_eq!(labels(&rows, json!({"k": {"$not_contains": 1}})), [0, 1, 2, 3, 5]);
    assert_eq!(labels(&rows, json!({"#document": {"$not_contains": "text"}})), [0, 1, 2, 3, 4]);
    assert_eq!(labels(&rows, json!({"#document": {"$not_regex": "t.xt"}})), [0, 1, 2, 3, 4]);
    assert_eq!(labels(&rows, json!({"#document": {"$contains": ""}})), [5]);
    assert_eq!(labels(&rows, json!({"#document": {"$regex": ""}})), [5]);
    assert_eq!(labels(&rows, json!({"$and": []})), [0, 1, 2, 3, 4, 5]);
    assert_eq!(labels(&rows, json!({"$or": []})), [0; 0]);
}

#[test]
fn numbers_compare_by_value_and_arrays_by_type() {
    let rows = [
        with("k", Value::Int(1)),
        with("k", Value::Float(1.0)),
        with("k", Value::Bool(true)),
        with("k", Value::Float(1.5)),
        with("k", Value::Int((1 << 53) + 1)),
        with("k", Value::IntArray(vec![1])),
        with("k", Value::FloatArray(vec![1.0])),
    ];
    assert_eq!(labels(&rows, json!({"k": 1})), [0, 1]);
    assert_eq!(labels(&rows, json!({"k": 1.0})), [0, 1]);
    assert_eq!(labels(&rows, json!({"k": true})), [2]);
    assert_eq!(labels(&rows, json!({"k": {"$gte": 1.5}})), [3, 4]);
    assert_eq!(labels(&rows, json!({"k": {"$lt": 1.2}})), [0, 1]);
    assert_eq!(labels(&rows, json!({"k": {"$eq": 1.2}})), [0; 0]);
    assert_eq!(labels(&rows, json!({"k": 1_i64 << 53})), [0; 0]);
    assert_eq!(labels(&rows, json!({"k": {"$gt": 9007199254740992.0}})), [4]);
    assert_eq!(labels(&rows, json!({"k": {"$contains": 1}})), [5]);
    assert_eq!(labels(&rows, json!({"k": {"$contains": 1.0}})), [6]);
    assert_eq!(labels(&rows, json!({"k": {"$in": [1.5, 1]}})), [0, 1, 3]);
}

#[test]
fn ranges_over_many_blocks() {
    let rows: Vec<Row> = (0..20_000)
        .map(|i| {
            let n = (i * 7919) % 20_011;
            with("n", if i % 3 == 0 { Value::Float(n as f64 + 0.5) } else { Value::Int(n / 10) })
        })
        .collect();
    let filters: Vec<Filter> = [
        json!({"n": {"$gt": 100}}),
        json!({"n": {"$gte": 100.5}}),
        json!({"n": {"$lt": 1999}}),
        json!({"n": {"$lte": -1}}),
        json!({"n": 1234}),
        json!({"n": 1234.5}),
        json!({"$and": [{"n": {"$gt": 5000}}, {"n": {"$lt": 5001}}]}),
        json!({"n": {"$nin": [3.5, 1, 2]}}),
    ]
    .iter()
    .map(|json| parse_filter(json).unwrap())
    .collect();
    check(&rows, &filters);
}

#[test]
fn cancelled_scans_stop() {
    let rows = vec![Row { document: Some("text".into()), metadata: None }; 100];
    let (documents, sources) = sources(&rows);
    let cancel = CancelToken::default();
    cancel.cancel();
    for (_, source) in &sources {
        let filter = Filter::Document(DocumentFilter::Contains("x".into()));
        let error = evaluate(&filter, source.as_ref(), &documents, 100, &cancel).unwrap_err();
        assert_eq!(error.code(), Code::Cancelled);
    }
}
