//! A reader beside a writing process: it takes in what was published since it last looked.

use std::collections::HashSet;
use std::sync::Arc;

use ferrochrome_metadata::LogPosition;
use ferrochrome_types::{Code, Result};
use uuid::Uuid;

use crate::collection::{Collection, OPENING_ATTEMPTS, open_parts, replay};
use crate::database::Database;
use crate::log_entry::LogEntry;
use crate::settings::Settings;
use crate::snapshot::Snapshot;

/// How far a collection that follows a writing process has come.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    /// The catalog's [`data_version`](ferrochrome_metadata::Catalog::data_version) that was looked at; `None` before the first look.
    version: Option<i64>,
    position: LogPosition,
}

impl Database {
    /// Whether collections follow another process.
    pub(crate) fn follows(&self) -> bool {
        let options = &self.shared().options;
        options.read_only && options.follow
    }

    /// As [`collection`](Self::collection), but `None` where a collection that follows another process would have to be opened or
    /// to catch up first, which takes milliseconds.
    ///
    /// # Errors
    /// As [`collection`](Self::collection).
    pub fn collection_at_once(&self, id: Uuid) -> Result<Option<Arc<Collection>>> {
        if !self.follows() {
            return self.collection(id).map(Some);
        }
        let version = self.shared().catalog.data_version()?;
        Ok(self.opened(id).filter(|collection| collection.has_followed(version)))
    }

    /// Takes in what was written to the collection before `version` was asked for. One that is gone is forgotten.
    pub(crate) fn follow(&self, collection: &Collection, version: i64) -> Result<()> {
        let followed = collection.follow(version);
        if followed.as_ref().is_err_and(|error| error.code() == Code::NotFound) {
            self.end_followed(collection.id());
        }
        followed
    }
}

impl Collection {
    /// Takes in what was written before the catalog had this version. Does nothing where it has looked at that one already.
    ///
    /// # Errors
    /// `NotFound` once the collection was deleted; `Corrupted`, `Io`. The state stays as it was then, and the next call tries again.
    pub(crate) fn follow(&self, version: i64) -> Result<()> {
        let mut followed = self.followed.lock();
        if followed.version == Some(version) {
            return Ok(());
        }
        followed.position = self.catch_up(&followed.position)?;
        followed.version = Some(version);
        Ok(())
    }

    /// Whether all that was written before the catalog had this version is there. `false` while it is being taken in.
    fn has_followed(&self, version: i64) -> bool {
        self.followed.try_lock().is_some_and(|followed| followed.version == Some(version))
    }

    fn catch_up(&self, known: &LogPosition) -> Result<LogPosition> {
        let mut attempt = 1;
        loop {
            let mut entries = Vec::new();
            let changes = self.shared.catalog.changes_since(self.id(), known, &mut |_, payload| {
                entries.push(LogEntry::decode(payload)?);
                Ok(())
            })?;
            let before = self.current();
            let mut after = match &changes.manifest {
                None => before.as_ref().clone(),
                Some(manifest) => match open_parts(&self.shared, manifest, &before) {
                    // The writer has published another manifest meanwhile, and removed what this one named.
                    Err(_) if attempt < OPENING_ATTEMPTS => {
                        attempt += 1;
                        continue;
                    }
                    parts => Snapshot { parts: parts?, dimension: None },
                },
            };
            after.dimension = changes.row.dimension.or(after.dimension);
            for entry in entries {
                after = replay(&after, entry)?;
            }
            self.set_settings(Settings::parse(&changes.row.configuration, changes.row.schema.as_deref())?);
            retire_missing(&before, &after);
            self.publish(after);
            return Ok(changes.position);
        }
    }
}

/// Lets the indices of segments that are gone leave the cache with their last reader.
fn retire_missing(before: &Snapshot, after: &Snapshot) {
    let kept: HashSet<_> = after.segments().map(|(segment, _)| Arc::as_ptr(segment)).collect();
    for (segment, _) in before.segments() {
        if !kept.contains(&Arc::as_ptr(segment)) {
            // A store that is only read removes no files.
            segment.retire();
        }
    }
}
