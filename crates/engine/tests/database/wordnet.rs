//! Real data through the whole engine: recall in every space, and filters of every width.

use std::sync::Arc;

use ferrochrome_engine::{Collection, QueryRequest, WriteBatch, WriteKind};
use ferrochrome_testing::{Entry, WordNet, recall};
use ferrochrome_types::{CancelToken, Comparison, Filter, Scalar, Test};

use crate::support::{create, metadata_of, open, options};

const ROWS: usize = 24_000;
const QUERIES: usize = 100;
const K: usize = 10;

fn load(collection: &Collection, vectors: &[f32], entries: &[Entry]) {
    for (batch, entries) in entries.chunks(1_500).enumerate() {
        let from = batch * 1_500 * WordNet::DIM;
        let batch = WriteBatch {
            ids: entries.iter().map(|entry| entry.id.clone()).collect(),
            embeddings: Some(vectors[from..from + entries.len() * WordNet::DIM].to_vec()),
            dim: WordNet::DIM,
            documents: Some(entries.iter().map(|entry| Some(entry.document.clone())).collect()),
            metadatas: Some(entries.iter().map(|entry| Some(metadata_of(entry))).collect()),
            ..WriteBatch::default()
        };
        collection.write(WriteKind::Add, batch).unwrap();
    }
}

/// The ids of the nearest, as places in the dataset.
fn nearest(
    collection: &Collection,
    query: &[f32],
    filter: Option<&Filter>,
    exact: bool,
    entries: &[Entry],
) -> Vec<u32> {
    let request = QueryRequest {
        embeddings: query.to_vec(),
        dim: WordNet::DIM,
        k: K,
        exact,
        filter: filter.cloned().map(Into::into),
        ..QueryRequest::default()
    };
    let result = collection.query(request, &CancelToken::default()).unwrap();
    let distances: Vec<f32> = result.queries[0].iter().map(|(_, distance)| *distance).collect();
    assert!(distances.is_sorted(), "{distances:?}");
    let place = |id: &str| entries.iter().position(|entry| entry.id == id).unwrap() as u32;
    result.queries[0].iter().map(|(row, _)| place(result.snapshot.id(*row).unwrap())).collect()
}

fn recall_of(collection: &Collection, queries: &[f32], filter: Option<&Filter>, entries: &[Entry]) -> f64 {
    let (mut found, mut exact) = (Vec::new(), Vec::new());
    for query in queries.chunks_exact(WordNet::DIM) {
        found.push(nearest(collection, query, filter, false, entries));
        exact.push(nearest(collection, query, filter, true, entries));
        assert_eq!(found.last().unwrap().len(), exact.last().unwrap().len(), "{filter:?}");
    }
    recall(&found, &exact)
}

fn equals(key: &str, value: &str) -> Filter {
    Filter::Key(key.to_owned(), Test::Equal(Scalar::Str(value.to_owned())))
}

#[test]
fn default_settings_reach_their_recall_in_every_space() {
    let Some(data) = WordNet::find() else { return };
    let (vectors, queries, entries) = (data.vectors(ROWS), data.queries(QUERIES), data.entries(ROWS));
    for space in ["l2", "ip", "cosine"] {
        let folder = tempfile::tempdir().unwrap();
        let handle = open(folder.path(), options(8_000));
        let collection = create(&handle, space, &format!(r#"{{"hnsw":{{"space":"{space}"}}}}"#));
        load(&collection, &vectors, &entries);
        let growing = recall_of(&collection, &queries, None, &entries);
        collection.compact(&CancelToken::default()).unwrap();
        let compacted = recall_of(&collection, &queries, None, &entries);
        assert!(
            growing >= 0.95 && compacted >= 0.95,
            "{space}: {growing} while growing, {compacted} compacted"
        );
        if space == "cosine" {
            check_filters(&collection, &queries, &entries);
        }
        handle.close().unwrap();
    }
}

fn check_filters(collection: &Arc<Collection>, queries: &[f32], entries: &[Entry]) {
    let links =
        |comparison, bound| Filter::Key("links".to_owned(), Test::Compare(comparison, Scalar::Int(bound)));
    let filters = [
        equals("pos", "noun"),
        equals("pos", "verb"),
        equals("domain", "noun.animal"),
        equals("domain", "verb.body"),
        equals("domain", "no such domain"),
        links(Comparison::GreaterOrEqual, 3),
        links(Comparison::Greater, 40),
        Filter::And(vec![equals("pos", "noun"), links(Comparison::Less, 2)]),
        Filter::Key("pos".to_owned(), Test::NotEqual(Scalar::Str("noun".to_owned()))),
    ];
    for filter in &filters {
        let reached = recall_of(collection, queries, Some(filter), entries);
        assert!(reached >= 0.99 || reached.abs() < f64::EPSILON, "{filter:?}: {reached}");
    }
}
