//! Forgetting what only deleted records had: metadata keys are in the catalog, not in segments.

use std::collections::HashSet;

use ferrochrome_types::{CancelToken, Result, ValueKind};
use uuid::Uuid;

use crate::collection::Collection;
use crate::snapshot::PartView;

/// Rows that are looked at between two looks at the cancel token.
const CANCEL_POLL_ROWS: usize = 1_024;

/// Metadata keys with the types of their values.
type Keys = HashSet<(String, ValueKind)>;

impl Collection {
    /// Removes the metadata keys that no record has from the catalog.
    ///
    /// # Errors
    /// `Io`, `Corrupted`, `Cancelled`, `NotFound`, `Closed`.
    pub(crate) fn forget_unused_keys(&self, cancel: &CancelToken) -> Result<()> {
        // Most rows are read before writers have to wait.
        let known = self.snapshot()?;
        let mut used = Keys::new();
        for view in &known.parts {
            collect_keys(view, &mut used, cancel)?;
        }
        let mut state = self.lock_write();
        let seen: HashSet<Uuid> = known.parts.iter().filter_map(|view| view.part.segment_id()).collect();
        let current = self.snapshot()?;
        for view in &current.parts {
            if view.part.segment_id().is_none_or(|id| !seen.contains(&id)) {
                collect_keys(view, &mut used, cancel)?;
            }
        }
        self.shared.catalog.retain_schema_keys(self.id, &used)?;
        state.known_keys.retain(|key| used.contains(key));
        Ok(())
    }
}

fn collect_keys(view: &PartView, keys: &mut Keys, cancel: &CancelToken) -> Result<()> {
    for (i, label) in view.live().iter().enumerate() {
        if i.is_multiple_of(CANCEL_POLL_ROWS) {
            cancel.check()?;
        }
        for (key, value) in view.part.metadata(label)?.into_iter().flatten() {
            keys.insert((key, value.kind()));
        }
    }
    Ok(())
}
