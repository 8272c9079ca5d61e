//! Writing a new segment of what a damaged one still holds.

use std::sync::Arc;

use ferrochrome_blockstore::{LocalStore, SalvagedSegment, SegmentOrigin};
use ferrochrome_metadata::{CollectionRow, ManifestSegment};
use ferrochrome_types::{Progress, Result};
use roaring::RoaringBitmap;

use super::report::RepairedSegment;
use crate::check::{CheckProgress, CheckedSegment, is_damage};
use crate::collection::{Collection, Shared};
use crate::options::MIN_ROWS_FOR_GRAPH;
use crate::segment_builder::{IndexSource, SegmentBuilder};

const POLL_ROWS: u64 = 1_024;

/// What new segments are built with.
pub(super) struct Workshop<'a> {
    pub store: &'a LocalStore,
    /// `None` in a dry run: rows are then only counted.
    pub shared: Option<Arc<Shared>>,
    pub progress: &'a CheckProgress,
}

impl Workshop<'_> {
    /// Copies the live rows that can be read to a new segment, which no manifest names yet. Returns what the manifest should name
    /// instead of the damaged segment, if any row is left.
    pub fn rebuild(
        &self,
        row: &CollectionRow,
        damaged: &ManifestSegment,
        checked: CheckedSegment,
    ) -> Result<(RepairedSegment, Option<ManifestSegment>)> {
        let mut report =
            RepairedSegment { id: damaged.id, findings: checked.findings, ..RepairedSegment::default() };
        let dim = row.dimension.map(|dim| dim as usize);
        let salvaged = SalvagedSegment::open(self.store, damaged.id, Some(damaged.rows), dim);
        let labels =
            (0..damaged.rows.max(salvaged.rows())).filter(|label| !damaged.tombstones.contains(*label));
        let collection =
            self.shared.as_ref().map(|shared| Collection::unread(shared.clone(), row)).transpose()?;
        let dim = dim.or(salvaged.dim());
        let mut builder = match (&collection, dim) {
            (Some(collection), Some(dim)) => {
                let sequence = salvaged.origin().map_or(0, |origin| origin.sequence);
                let origin = SegmentOrigin { collection: row.id, sequence, description: row.to_json() };
                Some(SegmentBuilder::with_origin(collection, dim, origin)?)
            }
            _ => None,
        };
        for label in labels {
            if u64::from(label) % POLL_ROWS == 0 {
                self.progress.advance(POLL_ROWS)?;
            }
            let read = salvaged.row(label).and_then(|(record, vector)| {
                if let Some(builder) = &mut builder {
                    builder.push(&record, vector)?;
                }
                Ok(())
            });
            match read {
                Ok(()) => report.kept += 1,
                Err(error) if is_damage(&error) && is_of_source(&salvaged, label) => {
                    report.lost += 1;
                    report.lost_ids.extend(salvaged.id(label).map(str::to_owned));
                }
                Err(error) => return Err(error),
            }
        }
        if report.kept == 0 {
            return Ok((report, None));
        }
        let Some(builder) = builder else {
            return Ok((report, Some(damaged.clone())));
        };
        let source = if report.kept >= MIN_ROWS_FOR_GRAPH { IndexSource::Graph } else { IndexSource::Codes };
        let threads = collection.as_ref().map_or(1, |collection| collection.shared.options.threads);
        let segment = builder.finish(&source, threads, self.progress.token(), &Progress::default())?;
        report.replacement = Some(segment.id());
        let named =
            ManifestSegment { id: segment.id(), rows: segment.rows(), tombstones: RoaringBitmap::new() };
        Ok((report, Some(named)))
    }
}

/// Whether reading the row fails, rather than writing it.
fn is_of_source(salvaged: &SalvagedSegment, label: u32) -> bool {
    salvaged.row(label).is_err()
}
