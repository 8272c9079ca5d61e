//! Recall on real embeddings.

use ferrochrome_types::{CancelToken, Code, Metric, VectorRows};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

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

/// How far the tenth of each query lies.
fn truth(rows: &Vectors, queries: &Vectors) -> Vec<f32> {
    let tenth = |query| exact(Metric::Cosine, rows, queries.row(query).unwrap(), 10, None)[9].distance;
    (0..queries.len() as u32).map(tenth).collect()
}

/// recall@10 of walks with an `ef`, and rows scored for a query.
fn walks(index: &dyn VectorIndex, rows: &Vectors, queries: &Vectors, truth: &[f32], ef: usize) -> (f64, f64) {
    let cancel = CancelToken::default();
    let options = SearchOptions { k: 10, ef, filter: None, visit_budget: None, cancel: &cancel };
    let (mut found, mut scored) = (0, 0);
    for (query, farthest) in (0..).zip(truth) {
        let (walk, counts) = index.search_counted(queries.row(query).unwrap(), rows, &options).unwrap();
        let Walk::Done(hits) = walk else { unreachable!("no budget") };
        assert_eq!(hits.len(), 10);
        found += hits.iter().filter(|hit| hit.distance <= *farthest).count();
        scored += counts.scored;
    }
    let queries = truth.len() as f64;
    (found as f64 / (10.0 * queries), scored as f64 / queries)
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
    let truth = truth(&rows, &queries);
    for (rank, distance) in [(60, 56), (80, 75), (100, 90)] {
        let (recall, scored) = walks(&*by_rank, &rows, &queries, &truth, rank);
        let (reached, fewer) = walks(&*by_distance, &rows, &queries, &truth, distance);
        assert!(reached >= recall - 0.005, "{reached} with {distance}, {recall} with {rank}");
        assert!(fewer < 0.93 * scored, "{fewer} with {distance}, {scored} with {rank}");
    }
}

#[test]
fn rows_that_come_group_by_group_are_found_as_others_are() {
    const COPIES: usize = 8;
    // Of a vector's length, which is 1.
    const NOISE: f32 = 0.2;
    let Some((centres, queries)) = load(5_000) else { return };
    let queries = queries.first(200);
    let mut random = StdRng::seed_from_u64(1);
    let range = NOISE * (3.0 / wordnet::DIM as f32).sqrt();
    let mut rows = Vectors { dim: wordnet::DIM, values: Vec::new() };
    for centre in centres.values.chunks_exact(wordnet::DIM) {
        for _ in 0..COPIES {
            rows.values.extend(centre.iter().map(|value| value + random.random_range(-range..range)));
        }
    }
    let index =
        build(&rows, &BuildOptions { metric: Metric::Cosine, ..BuildOptions::default() }, true).unwrap();
    let (recall, scored) = walks(&*index, &rows, &queries, &truth(&rows, &queries), 100);
    assert!(recall >= 0.975, "{recall}");
    assert!(scored < 1_900.0, "{scored}");
}
