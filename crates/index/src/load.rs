use std::ops::Range;
use std::sync::Arc;

use bytemuck::Pod;
use ferrochrome_types::{CancelToken, Code, Error, IndexBuffers, Metric, Result, limits};
use serde::Deserialize;

use crate::aligned_buffer::AlignedBuffer;
use crate::codes::Codes;
use crate::coding::Coding;
use crate::flat::Flat;
use crate::hnsw::{EMPTY, Graph, Hnsw, MAX_LEVEL, Shape, UpperLevels, Width};
use crate::parameters::{GraphParameters, LAYOUT_VERSION, Parameters};
use crate::quantizer::{Bits, Factors, Frame, Quantizer};
use crate::rotation::Rotation;
use crate::storage::{Mapped, MappedCodes, MappedLinks, Storage};
use crate::{MAX_INDEX_ROWS, VectorIndex};

/// What is read of every version, before anything else.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// Reads an index into memory from the JSON of its [`Parameters`] and its buffers.
///
/// Nothing is taken on trust: lengths, links, levels and numbers are checked before they are used. The buffers are copied, into
/// huge pages where they are large.
///
/// # Errors
/// `Corrupted` if anything does not hold, `LimitExceeded` if memory does not suffice, `Cancelled`, and whatever `buffers` fails
/// with.
pub fn load(
    parameters: &str,
    buffers: &dyn IndexBuffers,
    cancel: &CancelToken,
) -> Result<Arc<dyn VectorIndex>> {
    let source = Source { buffers, cancel };
    let (parameters, metric) = source.parameters(parameters)?;
    let codes = source.quantizer(metric, &parameters)?.map(|quantizer| source.codes(quantizer, &parameters));
    let coding = coding(metric, &parameters, codes.transpose()?);
    let Some(graph) = &parameters.graph else { return Ok(Arc::new(Flat { coding })) };
    let (ef_construction, width) = (graph.ef_construction, source.width(graph)?);
    let graph = source.graph(graph, parameters.len)?;
    Ok(Arc::new(Hnsw { coding, graph, ef_construction, width }))
}

/// An index that stays where its buffers lie, to be searched at once, however large it is: only what grows with the upper levels
/// is read (a twentieth of a byte or so a row), the rest is checked piece by piece as it is used.
///
/// Its answers are those of [`load`]. It is slower, and can be no base of [`extend`](crate::extend).
///
/// # Errors
/// As [`load`], of what is read. What is damaged elsewhere is reported by the searches that come upon it.
pub fn open(parameters: &str, buffers: Arc<dyn IndexBuffers>) -> Result<Arc<dyn VectorIndex>> {
    let source = Source { buffers: &*buffers, cancel: &CancelToken::default() };
    let (parameters, metric) = source.parameters(parameters)?;
    let quantizer = source.quantizer(metric, &parameters)?;
    let codes = quantizer.map(|quantizer| source.mapped_codes(quantizer, &parameters, &buffers));
    let coding: Coding<Mapped> = coding(metric, &parameters, codes.transpose()?);
    let Some(graph) = &parameters.graph else { return Ok(Arc::new(Flat { coding })) };
    let (ef_construction, width) = (graph.ef_construction, source.width(graph)?);
    let graph = source.mapped_graph(graph, parameters.len, &buffers)?;
    Ok(Arc::new(Hnsw { coding, graph, ef_construction, width }))
}

fn coding<S: Storage>(metric: Metric, parameters: &Parameters, codes: Option<S::Codes>) -> Coding<S> {
    Coding {
        metric,
        dim: parameters.dim,
        len: parameters.len,
        seed: parameters.seed,
        asked: parameters.quantization_asked,
        codes,
        rescore_depth: parameters.rescore_depth.max(1),
        recall: parameters.recall,
    }
}

/// Bytes that are copied between two looks at the cancel token.
const CANCEL_BYTES: usize = 4 << 20;

/// The buffers of a file that is not trusted.
struct Source<'a> {
    buffers: &'a dyn IndexBuffers,
    cancel: &'a CancelToken,
}

impl Source<'_> {
    fn corrupted(&self, what: impl std::fmt::Display) -> Error {
        Error::corrupted(self.buffers.name(), what)
    }

    fn ensure(&self, holds: bool, what: impl FnOnce() -> String) -> Result<()> {
        if holds { Ok(()) } else { Err(self.corrupted(what())) }
    }

    fn width(&self, graph: &GraphParameters) -> Result<Width> {
        let width = Width {
            ef_factor: graph.ef_factor,
            filtered_ef_factor: graph.filtered_ef_factor.unwrap_or(graph.ef_factor),
            ef_per_k: graph.ef_per_k,
            rank_slope: graph.rank_slope,
        };
        let in_range = |value| (1..=Width::MAX).contains(&value);
        let values = [width.ef_factor, width.filtered_ef_factor, width.ef_per_k];
        let is_slope = |slope: f32| slope.is_finite() && slope > 0.0;
        let fits = values.into_iter().all(in_range) && width.rank_slope.is_none_or(is_slope);
        self.ensure(fits, || format!("{width:?}"))?;
        Ok(width)
    }

    fn parameters(&self, json: &str) -> Result<(Parameters, Metric)> {
        let malformed = |e: serde_json::Error| self.corrupted(format_args!("parameters: {e}")).with_source(e);
        let Versioned { version } = serde_json::from_str(json).map_err(&malformed)?;
        if version > LAYOUT_VERSION {
            let name = self.buffers.name();
            return Err(Error::new(
                Code::Unsupported,
                format!(
                    "{name} has layout version {version}, this release of Ferrochrome reads up to {LAYOUT_VERSION}: open it \
                     with a newer release"
                ),
            ));
        }
        let parameters: Parameters = serde_json::from_str(json).map_err(&malformed)?;
        let metric: Metric = parameters.metric.parse().map_err(|_| self.corrupted("unknown metric"))?;
        self.ensure(parameters.version == LAYOUT_VERSION, || {
            format!("layout version is {}, which there never was", parameters.version)
        })?;
        self.ensure((1..=limits::MAX_DIMENSION).contains(&parameters.dim), || {
            format!("dimension {}", parameters.dim)
        })?;
        self.ensure(parameters.len <= MAX_INDEX_ROWS, || format!("{} rows", parameters.len))?;
        self.ensure(parameters.rescore_depth <= limits::MAX_RESULTS, || "rescoring depth".into())?;
        Ok((parameters, metric))
    }

    /// The place of the buffer `name` if it has exactly `len` entries of `T`.
    fn place<T: Pod>(&self, name: &str, len: usize) -> Result<Range<usize>> {
        let place = self.buffers.place(name).unwrap_or(0..0);
        self.ensure(len.checked_mul(size_of::<T>()) == Some(place.len()), || {
            format!("buffer `{name}` has {} bytes, expected {len} entries of {}", place.len(), size_of::<T>())
        })?;
        Ok(place)
    }

    /// A copy of the buffer `name` if it has exactly `len` entries.
    fn entries<T: Pod>(&self, name: &str, len: usize) -> Result<AlignedBuffer<T>> {
        let place = self.place::<T>(name, len)?;
        let mut entries = AlignedBuffer::zeroed(len)?;
        let copy: &mut [u8] = bytemuck::cast_slice_mut(&mut entries);
        for (begin, piece) in place.step_by(CANCEL_BYTES).zip(copy.chunks_mut(CANCEL_BYTES)) {
            self.cancel.check()?;
            piece.copy_from_slice(self.buffers.bytes(begin..begin + piece.len())?);
        }
        Ok(entries)
    }

    /// A copy of the buffer `name`, however many whole entries it has.
    fn all_entries<T: Pod>(&self, name: &str) -> Result<AlignedBuffer<T>> {
        let len = self.buffers.place(name).map_or(0, |place| place.len());
        self.entries(name, len / size_of::<T>())
    }

    /// `None` for an index without codes.
    fn quantizer(&self, metric: Metric, parameters: &Parameters) -> Result<Option<Quantizer>> {
        let bits = match parameters.quantization.as_str() {
            "none" => return Ok(None),
            "int4" => Bits::Four,
            "int8" => Bits::Eight,
            other => return Err(self.corrupted(format_args!("unknown quantization `{other}`"))),
        };
        let dim = parameters.dim;
        self.ensure(parameters.scale.is_normal() && parameters.scale > 0.0, || {
            format!("scale {}", parameters.scale)
        })?;
        let step = if parameters.factors { None } else { Some(parameters.step) };
        self.ensure(step.is_none_or(|step| step.is_finite() && step > 0.0), || {
            format!("step {}", parameters.step)
        })?;
        let mean: AlignedBuffer<f32> = self.entries("mean", dim)?;
        self.ensure(mean.iter().all(|m| m.is_finite()), || "the mean is not finite".into())?;
        let (scale, seed, rotation) =
            (parameters.scale, parameters.seed, Rotation::new(dim, parameters.seed));
        let frame = Frame { metric, dim, scale, mean, seed, rotation };
        Ok(Some(Quantizer { frame, bits, step }))
    }

    fn code_bytes(&self, quantizer: &Quantizer, len: usize) -> Result<usize> {
        len.checked_mul(quantizer.row_bytes()).ok_or_else(|| self.corrupted("too many codes"))
    }

    fn codes(&self, quantizer: Quantizer, parameters: &Parameters) -> Result<Codes> {
        let len = parameters.len;
        let rows = self.entries("codes", self.code_bytes(&quantizer, len)?)?;
        let factors: AlignedBuffer<Factors> =
            self.entries("factors", if parameters.factors { len } else { 0 })?;
        self.ensure(factors.iter().flatten().all(|f| f.is_finite()), || "a factor is not finite".into())?;
        Codes::from_parts(quantizer, len, rows, factors)
    }

    fn mapped_codes(
        &self,
        quantizer: Quantizer,
        parameters: &Parameters,
        buffers: &Arc<dyn IndexBuffers>,
    ) -> Result<MappedCodes> {
        let len = parameters.len;
        let rows = self.place::<u8>("codes", self.code_bytes(&quantizer, len)?)?;
        let factors = self.place::<Factors>("factors", if parameters.factors { len } else { 0 })?;
        Ok(MappedCodes::new(quantizer, len, buffers.clone(), rows, factors))
    }

    fn shape(&self, parameters: &GraphParameters, len: usize) -> Result<(Shape, usize)> {
        self.ensure(Shape::M_RANGE.contains(&parameters.m), || format!("m is {}", parameters.m))?;
        let shape = Shape { m: parameters.m };
        self.ensure(
            parameters.row_width == shape.row_width() && parameters.upper_width == shape.upper_width(),
            || format!("rows of {} and {} links", parameters.row_width, parameters.upper_width),
        )?;
        let slots = len.checked_mul(shape.row_width()).ok_or_else(|| self.corrupted("too many links"))?;
        Ok((shape, slots))
    }

    fn graph(&self, parameters: &GraphParameters, len: usize) -> Result<Graph> {
        let (shape, slots) = self.shape(parameters, len)?;
        let links: AlignedBuffer<u32> = self.entries("links", slots)?;
        self.check_links(&links, len, shape.row_width(), shape.ground_links())?;
        let (upper_labels, upper_slots) = self.upper_labels(shape, len)?;
        let upper_links: AlignedBuffer<u32> = self.entries("upper_links", upper_slots)?;
        self.check_links(&upper_links, len, shape.upper_width(), shape.upper_width())?;
        let upper = UpperLevels::new(len, shape.upper_width(), upper_labels, upper_links);
        self.check_levels(&upper, shape.upper_width())?;
        self.graph_of(parameters, shape, len, links, upper)
    }

    fn mapped_graph(
        &self,
        parameters: &GraphParameters,
        len: usize,
        buffers: &Arc<dyn IndexBuffers>,
    ) -> Result<Graph<Mapped>> {
        let (shape, slots) = self.shape(parameters, len)?;
        let rows = len as u32;
        let links = MappedLinks::new(buffers.clone(), self.place::<u32>("links", slots)?, rows);
        let (upper_labels, upper_slots) = self.upper_labels(shape, len)?;
        let place = self.place::<u32>("upper_links", upper_slots)?;
        let upper_links = MappedLinks::new(buffers.clone(), place, rows);
        let upper = UpperLevels::new(len, shape.upper_width(), upper_labels, upper_links);
        self.graph_of(parameters, shape, len, links, upper)
    }

    fn graph_of<S: Storage>(
        &self,
        parameters: &GraphParameters,
        shape: Shape,
        len: usize,
        links: S::Links,
        upper: UpperLevels<S>,
    ) -> Result<Graph<S>> {
        let GraphParameters { entry, top_level, .. } = *parameters;
        let entry_level = if (entry as usize) < len { upper.level(entry) } else { 0 };
        self.ensure((entry as usize) < len || (entry == 0 && len == 0), || {
            format!("entry {entry} of {len} rows")
        })?;
        self.ensure(entry_level == top_level, || {
            format!("entry is on level {entry_level}, not {top_level}")
        })?;
        Ok(Graph { shape, len, links, upper, entry, top_level })
    }

    /// Labels of rows of upper links, and how many slots these have. Labels ascend, and each node has no more rows than there
    /// are levels.
    fn upper_labels(&self, shape: Shape, len: usize) -> Result<(AlignedBuffer<u32>, usize)> {
        let labels: AlignedBuffer<u32> = self.all_entries("upper_labels")?;
        self.ensure(labels.is_sorted() && labels.last().is_none_or(|&last| (last as usize) < len), || {
            "labels of the upper levels are not in order".into()
        })?;
        let highest = usize::from(MAX_LEVEL);
        self.ensure(labels.windows(highest + 1).all(|window| window[0] != window[highest]), || {
            "a node has too many levels".into()
        })?;
        let slots = labels.len().checked_mul(shape.upper_width());
        let slots = slots.ok_or_else(|| self.corrupted("too many upper links"))?;
        Ok((labels, slots))
    }

    /// Every link is a row or an unused slot, and no row has more than `most`.
    fn check_links(&self, links: &[u32], len: usize, width: usize, most: usize) -> Result<()> {
        let len = len as u32;
        self.ensure(links.iter().all(|&link| link < len || link == EMPTY), || {
            "a link leads to no row".into()
        })?;
        let fits = |row: &[u32]| row[most..].iter().all(|&link| link == EMPTY);
        self.ensure(most == width || links.chunks_exact(width).all(fits), || {
            "a node has too many links".into()
        })
    }

    /// Every link of a level leads to a node that reaches the level.
    fn check_levels(&self, upper: &UpperLevels, width: usize) -> Result<()> {
        let mut level = 0;
        let mut previous = None;
        for (&label, links) in upper.labels.iter().zip(upper.links.chunks_exact(width)) {
            level = if previous == Some(label) { level + 1 } else { 1 };
            previous = Some(label);
            let reach = |&link: &u32| link == EMPTY || upper.level(link) >= level;
            self.ensure(links.iter().all(reach), || "a link leads to a node below its level".into())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file without buffers.
    #[derive(Debug)]
    struct Empty;

    impl IndexBuffers for Empty {
        fn name(&self) -> &str {
            "segment/index.arrow"
        }

        fn place(&self, _buffer: &str) -> Option<Range<usize>> {
            None
        }

        fn bytes(&self, _range: Range<usize>) -> Result<&[u8]> {
            Ok(&[])
        }
    }

    #[test]
    fn a_newer_layout_asks_for_a_newer_release() {
        let newer = r#"{"version": 2, "what": "nobody knows yet"}"#;
        let cancel = CancelToken::default();
        for error in [load(newer, &Empty, &cancel), open(newer, Arc::new(Empty))].map(Result::unwrap_err) {
            assert_eq!(error.code(), Code::Unsupported);
            assert!(error.message().contains("index.arrow has layout version 2"), "{error}");
            assert!(error.message().contains("newer release"), "{error}");
        }
    }
}
