//! The engine against a list in memory: whatever sequence of writes, seals, merges and reopenings, both answer the same.

use std::collections::BTreeMap;

use ferrochrome_engine::{
    Collection, DeleteRequest, GetRequest, Handle, IdList, MetadataPatch, QueryRequest, WriteBatch, WriteKind,
};
use ferrochrome_types::{CancelToken, Comparison, Filter, Metadata, Scalar, Test, Value};
use proptest::prelude::*;
use std::sync::Arc;
use uuid::Uuid;

use crate::support;

const DIM: usize = 3;
/// Ids that are easily confused, and some that have broken other databases.
const IDS: [&str; 12] = [
    "a",
    "b",
    "A",
    "\u{0}",
    "\u{1f600}",
    "__proto__",
    "'; drop table log; --",
    "\"",
    "a\u{301}",
    "\u{e1}",
    "%",
    "../x",
];
const KEYS: [&str; 4] = ["n", "__proto__", "quote\"'", "\u{1f600}\u{0}"];

#[derive(Clone, Debug)]
struct Row {
    id: usize,
    vector: Option<[i8; DIM]>,
    document: Option<String>,
    metadata: Option<MetadataPatch>,
}

#[derive(Clone, Debug)]
enum Step {
    Write(WriteKind, Vec<Row>),
    Delete(Vec<usize>),
    DeleteWhere(i64),
    Compact,
    Reopen,
}

fn value() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        (0..4_i64).prop_map(|v| Some(Value::Int(v))),
        Just(Some(Value::Int(i64::MIN))),
        (0..4_i8).prop_map(|v| Some(Value::Float(f64::from(v) / 2.0))),
        any::<bool>().prop_map(|v| Some(Value::Bool(v))),
        prop_oneof![Just("x"), Just(""), Just("\u{0}y")].prop_map(|v| Some(Value::Str(v.to_owned()))),
        prop::collection::vec(0..3_i64, 1..3).prop_map(|v| Some(Value::IntArray(v))),
        Just(None),
    ]
}

fn row(with_vector: bool) -> impl Strategy<Value = Row> {
    let patch =
        prop::collection::btree_map(prop::sample::select(&KEYS[..]).prop_map(str::to_owned), value(), 0..3);
    let document = prop_oneof![Just("red fish"), Just("blue \u{1f41f}"), Just("")].prop_map(str::to_owned);
    (0..IDS.len(), any::<[i8; DIM]>(), prop::option::of(document), prop::option::of(patch)).prop_map(
        move |(id, vector, document, metadata)| Row {
            id,
            vector: with_vector.then_some(vector),
            document,
            metadata,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let rows = |with_vector| prop::collection::vec(row(with_vector), 1..5);
    let some_vectors = prop::collection::vec(any::<bool>().prop_flat_map(row), 1..5);
    prop_oneof![
        4 => rows(true).prop_map(|rows| Step::Write(WriteKind::Add, rows)),
        3 => rows(true).prop_map(|rows| Step::Write(WriteKind::Upsert, rows)),
        2 => rows(true).prop_map(|rows| Step::Write(WriteKind::Update, rows)),
        2 => rows(false).prop_map(|rows| Step::Write(WriteKind::Update, rows)),
        2 => some_vectors.prop_map(|rows| Step::Write(WriteKind::Update, rows)),
        2 => prop::collection::vec(0..IDS.len(), 1..3).prop_map(Step::Delete),
        1 => (0..4_i64).prop_map(Step::DeleteWhere),
        1 => Just(Step::Compact),
        1 => Just(Step::Reopen),
    ]
}

/// What a record should be.
#[derive(Clone, Debug, PartialEq)]
struct Expected {
    id: String,
    vector: Vec<f32>,
    document: Option<String>,
    metadata: Option<Metadata>,
}

/// Records in insertion order.
#[derive(Default)]
struct Model(Vec<Expected>);

impl Model {
    fn write(&mut self, kind: WriteKind, rows: &[Row]) {
        for row in rows {
            let id = IDS[row.id];
            let known = self.0.iter().position(|expected| expected.id == id);
            let at = match (known, kind) {
                (Some(_), WriteKind::Add) | (None, WriteKind::Update) => continue,
                (Some(at), _) => at,
                (None, _) => {
                    self.0.push(Expected {
                        id: id.to_owned(),
                        vector: vec![],
                        document: None,
                        metadata: None,
                    });
                    self.0.len() - 1
                }
            };
            let expected = &mut self.0[at];
            if let Some(vector) = row.vector {
                expected.vector = vector.map(f32::from).to_vec();
            }
            if let Some(document) = &row.document {
                expected.document = Some(document.clone());
            }
            let mut merged = expected.metadata.take().unwrap_or_default();
            for (key, value) in row.metadata.iter().flatten() {
                match value {
                    Some(value) => merged.insert(key.clone(), value.clone()),
                    None => merged.remove(key),
                };
            }
            expected.metadata = (!merged.is_empty()).then_some(merged);
        }
    }
}

/// `n >= bound`, for integers and floats alike.
fn at_least(bound: i64) -> Filter {
    Filter::Key("n".to_owned(), Test::Compare(Comparison::GreaterOrEqual, Scalar::Int(bound)))
}

fn passes(expected: &Expected, bound: i64) -> bool {
    match expected.metadata.as_ref().and_then(|metadata| metadata.get("n")) {
        Some(Value::Int(v)) => *v >= bound,
        Some(Value::Float(v)) => *v >= bound as f64,
        _ => false,
    }
}

struct Subject {
    folder: tempfile::TempDir,
    handle: Handle,
    collection: Arc<Collection>,
    id: Uuid,
}

impl Subject {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let handle = open(folder.path());
        let collection = support::create(&handle, "subject", "{}");
        let id = collection.id();
        Subject { folder, handle, collection, id }
    }

    fn reopen(&mut self) {
        self.handle.close().unwrap();
        self.handle = open(self.folder.path());
        self.collection = self.handle.database().unwrap().collection(self.id).unwrap();
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Write(kind, rows) => self.collection.write(*kind, batch(rows)).unwrap(),
            Step::Delete(ids) => {
                let ids: IdList = ids.iter().map(|id| IDS[*id]).collect();
                let asked = ids.len() as u64;
                let request = DeleteRequest { ids: Some(ids), ..DeleteRequest::default() };
                assert_eq!(self.collection.delete(&request).unwrap(), asked);
            }
            Step::DeleteWhere(bound) => {
                let request =
                    DeleteRequest { filter: Some(at_least(*bound).into()), ..DeleteRequest::default() };
                self.collection.delete(&request).unwrap();
            }
            Step::Compact => self.collection.compact(&CancelToken::default()).unwrap(),
            Step::Reopen => self.reopen(),
        }
    }

    fn get(&self, request: &GetRequest) -> Vec<Expected> {
        let result = self.collection.get(request, &CancelToken::default()).unwrap();
        let read = |row| Expected {
            id: result.snapshot.id(row).unwrap().to_owned(),
            vector: result.snapshot.vector(row).unwrap().to_vec(),
            document: result.snapshot.document(row).unwrap().map(str::to_owned),
            metadata: result.snapshot.metadata(row).unwrap(),
        };
        result.rows.iter().map(|row| read(*row)).collect()
    }
}

fn open(folder: &std::path::Path) -> Handle {
    // Seals at a handful of rows, in the background, at whatever moment.
    support::open(folder, support::options(6))
}

fn batch(rows: &[Row]) -> WriteBatch {
    let kept: Vec<usize> = (0..rows.len()).filter(|i| rows[*i].vector.is_none()).collect();
    let vectors = || rows.iter().flat_map(|row| row.vector.unwrap_or_default().map(f32::from)).collect();
    let embeddings = (kept.len() < rows.len()).then(vectors);
    WriteBatch {
        kept_embeddings: if embeddings.is_some() { kept } else { Vec::new() },
        ids: rows.iter().map(|row| IDS[row.id].to_owned()).collect(),
        dim: if embeddings.is_some() { DIM } else { 0 },
        embeddings,
        documents: Some(rows.iter().map(|row| row.document.clone()).collect()),
        metadatas: Some(rows.iter().map(|row| row.metadata.clone()).collect()),
        ..WriteBatch::default()
    }
}

fn check(subject: &Subject, model: &Model) {
    assert_eq!(subject.collection.count().unwrap(), model.0.len() as u64);
    assert_eq!(subject.get(&GetRequest::default()), model.0);
    let page = GetRequest { limit: Some(3), offset: 2, ..GetRequest::default() };
    assert_eq!(subject.get(&page), model.0.iter().skip(2).take(3).cloned().collect::<Vec<_>>());
    let filtered = GetRequest { filter: Some(at_least(1).into()), ..GetRequest::default() };
    let expected: Vec<_> = model.0.iter().filter(|row| passes(row, 1)).cloned().collect();
    assert_eq!(subject.get(&filtered), expected);
    check_query(subject, model, None);
    check_query(subject, model, Some(1));
}

fn check_query(subject: &Subject, model: &Model, bound: Option<i64>) {
    let query = [1.0, -2.0, 3.0];
    let request = QueryRequest {
        embeddings: query.to_vec(),
        dim: DIM,
        k: 4,
        filter: bound.map(at_least).map(Into::into),
        ..QueryRequest::default()
    };
    let found = subject.collection.query(request, &CancelToken::default()).unwrap();
    let distances: Vec<f32> = found.queries[0].iter().map(|(_, distance)| *distance).collect();
    let squared = |row: &Expected| row.vector.iter().zip(query).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
    let matching = model.0.iter().filter(|row| bound.is_none_or(|bound| passes(row, bound)));
    let by_id: BTreeMap<&str, f32> = matching.map(|row| (row.id.as_str(), squared(row))).collect();
    let mut expected: Vec<f32> = by_id.values().copied().collect();
    expected.sort_by(f32::total_cmp);
    expected.truncate(4);
    assert_eq!(distances, expected);
    for (row, distance) in &found.queries[0] {
        assert_eq!(by_id[found.snapshot.id(*row).unwrap()], *distance);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn engine_and_model_agree(steps in prop::collection::vec(step(), 1..24)) {
        let mut subject = Subject::new();
        let mut model = Model::default();
        for step in &steps {
            subject.apply(step);
            match step {
                Step::Write(kind, rows) => model.write(*kind, rows),
                Step::Delete(ids) => model.0.retain(|row| !ids.iter().any(|id| IDS[*id] == row.id)),
                Step::DeleteWhere(bound) => model.0.retain(|row| !passes(row, *bound)),
                Step::Compact | Step::Reopen => {}
            }
            check(&subject, &model);
        }
    }
}
