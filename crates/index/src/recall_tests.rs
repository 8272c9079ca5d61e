//! Recall on real embeddings.

use ferrochrome_types::{CancelToken, Code, Metric, VectorRows};

use crate::conformance::{exact, fitted, recall, reload, store};
use crate::wordnet::Vectors;
use crate::{BuildOptions, SearchOptions, VectorIndex, Walk, build, wordnet};

/// The first vectors of WordNet and its queries. Their absence is announced rather than failed: the data set does not travel with the sources.
fn load(rows: usize) -> Option<(Vectors, Vectors)> {
    let loaded = wordnet::load(rows);
    if loaded.is_none() {
        use std::io::Write;
        let folder = wordnet::folder();
        writeln!(std::io::stderr(), "skipped: no WordNet vectors at {}", folder.display()).unwrap();
    }
    loaded
}

#[test]
fn wordnet_is_found_by_every_metric() {
    let Some((rows, queries)) = load(20_000) else { return };
    for metric in Metric::ALL {
        // Comparing all components of every row takes its time.
        let rows = if metric.has_codes() { &rows } else { &rows.first(10_000) };
        let (rows, queries) = (fitted(metric, rows), fitted(metric, &queries.first(100)));
        let options = BuildOptions { metric, threads: 2, ..BuildOptions::default() };
        let index = build(&rows, &options, true).unwrap();
        let (searched, scanned) = recall(&*index, &rows, &queries, None);
        assert!(
            searched >= 0.95 && scanned >= 0.98,
            "{metric}: {searched} of {} rows, scan {scanned}",
            rows.len()
        );
        assert_eq!(index.parameters().quantization, if metric.has_codes() { "int4" } else { "none" });
    }
}

#[test]
fn walks_that_end_by_distance_find_as_much_with_less() {
    let Some((rows, queries)) = load(20_000) else { return };
    let queries = queries.first(300);
    let options = BuildOptions { metric: Metric::Cosine, threads: 2, ..BuildOptions::default() };
    let by_distance = build(&rows, &options, true).unwrap();
    let (text, buffers) = store(&*by_distance);
    let slope = |text: &str, slope: f32| {
        let mut parameters: serde_json::Value = serde_json::from_str(text).unwrap();
        let slot = &mut parameters["graph"]["rank_slope"];
        assert!(slot.as_f64().unwrap() > 0.0);
        *slot = if slope.is_nan() { serde_json::Value::Null } else { slope.into() };
        (parameters.to_string(), buffers.clone())
    };
    let by_rank = reload(&slope(&text, f32::NAN)).unwrap();
    let same = reload(&store(&*by_distance)).unwrap();
    assert_eq!(same.parameters(), by_distance.parameters());
    for impossible in [0.0, -0.1] {
        assert_eq!(reload(&slope(&text, impossible)).unwrap_err().code(), Code::Corrupted);
    }
    // How far the tenth lies.
    let truth: Vec<f32> = (0..queries.len() as u32)
        .map(|query| exact(Metric::Cosine, &rows, queries.row(query).unwrap(), 10, None)[9].distance)
        .collect();
    // recall@10, and rows scored for a query.
    let walk = |index: &dyn VectorIndex, ef: usize| {
        let cancel = CancelToken::default();
        let options = SearchOptions { k: 10, ef, filter: None, visit_budget: None, cancel: &cancel };
        let (mut found, mut scored) = (0, 0);
        for (query, farthest) in (0..).zip(&truth) {
            let (walk, counts) = index.search_counted(queries.row(query).unwrap(), &rows, &options).unwrap();
            let Walk::Done(hits) = walk else { unreachable!("no budget") };
            assert_eq!(hits.len(), 10);
            found += hits.iter().filter(|hit| hit.distance <= *farthest).count();
            scored += counts.scored;
        }
        let queries = truth.len() as f64;
        (found as f64 / (10.0 * queries), scored as f64 / queries)
    };
    for (rank, distance) in [(60, 56), (80, 75), (100, 90)] {
        let (recall, scored) = walk(&*by_rank, rank);
        let (reached, fewer) = walk(&*by_distance, distance);
        assert!(reached >= recall - 0.005, "{reached} with {distance}, {recall} with {rank}");
        assert!(fewer < 0.93 * scored, "{fewer} with {distance}, {scored} with {rank}");
    }
}
