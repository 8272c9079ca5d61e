//! Seal: the head becomes a segment, and the log is cut.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ferrochrome_types::{CancelToken, Code, Progress, Result};

use crate::collection::Collection;
use crate::compaction::lock;
use crate::part::Part;
use crate::replacement::Replacement;
use crate::segment::Segment;
use crate::segment_builder::{IndexSource, SegmentBuilder};
use crate::snapshot::{RowAddress, Snapshot};

impl Collection {
    /// Writes what is in the head to a segment. Readers and writers go on meanwhile.
    ///
    /// # Errors
    /// `Io`, `Cancelled`; the head and the log are then as before.
    pub(crate) fn seal(&self, cancel: &CancelToken) -> Result<()> {
        self.seal_counting(cancel, &Progress::default())
    }

    /// As [`seal`](Self::seal); `progress` counts the rows that were copied.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub(crate) fn seal_counting(&self, cancel: &CancelToken, progress: &Progress) -> Result<()> {
        let _one_seal = lock(&self.sealing, cancel)?;
        let outcome = self
            .seal_head(cancel, progress)
            .and_then(|sealed| if sealed { self.keep_versions_as_set() } else { Ok(()) });
        let mut state = self.lock_write();
        state.being_sealed.clear();
        // That somebody changed his mind is no reason to refuse writes.
        state.seal_error = outcome.as_ref().err().filter(|e| e.code() != Code::Cancelled).cloned();
        drop(state);
        self.notify_sealed();
        if outcome.is_ok() {
            // Here rather than in the commits of writers, who would wait for the disk. If it fails, theirs do it later.
            let _ = self.shared.catalog.checkpoint();
        }
        outcome
    }

    /// Returns whether there was something to seal.
    fn seal_head(&self, cancel: &CancelToken, progress: &Progress) -> Result<bool> {
        let mut state = self.lock_write();
        let snapshot = self.snapshot()?;
        let log_cut = state.last_seq;
        if log_cut == state.log_cut {
            return Ok(false);
        }
        let chunks = snapshot.parts.iter().filter(|view| matches!(view.part, Part::Chunk(_)));
        let sources = Snapshot { parts: chunks.cloned().collect(), dimension: snapshot.dimension };
        state.being_sealed = sources.chunks().map(|(chunk, _)| chunk.clone()).collect();
        drop(state);

        let rows = sources.select(None, None, 0, usize::MAX, cancel)?;
        let segment = if rows.is_empty() {
            None
        } else {
            Some(Arc::new(self.write_head(&sources, &rows, log_cut, cancel, progress)?))
        };
        let mut state = self.lock_write();
        if let Err(gone) = self.check_usable() {
            segment.iter().for_each(|segment| segment.retire());
            return Err(gone);
        }
        let replacement = Replacement { sources, rows, base: None, first: 0, segment };
        replacement.publish(self, &mut state, log_cut)?;
        // There may be something to merge now.
        self.shared.log_was_cut.store(true, Ordering::Release);
        self.merge_wanted.ask_now(&self.shared.signal);
        Ok(true)
    }

    fn write_head(
        &self,
        sources: &Snapshot,
        rows: &[RowAddress],
        log_cut: u64,
        cancel: &CancelToken,
        progress: &Progress,
    ) -> Result<Segment> {
        let mut builder = SegmentBuilder::new(self, sources.dimension.unwrap_or(0) as usize, log_cut)?;
        builder.push_rows(sources, rows, cancel, progress)?;
        builder.finish(&IndexSource::Codes, self.shared.options.threads, cancel, progress)
    }
}
