//! Putting a new segment in the place of the parts it was made from, while writers go on.

use std::sync::Arc;

use ferrochrome_types::Result;
use roaring::RoaringBitmap;

use crate::collection::{Collection, WriteState};
use crate::part::Part;
use crate::segment::Segment;
use crate::snapshot::{PartView, RowAddress, Snapshot};

/// A new segment and where its rows came from.
pub(crate) struct Replacement {
    /// The source parts as they were when the copy began.
    pub sources: Snapshot,
    /// The source of each row from label `first` on, as addresses in `sources`. Rows that are not live are not copied.
    pub rows: Vec<RowAddress>,
    /// Rows before `first` are those of this source, label for label.
    pub base: Option<u32>,
    /// Rows of the base.
    pub first: u32,
    /// The new segment; `None` if no live row was left.
    pub segment: Option<Arc<Segment>>,
}

impl Replacement {
    /// Swaps the snapshot and the manifest, and leaves out parts without live rows. Rows that were deleted or replaced during the copy become tombstones.
    ///
    /// The caller holds the write lock and has checked that the collection still exists; the parts that are no longer named
    /// wait in [`Collection::retire_replaced`].
    pub fn publish(self, collection: &Collection, state: &mut WriteState, log_cut: u64) -> Result<()> {
        let current = collection.snapshot()?;
        let mut after =
            Snapshot { parts: Vec::with_capacity(current.parts.len()), dimension: current.dimension };
        // A source that is gone meanwhile had lost its last row.
        let mut died: Vec<_> = self.sources.parts.iter().map(|source| every_label(&source.part)).collect();
        let mut spent = Vec::new();
        for view in &current.parts {
            match self.sources.parts.iter().position(|source| is_same(&source.part, &view.part)) {
                None if view.live_rows() == 0 => spent.push(view.part.clone()),
                None => after.parts.push(view.clone()),
                Some(at) if self.base == Some(at as u32) => died[at] = view.tombstones.as_ref().clone(),
                Some(at) => died[at] = view.tombstones.as_ref() - self.sources.parts[at].tombstones.as_ref(),
            }
        }
        if let Some(segment) = &self.segment {
            // Before it is named: a fork that names it too must find this very segment.
            collection.shared.segments.register(segment);
            let view = PartView::new(Part::Segment(segment.clone()), Arc::new(self.tombstones(&died)));
            let place = after.parts.iter().position(|view| matches!(view.part, Part::Chunk(_)));
            after.parts.insert(place.unwrap_or(after.parts.len()), view);
        }
        if let Err(e) = collection.publish_manifest(state, &after, log_cut) {
            self.segment.into_iter().for_each(|segment| collection.abandon(segment));
            return Err(e);
        }
        collection.publish(after);
        spent.extend(self.sources.parts.into_iter().map(|source| source.part));
        collection.replace(spent);
        Ok(())
    }

    fn tombstones(&self, died: &[RoaringBitmap]) -> RoaringBitmap {
        let mut tombstones = self.base.map(|base| died[base as usize].clone()).unwrap_or_default();
        let copied = died.iter().enumerate().filter(|(at, _)| self.base != Some(*at as u32));
        if copied.clone().all(|(_, labels)| labels.is_empty()) {
            return tombstones;
        }
        for (label, row) in (self.first..).zip(&self.rows) {
            if died[row.part as usize].contains(row.label) {
                tombstones.insert(label);
            }
        }
        tombstones
    }
}

fn every_label(part: &Part) -> RoaringBitmap {
    let mut labels = RoaringBitmap::new();
    labels.insert_range(0..part.rows());
    labels
}

fn is_same(a: &Part, b: &Part) -> bool {
    match (a, b) {
        (Part::Chunk(a), Part::Chunk(b)) => Arc::ptr_eq(a, b),
        (Part::Segment(a), Part::Segment(b)) => a.id() == b.id(),
        _ => false,
    }
}
