use std::sync::Arc;

use ferrochrome_types::{Code, Error, Result, VectorRows, limits};
use roaring::RoaringBitmap;

use crate::calibration;
use crate::coding::Coding;
use crate::flat::Flat;
use crate::hnsw::{Graph, GrowOptions, Hnsw, MendOptions, Mended, Shape, Width, grow, hnsw_rs_builder, mend};
use crate::scorer::RowScorer;
use crate::true_neighbours::TrueNeighbours;
use crate::{BuildOptions, MAX_INDEX_ROWS, Quantization, VectorIndex};

/// Bounds of options that a user may set.
const MAX_EF_CONSTRUCTION: usize = 4_096;
const MAX_THREADS: usize = 64;

/// Builds an index of `rows`: with `graph`, one whose searches walk a graph, otherwise codes that every search scans.
///
/// # Errors
/// `InvalidArgument` for a dimension outside `1..=8192`, `LimitExceeded` for more than [`MAX_INDEX_ROWS`] rows or if memory
/// does not suffice, `Cancelled`, and whatever `rows` fails with.
pub fn build(rows: &dyn VectorRows, options: &BuildOptions, graph: bool) -> Result<Arc<dyn VectorIndex>> {
    build_among(rows, options, graph, &RoaringBitmap::new())
}

/// As [`build`]. Rows in `dead` are in the index, but do not count when it measures itself.
fn build_among(
    rows: &dyn VectorRows,
    options: &BuildOptions,
    graph: bool,
    dead: &RoaringBitmap,
) -> Result<Arc<dyn VectorIndex>> {
    let options = clamped(options);
    check_rows(rows)?;
    let measured = graph || options.quantization != Quantization::None;
    let truth = if measured { find_truth(rows, &options, dead)? } else { TrueNeighbours::default() };
    let coding = calibration::code(rows, &options, dead, &truth)?;
    if !graph {
        return Ok(Arc::new(Flat { coding }));
    }
    grow_index(coding, rows, None, &options, dead, &truth)
}

fn find_truth(rows: &dyn VectorRows, options: &BuildOptions, dead: &RoaringBitmap) -> Result<TrueNeighbours> {
    TrueNeighbours::find(rows, options.metric, dead, options.threads, &options.cancel)
}

/// An index of `rows`, whose first rows are those of `base`, by inserting only the others into a copy of its codes and graph.
///
/// `dead` are labels of `base` that no search will ask for any more: they remain as ways through the graph, but new rows do not link
/// to them. Where inserting would not do, the index is built anew: `base` has no graph or was built with other options
/// (metric, `m`, seed, quantization), its codes no longer reach the recall floor on the longer set, or the metric has no codes: then
/// `dead` rows are left out of the new graph.
///
/// # Errors
/// As [`build`]; also `InvalidArgument` if `rows` are fewer than those of `base` or of another dimension.
pub fn extend(
    base: &dyn VectorIndex,
    rows: &dyn VectorRows,
    options: &BuildOptions,
    dead: &RoaringBitmap,
) -> Result<Arc<dyn VectorIndex>> {
    check_rows(rows)?;
    if rows.len() < base.len() || rows.dim() != base.dim() {
        return Err(Error::invalid(format!(
            "{} vectors of {} components cannot extend an index of {} vectors of {}",
            rows.len(),
            rows.dim(),
            base.len(),
            base.dim()
        )));
    }
    let clamped = clamped(options);
    let Some(base) = base.as_any().downcast_ref::<Hnsw>().filter(|base| can_go_on(base, &clamped)) else {
        return build_among(rows, options, base.has_graph(), dead);
    };
    let truth = find_truth(rows, &clamped, dead)?;
    match calibration::extend(&base.coding, rows, &clamped, dead, &truth)? {
        Some(coding) => grow_index(coding, rows, Some((&base.graph, &[])), &clamped, dead, &truth),
        None => build_among(rows, options, true, dead),
    }
}

/// The part of a graph's nodes up to which it is mended without them. With more there is less to save and more to lose.
const MOST_GONE: f64 = 0.5;

/// An index of `rows`, whose first rows are those of `base` that are not in `gone`, in their order: of a copy of its codes and graph
/// without the others. The neighbours of a node that is gone are linked with one another, and the further rows are inserted.
///
/// Built anew where inserting would not do, as by [`extend`]; where more than half of `base` is gone; and where the mended graph had to
/// be walked wider than `base`.
///
/// # Errors
/// As [`build`]; also `InvalidArgument` if `rows` are fewer than those of `base` that stay or of another dimension.
pub fn renew(
    base: &dyn VectorIndex,
    gone: &RoaringBitmap,
    rows: &dyn VectorRows,
    options: &BuildOptions,
) -> Result<Arc<dyn VectorIndex>> {
    check_rows(rows)?;
    let gone_rows = gone.range_cardinality(..base.len() as u32) as usize;
    let stay = base.len() - gone_rows;
    if rows.len() < stay || rows.dim() != base.dim() {
        return Err(Error::invalid(format!(
            "{} vectors of {} components cannot be those of an index of {stay} vectors of {} and more",
            rows.len(),
            rows.dim(),
            base.dim()
        )));
    }
    let options = clamped(options);
    let too_many = gone_rows as f64 > MOST_GONE * base.len() as f64;
    let usable =
        |base: &&Hnsw| can_go_on(base, &options) && base.coding.metric.has_codes() && !too_many && stay > 0;
    let nothing = RoaringBitmap::new();
    let anew = || build_among(rows, &options, base.has_graph(), &nothing);
    let Some(base) = base.as_any().downcast_ref::<Hnsw>().filter(usable) else { return anew() };
    let truth = find_truth(rows, &options, &nothing)?;
    let codes = base.coding.codes.as_ref().map(|codes| codes.without(gone)).transpose()?;
    let Some(coding) =
        calibration::extend(&Coding { codes, len: stay, ..base.coding }, rows, &options, &nothing, &truth)?
    else {
        return anew();
    };
    let mending = MendOptions { gone, threads: options.threads, cancel: &options.cancel };
    let Mended { graph, loose } = match &coding.codes {
        Some(codes) => mend(codes, &base.graph, &mending)?,
        None => mend(&RowScorer::new(coding.metric, rows, coding.len), &base.graph, &mending)?,
    };
    let mended = grow_index(coding, rows, Some((&graph, &loose)), &options, &nothing, &truth)?;
    let wider = |mended: &Hnsw| {
        mended.width.ef_factor > base.width.ef_factor || mended.width.ef_per_k > base.width.ef_per_k
    };
    if mended.as_any().downcast_ref::<Hnsw>().is_none_or(wider) {
        drop((mended, graph));
        return anew();
    }
    Ok(mended)
}

/// Whether an index by these options can begin with the codes and the graph of `base`.
fn can_go_on(base: &Hnsw, options: &BuildOptions) -> bool {
    let coding = &base.coding;
    let same = coding.metric == options.metric && coding.seed == options.seed;
    let same = same && coding.asked == options.quantization;
    same && base.graph.shape.m == options.m && base.graph.len > 0
}

/// An index with this coding. `base` is the graph of the first rows, with those of its nodes that are to be inserted again.
fn grow_index(
    coding: Coding,
    rows: &dyn VectorRows,
    base: Option<(&Graph, &[u32])>,
    options: &BuildOptions,
    dead: &RoaringBitmap,
    truth: &TrueNeighbours,
) -> Result<Arc<dyn VectorIndex>> {
    let BuildOptions { ef_construction, threads, cancel, progress, .. } = options;
    let (base, again) = base.map_or((None, &[][..]), |(graph, again)| (Some(graph), again));
    let growing = GrowOptions {
        shape: Shape { m: options.m },
        ef_construction: *ef_construction,
        seed: options.seed,
        threads: *threads,
        dead,
        again,
        grouped: truth.are_grouped(),
        cancel,
        progress,
    };
    let graph = match &coding.codes {
        Some(codes) => grow(codes, base, &growing)?,
        None if !coding.metric.has_codes() => hnsw_rs_builder::build(coding.metric, rows, &growing)?,
        None => grow(&RowScorer::new(coding.metric, rows, coding.len), base, &growing)?,
    };
    let mut index = Hnsw { coding, graph, ef_construction: *ef_construction, width: Width::USUAL };
    index.width = Width::fit(&index, rows, truth, dead, *threads, cancel)?;
    Ok(Arc::new(index))
}

fn check_rows(rows: &dyn VectorRows) -> Result<()> {
    if !(1..=limits::MAX_DIMENSION).contains(&rows.dim()) {
        return Err(Error::invalid(format!(
            "Vectors of {} components cannot be indexed: expected 1 to {}",
            rows.dim(),
            limits::MAX_DIMENSION
        )));
    }
    if rows.len() > MAX_INDEX_ROWS {
        return Err(Error::new(
            Code::LimitExceeded,
            format!("{} vectors are too many for one index: it holds {MAX_INDEX_ROWS}", rows.len()),
        ));
    }
    Ok(())
}

/// The options with every number brought into its range.
fn clamped(options: &BuildOptions) -> BuildOptions {
    let m = options.m.clamp(*Shape::M_RANGE.start(), *Shape::M_RANGE.end());
    BuildOptions {
        m,
        ef_construction: options.ef_construction.clamp(2 * m, MAX_EF_CONSTRUCTION),
        threads: options.threads.clamp(1, MAX_THREADS),
        recall_floor: if options.recall_floor.is_nan() { 1.0 } else { options.recall_floor.clamp(0.0, 1.0) },
        ..options.clone()
    }
}
