//! The spaces without codes through the whole engine: filters, deletes, merges and reopening, on real data.

use ferrochrome_engine::{Collection, DeleteRequest, QueryRequest, WriteBatch, WriteKind};
use ferrochrome_testing::WordNet;
use ferrochrome_types::{CancelToken, Code, Filter, Metric, Scalar, Test, Value};

use crate::support::{create, open, options};

const ROWS: usize = 6_000;
const QUERIES: usize = 50;
const K: usize = 10;
/// Components that are kept of each vector: a sixth of the work.
const DIM: usize = 64;

/// The first components of each vector, of 0 and 1 or non-negative as the space wants them.
fn fitted(metric: Metric, vectors: &[f32]) -> Vec<f32> {
    let fit = |v: &f32| match metric {
        Metric::L1 => *v,
        Metric::Hamming => f32::from(u8::from(*v > 0.0)),
        _ => v.max(0.0),
    };
    vectors.chunks_exact(WordNet::DIM).flat_map(|vector| vector[..DIM].iter().map(fit)).collect()
}

fn write(collection: &Collection, vectors: &[f32], rows: std::ops::Range<usize>) {
    for from in rows.clone().step_by(1_000) {
        let batch = from..(from + 1_000).min(rows.end);
        let metadata = |row| Some([("third".to_owned(), Some(Value::Int(row as i64 % 3)))].into());
        let batch = WriteBatch {
            ids: batch.clone().map(|row| row.to_string()).collect(),
            embeddings: Some(vectors[batch.start * DIM..batch.end * DIM].to_vec()),
            dim: DIM,
            metadatas: Some(batch.map(metadata).collect()),
            ..WriteBatch::default()
        };
        collection.write(WriteKind::Add, batch).unwrap();
    }
}

fn third(of: i64) -> Filter {
    Filter::Key("third".to_owned(), Test::Equal(Scalar::Int(of)))
}

/// The nearest rows with their distances.
fn nearest(
    collection: &Collection,
    query: &[f32],
    filter: Option<&Filter>,
    exact: bool,
) -> Vec<(usize, f32)> {
    let request = QueryRequest {
        embeddings: query.to_vec(),
        dim: DIM,
        k: K,
        exact,
        filter: filter.cloned().map(Into::into),
        ..QueryRequest::default()
    };
    let result = collection.query(request, &CancelToken::default()).unwrap();
    let row =
        |(address, distance): &(_, f32)| (result.snapshot.id(*address).unwrap().parse().unwrap(), *distance);
    result.queries[0].iter().map(row).collect()
}

/// Checks recall@10, where rows as near as the tenth count, and that only rows that pass come back.
fn check(
    collection: &Collection,
    queries: &[f32],
    filter: Option<&Filter>,
    passes: impl Fn(usize) -> bool,
    what: &str,
) {
    let (mut found, mut wanted) = (0, 0);
    for query in queries.chunks_exact(DIM) {
        let exact = nearest(collection, query, filter, true);
        let hits = nearest(collection, query, filter, false);
        assert_eq!((exact.len(), hits.len()), (K, K), "{what}");
        assert!(exact.iter().chain(&hits).all(|(row, _)| passes(*row)), "{what}: {hits:?}");
        wanted += K;
        found += hits.iter().filter(|(_, distance)| *distance <= exact[K - 1].1).count();
    }
    let recall = found as f64 / wanted as f64;
    assert!(recall >= 0.95, "{what}: {recall}");
}

#[test]
fn filters_deletes_and_reopening_in_every_space_without_codes() {
    let Some(data) = WordNet::find() else { return };
    for metric in Metric::ALL.into_iter().filter(|metric| !metric.has_codes()) {
        let vectors = fitted(metric, &data.vectors(ROWS + 1_000));
        let queries = fitted(metric, &data.queries(QUERIES));
        let folder = tempfile::tempdir().unwrap();
        let handle = open(folder.path(), options(2_500));
        let collection = create(&handle, "spaces", &format!(r#"{{"hnsw":{{"space":"{metric}"}}}}"#));
        write(&collection, &vectors, 0..ROWS);
        check(&collection, &queries, None, |_| true, &format!("{metric} growing"));
        collection.compact(&CancelToken::default()).unwrap();
        check(&collection, &queries, None, |_| true, &format!("{metric} compacted"));
        check(&collection, &queries, Some(&third(1)), |row| row % 3 == 1, &format!("{metric} filtered"));

        let ids = (0..ROWS).step_by(7).map(|row| row.to_string()).collect();
        collection.delete(&DeleteRequest { ids: Some(ids), ..DeleteRequest::default() }).unwrap();
        write(&collection, &vectors, ROWS..ROWS + 1_000);
        let lives = |row: usize| row >= ROWS || !row.is_multiple_of(7);
        check(&collection, &queries, None, lives, &format!("{metric} after deletes"));
        handle.close().unwrap();

        let handle = open(folder.path(), options(2_500));
        let collection = handle.database().unwrap().collection(collection.id()).unwrap();
        check(&collection, &queries, None, lives, &format!("{metric} reopened"));
        let both = |row: usize| lives(row) && row % 3 == 2;
        check(&collection, &queries, Some(&third(2)), both, &format!("{metric} reopened and filtered"));
        collection.compact(&CancelToken::default()).unwrap();
        check(&collection, &queries, None, lives, &format!("{metric} compacted again"));
        handle.close().unwrap();
    }
}

#[test]
fn negative_components_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let handle = open(folder.path(), options(8_000));
    for space in ["jaccard", "hellinger", "jensen-shannon"] {
        let collection = create(&handle, space, &format!(r#"{{"hnsw":{{"space":"{space}"}}}}"#));
        let batch = |second: f32| WriteBatch {
            ids: vec!["a".to_owned(), "b".to_owned()],
            embeddings: Some(vec![1.0, 0.0, second, 2.0]),
            dim: 2,
            ..WriteBatch::default()
        };
        for kind in [WriteKind::Add, WriteKind::Upsert, WriteKind::Update] {
            let error = collection.write(kind, batch(-1.0)).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
            assert!(error.message().contains("component 0 of the embedding of `b` is -1"), "{error}");
        }
        assert_eq!(collection.count().unwrap(), 0);
        collection.write(WriteKind::Add, batch(0.0)).unwrap();
        let request = QueryRequest { embeddings: vec![-3.0, 1.0], dim: 2, k: 1, ..QueryRequest::default() };
        let error = collection.query(request, &CancelToken::default()).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
    }
    handle.close().unwrap();
}

#[test]
fn a_walk_given_up_for_a_long_scan_leaves_the_calling_thread() {
    let Some(data) = WordNet::find() else { return };
    let metric = Metric::JensenShannon;
    let vectors = fitted(metric, &data.vectors(10_000));
    let query = &fitted(metric, &data.queries(1))[..DIM];
    let folder = tempfile::tempdir().unwrap();
    let handle = open(folder.path(), options(10_000));
    let collection = create(&handle, "far", &format!(r#"{{"hnsw":{{"space":"{metric}"}}}}"#));
    let mut rows: Vec<&[f32]> = vectors.chunks_exact(DIM).collect();
    let distance = |row: &&[f32]| ferrochrome_distance::distance(metric, query, row);
    rows.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
    let near = rows.len() / 2;
    let batch = WriteBatch {
        ids: (0..rows.len()).map(|row| row.to_string()).collect(),
        embeddings: Some(rows.concat()),
        dim: DIM,
        metadatas: Some(
            (0..rows.len())
                .map(|row| Some([("far".to_owned(), Some(Value::Bool(row >= near)))].into()))
                .collect(),
        ),
        ..WriteBatch::default()
    };
    collection.write(WriteKind::Add, batch).unwrap();
    collection.compact(&CancelToken::default()).unwrap();
    let request = || QueryRequest {
        embeddings: query.to_vec(),
        dim: DIM,
        k: K,
        ef: Some(20),
        filter: Some(Filter::Key("far".to_owned(), Test::Equal(Scalar::Bool(true))).into()),
        ..QueryRequest::default()
    };
    let cancel = CancelToken::default();
    // From now on it is known how many rows pass.
    let first = collection.query(request(), &cancel).unwrap();
    let prepared = collection.prepare_query(request()).unwrap();
    assert!(prepared.is_short());
    assert!(collection.explain(request(), &cancel).unwrap().parts[0].fell_back);
    assert!(collection.run_short_query(&prepared, &cancel).unwrap().is_none());
    assert_eq!(collection.run_query(&prepared, &cancel).unwrap().queries, first.queries);
    handle.close().unwrap();
}
