//! Compaction: few segments instead of many, graphs instead of bare codes, and nothing of what was deleted.

use std::sync::Arc;
use std::time::Duration;

use ferrochrome_index::Quantization;
use ferrochrome_types::{CancelToken, Code, Record, Result};

use crate::collection::Collection;
use crate::merge_policy::{Candidate, choose_among};
use crate::part::Part;
use crate::replacement::Replacement;
use crate::segment::Segment;
use crate::segment_builder::{IndexSource, MIN_ROWS_FOR_GRAPH, SegmentBuilder};
use crate::snapshot::{PartView, RowAddress, Snapshot};

/// Share of tombstones beyond which a segment is written anew without them.
const DEAD_SHARE: f64 = 0.2;
/// A collection without writes for this long has its unindexed rows merged even where they are few.
const IDLE: Duration = Duration::from_millis(1_000);
const CANCEL_POLL_ROWS: usize = 1_024;

/// Segments to be merged into one.
struct Merge {
    /// The parts, of which `base` keeps its labels and graph.
    sources: Snapshot,
    base: Option<u32>,
}

impl Collection {
    /// Merges what the policy says should be merged now. Returns whether anything was.
    ///
    /// # Errors
    /// `Io`, `Cancelled`, `Corrupted`; everything is then as before.
    pub(crate) fn compact_if_due(&self, cancel: &CancelToken) -> Result<bool> {
        let _one_compaction = self.compacting.lock();
        let snapshot = self.snapshot()?;
        let idle = self.idle() >= IDLE;
        let Some(merge) = choose(&snapshot, idle)? else { return Ok(false) };
        // A writing program needs a core for itself.
        let threads = self.shared.options.threads;
        self.merge(merge, if idle { threads } else { threads.saturating_sub(1).max(1) }, cancel)?;
        Ok(true)
    }

    /// Seals the head and merges all segments into one without tombstones. What was deleted is then in no file of this
    /// collection.
    ///
    /// # Errors
    /// `Io`, `Cancelled`, `ReadOnly`, `Corrupted`; everything is then as before.
    pub fn compact(&self, cancel: &CancelToken) -> Result<()> {
        self.check_writable()?;
        self.seal(cancel)?;
        let _one_compaction = self.compacting.lock();
        let snapshot = self.snapshot()?;
        let segments = segments_of(&snapshot);
        let finished = match segments.as_slice() {
            [] => true,
            [only] => only.tombstones.is_empty() && is_indexed(only, self.settings().quantization)?,
            _ => false,
        };
        if !finished {
            let threads = self.shared.options.threads;
            let dead: u64 = segments.iter().map(|view| view.tombstones.len()).sum();
            let base = if dead == 0 { largest_graph(&segments)? } else { None };
            self.merge(Merge::new(&snapshot, segments, base), threads, cancel)?;
        }
        self.retire_replaced()?;
        // The log that was cut left its space, and what was deleted, in the file.
        match self.shared.catalog.vacuum() {
            // A process that reads beside this one is looking at the old pages. The merge stands all the same.
            Err(e) if e.code() == Code::Locked => Ok(()),
            outcome => outcome,
        }
    }

    fn merge(&self, merge: Merge, threads: usize, cancel: &CancelToken) -> Result<()> {
        let Merge { sources, base } = merge;
        let mut copied = sources.clone();
        if let Some(base) = base {
            // Nothing of the base is selected: its rows keep their labels and are copied first.
            let view = &mut copied.parts[base as usize];
            let mut all = roaring::RoaringBitmap::new();
            all.insert_range(0..view.part.rows());
            *view = PartView::new(view.part.clone(), Arc::new(all));
        }
        let rows = copied.select(None, None, 0, usize::MAX, cancel)?;
        let first = base.map_or(0, |base| sources.parts[base as usize].part.rows());
        let segment = if rows.is_empty() && first == 0 {
            None
        } else {
            Some(Arc::new(self.write_merged(&sources, base, &rows, threads, cancel)?))
        };
        let mut state = self.lock_write();
        if let Err(gone) = self.check_usable() {
            segment.iter().for_each(|segment| segment.retire());
            return Err(gone);
        }
        let log_cut = state.log_cut;
        let replacement = Replacement { sources, rows, base, first, segment };
        replacement.publish(self, &mut state, log_cut)
    }

    fn write_merged(
        &self,
        sources: &Snapshot,
        base: Option<u32>,
        rows: &[RowAddress],
        threads: usize,
        cancel: &CancelToken,
    ) -> Result<Segment> {
        let dim = sources.dimension.unwrap_or(0) as usize;
        let mut builder = SegmentBuilder::new(self, dim, sources.sequence())?;
        let base = base.map(|base| &sources.parts[base as usize]);
        if let Some(view) = base {
            copy_base(&mut builder, view, dim, cancel)?;
        }
        for (i, row) in rows.iter().enumerate() {
            if i.is_multiple_of(CANCEL_POLL_ROWS) {
                cancel.check()?;
            }
            let part = &sources.parts[row.part as usize].part;
            builder.push(&*part.record(row.label)?, part.vector(row.label)?)?;
        }
        let graph = match base.map(|view| &view.part) {
            Some(Part::Segment(segment)) => segment.index_in_memory(cancel)?,
            _ => None,
        };
        let source = match (graph, base) {
            (Some(index), Some(view)) => IndexSource::Extend { base: index, dead: &view.tombstones },
            _ => IndexSource::Graph,
        };
        builder.finish(&source, threads, cancel)
    }
}

/// Copies the base label for label. Of tombstoned rows nothing is kept but the place.
fn copy_base(
    builder: &mut SegmentBuilder<'_>,
    view: &PartView,
    dim: usize,
    cancel: &CancelToken,
) -> Result<()> {
    let nothing = (Record::default(), vec![0.0; dim]);
    for label in 0..view.part.rows() {
        if (label as usize).is_multiple_of(CANCEL_POLL_ROWS) {
            cancel.check()?;
        }
        if view.tombstones.contains(label) {
            builder.push(&nothing.0, &nothing.1)?;
        } else {
            builder.push(&*view.part.record(label)?, view.part.vector(label)?)?;
        }
    }
    Ok(())
}

impl Merge {
    fn new(snapshot: &Snapshot, parts: Vec<&PartView>, base: Option<usize>) -> Self {
        let parts = parts.into_iter().cloned().collect();
        Merge {
            sources: Snapshot { parts, dimension: snapshot.dimension },
            base: base.map(|base| base as u32),
        }
    }
}

/// What should be merged now, if anything.
fn choose(snapshot: &Snapshot, idle: bool) -> Result<Option<Merge>> {
    let segments = segments_of(snapshot);
    if let Some(decayed) = segments.iter().find(|view| is_decayed(view)) {
        return Ok(Some(Merge::new(snapshot, vec![decayed], None)));
    }
    let candidate = |view: &&PartView| Ok(Candidate { rows: view.live_rows(), graph: has_graph(view)? });
    let candidates = segments.iter().map(candidate).collect::<Result<Vec<_>>>()?;
    let Some(chosen) = choose_among(&candidates, idle) else { return Ok(None) };
    let chosen: Vec<_> = chosen.into_iter().map(|at| segments[at]).collect();
    let base = largest_graph(&chosen)?;
    Ok(Some(Merge::new(snapshot, chosen, base)))
}

fn segments_of(snapshot: &Snapshot) -> Vec<&PartView> {
    snapshot.parts.iter().filter(|view| matches!(view.part, Part::Segment(_))).collect()
}

fn has_graph(view: &PartView) -> Result<bool> {
    match &view.part {
        Part::Segment(segment) => segment.has_graph(),
        Part::Chunk(_) => Ok(false),
    }
}

/// Whether a merge of this segment alone would change nothing for queries.
fn is_indexed(view: &PartView, quantization: Quantization) -> Result<bool> {
    let Part::Segment(segment) = &view.part else { return Ok(false) };
    let small = u64::from(view.part.rows()) < MIN_ROWS_FOR_GRAPH;
    Ok(segment.index_parameters()?.map_or(small, |parameters| {
        parameters.quantization_asked == quantization && (small || parameters.graph.is_some())
    }))
}

fn is_decayed(view: &PartView) -> bool {
    view.tombstones.len() as f64 > DEAD_SHARE * f64::from(view.part.rows())
}

fn largest_graph(segments: &[&PartView]) -> Result<Option<usize>> {
    let mut largest = None;
    for (at, view) in segments.iter().enumerate() {
        let bigger = largest.is_none_or(|(_, rows)| view.live_rows() > rows);
        if bigger && has_graph(view)? {
            largest = Some((at, view.live_rows()));
        }
    }
    Ok(largest.map(|(at, _)| at))
}
