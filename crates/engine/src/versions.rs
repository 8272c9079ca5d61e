//! Versions and forks: states of a collection that can be read again, and copies that go their own way. Both share segments.

use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ferrochrome_metadata::{CollectionRow, NewVersion, VersionRow};
use ferrochrome_types::{Code, Error, Result};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::collection::{Collection, Shared};
use crate::database::Database;
use crate::maintenance::seal_if_large;

/// The versions that someone reads. Held while one is opened or deleted, so that no files vanish under one that is being opened.
#[derive(Debug, Default)]
pub(crate) struct OpenVersions(Mutex<Vec<OpenVersion>>);

#[derive(Debug)]
struct OpenVersion {
    collection: Uuid,
    version: u64,
    view: Weak<Collection>,
}

impl OpenVersions {
    /// Ends those who read a version that is gone: all of a collection, or one.
    fn end(open: &mut Vec<OpenVersion>, collection: Uuid, version: Option<u64>) {
        open.retain(|entry| {
            let ends =
                entry.collection == collection && version.is_none_or(|version| version == entry.version);
            if ends && let Some(view) = entry.view.upgrade() {
                view.retire();
            }
            !ends && entry.view.strong_count() > 0
        });
    }

    /// Ends those who read any version of a collection that is gone.
    pub fn end_all(&self, collection: Uuid) {
        Self::end(&mut self.0.lock(), collection, None);
    }
}

impl Shared {
    fn open_version(self: &Arc<Self>, collection: Uuid, version: u64) -> Result<Arc<Collection>> {
        let mut open = self.versions.0.lock();
        let known = open.iter().find(|entry| (entry.collection, entry.version) == (collection, version));
        if let Some(view) = known.and_then(|entry| entry.view.upgrade()) {
            return Ok(view);
        }
        let row = self.catalog.collection_by_id(collection)?;
        let view = Arc::new(Collection::open_version(
            self.clone(),
            row,
            &self.catalog.version(collection, version)?,
        )?);
        open.retain(|entry| entry.view.strong_count() > 0);
        open.push(OpenVersion { collection, version, view: Arc::downgrade(&view) });
        Ok(view)
    }

    fn delete_version(&self, collection: Uuid, version: u64) -> Result<()> {
        let mut open = self.versions.0.lock();
        let named = self.catalog.delete_version(collection, version)?;
        OpenVersions::end(&mut open, collection, Some(version));
        self.release(&named)
    }
}

impl Database {
    /// Copies a collection, or one of its versions, under a new name. The copy shares the segments; what is written to either
    /// side from then on concerns that side only. A large head is sealed first, so that the time does not depend on the size of
    /// the collection.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists` for a taken name, `ReadOnly`, `Io`.
    pub fn fork_collection(&self, id: Uuid, version: Option<u64>, name: &str) -> Result<CollectionRow> {
        self.shared().check_writable()?;
        // What is sealed is shared, what is not is copied.
        if let Some(source) = self.opened(id).filter(|_| version.is_none()) {
            seal_if_large(&source)?;
        }
        let _no_deletion = self.lock_opening();
        self.catalog().fork(id, version, Uuid::new_v4(), name)
    }

    /// A version of a collection, to be read only. Its files stay open for as long as someone holds it.
    ///
    /// # Errors
    /// `NotFound`, `Corrupted`, `Io`.
    pub fn collection_version(&self, id: Uuid, version: u64) -> Result<Arc<Collection>> {
        self.shared().open_version(id, version)
    }

    /// Deletes a version, and the files that nothing else needs. Who reads it gets `NotFound` from then on.
    ///
    /// # Errors
    /// `NotFound`, `ReadOnly`, `Io`.
    pub fn delete_version(&self, id: Uuid, version: u64) -> Result<()> {
        self.shared().check_writable()?;
        self.shared().delete_version(id, version)
    }
}

impl Collection {
    /// Keeps the present state, to be read again by its [number](VersionRow::version). Without writes since the last version that
    /// is the same one; a label replaces the former.
    ///
    /// Takes time in proportion to the log, which is bounded, not to the collection.
    ///
    /// # Errors
    /// `ReadOnly`, `Closed`, `NotFound`, `Io`.
    pub fn create_version(&self, label: Option<String>) -> Result<VersionRow> {
        self.check_writable()?;
        // What is sealed is shared, what is not is copied.
        seal_if_large(self)?;
        self.keep_version(label, false)
    }

    /// The versions, oldest first.
    ///
    /// # Errors
    /// `Closed`, `NotFound`.
    pub fn versions(&self) -> Result<Vec<VersionRow>> {
        self.check_usable()?;
        self.shared.catalog.versions(self.id)
    }

    /// What the collection's setting asks for after a seal: keeps the state, and deletes automatic versions that are too many or
    /// too old.
    pub(crate) fn keep_versions_as_set(&self) -> Result<()> {
        let Some(retention) = self.settings().versions.filter(|retention| retention.keep > 0) else {
            return Ok(());
        };
        self.keep_version(None, true)?;
        let oldest = retention.max_age.map_or(0, |age| now().saturating_sub(age.as_millis() as u64));
        let versions = self.shared.catalog.versions(self.id)?;
        let automatic = versions.iter().rev().filter(|version| version.automatic);
        for (newer, version) in automatic.enumerate() {
            if newer >= retention.keep || version.created < oldest {
                match self.shared.delete_version(self.id, version.version) {
                    // A call was faster.
                    Err(e) if e.code() == Code::NotFound => {}
                    outcome => outcome?,
                }
            }
        }
        Ok(())
    }

    fn keep_version(&self, label: Option<String>, automatic: bool) -> Result<VersionRow> {
        // No batch is logged meanwhile, so that the number of records is that of the state.
        let _no_writer = self.lock_write();
        let records = self.snapshot()?.count();
        let new = NewVersion { label, created: now(), records, automatic };
        self.shared.catalog.create_version(self.id, &new)
    }
}

/// How many automatic versions a collection keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retention {
    /// The newest so many.
    pub keep: usize,
    /// Of these, those that are no older.
    pub max_age: Option<Duration>,
}

/// The error for a write to a version.
pub(crate) fn version_is_read_only(version: u64) -> Error {
    Error::new(
        Code::ReadOnly,
        format!("Version {version} of a collection can only be read: fork it to change it"),
    )
}

/// Milliseconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
