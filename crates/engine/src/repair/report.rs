//! What a repair did, or would do.

use serde::Serialize;
use uuid::Uuid;

use crate::check::Finding;

/// How a repair goes about it.
#[derive(Clone, Debug)]
pub struct RepairOptions {
    /// Changes nothing, and reports what would be done. Default false.
    pub dry_run: bool,
    /// Threads for building indices. Default: the number of cores.
    pub threads: usize,
}

impl Default for RepairOptions {
    fn default() -> Self {
        RepairOptions { dry_run: false, threads: std::thread::available_parallelism().map_or(2, usize::from) }
    }
}

/// A segment that was damaged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepairedSegment {
    /// The damaged segment.
    pub id: Uuid,
    /// What was wrong.
    pub findings: Vec<Finding>,
    /// The segment that stands in its place; none where no row was left, and in a dry run.
    pub replacement: Option<Uuid>,
    /// Records that were kept.
    pub kept: u64,
    /// Records that lay in damaged blocks and were left out.
    pub lost: u64,
    /// Their ids, as far as those can still be read.
    pub lost_ids: Vec<String>,
}

/// A batch of the log that could not be read. Its records are as they were before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LostBatch {
    /// Its number.
    pub seq: u64,
    /// Whether what is left of it lies in the quarantine.
    pub quarantined: bool,
}

/// A collection of a database that was damaged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepairedCollection {
    /// Its UUID.
    pub id: Uuid,
    /// Its tenant.
    pub tenant: String,
    /// Its database.
    pub database: String,
    /// Its name.
    pub name: String,
    /// Whether its segments were found rather than named: by the catalog's manifest, which was lost or is older than they are.
    /// Records that were deleted since the segments were written are then there again.
    pub adopted: bool,
    /// Its damaged segments.
    pub segments: Vec<RepairedSegment>,
    /// Batches of its log that were lost.
    pub lost_batches: Vec<LostBatch>,
    /// What was put right besides.
    pub notes: Vec<String>,
}

impl RepairedCollection {
    pub(crate) fn is_changed(&self) -> bool {
        self.adopted || !(self.segments.is_empty() && self.lost_batches.is_empty() && self.notes.is_empty())
    }
}

/// What a repair did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepairReport {
    /// Whether nothing was changed because that was asked for.
    pub dry_run: bool,
    /// Whether there was anything to repair.
    pub damaged: bool,
    /// What was wrong with the catalog itself; it was then written anew.
    pub catalog: Vec<Finding>,
    /// The collections with damage.
    pub collections: Vec<RepairedCollection>,
    /// The folder with what was replaced, beside the database's own; null where nothing was.
    pub quarantine: Option<String>,
    /// What lies in it.
    pub quarantined: Vec<String>,
}
