//! The segments that are open, each once, whoever names it; and the removal of their files.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use ferrochrome_blockstore::BlobStore;
use ferrochrome_types::Result;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::segment::Segment;

/// Open segments by id, so that forks, versions and their readers share one mapping, one index and what was remembered of filters.
#[derive(Debug)]
pub(crate) struct OpenSegments {
    store: Arc<dyn BlobStore>,
    open: Mutex<HashMap<Uuid, Weak<Segment>>>,
    removals: Mutex<Removals>,
}

/// Removals that wait until nobody copies files any more.
#[derive(Debug, Default)]
struct Removals {
    holds: usize,
    waiting: Vec<Uuid>,
}

/// Keeps files of segments from being removed until it is dropped.
#[derive(Debug)]
pub(crate) struct RemovalHold(Arc<OpenSegments>);

impl OpenSegments {
    pub fn new(store: Arc<dyn BlobStore>) -> Self {
        OpenSegments { store, open: Mutex::default(), removals: Mutex::default() }
    }

    /// The segment if it is open.
    pub fn get(&self, id: Uuid) -> Option<Arc<Segment>> {
        self.open.lock().get(&id).and_then(Weak::upgrade)
    }

    /// The open segment, opened by `open` if it is not.
    pub fn get_or_open(&self, id: Uuid, open: impl FnOnce() -> Result<Segment>) -> Result<Arc<Segment>> {
        if let Some(segment) = self.get(id) {
            return Ok(segment);
        }
        // Outside the lock: it reads a file.
        let opened = Arc::new(open()?);
        Ok(self.register(&opened))
    }

    /// Makes a segment known to all; returns the one that is known already, if there is one.
    pub fn register(&self, segment: &Arc<Segment>) -> Arc<Segment> {
        let mut open = self.open.lock();
        if let Some(known) = open.get(&segment.id()).and_then(Weak::upgrade) {
            return known;
        }
        open.insert(segment.id(), Arc::downgrade(segment));
        segment.clone()
    }

    /// Removes the files of segments that no manifest names: at once, or with the last who has one open.
    ///
    /// # Errors
    /// `Io`. What could not be removed is removed as garbage at the next opening.
    pub fn discard(&self, segments: &[Uuid]) -> Result<()> {
        let mut outcome = Ok(());
        for id in segments {
            match self.get(*id) {
                Some(segment) => segment.retire(),
                None => outcome = outcome.and(self.remove_files(*id)),
            }
        }
        outcome
    }

    /// To be called by a segment when it is dropped; `retired` if its files are garbage.
    pub fn closed(&self, id: Uuid, retired: bool) {
        {
            let mut open = self.open.lock();
            // It may have been opened anew while the last holder of the former was dropping it.
            if open.get(&id).is_some_and(|segment| segment.strong_count() == 0) {
                open.remove(&id);
            }
        }
        if retired {
            // What cannot be removed now is removed as garbage at the next opening.
            let _ = self.remove_files(id);
        }
    }

    /// Keeps all files where they are while the hold lives.
    pub fn hold_removals(self: &Arc<Self>) -> RemovalHold {
        self.removals.lock().holds += 1;
        RemovalHold(self.clone())
    }

    fn remove_files(&self, id: Uuid) -> Result<()> {
        let mut removals = self.removals.lock();
        if removals.holds > 0 {
            removals.waiting.push(id);
            return Ok(());
        }
        drop(removals);
        self.store.discard_folder(&id.to_string())
    }
}

impl Drop for RemovalHold {
    fn drop(&mut self) {
        let waiting = {
            let mut removals = self.0.removals.lock();
            removals.holds -= 1;
            if removals.holds > 0 {
                return;
            }
            std::mem::take(&mut removals.waiting)
        };
        for id in waiting {
            // As above.
            let _ = self.0.remove_files(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use ferrochrome_metadata::CollectionRow;
    use ferrochrome_types::CancelToken;

    use super::*;
    use crate::{Collection, Database, DatabaseOptions, Handle, WriteBatch, WriteKind};

    fn sealed(handle: &Handle) -> Arc<Collection> {
        let row = CollectionRow {
            id: Uuid::new_v4(),
            name: "notes".to_owned(),
            tenant: "default_tenant".to_owned(),
            database: "default_database".to_owned(),
            metadata: None,
            configuration: "{}".to_owned(),
            schema: None,
            dimension: None,
        };
        let database = handle.database().unwrap();
        database.create_collection(&row, false).unwrap();
        let collection = database.collection(row.id).unwrap();
        let batch = WriteBatch {
            ids: vec!["a".into(), "b".into()],
            embeddings: Some(vec![0.0, 1.0]),
            dim: 1,
            ..WriteBatch::default()
        };
        collection.write(WriteKind::Add, batch).unwrap();
        collection.compact(&CancelToken::default()).unwrap();
        collection
    }

    /// Whether something holds before long: a background thread may have a collection in its hands for a moment.
    fn soon(holds: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !holds() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        holds()
    }

    #[test]
    fn a_segment_is_open_once_for_all_who_name_it_and_removed_with_the_last() {
        let handle = Database::open(None, DatabaseOptions::default()).unwrap();
        let collection = sealed(&handle);
        let database = handle.database().unwrap();
        let [id] = collection.segment_ids()[..] else { panic!("one segment") };
        let segment = database.shared().segments.get(id).unwrap();
        let folders = || database.shared().store.folders().unwrap();

        let version = collection.create_version(None).unwrap();
        let view = database.collection_version(collection.id(), version.version).unwrap();
        let fork = database.fork_collection(collection.id(), None, "fork").unwrap();
        let fork = database.collection(fork.id).unwrap();
        for other in [&view, &fork] {
            assert_eq!(other.segment_ids(), [id]);
        }
        // The test, the collection, the version and the fork.
        assert!(soon(|| Arc::strong_count(&segment) == 4));
        drop(segment);

        database.delete_collection("default_tenant", "default_database", "fork").unwrap();
        database.delete_version(collection.id(), version.version).unwrap();
        assert_eq!(folders(), [id.to_string()]);
        let reader = collection.snapshot().unwrap();
        let hold = database.shared().segments.hold_removals();
        database.delete_collection("default_tenant", "default_database", "notes").unwrap();
        assert_eq!(folders(), [id.to_string()], "a reader has it open");
        drop(reader);
        assert_eq!(folders(), [id.to_string()], "someone copies files");
        drop(hold);
        assert!(soon(|| folders().is_empty()));
        assert!(database.shared().segments.open.lock().is_empty());
    }
}
