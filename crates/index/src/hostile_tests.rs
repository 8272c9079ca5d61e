//! The recall floors, on data that quantised graphs are bad at. Everything is seeded, and one thread builds: each run is the same.

use ferrochrome_types::{CancelToken, Metric, VectorRows};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use roaring::RoaringBitmap;

use crate::wordnet::Vectors;
use crate::{
    BuildOptions, Quantization, ScanOptions, SearchOptions, VectorIndex, Walk, build, exact_search, extend,
};

const METRICS: [Metric; 3] = [Metric::L2, Metric::InnerProduct, Metric::Cosine];
const ROWS: usize = 6_000;
const QUERIES: usize = 100;
const DIM: usize = 64;
/// What is promised: k, ef, least recall@k.
const FLOORS: [(usize, usize, f64); 3] = [(10, 100, 0.95), (10, 400, 0.99), (100, 100, 0.95)];

/// Random numbers, most of them normally distributed.
struct Source(StdRng);

impl Source {
    fn new(seed: u64) -> Self {
        Source(StdRng::seed_from_u64(seed))
    }

    fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.0.random::<f32>()).ln()).sqrt();
        radius * (self.0.random::<f32>() * std::f32::consts::TAU).cos()
    }

    fn normals(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.normal()).collect()
    }
}

/// Rows, then queries.
fn split(dim: usize, values: &[f32]) -> (Vectors, Vectors) {
    let vectors = |values: &[f32]| Vectors { dim, values: values.to_vec() };
    let (rows, queries) = values.split_at(values.len() - QUERIES * dim);
    (vectors(rows), vectors(queries))
}

/// Independent normal components: no structure that a graph could follow.
fn noise(len: usize, dim: usize) -> Vec<f32> {
    Source::new(1).normals(len * dim)
}

/// Points of a random subspace of `inner` dimensions, and a little noise: what embeddings are like.
fn embeddings(len: usize, dim: usize) -> Vec<f32> {
    let mut source = Source::new(2);
    let inner = 20;
    let map = source.normals(inner * dim);
    let mut values = Vec::with_capacity(len * dim);
    for _ in 0..len {
        let place = source.normals(inner);
        for j in 0..dim {
            let along: f32 = place.iter().enumerate().map(|(i, p)| p * map[i * dim + j]).sum();
            values.push(along / (inner as f32).sqrt() + 0.1 * source.normal());
        }
    }
    values
}

/// Around so many random centres, at this distance a component.
fn clusters(len: usize, centres: usize, spread: f32) -> Vec<f32> {
    let mut source = Source::new(3);
    let middles = source.normals(centres * DIM);
    let mut values = Vec::with_capacity(len * DIM);
    for _ in 0..len {
        let centre = source.0.random_range(0..centres);
        for middle in &middles[centre * DIM..][..DIM] {
            values.push(middle + spread * source.normal());
        }
    }
    values
}

/// Rows whose lengths are log-normally distributed.
fn scaled(mut values: Vec<f32>, sigma: f32) -> Vec<f32> {
    let mut source = Source::new(4);
    for row in values.chunks_exact_mut(DIM) {
        let factor = (sigma * source.normal()).exp();
        row.iter_mut().for_each(|value| *value *= factor);
    }
    values
}

fn recall(index: &dyn VectorIndex, rows: &Vectors, queries: &Vectors, k: usize, ef: usize) -> f64 {
    let cancel = CancelToken::default();
    let (mut found, mut wanted) = (0, 0);
    for query in 0..queries.len() as u32 {
        let query = queries.row(query).unwrap();
        let truth = exact_search(index.metric(), query, rows, None, k, &cancel).unwrap();
        let options = SearchOptions { k, ef, filter: None, visit_budget: None, cancel: &cancel };
        let Walk::Done(hits) = index.search(query, rows, &options).unwrap() else {
            unreachable!("no budget was given")
        };
        // Any of equally distant rows will do.
        found += hits.iter().filter(|hit| hit.distance <= truth[truth.len() - 1].distance).count();
        wanted += truth.len();
    }
    found as f64 / wanted as f64
}

fn check(index: &dyn VectorIndex, rows: &Vectors, queries: &Vectors, name: &str) {
    for (k, ef, floor) in FLOORS {
        let recall = recall(index, rows, queries, k, ef);
        let parameters = index.parameters().to_json().unwrap();
        assert!(recall >= floor, "{name}: recall@{k} {recall} with ef {ef}; {parameters}");
    }
}

/// All rows, and every second one, compared by signs and codes.
fn check_scans(index: &dyn VectorIndex, rows: &Vectors, queries: &Vectors, name: &str) {
    let cancel = CancelToken::default();
    let half: RoaringBitmap = (0..rows.len() as u32).step_by(2).collect();
    for (members, k) in [(None, 10), (None, 100), (Some(&half), 10)] {
        let (mut found, mut wanted) = (0, 0);
        for query in 0..queries.len() as u32 {
            let query = queries.row(query).unwrap();
            let truth = exact_search(index.metric(), query, rows, members, k, &cancel).unwrap();
            let hits = index.scan(query, rows, &ScanOptions::new(k, members, &cancel)).unwrap();
            assert_eq!(hits.len(), truth.len(), "{name}");
            found += hits.iter().filter(|hit| hit.distance <= truth[truth.len() - 1].distance).count();
            wanted += truth.len();
        }
        let recall = found as f64 / wanted as f64;
        assert!(
            recall >= 0.98,
            "{name}: a scan's recall@{k} {recall}; {}",
            index.parameters().to_json().unwrap()
        );
    }
}

fn check_all(dim: usize, values: &[f32], name: &str) {
    let (rows, queries) = split(dim, values);
    for metric in METRICS {
        let index = build(&rows, &BuildOptions { metric, ..BuildOptions::default() }, true).unwrap();
        check(&*index, &rows, &queries, &format!("{name}, {metric}"));
        check_scans(&*index, &rows, &queries, &format!("{name}, {metric}"));
    }
}

#[test]
fn a_large_common_mean() {
    let values: Vec<f32> = embeddings(ROWS + QUERIES, DIM).iter().map(|value| value + 20.0).collect();
    check_all(DIM, &values, "mean of 20");
}

#[test]
fn dimensions_much_larger_than_the_others() {
    let mut values = embeddings(ROWS + QUERIES, DIM);
    for row in values.chunks_exact_mut(DIM) {
        row[..3].iter_mut().for_each(|value| *value *= 30.0);
    }
    check_all(DIM, &values, "three dimensions 30 times larger");
}

#[test]
fn lengths_that_vary() {
    check_all(DIM, &scaled(embeddings(ROWS + QUERIES, DIM), 0.7), "embeddings, sigma .7");
    check_all(DIM, &scaled(embeddings(ROWS + QUERIES, DIM), 2.0), "embeddings, sigma 2");
}

#[test]
fn lengths_that_vary_without_other_structure() {
    check_all(DIM, &scaled(noise(ROWS + QUERIES, DIM), 0.7), "noise, sigma .7");
    check_all(DIM, &scaled(noise(ROWS + QUERIES, DIM), 1.5), "noise, sigma 1.5");
}

#[test]
fn noise_without_structure() {
    check_all(DIM, &noise(ROWS + QUERIES, DIM), "noise");
    let dim = 200;
    check_all(dim, &noise(3_000 + QUERIES, dim), "noise of many dimensions");
}

#[test]
fn whole_numbers() {
    let whole = |scale: f32, most: f32| -> Vec<f32> {
        let values = embeddings(ROWS + QUERIES, DIM);
        values.iter().map(|value| (value * scale + most / 2.0).round().clamp(0.0, most)).collect()
    };
    check_all(DIM, &whole(40.0, 255.0), "bytes");
    check_all(DIM, &whole(1.0, 2.0), "0, 1, 2");
    let bits: Vec<f32> =
        noise(ROWS + QUERIES, DIM).iter().map(|value| f32::from(u8::from(*value > 0.0))).collect();
    check_all(DIM, &bits, "bits");
}

#[test]
fn duplicates() {
    check_all(DIM, &clusters(ROWS + QUERIES, ROWS / 9, 0.0), "9 of each");
    check_all(DIM, &clusters(ROWS + QUERIES, 12, 0.0), "500 of each");
    let mut half = embeddings(ROWS + QUERIES, DIM);
    half[..ROWS / 2 * DIM].fill(0.5);
    check_all(DIM, &half, "half of one value");
}

#[test]
fn near_duplicates() {
    check_all(DIM, &clusters(ROWS + QUERIES, ROWS / 9, 0.03), "groups of 9");
    check_all(DIM, &clusters(ROWS + QUERIES, ROWS / 50, 0.03), "groups of 50");
    // Queries that belong to no group.
    let (rows, _) = split(DIM, &clusters(ROWS + QUERIES, ROWS / 9, 0.03));
    let (_, strangers) = split(DIM, &noise(2 * QUERIES, DIM));
    let index = build(&rows, &BuildOptions::default(), true).unwrap();
    check(&*index, &rows, &strangers, "groups of 9, strangers");
}

#[test]
fn tight_clusters() {
    for spread in [0.1, 0.01, 0.001] {
        check_all(DIM, &clusters(ROWS + QUERIES, 60, spread), &format!("60 clusters of {spread}"));
    }
    check_all(DIM, &clusters(ROWS + QUERIES, 6, 0.02), "6 clusters");
}

#[test]
fn constant_vectors() {
    check_all(DIM, &[1.5; (ROWS + QUERIES) * DIM], "one value");
    let values = noise(ROWS + QUERIES, 1);
    let constant: Vec<f32> = values.iter().flat_map(|&value| [value; DIM]).collect();
    check_all(DIM, &constant, "one value a row");
}

#[test]
fn few_and_many_dimensions() {
    for dim in [1, 2, 3] {
        check_all(dim, &noise(ROWS + QUERIES, dim), &format!("{dim} dimensions"));
    }
    check_all(1_537, &embeddings(1_500 + QUERIES, 1_537), "1,537 dimensions");
    check_all(8_192, &embeddings(400 + QUERIES, 8_192), "8,192 dimensions");
}

#[test]
fn tiny_and_huge_magnitudes() {
    let base = embeddings(ROWS + QUERIES, DIM);
    for magnitude in [1e-30, 1e-12, 1e15] {
        let values: Vec<f32> = base.iter().map(|value| value * magnitude).collect();
        check_all(DIM, &values, &format!("magnitude {magnitude}"));
    }
}

#[test]
fn data_that_drift_are_measured_again() {
    let distinct = embeddings(ROWS / 8 + QUERIES, DIM);
    let (base, queries) = split(DIM, &distinct);
    let mut source = Source::new(5);
    let near = (0..8).flat_map(|_| &base.values).map(|value| value + 0.02 * source.normal());
    let rows =
        Vectors { dim: DIM, values: base.values.iter().copied().chain(near.collect::<Vec<_>>()).collect() };
    let options = BuildOptions { metric: Metric::Cosine, ..BuildOptions::default() };
    let short = build(&base, &options, true).unwrap();
    let long = extend(&*short, &rows, &options, &RoaringBitmap::new()).unwrap();
    check(&*long, &rows, &queries, "near-duplicates that came later");
    let width = |index: &dyn VectorIndex| index.width(100, 10, false);
    let (short, long) = (&*short, &*long);
    assert!(width(long) > width(short), "{:?}, then {:?}", short.parameters(), long.parameters());
}

#[test]
fn dead_rows_do_not_count() {
    let (rows, queries) = split(DIM, &embeddings(ROWS + QUERIES, DIM));
    let options = BuildOptions::default();
    let base = build(&rows.first(ROWS / 2), &options, true).unwrap();
    let usual = build(&rows, &options, true).unwrap().parameters();
    let dead: RoaringBitmap = (0..ROWS as u32 / 2).step_by(5).collect();
    let mut blanked = Vectors { dim: DIM, values: rows.values };
    for label in &dead {
        blanked.values[label as usize * DIM..][..DIM].fill(0.0);
    }
    let index = extend(&*base, &blanked, &options, &dead).unwrap();
    let found = index.parameters();
    assert_eq!((found.quantization, found.rescore_depth), (usual.quantization, usual.rescore_depth));
    assert_eq!(
        found.graph.map(|g| (g.ef_factor, g.ef_per_k)),
        usual.graph.map(|g| (g.ef_factor, g.ef_per_k))
    );
    let live: RoaringBitmap = (0..ROWS as u32).filter(|label| !dead.contains(*label)).collect();
    let cancel = CancelToken::default();
    let (mut hits, mut wanted) = (0, 0);
    for query in 0..QUERIES as u32 {
        let query = queries.row(query).unwrap();
        let truth = exact_search(options.metric, query, &blanked, Some(&live), 10, &cancel).unwrap();
        let search =
            SearchOptions { k: 10, ef: 100, filter: Some(&live), visit_budget: None, cancel: &cancel };
        let Walk::Done(found) = index.search(query, &blanked, &search).unwrap() else { continue };
        hits += found.iter().filter(|hit| hit.distance <= truth[9].distance).count();
        wanted += 10;
    }
    assert!(f64::from(hits as u32) >= 0.95 * f64::from(wanted), "{hits} of {wanted}");
}

#[test]
fn a_code_that_was_asked_for_is_kept() {
    let (rows, _) = split(DIM, &clusters(ROWS + QUERIES, 60, 0.001));
    for quantization in [Quantization::Int4, Quantization::Int8, Quantization::None] {
        let index = build(&rows, &BuildOptions { quantization, ..BuildOptions::default() }, true).unwrap();
        assert_eq!(index.parameters().quantization, quantization.as_str());
        assert_eq!(index.parameters().quantization_asked, quantization);
    }
    let chosen = build(&rows, &BuildOptions::default(), true).unwrap().parameters();
    assert_eq!((chosen.quantization.as_str(), chosen.quantization_asked), ("none", Quantization::Auto));
}
