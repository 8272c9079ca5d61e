//! What every implementation of [`VectorIndex`] must do.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use ferrochrome_types::{CancelToken, Code, Error, IndexBuffers, Metric, Result, VectorRows};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use roaring::RoaringBitmap;

use crate::aligned_buffer::AlignedBuffer;
use crate::wordnet::Vectors;
use crate::{
    BuildOptions, Hit, Quantization, ScanOptions, SearchOptions, Share, VectorIndex, Walk, build,
    exact_search, extend, load, open,
};

/// Every implementation for a metric: with and without a graph, over every coding.
fn implementations(metric: Metric) -> impl Iterator<Item = (bool, Quantization)> {
    let all = [Quantization::Auto, Quantization::Int4, Quantization::Int8, Quantization::None];
    let codings = if metric.has_codes() { &all[..] } else { &all[..1] }.to_vec();
    [true, false]
        .into_iter()
        .flat_map(move |graph| codings.clone().into_iter().map(move |coding| (graph, coding)))
}

/// As [`implementations`], for a metric with codes and one without.
fn either_metric() -> impl Iterator<Item = (Metric, bool, Quantization)> {
    let of = |metric| implementations(metric).map(move |(graph, coding)| (metric, graph, coding));
    [Metric::L2, Metric::L1].into_iter().flat_map(of)
}

/// The rows made such as the metric is meant for: of 0 and 1, or without negative components.
pub(crate) fn fitted(metric: Metric, rows: &Vectors) -> Vectors {
    let fit = |v: f32| match metric {
        Metric::Hamming => f32::from(u8::from(v > 0.0)),
        Metric::Jaccard | Metric::Hellinger | Metric::JensenShannon => v.max(0.0),
        _ => v,
    };
    vectors(rows.dim, rows.values.iter().map(|&v| fit(v)))
}

fn vectors(dim: usize, values: impl IntoIterator<Item = f32>) -> Vectors {
    Vectors { dim, values: values.into_iter().collect() }
}

/// Normally distributed around `centres` random centres.
pub(crate) fn clustered(len: usize, dim: usize, centres: usize, seed: u64) -> Vectors {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut normal = move || {
        let (radius, angle) =
            (-2.0 * (1.0 - rng.random::<f32>()).ln(), rng.random::<f32>() * std::f32::consts::TAU);
        radius.sqrt() * angle.cos()
    };
    let middles: Vec<f32> = (0..centres * dim).map(|_| normal()).collect();
    let values = (0..len * dim).map(|i| middles[(i / dim * 7919 % centres) * dim + i % dim] + 0.7 * normal());
    vectors(dim, values.collect::<Vec<_>>())
}

fn options(metric: Metric, quantization: Quantization) -> BuildOptions {
    BuildOptions { metric, quantization, seed: 7, ..BuildOptions::default() }
}

fn search(
    index: &dyn VectorIndex,
    rows: &Vectors,
    query: &[f32],
    k: usize,
    filter: Option<&RoaringBitmap>,
) -> Vec<Hit> {
    let cancel = CancelToken::default();
    let options = SearchOptions { k, ef: 100, filter, visit_budget: None, cancel: &cancel };
    match index.search(query, rows, &options).unwrap() {
        Walk::Done(hits) => hits,
        Walk::BudgetExceeded => {
            assert!(filter.is_some(), "without filter and budget a search ends");
            index.scan(query, rows, &ScanOptions::new(k, filter, &cancel)).unwrap()
        }
    }
}

/// The `k` nearest rows that pass.
pub(crate) fn exact(
    metric: Metric,
    rows: &Vectors,
    query: &[f32],
    k: usize,
    filter: Option<&RoaringBitmap>,
) -> Vec<Hit> {
    exact_search(metric, query, rows, filter, k, &CancelToken::default()).unwrap()
}

/// recall@10 of search and of scan over some rows as queries. Rows as near as the tenth count.
pub(crate) fn recall(
    index: &dyn VectorIndex,
    rows: &Vectors,
    queries: &Vectors,
    filter: Option<&RoaringBitmap>,
) -> (f64, f64) {
    let (mut wanted, mut searched, mut scanned) = (0_u32, 0, 0);
    for query in 0..queries.len() as u32 {
        let query = queries.row(query).unwrap();
        let truth = exact(index.metric(), rows, query, 10, filter);
        let Some(farthest) = truth.last().map(|hit| hit.distance) else { continue };
        let near = |hits: &[Hit]| hits.iter().filter(|hit| hit.distance <= farthest).count() as u32;
        wanted += truth.len() as u32;
        searched += near(&search(index, rows, query, 10, filter));
        scanned +=
            near(&index.scan(query, rows, &ScanOptions::new(10, filter, &CancelToken::default())).unwrap());
    }
    let part = |found| if wanted == 0 { 1.0 } else { f64::from(found) / f64::from(wanted) };
    (part(searched), part(scanned))
}

/// A scan of some members in so many shares, which are put together last first.
fn scan_in_shares(
    index: &dyn VectorIndex,
    rows: &Vectors,
    query: &[f32],
    options: &ScanOptions<'_>,
    of: usize,
) -> Vec<Hit> {
    let share = |number| index.scan_share(query, rows, options, Share { number, of }).unwrap();
    index.nearest_of(query, rows, options, (0..of).rev().flat_map(share).collect()).unwrap()
}

/// Checks what holds for any index over any rows: order, counts, exact distances, recall.
fn check(index: &dyn VectorIndex, rows: &Vectors, queries: &Vectors, floor: f64, name: &str) {
    for query in 0..queries.len().min(5) as u32 {
        let query = queries.row(query).unwrap();
        for k in [0, 1, 10, rows.len() + 5] {
            let cancel = CancelToken::default();
            let options = ScanOptions::new(k, None, &cancel);
            let scan = index.scan(query, rows, &options).unwrap();
            assert_eq!(scan_in_shares(index, rows, query, &options, 3), scan, "{name} k {k}");
            for hits in [search(index, rows, query, k, None), scan] {
                assert_eq!(hits.len(), k.min(rows.len()), "{name} k {k}");
                check_hits(index.metric(), rows, query, &hits, name);
            }
        }
    }
    let (searched, scanned) = recall(index, rows, queries, None);
    assert!(searched >= floor && scanned >= floor, "{name}: recall {searched} and {scanned}");
}

fn check_hits(metric: Metric, rows: &Vectors, query: &[f32], hits: &[Hit], name: &str) {
    for pair in hits.windows(2) {
        let order = pair[0].distance.total_cmp(&pair[1].distance).then(pair[0].label.cmp(&pair[1].label));
        assert!(order.is_lt(), "{name}: {pair:?} out of order");
    }
    for hit in hits {
        let distance = ferrochrome_distance::distance(metric, query, rows.row(hit.label).unwrap());
        assert_eq!(hit.distance.to_bits(), distance.to_bits(), "{name}: not the exact distance");
    }
}

fn check_all(metric: Metric, rows: &Vectors, queries: &Vectors, floor: f64, what: &str) {
    let (rows, queries) = (&fitted(metric, rows), &fitted(metric, queries));
    for (graph, quantization) in implementations(metric) {
        let index = build(rows, &options(metric, quantization), graph).unwrap();
        assert_eq!((index.len(), index.dim(), index.metric()), (rows.len(), rows.dim(), metric));
        assert_eq!(index.has_graph(), graph);
        // Where the caller insists on coarse codes, recall is what it is.
        let floor = if matches!(quantization, Quantization::Int4 | Quantization::Int8) { 0.0 } else { floor };
        check(&*index, rows, queries, floor, &format!("{what} {metric} graph {graph} {quantization:?}"));
    }
}

#[test]
fn small_sets_from_nothing_up() {
    for metric in Metric::ALL {
        for len in [0, 1, 2, 3, 17, 100] {
            let rows = clustered(len, 12, 3, 1);
            check_all(metric, &rows, &clustered(4, 12, 3, 2), 1.0, &format!("{len} rows"));
        }
    }
}

#[test]
fn dimensions_from_one_to_the_largest() {
    for (dim, len) in
        [(1, 900), (2, 900), (3, 900), (127, 700), (128, 700), (129, 700), (1000, 500), (8192, 450)]
    {
        let rows = clustered(len, dim, 10, 3);
        let queries = rows.first(20);
        for graph in [true, false] {
            let index = build(&rows, &options(Metric::L2, Quantization::Auto), graph).unwrap();
            check(&*index, &rows, &queries, 0.95, &format!("{dim} dimensions, graph {graph}"));
        }
    }
}

#[test]
fn recall_by_every_metric_and_coding() {
    let rows = clustered(4_000, 48, 40, 4);
    for metric in Metric::ALL {
        check_all(metric, &rows, &clustered(40, 48, 40, 4), 0.95, "clusters");
    }
}

#[test]
fn norms_that_vary_and_a_large_common_mean() {
    let mut rng = StdRng::seed_from_u64(5);
    let mut rows = clustered(3_000, 64, 30, 6);
    for row in rows.values.chunks_exact_mut(64) {
        let factor = (rng.random::<f32>() * 3.0 - 1.5).exp();
        row.iter_mut().for_each(|v| *v *= factor);
    }
    let mut shifted = clustered(3_000, 64, 30, 6);
    shifted.values.iter_mut().for_each(|v| *v += 5.0);
    for metric in Metric::ALL {
        for (rows, what) in [(&rows, "norms"), (&shifted, "mean")] {
            let rows = &fitted(metric, rows);
            for graph in [true, false] {
                let index = build(rows, &options(metric, Quantization::Auto), graph).unwrap();
                check(&*index, rows, &rows.first(40), 0.95, &format!("{what} {metric} graph {graph}"));
            }
        }
    }
}

#[test]
fn duplicates_constants_and_zeros() {
    for metric in Metric::ALL {
        check_all(metric, &vectors(8, vec![0.0; 8 * 700]), &vectors(8, vec![1.0; 8]), 1.0, "zeros");
        check_all(metric, &vectors(8, vec![3.5; 8 * 700]), &vectors(8, vec![1.0; 8]), 1.0, "constants");
        let few = clustered(9, 8, 3, 7);
        let repeated = vectors(8, (0..900 * 8).map(|i| few.values[i / 8 % 9 * 8 + i % 8]));
        check_all(metric, &repeated, &few, 0.95, "nine values");
        let mut mixed = clustered(1_500, 8, 20, 8);
        mixed.values[..600 * 8].fill(0.25);
        check_all(metric, &mixed, &clustered(20, 8, 20, 8), 0.95, "many twins");
    }
}

#[test]
fn magnitudes_from_tiny_to_huge() {
    let base = clustered(900, 24, 10, 9);
    for metric in Metric::ALL {
        for magnitude in [1e-38, 1e-30, 1e-18, 1e18, 1e30, 1e37] {
            let rows = vectors(24, base.values.iter().map(|v| v * magnitude));
            let (rows, base) = (fitted(metric, &rows), fitted(metric, &base));
            for graph in [true, false] {
                let index = build(&rows, &options(metric, Quantization::Auto), graph).unwrap();
                let name = format!("{magnitude} {metric} graph {graph}");
                check(&*index, &rows, &rows.first(20), 0.95, &name);
                check(&*index, &rows, &base.first(20), 0.9, &format!("{name}, other queries"));
            }
        }
        let mut outlier = vectors(24, base.values.iter().copied());
        outlier.values[100] = 1e30;
        check_all(metric, &outlier, &base.first(20), 0.95, "one outlier");
    }
}

#[test]
fn filters_are_kept_and_filled() {
    let rows = clustered(3_000, 32, 30, 10);
    let filters: [RoaringBitmap; 6] = [
        RoaringBitmap::new(),
        (0..3_000).collect(),
        [2_999].into_iter().collect(),
        (0..3_000).step_by(2).collect(),
        (0..3_000).step_by(200).collect(),
        // Beyond the end: ignored.
        (2_990..3_500).collect(),
    ];
    for (metric, graph, quantization) in either_metric() {
        let index = build(&rows, &options(metric, quantization), graph).unwrap();
        for filter in &filters {
            let members = filter.range(..3_000).count();
            for query in 0..10 {
                let query = rows.row(query).unwrap();
                for k in [1, 10, 40] {
                    let scan = index
                        .scan(query, &rows, &ScanOptions::new(k, Some(filter), &CancelToken::default()))
                        .unwrap();
                    for hits in [search(&*index, &rows, query, k, Some(filter)), scan] {
                        assert_eq!(hits.len(), k.min(members));
                        assert!(hits.iter().all(|hit| filter.contains(hit.label)));
                        check_hits(metric, &rows, query, &hits, "filtered");
                    }
                }
            }
            let (searched, scanned) = recall(&*index, &rows, &rows.first(30), Some(filter));
            assert!(
                members == 0 || (searched >= 0.9 && scanned >= 0.9),
                "{searched} {scanned} of {members} members"
            );
        }
    }
}

#[test]
fn a_walk_stops_at_its_budget() {
    let rows = clustered(3_000, 32, 30, 11);
    let cancel = CancelToken::default();
    let filter = (0..3_000).step_by(3).collect();
    for (metric, filter) in
        [Metric::Cosine, Metric::L1].into_iter().flat_map(|metric| [(metric, None), (metric, Some(&filter))])
    {
        let index = build(&rows, &options(metric, Quantization::Auto), true).unwrap();
        let mut options = SearchOptions { k: 10, ef: 50, filter, visit_budget: Some(20), cancel: &cancel };
        assert_eq!(index.search(rows.row(5).unwrap(), &rows, &options).unwrap(), Walk::BudgetExceeded);
        options.visit_budget = Some(3_000);
        assert!(
            matches!(index.search(rows.row(5).unwrap(), &rows, &options).unwrap(), Walk::Done(hits) if hits.len() == 10)
        );
    }
}

#[test]
fn wrong_dimensions_and_rows_are_refused() {
    let rows = clustered(50, 6, 2, 12);
    for (metric, graph, quantization) in either_metric() {
        let index = build(&rows, &options(metric, quantization), graph).unwrap();
        let scan = |query: &[f32], rows: &Vectors| {
            index.scan(query, rows, &ScanOptions::new(3, None, &CancelToken::default()))
        };
        assert_eq!(scan(&[0.0; 5], &rows).unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(scan(&[0.0; 6], &rows.first(49)).unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(scan(&[0.0; 6], &clustered(50, 7, 2, 1)).unwrap_err().code(), Code::InvalidArgument);
        let cancel = CancelToken::default();
        let options = SearchOptions { k: 3, ef: 10, filter: None, visit_budget: None, cancel: &cancel };
        assert_eq!(index.search(&[0.0; 7], &rows, &options).unwrap_err().code(), Code::InvalidArgument);
        // More rows than at build time are no harm: the index knows its own.
        let more = clustered(60, 6, 2, 12);
        assert_eq!(index.scan(&[0.0; 6], &more, &ScanOptions::new(100, None, &cancel)).unwrap().len(), 50);
    }
    let zero = Vectors { dim: 8_193, values: vec![0.0; 8_193] };
    assert_eq!(build(&zero, &BuildOptions::default(), true).unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn absurd_options_are_brought_into_range() {
    let rows = clustered(400, 8, 4, 13);
    for (m, ef, threads) in [(0, 0, 0), (1_000_000, usize::MAX, 200), (2, 1, 1), (64, 64, 2)] {
        let options = BuildOptions {
            m,
            ef_construction: ef,
            threads,
            recall_floor: f32::NAN,
            ..BuildOptions::default()
        };
        let index = build(&rows, &options, true).unwrap();
        assert!((2..=64).contains(&index.parameters().graph.unwrap().m));
        check(&*index, &rows, &rows.first(10), 0.9, "absurd options");
    }
}

#[test]
fn cancelling_ends_builds_searches_and_scans() {
    let rows = clustered(1_000, 8, 4, 14);
    let cancelled = CancelToken::default();
    cancelled.cancel();
    for (metric, graph, quantization) in either_metric() {
        let building =
            BuildOptions { cancel: cancelled.clone(), threads: 2, ..options(metric, quantization) };
        // Without codes and graph there is nothing to build.
        if graph || (quantization != Quantization::None && metric.has_codes()) {
            assert_eq!(build(&rows, &building, graph).unwrap_err().code(), Code::Cancelled);
        }
        let index = build(&rows, &options(metric, quantization), graph).unwrap();
        let error =
            index.scan(rows.row(0).unwrap(), &rows, &ScanOptions::new(3, None, &cancelled)).unwrap_err();
        assert_eq!(error.code(), Code::Cancelled);
    }
    assert!(exact_search(Metric::L2, rows.row(0).unwrap(), &rows, None, 3, &cancelled).is_err());
}

/// Rows of which one cannot be read.
struct Failing(Vectors, u32);

impl VectorRows for Failing {
    fn dim(&self) -> usize {
        self.0.dim()
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn row(&self, label: u32) -> Result<&[f32]> {
        if label == self.1 { Err(Error::corrupted("vectors", "a checksum")) } else { self.0.row(label) }
    }
}

#[test]
fn errors_of_rows_come_through() {
    let failing = Failing(clustered(600, 8, 4, 15), 300);
    let reads = |&(metric, graph, q): &(Metric, bool, Quantization)| {
        graph || (q != Quantization::None && metric.has_codes())
    };
    for (metric, graph, quantization) in either_metric().filter(reads) {
        let building = BuildOptions { threads: 2, ..options(metric, quantization) };
        assert_eq!(build(&failing, &building, graph).unwrap_err().code(), Code::Corrupted);
        let index = build(&failing.0, &building, graph).unwrap();
        let query = failing.0.row(300).unwrap();
        let error =
            index.scan(query, &failing, &ScanOptions::new(3, None, &CancelToken::default())).unwrap_err();
        assert_eq!(error.code(), Code::Corrupted);
    }
}

/// The buffers of an index by name, owned.
pub(crate) type Stored = (String, Vec<(&'static str, Vec<u8>)>);

pub(crate) fn store(index: &dyn VectorIndex) -> Stored {
    let buffers = index.buffers().unwrap().into_iter().map(|(name, bytes)| (name, bytes.to_vec())).collect();
    (index.parameters().to_json().unwrap(), buffers)
}

/// Stored buffers one after the other, as a file has them.
#[derive(Debug)]
struct File {
    places: Vec<(&'static str, Range<usize>)>,
    bytes: AlignedBuffer<u8>,
}

impl File {
    fn new(buffers: &[(&'static str, Vec<u8>)]) -> Arc<Self> {
        let (mut places, mut bytes) = (Vec::new(), Vec::new());
        for (name, buffer) in buffers {
            bytes.resize(bytes.len().next_multiple_of(64), 0);
            places.push((*name, bytes.len()..bytes.len() + buffer.len()));
            bytes.extend_from_slice(buffer);
        }
        Arc::new(File { places, bytes: AlignedBuffer::extended(&bytes, 0).unwrap() })
    }
}

impl IndexBuffers for File {
    fn name(&self) -> &str {
        "index.arrow"
    }

    fn place(&self, buffer: &str) -> Option<Range<usize>> {
        self.places.iter().find(|(name, _)| *name == buffer).map(|(_, place)| place.clone())
    }

    fn bytes(&self, range: Range<usize>) -> Result<&[u8]> {
        self.bytes.get(range).ok_or_else(|| Error::corrupted("index.arrow", "it is too short"))
    }
}

pub(crate) fn reload((parameters, buffers): &Stored) -> Result<Arc<dyn VectorIndex>> {
    load(parameters, &*File::new(buffers), &CancelToken::default())
}

/// The same in its file.
pub(crate) fn reopen((parameters, buffers): &Stored) -> Result<Arc<dyn VectorIndex>> {
    open(parameters, File::new(buffers))
}

#[test]
fn what_is_stored_is_what_comes_back() {
    for metric in Metric::ALL {
        for len in [0, 1, 700] {
            let rows = fitted(metric, &clustered(len, 20, 5, 16));
            for (graph, quantization) in implementations(metric) {
                let index = build(&rows, &options(metric, quantization), graph).unwrap();
                let stored = store(&*index);
                let half = (0..len as u32).step_by(2).collect();
                for loaded in [reload(&stored).unwrap(), reopen(&stored).unwrap()] {
                    assert_eq!(store(&*loaded), stored);
                    assert_eq!(loaded.parameters(), index.parameters());
                    for (query, filter) in
                        (0..len.min(20) as u32).zip([None, Some(&half)].into_iter().cycle())
                    {
                        let query = rows.row(query).unwrap();
                        assert_eq!(
                            search(&*loaded, &rows, query, 10, filter),
                            search(&*index, &rows, query, 10, filter)
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn buffers_of_a_wrong_length_are_refused() {
    let rows = clustered(300, 20, 5, 17);
    for (metric, graph, quantization) in either_metric() {
        let stored = store(&*build(&rows, &options(metric, quantization), graph).unwrap());
        for i in 0..stored.1.len() {
            for change in [-1_isize, 1, 4, isize::MIN] {
                let mut damaged = stored.clone();
                let bytes = &mut damaged.1[i].1;
                let len = bytes.len().saturating_add_signed(change);
                bytes.resize(len, 0);
                for outcome in [reload(&damaged), reopen(&damaged)] {
                    assert_eq!(outcome.unwrap_err().code(), Code::Corrupted, "{}", damaged.1[i].0);
                }
            }
        }
    }
}

/// What the damage is done to: every implementation as stored, over all but the last twenty of the rows.
static INTACT: LazyLock<(Vectors, Vec<Stored>)> = LazyLock::new(|| {
    let rows = clustered(470, 10, 5, 18);
    let first = rows.first(450);
    let stored = |(metric, graph, coding)| store(&*build(&first, &options(metric, coding), graph).unwrap());
    let intact = either_metric().map(stored).collect();
    (rows, intact)
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damage_is_found_or_harmless(
        implementation in 0_usize..10,
        which in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..=255), 1..4),
        in_parameters in prop::bool::weighted(0.3),
    ) {
        let (more, intact) = &*INTACT;
        let rows = &more.first(450);
        let (mut parameters, mut buffers) = intact[implementation].clone();
        for (place, value) in flips {
            if in_parameters || buffers.is_empty() {
                let mut bytes = parameters.into_bytes();
                let place = place.index(bytes.len());
                bytes[place] = b'0' + value % 10;
                parameters = String::from_utf8(bytes).unwrap();
            } else {
                let bytes = &mut which.get_mut(&mut buffers[..]).1;
                let place = place.index(bytes.len());
                bytes[place] ^= value;
            }
        }
        let damaged = (parameters, buffers);
        for index in [reload(&damaged), reopen(&damaged)].into_iter().flatten() {
            let cancel = CancelToken::default();
            for filter in [None, Some(&(0..450).step_by(2).collect())] {
                let options = SearchOptions { k: 5, ef: 20, filter, visit_budget: None, cancel: &cancel };
                // Whatever comes out, it comes out: no panic, no hang.
                let _ = index.search(rows.row(3).unwrap(), rows, &options);
                let _ = index.scan(rows.row(3).unwrap(), rows, &ScanOptions::new(5, filter, &cancel));
            }
            if index.len() == 450 && index.dim() == 10 {
                let options = BuildOptions { recall_floor: 0.0, ..options(Metric::L2, Quantization::Auto) };
                let _ = extend(&*index, more, &options, &RoaringBitmap::new());
            }
        }
    }
}

#[test]
fn one_thread_builds_the_same_index_each_time() {
    let rows = clustered(1_200, 16, 10, 19);
    for (metric, quantization) in
        [(Metric::L2, Quantization::Auto), (Metric::L2, Quantization::None), (Metric::L1, Quantization::Auto)]
    {
        let build = |seed| {
            store(&*build(&rows, &BuildOptions { seed, ..options(metric, quantization) }, true).unwrap())
        };
        assert_eq!(build(1), build(1));
        assert_ne!(build(1), build(2));
    }
}

#[test]
fn several_threads_build_as_good_an_index() {
    let rows = clustered(4_000, 24, 20, 20);
    for metric in [Metric::Cosine, Metric::L1] {
        let options = BuildOptions { threads: 4, ..options(metric, Quantization::Auto) };
        let index = build(&rows, &options, true).unwrap();
        check(&*index, &rows, &rows.first(50), 0.97, "four threads");
    }
}

#[test]
fn extending_keeps_labels_and_recall() {
    for metric in Metric::ALL {
        let rows = fitted(metric, &clustered(4_000, 24, 20, 21));
        let codings = [Quantization::Auto, Quantization::Int8, Quantization::None];
        for quantization in codings.into_iter().take(if metric.has_codes() { 3 } else { 1 }) {
            let options = options(metric, quantization);
            let base = build(&rows.first(2_500), &options, true).unwrap();
            let dead: RoaringBitmap = (0..2_500).step_by(5).collect();
            let extended = extend(&*base, &rows, &options, &dead).unwrap();
            assert_eq!(extended.len(), 4_000);
            // Without codes, dead rows are not even ways any more.
            let floor = if metric.has_codes() { 0.95 } else { 0.8 };
            check(&*extended, &rows, &rows.first(40), floor, "extended");
            let live = (0..4_000).filter(|label| !dead.contains(*label)).collect();
            assert!(recall(&*extended, &rows, &rows.first(40), Some(&live)).0 >= 0.95);
            if quantization == Quantization::Int8 {
                let name = |index: &dyn VectorIndex, name| {
                    index.buffers().unwrap().into_iter().find(|(n, _)| *n == name).unwrap().1.to_vec()
                };
                assert!(
                    name(&*extended, "codes").starts_with(&name(&*base, "codes")),
                    "old codes are copied"
                );
            }
            let stored = store(&*extended);
            assert_eq!(store(&*reload(&stored).unwrap()), stored);
        }
    }
}

#[test]
fn extending_builds_anew_where_it_must() {
    let rows = clustered(1_500, 24, 20, 22);
    let options = options(Metric::L2, Quantization::Auto);
    let empty = build(&rows.first(0), &options, true).unwrap();
    let none = RoaringBitmap::new();
    check(&*extend(&*empty, &rows, &options, &none).unwrap(), &rows, &rows.first(20), 0.95, "from nothing");
    let flat = build(&rows.first(500), &options, false).unwrap();
    assert!(!extend(&*flat, &rows, &options, &none).unwrap().has_graph());
    let base = build(&rows.first(500), &options, true).unwrap();
    let other = BuildOptions { m: 8, ..options.clone() };
    assert_eq!(extend(&*base, &rows, &other, &none).unwrap().parameters().graph.unwrap().m, 8);
    assert_eq!(extend(&*base, &rows.first(400), &options, &none).unwrap_err().code(), Code::InvalidArgument);
    // Rows that lie quite elsewhere: the codes of the base cannot tell them apart.
    let mut moved = clustered(1_500, 24, 20, 22);
    moved.values[500 * 24..].iter_mut().for_each(|v| *v = *v * 1e-4 + 300.0);
    let rebuilt = extend(&*base, &moved, &options, &none).unwrap();
    check(&*rebuilt, &moved, &vectors(24, moved.values[1_400 * 24..].iter().copied()), 0.95, "moved");
}

#[test]
fn one_extreme_component_leaves_an_index_that_loads() {
    let none = RoaringBitmap::new();
    for (metric, extreme) in Metric::ALL.into_iter().flat_map(|m| [1e20, 1e30, 3e38].map(|e| (m, e))) {
        let base = clustered(900, 24, 10, 9);
        let base = fitted(metric, &base);
        let mut rows = vectors(24, base.values.iter().copied());
        rows.values[850 * 24 + 3] = extreme;
        for (graph, quantization) in implementations(metric) {
            let options = options(metric, quantization);
            let name = format!("{extreme} {metric} graph {graph} {quantization:?}");
            let built = build(&rows, &options, graph).unwrap();
            let base = build(&base.first(800), &options, graph).unwrap();
            for index in [built, extend(&*base, &rows, &options, &none).unwrap()] {
                let stored = store(&*index);
                let loaded = reload(&stored).unwrap();
                assert_eq!(store(&*loaded), stored);
                check(&*loaded, &rows, &rows.first(20), 0.0, &name);
            }
        }
    }
}

#[test]
fn indices_are_searched_from_many_threads() {
    let rows = clustered(1_000, 16, 10, 23);
    let index = build(&rows, &options(Metric::L2, Quantization::Auto), true).unwrap();
    let expected: Vec<Vec<Hit>> =
        (0..50).map(|q| search(&*index, &rows, rows.row(q).unwrap(), 5, None)).collect();
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (query, expected) in expected.iter().enumerate() {
                    assert_eq!(&search(&*index, &rows, rows.row(query as u32).unwrap(), 5, None), expected);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(done.into_inner(), 200);
}
