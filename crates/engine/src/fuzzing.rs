//! What fuzzers call.

use crate::log_entry::LogEntry;

/// A batch of the log.
pub fn log_entry(bytes: &[u8]) {
    let Ok(entry) = LogEntry::decode(bytes) else { return };
    let written = entry.encode();
    let again = LogEntry::decode(&written).map(|again| again.encode());
    assert_eq!(again.ok(), Some(written));
}
