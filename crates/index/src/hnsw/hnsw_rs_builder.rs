//! The only place that names the crate `hnsw_rs`: it builds the graphs of the spaces that have no codes.
//!
//! What the crate may not do to us is kept out here. It ends the process on a bad `m`: the options are in range before. It panics
//! on NaN and negative distances: there are none. It cannot fail: an error of the rows is kept and every later distance is zero. It
//! uses the global thread pool even to free its memory: all of it happens in a pool of its own. It has its own file format, which
//! is not used: its neighbour lists are read out into a [`Graph`].

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use ::hnsw_rs::anndists::dist::distances::Distance;
use ::hnsw_rs::hnsw::Hnsw;
use ferrochrome_types::{CancelToken, Error, Metric, Result, VectorRows};

use super::builder::GrowOptions;
use super::graph::{EMPTY, Graph, UpperLevels};
use crate::aligned_buffer::AlignedBuffer;

/// Rows inserted between two looks at the cancel token.
const BATCH: usize = 1_024;
/// The crate has no more levels.
const LEVELS: usize = 16;

/// A graph over all `rows` but the dead ones, which are left without links: nothing leads to them.
///
/// With one thread, equal rows and options give equal graphs. The seed has no part in it: levels are drawn by the crate.
pub(crate) fn build(metric: Metric, rows: &dyn VectorRows, options: &GrowOptions<'_>) -> Result<Graph> {
    let failed = OnceLock::new();
    let distances = RowDistance { metric, rows, cancel: options.cancel, failed: &failed };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .thread_name(|i| format!("ferrochrome-graph-{i}"))
        .build()
        .map_err(|e| Error::internal("the threads that build a graph cannot be started").with_source(e))?;
    let work = || pool.install(|| insert_and_read(distances, rows.len(), options));
    let graph = catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Error::internal("hnsw_rs panicked while it built a graph")));
    match failed.into_inner() {
        Some(error) => Err(error),
        None => graph,
    }
}

fn insert_and_read(distances: RowDistance<'_>, len: usize, options: &GrowOptions<'_>) -> Result<Graph> {
    let Distinct { labels, twins } = Distinct::of(distances.rows, options)?;
    let index = Hnsw::new(options.shape.m, labels.len(), LEVELS, options.ef_construction, distances);
    let mut points = labels.chunks(1).map(|label| (label, label[0] as usize));
    // Nodes that are inserted beside the very first one would not be linked to it.
    points.by_ref().take(1).for_each(|point| index.insert_slice(point));
    loop {
        options.cancel.check()?;
        let batch: Vec<(&[u32], usize)> = points.by_ref().take(BATCH).collect();
        if batch.is_empty() || distances.failed.get().is_some() {
            break;
        }
        index.parallel_insert_slice(&batch);
    }
    let mut graph = read(&index, len, options)?;
    twins.iter().for_each(|(&first, twins)| link_twins(&mut graph, first, twins));
    Ok(graph)
}

/// The rows to be inserted. The crate keeps the nearest links of a node, whichever way they lead: were equal vectors inserted
/// one by one, they would soon link to one another only, and nothing behind them would be found.
struct Distinct {
    /// The first of each set of equal vectors, ascending.
    labels: Vec<u32>,
    /// For some of them, the others of the set.
    twins: BTreeMap<u32, Vec<u32>>,
}

impl Distinct {
    fn of(rows: &dyn VectorRows, options: &GrowOptions<'_>) -> Result<Self> {
        let mut distinct = Distinct { labels: Vec::new(), twins: BTreeMap::new() };
        let mut first_by_hash = HashMap::new();
        for label in (0..rows.len() as u32).filter(|label| !options.dead.contains(*label)) {
            if label.is_multiple_of(BATCH as u32) {
                options.cancel.check()?;
            }
            let row = rows.row(label)?;
            let mut hasher = DefaultHasher::new();
            // Zero has two signs that are equal.
            row.iter().for_each(|component| hasher.write_u32((component + 0.0).to_bits()));
            let first = *first_by_hash.entry(hasher.finish()).or_insert(label);
            if first != label && rows.row(first)? == row {
                distinct.twins.entry(first).or_default().push(label);
            } else {
                distinct.labels.push(label);
            }
        }
        Ok(distinct)
    }
}

/// Hangs the twins of `first` below it as a tree as wide as rows are. Each also leads back to `first`.
fn link_twins(graph: &mut Graph, first: u32, twins: &[u32]) {
    let (root, others) = match twins {
        [root, others @ ..] => (*root, others),
        [] => return,
    };
    let capacity = graph.shape.ground_links();
    let links = ground_row(graph, first);
    let free = links.iter().position(|&link| link == EMPTY).unwrap_or(capacity - 1);
    links[free] = root;
    let mut children = others.chunks(capacity - 1);
    for &twin in twins {
        let links = std::iter::once(&first).chain(children.next().unwrap_or_default());
        for (slot, &link) in ground_row(graph, twin).iter_mut().zip(links) {
            *slot = link;
        }
    }
}

/// The links of a node on the ground level.
fn ground_row(graph: &mut Graph, label: u32) -> &mut [u32] {
    let width = graph.shape.row_width();
    &mut graph.links[label as usize * width..][..graph.shape.ground_links()]
}

/// Copies neighbour lists into a graph; takes nothing of them on trust.
fn read(index: &Hnsw<'_, u32, RowDistance<'_>>, len: usize, options: &GrowOptions<'_>) -> Result<Graph> {
    let shape = options.shape;
    let points = index.get_point_indexation();
    let mut levels = vec![0_u8; len];
    let (mut entry, mut top_level) = (None, 0);
    for (level, layer) in (0_u8..).zip((0..LEVELS).map(|layer| points.get_layer_iterator(layer))) {
        for point in layer {
            let label = point.get_origin_id();
            *levels.get_mut(label).ok_or_else(unknown_label)? = level;
            if entry.is_none() || level > top_level {
                (entry, top_level) = (Some(label as u32), level);
            }
        }
    }
    let upper_labels: Vec<u32> =
        (0_u32..).zip(&levels).flat_map(|(label, &level)| std::iter::repeat_n(label, level.into())).collect();
    let mut upper_links = AlignedBuffer::zeroed(upper_labels.len() * shape.upper_width())?;
    upper_links.fill(EMPTY);
    let upper_labels = AlignedBuffer::extended(&upper_labels, 0)?;
    let mut upper: UpperLevels = UpperLevels::new(len, shape.upper_width(), upper_labels, upper_links);
    let mut links = AlignedBuffer::zeroed(len * shape.row_width())?;
    links.fill(EMPTY);
    for point in (0..LEVELS).flat_map(|layer| points.get_layer_iterator(layer)) {
        let label = point.get_origin_id();
        // Lists above the node's own level are left over from its insertion.
        for (level, neighbours) in (0..=levels[label]).zip(point.get_neighborhood_id()) {
            let row = match level {
                0 => &mut links[label * shape.row_width()..][..shape.ground_links()],
                _ => {
                    let slots = upper.slots(label as u32, level);
                    &mut upper.links[slots]
                }
            };
            let reaches = |neighbour: &usize| levels.get(*neighbour).is_some_and(|reach| *reach >= level);
            let neighbours = neighbours.iter().map(|neighbour| neighbour.get_origin_id());
            let neighbours = neighbours.filter(|neighbour| *neighbour != label && reaches(neighbour));
            for (slot, neighbour) in row.iter_mut().zip(neighbours) {
                *slot = neighbour as u32;
            }
        }
    }
    Ok(Graph { shape, len, links, upper, entry: entry.unwrap_or(0), top_level })
}

fn unknown_label() -> Error {
    Error::internal("hnsw_rs returned a label that it was not given")
}

/// Distances between rows by label, so that the crate holds labels and no copy of the vectors.
#[derive(Clone, Copy)]
struct RowDistance<'a> {
    metric: Metric,
    rows: &'a dyn VectorRows,
    cancel: &'a CancelToken,
    failed: &'a OnceLock<Error>,
}

impl RowDistance<'_> {
    fn between(&self, a: u32, b: u32) -> Result<f32> {
        Ok(ferrochrome_distance::distance(self.metric, self.rows.row(a)?, self.rows.row(b)?))
    }
}

impl Distance<u32> for RowDistance<'_> {
    fn eval(&self, a: &[u32], b: &[u32]) -> f32 {
        if self.cancel.is_cancelled() || self.failed.get().is_some() {
            return 0.0;
        }
        match self.between(a[0], b[0]) {
            Ok(distance) => distance.clamp(0.0, f32::MAX),
            Err(error) => {
                let _ = self.failed.set(error);
                0.0
            }
        }
    }
}
