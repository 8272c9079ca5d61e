use std::sync::Arc;

use bytemuck::Pod;
use ferrochrome_types::{Error, Metric, Result, limits};

use crate::aligned_buffer::AlignedBuffer;
use crate::codes::Codes;
use crate::coding::Coding;
use crate::flat::Flat;
use crate::hnsw::{EMPTY, Graph, Hnsw, MAX_LEVEL, Shape, UpperLevels};
use crate::parameters::{GraphParameters, LAYOUT_VERSION, Parameters};
use crate::quantizer::{Bits, Factors, Frame, Quantizer};
use crate::rotation::Rotation;
use crate::{MAX_INDEX_ROWS, VectorIndex};

/// What the messages call the source.
const INDEX: &str = "index";

/// Reads an index back from the JSON of its [`Parameters`] and its buffers by name (`None`: there is no such buffer).
///
/// Nothing is taken on trust: lengths, links, levels and numbers are checked before they are used. The buffers are copied, into
/// huge pages where they are large.
///
/// # Errors
/// `Corrupted` if anything does not hold, `LimitExceeded` if memory does not suffice, and whatever `buffers` fails with.
pub fn load<'a>(
    parameters: &str,
    buffers: &dyn Fn(&str) -> Result<Option<&'a [u8]>>,
) -> Result<Arc<dyn VectorIndex>> {
    let parameters: Parameters = serde_json::from_str(parameters)
        .map_err(|e| Error::corrupted(INDEX, format_args!("parameters: {e}")).with_source(e))?;
    let metric: Metric = parameters.metric.parse().map_err(|_| corrupted("unknown metric"))?;
    ensure(parameters.version == LAYOUT_VERSION, || {
        format!("layout version is {}, this build reads {LAYOUT_VERSION}", parameters.version)
    })?;
    ensure((1..=limits::MAX_DIMENSION).contains(&parameters.dim), || {
        format!("dimension {}", parameters.dim)
    })?;
    ensure(parameters.len <= MAX_INDEX_ROWS, || format!("{} rows", parameters.len))?;
    ensure(parameters.rescore_depth <= limits::MAX_RESULTS, || "rescoring depth".into())?;
    let buffers = Buffers { read: buffers };
    let coding = Coding {
        metric,
        dim: parameters.dim,
        len: parameters.len,
        seed: parameters.seed,
        codes: load_codes(metric, &parameters, &buffers)?,
        rescore_depth: parameters.rescore_depth.max(1),
        recall: parameters.recall,
    };
    match &parameters.graph {
        None => Ok(Arc::new(Flat { coding })),
        Some(graph) => {
            let ef_construction = graph.ef_construction;
            let graph = load_graph(graph, parameters.len, &buffers)?;
            Ok(Arc::new(Hnsw { coding, graph, ef_construction }))
        }
    }
}

fn corrupted(what: impl std::fmt::Display) -> Error {
    Error::corrupted(INDEX, what)
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(corrupted(what())) }
}

struct Buffers<'a, 'b> {
    read: &'b dyn Fn(&str) -> Result<Option<&'a [u8]>>,
}

impl Buffers<'_, '_> {
    /// The buffer `name` if it has exactly `len` entries.
    fn entries<T: Pod>(&self, name: &str, len: usize) -> Result<AlignedBuffer<T>> {
        let bytes = (self.read)(name)?.unwrap_or(&[]);
        ensure(len.checked_mul(size_of::<T>()) == Some(bytes.len()), || {
            format!("buffer `{name}` has {} bytes, expected {len} entries of {}", bytes.len(), size_of::<T>())
        })?;
        AlignedBuffer::from_bytes(bytes)
    }

    /// The buffer `name`, however many whole entries it has.
    fn all_entries<T: Pod>(&self, name: &str) -> Result<AlignedBuffer<T>> {
        let bytes = (self.read)(name)?.unwrap_or(&[]);
        self.entries(name, bytes.len() / size_of::<T>())
    }
}

fn load_codes(metric: Metric, parameters: &Parameters, buffers: &Buffers<'_, '_>) -> Result<Option<Codes>> {
    let bits = match parameters.quantization.as_str() {
        "none" => return Ok(None),
        "int4" => Bits::Four,
        "int8" => Bits::Eight,
        other => return Err(corrupted(format_args!("unknown quantization `{other}`"))),
    };
    ensure(metric.has_codes(), || format!("codes, which `{metric}` has none of"))?;
    let (dim, len) = (parameters.dim, parameters.len);
    ensure(parameters.scale.is_normal() && parameters.scale > 0.0, || format!("scale {}", parameters.scale))?;
    let step = if parameters.factors { None } else { Some(parameters.step) };
    ensure(step.is_none_or(|step| step.is_finite() && step > 0.0), || format!("step {}", parameters.step))?;
    let mean: AlignedBuffer<f32> = buffers.entries("mean", dim)?;
    ensure(mean.iter().all(|m| m.is_finite()), || "the mean is not finite".into())?;
    let factors: AlignedBuffer<Factors> =
        buffers.entries("factors", if parameters.factors { len } else { 0 })?;
    ensure(factors.iter().flatten().all(|f| f.is_finite()), || "a factor is not finite".into())?;
    let (scale, seed, rotation) = (parameters.scale, parameters.seed, Rotation::new(dim, parameters.seed));
    let quantizer = Quantizer { frame: Frame { metric, dim, scale, mean, seed, rotation }, bits, step };
    let code_bytes = len.checked_mul(quantizer.row_bytes()).ok_or_else(|| corrupted("too many codes"))?;
    let rows = buffers.entries("codes", code_bytes)?;
    Ok(Some(Codes::from_parts(quantizer, len, rows, factors)))
}

fn load_graph(parameters: &GraphParameters, len: usize, buffers: &Buffers<'_, '_>) -> Result<Graph> {
    ensure(Shape::M_RANGE.contains(&parameters.m), || format!("m is {}", parameters.m))?;
    let shape = Shape { m: parameters.m };
    ensure(
        parameters.row_width == shape.row_width() && parameters.upper_width == shape.upper_width(),
        || format!("rows of {} and {} links", parameters.row_width, parameters.upper_width),
    )?;
    let slots = len.checked_mul(shape.row_width()).ok_or_else(|| corrupted("too many links"))?;
    let links: AlignedBuffer<u32> = buffers.entries("links", slots)?;
    check_links(&links, len, shape.row_width(), shape.ground_links())?;
    let upper_labels: AlignedBuffer<u32> = buffers.all_entries("upper_labels")?;
    check_upper_labels(&upper_labels, len)?;
    let upper_slots = upper_labels
        .len()
        .checked_mul(shape.upper_width())
        .ok_or_else(|| corrupted("too many upper links"))?;
    let upper_links: AlignedBuffer<u32> = buffers.entries("upper_links", upper_slots)?;
    check_links(&upper_links, len, shape.upper_width(), shape.upper_width())?;
    let upper = UpperLevels::new(len, shape.upper_width(), upper_labels, upper_links);
    check_levels(&upper, shape.upper_width())?;
    let GraphParameters { entry, top_level, .. } = *parameters;
    let entry_level = if (entry as usize) < len { upper.level(entry) } else { 0 };
    ensure((entry as usize) < len || (entry == 0 && len == 0), || format!("entry {entry} of {len} rows"))?;
    ensure(entry_level == top_level, || format!("entry is on level {entry_level}, not {top_level}"))?;
    Ok(Graph { shape, len, links, upper, entry, top_level })
}

/// Every link is a row or an unused slot, and no row has more than `most`.
fn check_links(links: &[u32], len: usize, width: usize, most: usize) -> Result<()> {
    let len = len as u32;
    ensure(links.iter().all(|&link| link < len || link == EMPTY), || "a link leads to no row".into())?;
    let fits = |row: &[u32]| row[most..].iter().all(|&link| link == EMPTY);
    ensure(most == width || links.chunks_exact(width).all(fits), || "a node has too many links".into())
}

/// Every link of a level leads to a node that reaches the level.
fn check_levels(upper: &UpperLevels, width: usize) -> Result<()> {
    let mut level = 0;
    let mut previous = None;
    for (&label, links) in upper.labels.iter().zip(upper.links.chunks_exact(width)) {
        level = if previous == Some(label) { level + 1 } else { 1 };
        previous = Some(label);
        let reach = |&link: &u32| link == EMPTY || upper.level(link) >= level;
        ensure(links.iter().all(reach), || "a link leads to a node below its level".into())?;
    }
    Ok(())
}

/// Labels of rows of upper links: ascending, and of each node no more rows than there are levels.
fn check_upper_labels(labels: &[u32], len: usize) -> Result<()> {
    ensure(labels.is_sorted() && labels.last().is_none_or(|&last| (last as usize) < len), || {
        "labels of the upper levels are not in order".into()
    })?;
    let highest = usize::from(MAX_LEVEL);
    ensure(labels.windows(highest + 1).all(|window| window[0] != window[highest]), || {
        "a node has too many levels".into()
    })
}
