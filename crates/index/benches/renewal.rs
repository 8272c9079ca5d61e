//! Going on without deleted rows beside building afresh, on WordNet: `cargo bench -p ferrochrome-index --bench renewal`.
//!
//! A fifth of the rows is replaced `ROUNDS` times (default 10); `ROWS` (default 98,000, of which the rest of the set are the
//! newcomers) and `THREADS` (default 2) change what is measured.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::time::Instant;

use ferrochrome_index::{BuildOptions, SearchOptions, VectorIndex, Walk, build, exact_search, renew};
use ferrochrome_types::{CancelToken, Metric, VectorRows};
use roaring::RoaringBitmap;

#[path = "../src/wordnet.rs"]
mod wordnet;

use wordnet::Vectors;

const K: usize = 10;
const EFS: [usize; 4] = [32, 64, 100, 200];

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// recall@10 and queries a second of one thread at each ef.
fn measure(what: &str, index: &dyn VectorIndex, rows: &Vectors, queries: &Vectors) {
    let cancel = CancelToken::default();
    let truth: Vec<Vec<u32>> = (0..queries.len() as u32)
        .map(|query| exact_search(Metric::Cosine, queries.row(query).unwrap(), rows, None, K, &cancel))
        .map(|hits| hits.unwrap().iter().map(|hit| hit.label).collect())
        .collect();
    for ef in EFS {
        let options = SearchOptions { k: K, ef, filter: None, visit_budget: None, cancel: &cancel };
        let (mut found, mut fastest) = (0, f64::MAX);
        for _pass in 0..3 {
            let start = Instant::now();
            found = 0;
            for (query, nearest) in truth.iter().enumerate() {
                let Walk::Done(hits) =
                    index.search(queries.row(query as u32).unwrap(), rows, &options).unwrap()
                else {
                    unreachable!("no budget was given")
                };
                found += hits.iter().filter(|hit| nearest.contains(&hit.label)).count();
            }
            fastest = fastest.min(start.elapsed().as_secs_f64());
        }
        let recall = found as f64 / (K * queries.len()) as f64;
        println!("{what:>14}  ef {ef:>3}  recall {recall:.4}  {:>6.0}/s", queries.len() as f64 / fastest);
    }
}

fn main() {
    let Some((all, queries)) = wordnet::load(usize::MAX) else {
        println!("no WordNet vectors at {}: nothing to measure", wordnet::folder().display());
        return;
    };
    let queries = queries.first(setting("QUERIES", 1_000));
    let rows_kept = setting("ROWS", 98_000).min(all.len() * 5 / 6);
    let options =
        BuildOptions { metric: Metric::Cosine, threads: setting("THREADS", 2), ..BuildOptions::default() };
    let mut rows = all.first(rows_kept);
    let mut index = build(&rows, &options, true).unwrap();
    // What was replaced comes back, so that there are always newcomers.
    let mut pool = all.values[rows_kept * all.dim..].to_vec();
    for round in 0..setting("ROUNDS", 10) {
        let gone: RoaringBitmap =
            (0..rows.len() as u32).filter(|label| *label as usize % 5 == round % 5).collect();
        let newcomers: Vec<f32> = pool.drain(..gone.len() as usize * rows.dim).collect();
        let mut next = Vectors { dim: rows.dim, values: Vec::with_capacity(rows.values.len()) };
        for label in 0..rows.len() as u32 {
            let row = rows.row(label).unwrap();
            if gone.contains(label) {
                pool.extend_from_slice(row)
            } else {
                next.values.extend_from_slice(row)
            }
        }
        next.values.extend_from_slice(&newcomers);
        rows = next;
        let start = Instant::now();
        index = renew(&*index, &gone, &rows, &options).unwrap();
        println!("round {}: renewed in {:.1} s", round + 1, start.elapsed().as_secs_f64());
    }
    let start = Instant::now();
    let fresh = build(&rows, &options, true).unwrap();
    println!("built afresh in {:.1} s", start.elapsed().as_secs_f64());
    measure("renewed", &*index, &rows, &queries);
    measure("afresh", &*fresh, &rows, &queries);
}
