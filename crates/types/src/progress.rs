use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a compaction is doing, in the order in which it does so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Writes the newest records to a segment.
    #[default]
    Seal,
    /// Copies records into a new segment.
    Copy,
    /// Builds or extends the index of the new segment.
    Index,
    /// Puts the new segment in the place of the old ones.
    Publish,
    /// Removes old files, and the space of what was deleted from the catalog.
    Erase,
}

impl Stage {
    /// `seal`, `copy`, `index`, `publish` or `erase`.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Seal => "seal",
            Stage::Copy => "copy",
            Stage::Index => "index",
            Stage::Publish => "publish",
            Stage::Erase => "erase",
        }
    }
}

/// How far a compaction has come. Clones share one state: whoever works counts, whoever watches looks when he likes.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// The stage in the highest byte, and below the rows that it has to go through: one word, so that they fit one another.
    stage: AtomicU64,
    done: AtomicU64,
}

const STAGES: [Stage; 5] = [Stage::Seal, Stage::Copy, Stage::Index, Stage::Publish, Stage::Erase];
const TOTAL_BITS: u32 = 56;

/// What [`Progress::now`] tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgressReport {
    /// What is being done.
    pub stage: Stage,
    /// Rows that the stage is through with, never more than `total`.
    pub done: u64,
    /// Rows that the stage has to go through; 0 where it does not count rows.
    pub total: u64,
}

impl Progress {
    /// Begins a stage of so many rows.
    pub fn begin(&self, stage: Stage, total: u64) {
        let total = total.min((1 << TOTAL_BITS) - 1);
        self.0.stage.store((stage as u64) << TOTAL_BITS | total, Ordering::Release);
        self.0.done.store(0, Ordering::Release);
    }

    /// Counts rows of the present stage.
    #[inline]
    pub fn advance(&self, rows: u64) {
        self.0.done.fetch_add(rows, Ordering::Relaxed);
    }

    /// The present stage and its rows.
    pub fn now(&self) -> ProgressReport {
        loop {
            let word = self.0.stage.load(Ordering::Acquire);
            let done = self.0.done.load(Ordering::Acquire);
            // A stage that began in between would be shown with the rows of the last one.
            if word == self.0.stage.load(Ordering::Acquire) {
                let total = word & ((1 << TOTAL_BITS) - 1);
                let stage = STAGES[(word >> TOTAL_BITS) as usize % STAGES.len()];
                return ProgressReport { stage, done: done.min(total), total };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_and_rows_are_told() {
        let progress = Progress::default();
        assert_eq!(progress.now(), ProgressReport::default());
        for (at, stage) in STAGES.into_iter().enumerate() {
            progress.begin(stage, 10);
            progress.clone().advance(at as u64 * 4);
            assert_eq!(progress.now(), ProgressReport { stage, done: (at as u64 * 4).min(10), total: 10 });
        }
    }
}
