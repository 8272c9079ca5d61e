use std::sync::Arc;

use ferrochrome_types::{Code, Error, Result, VectorRows, limits};
use roaring::RoaringBitmap;

use crate::aligned_buffer::AlignedBuffer;
use crate::calibration;
use crate::codes::Codes;
use crate::coding::Coding;
use crate::flat::Flat;
use crate::hnsw::{Graph, GrowOptions, Hnsw, Shape, grow, hnsw_rs_builder};
use crate::quantizer::{Frame, Quantizer};
use crate::rotation::Rotation;
use crate::scorer::RowScorer;
use crate::{BuildOptions, MAX_INDEX_ROWS, VectorIndex};

/// Bounds of options that a user may set.
const MAX_EF_CONSTRUCTION: usize = 4_096;
const MAX_THREADS: usize = 64;

/// Builds an index of `rows`: with `graph`, one whose searches walk a graph, otherwise codes that every search scans.
///
/// # Errors
/// `InvalidArgument` for a dimension outside `1..=8192`, `LimitExceeded` for more than [`MAX_INDEX_ROWS`] rows or if memory
/// does not suffice, `Cancelled`, and whatever `rows` fails with.
pub fn build(rows: &dyn VectorRows, options: &BuildOptions, graph: bool) -> Result<Arc<dyn VectorIndex>> {
    let options = clamped(options);
    check_rows(rows)?;
    let coding = calibration::code(rows, &options)?;
    if !graph {
        return Ok(Arc::new(Flat { coding }));
    }
    let graph = grow_graph(&coding, rows, None, &options, &RoaringBitmap::new())?;
    Ok(Arc::new(Hnsw { coding, graph, ef_construction: options.ef_construction }))
}

/// An index of `rows`, whose first rows are those of `base`, by inserting only the others into a copy of its codes and graph.
///
/// `dead` are labels of `base` that no search will ask for any more: they remain as ways through the graph, but new rows do not link
/// to them. Where inserting would not do, the index is built anew: `base` has no graph or was built with other options
/// (metric, `m`, seed), its codes no longer reach the recall floor on the longer set, or the metric has no codes: then `dead` rows
/// are left out of the new graph.
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
    let extensible = |base: &&Hnsw| {
        let coding = &base.coding;
        let same = coding.metric == clamped.metric && coding.seed == clamped.seed;
        same && base.graph.shape.m == clamped.m && base.graph.len > 0
    };
    let Some(base) = base.as_any().downcast_ref::<Hnsw>().filter(extensible) else {
        return build(rows, options, base.has_graph());
    };
    let Some(coding) = extend_coding(&base.coding, rows, &clamped)? else {
        return build(rows, options, true);
    };
    let graph = grow_graph(&coding, rows, Some(&base.graph), &clamped, dead)?;
    Ok(Arc::new(Hnsw { coding, graph, ef_construction: clamped.ef_construction }))
}

/// The codes of `base` with those of the further rows, or `None` if recall with them would be below the floor.
fn extend_coding(base: &Coding, rows: &dyn VectorRows, options: &BuildOptions) -> Result<Option<Coding>> {
    let mut extended =
        Coding { metric: base.metric, dim: base.dim, len: rows.len(), seed: base.seed, codes: None, ..*base };
    if let Some(codes) = &base.codes {
        let quantizer = copy_quantizer(&codes.quantizer)?;
        let (recall, quantizer) = calibration::measure(quantizer, base.rescore_depth, rows, &options.cancel)?;
        // A base that was built below the floor on demand is not built again for that.
        if recall < options.recall_floor.min(base.recall.unwrap_or(1.0)) {
            return Ok(None);
        }
        let before: (&[u8], &[_]) = (&codes.rows, &codes.factors);
        let codes = Codes::encode(quantizer, before, base.len, rows, &options.cancel)?;
        if !codes.is_complete() {
            return Ok(None);
        }
        extended.codes = Some(codes);
        extended.recall = Some(recall);
    }
    Ok(Some(extended))
}

fn copy_quantizer(quantizer: &Quantizer) -> Result<Quantizer> {
    let Frame { metric, dim, scale, mean, seed, .. } = &quantizer.frame;
    let mean = AlignedBuffer::extended(mean, 0)?;
    let rotation = Rotation::new(*dim, *seed);
    let frame = Frame { metric: *metric, dim: *dim, scale: *scale, mean, seed: *seed, rotation };
    Ok(Quantizer { frame, ..*quantizer })
}

fn grow_graph(
    coding: &Coding,
    rows: &dyn VectorRows,
    base: Option<&Graph>,
    options: &BuildOptions,
    dead: &RoaringBitmap,
) -> Result<Graph> {
    let options = GrowOptions {
        shape: Shape { m: options.m },
        ef_construction: options.ef_construction,
        seed: options.seed,
        threads: options.threads,
        dead,
        cancel: &options.cancel,
    };
    match &coding.codes {
        Some(codes) => grow(codes, base, &options),
        None if !coding.metric.has_codes() => hnsw_rs_builder::build(coding.metric, rows, &options),
        None => grow(&RowScorer::new(coding.metric, rows, coding.len), base, &options),
    }
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
