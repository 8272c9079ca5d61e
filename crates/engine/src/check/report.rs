//! What a check found.

use ferrochrome_types::{Code, Error};
use serde::Serialize;
use uuid::Uuid;

/// Damage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The file, as `<segment>/<file>` or `catalog.sqlite`.
    pub file: String,
    /// What does not hold.
    pub message: String,
    /// Whether the file can be made anew from others that are whole, so that nothing is lost.
    pub derived: bool,
    /// Whether the system refused to read the file: that may be no damage, and nothing is repaired while it is so.
    pub unreadable: bool,
}

impl Finding {
    pub(crate) fn new(file: impl Into<String>, error: &Error, derived: bool) -> Self {
        let unreadable = error.code() == Code::Io;
        Finding { file: file.into(), message: error.message().to_owned(), derived, unreadable }
    }
}

/// A segment, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckedSegment {
    /// Its UUID, which names its folder.
    pub id: Uuid,
    /// Rows, deleted ones included, as the manifest has them (or the segment, without a manifest).
    pub rows: u32,
    /// Rows that were deleted or replaced.
    pub tombstones: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// What is wrong with it.
    pub findings: Vec<Finding>,
}

/// A collection, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckedCollection {
    /// Its UUID.
    pub id: Uuid,
    /// Its tenant.
    pub tenant: String,
    /// Its database.
    pub database: String,
    /// Its name.
    pub name: String,
    /// Its segments, oldest first.
    pub segments: Vec<CheckedSegment>,
    /// Batches of the log that are in no segment yet.
    pub log_batches: u64,
    /// What is wrong with its log, or between its segments.
    pub findings: Vec<Finding>,
}

/// A folder that belongs to nothing: left by a process that was interrupted, and removed by the next that writes. No damage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Garbage {
    /// Its name in `segments/`.
    pub folder: String,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// What is wrong with the catalog itself. If anything is, `collections` is empty.
    pub catalog: Vec<Finding>,
    /// The collections.
    pub collections: Vec<CheckedCollection>,
    /// Where the catalog is damaged: all segments that there are.
    pub segments: Vec<CheckedSegment>,
    /// What no manifest names.
    pub garbage: Vec<Garbage>,
}

impl CheckReport {
    pub(crate) fn judged(mut self) -> Self {
        let whole = |segments: &[CheckedSegment]| segments.iter().all(|segment| segment.findings.is_empty());
        self.ok = self.catalog.is_empty()
            && whole(&self.segments)
            && self.collections.iter().all(|c| c.findings.is_empty() && whole(&c.segments));
        self
    }
}
