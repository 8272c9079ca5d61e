//! A merge: some segments become one, while writers go on.

use std::sync::Arc;

use ferrochrome_types::{CancelToken, Progress, Record, Result, Stage};
use roaring::RoaringBitmap;

use crate::collection::Collection;
use crate::part::Part;
use crate::replacement::Replacement;
use crate::segment::Segment;
use crate::segment_builder::{CANCEL_POLL_ROWS, IndexSource, SegmentBuilder};
use crate::snapshot::{PartView, RowAddress, Snapshot};

/// What the new segment begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// Nothing: its rows are in insertion order, and its index is built from them.
    None,
    /// The rows of this source, label for label, and its graph: of tombstoned rows the places stay, without data.
    Extended(u32),
    /// The rows of this source that are not tombstoned, and its graph without the others.
    Renewed(u32),
}

/// Segments to be merged into one.
pub(crate) struct Merge {
    pub sources: Snapshot,
    pub base: Base,
}

impl Merge {
    /// `base` counts among `parts`.
    pub fn new(snapshot: &Snapshot, parts: Vec<&PartView>, base: Base) -> Self {
        let parts = parts.into_iter().cloned().collect();
        Merge { sources: Snapshot { parts, dimension: snapshot.dimension }, base }
    }

    fn view(&self, part: u32) -> &PartView {
        &self.sources.parts[part as usize]
    }

    /// Where the rows of the new segment come from, behind those that an extended base brings.
    fn rows(&self, cancel: &CancelToken) -> Result<Vec<RowAddress>> {
        let (Base::Extended(base) | Base::Renewed(base)) = self.base else {
            return self.sources.select(None, None, 0, usize::MAX, cancel);
        };
        let mut others = self.sources.clone();
        let view = &mut others.parts[base as usize];
        let mut all = RoaringBitmap::new();
        all.insert_range(0..view.part.rows());
        *view = PartView::new(view.part.clone(), Arc::new(all));
        let others = others.select(None, None, 0, usize::MAX, cancel)?;
        if let Base::Extended(_) = self.base {
            return Ok(others);
        }
        let of_base = self.view(base).live().iter().map(|label| RowAddress { part: base, label });
        Ok(of_base.chain(others).collect())
    }
}

impl Collection {
    /// Writes the new segment and puts it in the place of its sources.
    ///
    /// # Errors
    /// `NoSpace`, `Io`, `Cancelled`, `Corrupted`; everything is then as before.
    pub(crate) fn merge(
        &self,
        merge: Merge,
        threads: usize,
        cancel: &CancelToken,
        progress: &Progress,
    ) -> Result<()> {
        self.check_space(&merge.sources)?;
        let rows = merge.rows(cancel)?;
        let base = if let Base::Extended(base) = merge.base { Some(base) } else { None };
        let first = base.map_or(0, |base| merge.view(base).part.rows());
        let segment = if rows.is_empty() && first == 0 {
            None
        } else {
            progress.begin(Stage::Copy, u64::from(first) + rows.len() as u64);
            Some(Arc::new(self.write_merged(&merge, &rows, threads, cancel, progress)?))
        };
        progress.begin(Stage::Publish, 0);
        let mut state = self.lock_write();
        if let Err(gone) = self.check_usable().and_then(|()| cancel.check()) {
            segment.iter().for_each(|segment| segment.retire());
            return Err(gone);
        }
        let log_cut = state.log_cut;
        let replacement = Replacement { sources: merge.sources, rows, base, first, segment };
        replacement.publish(self, &mut state, log_cut)
    }

    fn write_merged(
        &self,
        merge: &Merge,
        rows: &[RowAddress],
        threads: usize,
        cancel: &CancelToken,
        progress: &Progress,
    ) -> Result<Segment> {
        let dim = merge.sources.dimension.unwrap_or(0) as usize;
        let mut builder = SegmentBuilder::new(self, dim, merge.sources.sequence())?;
        if let Base::Extended(base) = merge.base {
            copy_base(&mut builder, merge.view(base), dim, cancel, progress)?;
        }
        builder.push_rows(&merge.sources, rows, cancel, progress)?;
        let source = self.index_source(merge, cancel)?;
        let kept =
            if let IndexSource::Renew { gone, base } = &source { base.len() as u64 - gone.len() } else { 0 };
        progress.begin(Stage::Index, rows.len() as u64 - kept);
        builder.finish(&source, threads, cancel, progress)
    }

    fn index_source<'a>(&self, merge: &'a Merge, cancel: &CancelToken) -> Result<IndexSource<'a>> {
        let (Base::Extended(base) | Base::Renewed(base)) = merge.base else { return Ok(IndexSource::Graph) };
        let view = merge.view(base);
        let Part::Segment(segment) = &view.part else { return Ok(IndexSource::Graph) };
        let Some(index) = segment.index_in_memory(cancel)? else { return Ok(IndexSource::Graph) };
        Ok(match merge.base {
            Base::Renewed(_) => IndexSource::Renew { base: index, gone: &view.tombstones },
            _ => IndexSource::Extend { base: index, dead: &view.tombstones },
        })
    }
}

/// Copies the base label for label. Of tombstoned rows nothing is kept but the place.
fn copy_base(
    builder: &mut SegmentBuilder<'_>,
    view: &PartView,
    dim: usize,
    cancel: &CancelToken,
    progress: &Progress,
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
        progress.advance(1);
    }
    Ok(())
}
