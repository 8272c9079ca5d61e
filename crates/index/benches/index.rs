//! Recall against speed on WordNet, one thread, the index alone: `cargo bench -p ferrochrome-index --bench index`.
//!
//! `FERROCHROME_ISA` forces an instruction level; `EF_CONSTRUCTION` (default 100), `THREADS` (default 2), `ROWS` and `QUERIES` change
//! what is measured. `VECTORS=<folder>` takes `vectors.f32` and `queries.f32` there, row-major, in the place of WordNet's. `REPORT=<file>`
//! writes the labels found and the speed at each ef as JSON, for others to judge, and leaves the filters out.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::path::Path;
use std::time::Instant;
use std::{env, fs};

use ferrochrome_index::{BuildOptions, ScanOptions, SearchOptions, VectorIndex, Walk, build, exact_search};
use ferrochrome_types::{CancelToken, Metric, VectorRows};
use roaring::RoaringBitmap;
use serde_json::{Value, json};

#[path = "../src/wordnet.rs"]
mod wordnet;

use wordnet::Vectors;

const K: usize = 10;
const PASSES: usize = 3;
const EFS: [usize; 12] = [20, 28, 36, 40, 48, 60, 80, 100, 120, 160, 240, 400];

fn setting(name: &str, default: usize) -> usize {
    env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// The rows and the queries, or `None` where WordNet is wanted and absent.
fn load() -> Option<(Vectors, Vectors)> {
    let Some(folder) = env::var_os("VECTORS") else { return wordnet::load(setting("ROWS", usize::MAX)) };
    let read = |name: &str| {
        let bytes = fs::read(Path::new(&folder).join(name)).unwrap();
        let values = bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
        Vectors { dim: wordnet::DIM, values }
    };
    Some((read("vectors.f32"), read("queries.f32")))
}

fn main() {
    let Some((rows, queries)) = load() else {
        println!("no WordNet vectors at {}: nothing to measure", wordnet::folder().display());
        return;
    };
    let queries = queries.first(setting("QUERIES", queries.len()));
    println!(
        "isa {}, {} x {}, {} queries",
        ferrochrome_distance::isa(),
        rows.len(),
        rows.dim(),
        queries.len()
    );
    let options = BuildOptions {
        metric: Metric::Cosine,
        ef_construction: setting("EF_CONSTRUCTION", 100),
        threads: setting("THREADS", 2),
        ..BuildOptions::default()
    };
    let start = Instant::now();
    let index = build(&rows, &options, true).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    println!("built in {seconds:.1} s, {:.1} MB", index.memory_bytes() as f64 / 1e6);
    println!("{}", index.parameters().to_json().unwrap());
    let measured = unfiltered(&*index, &rows, &queries);
    match env::var_os("REPORT") {
        Some(file) => {
            let report = json!({
                "isa": ferrochrome_distance::isa(),
                "seconds": seconds,
                "megabytes": index.memory_bytes() as f64 / 1e6,
                "points": EFS.iter().zip(&measured).map(point).collect::<Vec<Value>>(),
            });
            fs::write(file, report.to_string()).unwrap();
        }
        None => {
            print_curve(&measured, &truth(&rows, &queries));
            filtered(&*index, &rows, &queries);
        }
    }
}

/// The exact nearest of each query: those that came with the data where it is whole.
fn truth(rows: &Vectors, queries: &Vectors) -> Vec<Vec<u32>> {
    let path: &Path = &wordnet::folder().join("neighbors_cosine_100.u32");
    if rows.len() == wordnet::ROWS
        && let Ok(bytes) = fs::read(path)
    {
        let neighbours: Vec<u32> = bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
        return neighbours.chunks_exact(100).map(|row| row[..K].to_vec()).collect();
    }
    (0..queries.len() as u32).map(|query| exact(rows, queries.row(query).unwrap(), None)).collect()
}

fn exact(rows: &Vectors, query: &[f32], members: Option<&RoaringBitmap>) -> Vec<u32> {
    let hits = exact_search(Metric::Cosine, query, rows, members, K, &CancelToken::default()).unwrap();
    hits.into_iter().map(|hit| hit.label).collect()
}

/// Each query's labels and microseconds.
type Pass = (Vec<Vec<u32>>, Vec<f64>);

/// Runs every query once.
fn pass(queries: &Vectors, mut search: impl FnMut(&[f32]) -> Vec<u32>) -> Pass {
    let timed = |query| {
        let start = Instant::now();
        let labels = search(queries.row(query).unwrap());
        (labels, start.elapsed().as_secs_f64() * 1e6)
    };
    (0..queries.len() as u32).map(timed).unzip()
}

/// What a number of passes over all queries came to.
struct Measured {
    /// Labels found for each query.
    labels: Vec<Vec<u32>>,
    /// Queries per second of the best pass, and its median and 99th percentile in microseconds.
    rate: f64,
    median: f64,
    slow: f64,
}

impl Measured {
    fn recall(&self, truth: &[Vec<u32>]) -> f64 {
        let found = self
            .labels
            .iter()
            .zip(truth)
            .map(|(found, wanted)| wanted.iter().filter(|l| found.contains(l)).count());
        found.sum::<usize>() as f64 / truth.iter().map(Vec::len).sum::<usize>() as f64
    }
}

fn measure(queries: &Vectors, mut search: impl FnMut(&[f32]) -> Vec<u32>) -> Measured {
    best((0..PASSES).map(|_| pass(queries, &mut search)).collect())
}

fn best(passes: Vec<Pass>) -> Measured {
    let total = |times: &[f64]| times.iter().sum::<f64>();
    let (labels, mut times) =
        passes.into_iter().min_by(|(_, a), (_, b)| total(a).total_cmp(&total(b))).unwrap();
    times.sort_by(f64::total_cmp);
    Measured {
        labels,
        rate: times.len() as f64 / total(&times) * 1e6,
        median: times[times.len() / 2],
        slow: times[times.len() * 99 / 100],
    }
}

/// The labels found and the speed at each ef. Widths take turns, so that a slow moment of the machine is not all that one of them sees.
fn unfiltered(index: &dyn VectorIndex, rows: &Vectors, queries: &Vectors) -> Vec<Measured> {
    let cancel = CancelToken::default();
    let mut measured: Vec<Vec<Pass>> = EFS.map(|_| Vec::new()).into();
    for _ in 0..PASSES {
        for (ef, passes) in EFS.into_iter().zip(&mut measured) {
            let options = SearchOptions { k: K, ef, filter: None, visit_budget: None, cancel: &cancel };
            passes.push(pass(queries, |query| match index.search(query, rows, &options).unwrap() {
                Walk::Done(hits) => hits.into_iter().map(|hit| hit.label).collect(),
                Walk::BudgetExceeded => Vec::new(),
            }));
        }
    }
    measured.into_iter().map(best).collect()
}

/// One width of the report.
fn point((ef, measured): (&usize, &Measured)) -> Value {
    let Measured { labels, rate, median, slow } = measured;
    json!({"ef": ef, "qps": rate, "p50": median, "p99": slow, "labels": labels})
}

fn print_curve(measured: &[Measured], truth: &[Vec<u32>]) {
    println!("{:>6}{:>10}{:>10}{:>10}{:>10}", "ef", "recall", "QPS", "p50 us", "p99 us");
    for (ef, width) in EFS.iter().zip(measured) {
        let Measured { rate, median, slow, .. } = width;
        println!("{ef:>6}{:>10.4}{rate:>10.0}{median:>10.1}{slow:>10.1}", width.recall(truth));
    }
}

fn filtered(index: &dyn VectorIndex, rows: &Vectors, queries: &Vectors) {
    println!(
        "{:>10}{:>10}{:>6}{:>10}{:>10}{:>12}{:>10}",
        "filter", "members", "ef", "recall", "walk us", "scan recall", "scan us"
    );
    let queries = &queries.first(200);
    let cancel = CancelToken::default();
    for percent in [99, 70, 30, 10, 3] {
        let filter: RoaringBitmap = (0..rows.len() as u32)
            .filter(|l| l.wrapping_mul(2_654_435_769) >> 16 < 65_536 * percent / 100)
            .collect();
        let truth: Vec<Vec<u32>> =
            (0..queries.len() as u32).map(|q| exact(rows, queries.row(q).unwrap(), Some(&filter))).collect();
        let scan = measure(queries, |query| {
            index
                .scan(query, rows, &ScanOptions::new(K, Some(&filter), &cancel))
                .unwrap()
                .into_iter()
                .map(|hit| hit.label)
                .collect()
        });
        for ef in [40, 100] {
            let options =
                SearchOptions { k: K, ef, filter: Some(&filter), visit_budget: None, cancel: &cancel };
            let walk = measure(queries, |query| match index.search(query, rows, &options).unwrap() {
                Walk::Done(hits) => hits.into_iter().map(|hit| hit.label).collect(),
                Walk::BudgetExceeded => Vec::new(),
            });
            println!(
                "{percent:>9}%{:>10}{ef:>6}{:>10.4}{:>10.1}{:>12.4}{:>10.1}",
                filter.len(),
                walk.recall(&truth),
                walk.median,
                scan.recall(&truth),
                scan.median
            );
        }
    }
}
