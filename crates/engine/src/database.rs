//! A database: a folder (or memory) with its catalog, its open collections and its background work.

use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use ferrochrome_blockstore::{BlobStore, LocalStore, MemoryStore, RowCacheBudget};
use ferrochrome_index::Provider;
use ferrochrome_metadata::{Catalog, CollectionRow, Location};
use ferrochrome_types::{CancelToken, Code, Error, Metadata, Result};
use parking_lot::{Mutex, MutexGuard, RwLock};
use uuid::Uuid;

use crate::collection::{Collection, Shared};
use crate::folders::make_folders;
use crate::interrupted_restore;
use crate::lock::{DatabaseLock, LOCK_FILE};
use crate::maintenance::{self, Signal};
use crate::open_segments::OpenSegments;
use crate::options::DatabaseOptions;
use crate::preloader::Preloader;
use crate::query_threads::QueryThreads;
use crate::repair::QUARANTINE_FOLDER;
use crate::settings::Settings;
use crate::snapshot::Snapshot;
use crate::versions::OpenVersions;

/// Name of the catalog.
pub(crate) const CATALOG_FILE: &str = "catalog.sqlite";
/// Name of the folder with the segments.
pub(crate) const SEGMENTS_FOLDER: &str = "segments";

/// A path, whether it was opened read-only, and whether to follow another process then.
type Key = (PathBuf, bool, bool);

/// Databases open in this process, so that all who open one path share it.
static OPEN: LazyLock<Mutex<HashMap<Key, Weak<Database>>>> = LazyLock::new(Mutex::default);

/// An open database.
///
/// All who [`open`](Self::open) the same path in one process get the same one. It ends with the last [`Handle`].
#[derive(Debug)]
pub struct Database {
    shared: Arc<Shared>,
    collections: RwLock<HashMap<Uuid, Arc<Collection>>>,
    /// Counts requests for collections; stands in for time.
    clock: AtomicU64,
    /// Serialises opening, creating, changing and deleting collections.
    opening: Mutex<()>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    lock: Mutex<Option<DatabaseLock>>,
    handles: Mutex<usize>,
    key: Option<Key>,
}

/// One user's hold on a [`Database`]. Dropping it without [`close`](Self::close) loses nothing: what was acknowledged is in
/// the log.
#[derive(Debug)]
pub struct Handle {
    database: Arc<Database>,
    closed: AtomicBool,
}

impl Handle {
    /// The database, until [`close`](Self::close).
    ///
    /// # Errors
    /// `Closed`.
    pub fn database(&self) -> Result<&Arc<Database>> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(Code::Closed, "The database was closed"));
        }
        Ok(&self.database)
    }

    /// Gives the hold up. With the last one a large head is sealed, background work ends and the lock is released.
    /// A second call does nothing.
    ///
    /// # Errors
    /// `Io` when the last seal or checkpoint failed; the database is closed all the same, and the log still holds the rows.
    pub fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let mut open = OPEN.lock();
        let last = {
            let mut handles = self.database.handles.lock();
            *handles -= 1;
            *handles == 0
        };
        if !last {
            return Ok(());
        }
        // Whoever opens the path meanwhile waits at `OPEN` until the files are free.
        if let Some(key) = &self.database.key {
            open.remove(key);
        }
        self.database.shut_down()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.closed.load(Ordering::Acquire) {
            *self.database.handles.lock() -= 1;
        }
    }
}

/// Makes a collection's new configuration of its old one.
pub type ChangeConfiguration<'a> = dyn Fn(&str) -> Result<String> + 'a;

impl Database {
    /// Opens the database in `path`, creating it if the folder is empty or missing; `None` opens an empty one in memory.
    ///
    /// # Errors
    /// `InvalidArgument` where the path is a file or a folder with other content, `Locked` where another process writes,
    /// `UnsafeFileSystem` for writing on a network file system, `Io` where the system refuses, `Corrupted` where the catalog is damaged,
    /// `NotFound` for a read-only opening of nothing.
    pub fn open(path: Option<&Path>, options: DatabaseOptions) -> Result<Handle> {
        let Some(path) = path else {
            let catalog = Catalog::open(Location::Memory, options.durability, false)?;
            return Self::start(catalog, Arc::new(MemoryStore::default()), options, None, None)
                .map(Handle::new);
        };
        prepare_folder(path, options.read_only)?;
        let canonical = path.canonicalize().map_err(|e| Error::io(path.display(), e))?;
        let key = (canonical, options.read_only, options.read_only && options.follow);
        let mut open = OPEN.lock();
        if let Some(database) = open.get(&key).and_then(Weak::upgrade)
            && !database.shared.shutdown.is_cancelled()
        {
            return Ok(Handle::new(database));
        }
        let database = Self::open_folder(&key.0, options, key.clone())?;
        open.insert(key, Arc::downgrade(&database));
        Ok(Handle::new(database))
    }

    fn open_folder(folder: &Path, options: DatabaseOptions, key: Key) -> Result<Arc<Self>> {
        if !options.read_only && !options.allow_network_file_system {
            crate::file_system::check(folder)?;
        }
        let mut lock = if options.read_only { None } else { Some(DatabaseLock::acquire(folder)?) };
        crate::repair::expect_finished(folder)?;
        let location = Location::File(folder.join(CATALOG_FILE));
        let catalog = Catalog::open(location, options.durability, options.read_only)?;
        lock.as_mut().map_or(Ok(()), DatabaseLock::sign)?;
        let store = LocalStore::open(&folder.join(SEGMENTS_FOLDER), options.read_only)?;
        if !options.read_only {
            // What is garbage to this state of the catalog may be named by the one that a power loss would bring back.
            catalog.make_durable()?;
            remove_garbage(&catalog, &store)?;
        }
        Self::start(catalog, Arc::new(store), options, lock, Some(key))
    }

    fn start(
        catalog: Catalog,
        store: Arc<dyn BlobStore>,
        options: DatabaseOptions,
        lock: Option<DatabaseLock>,
        key: Option<Key>,
    ) -> Result<Arc<Self>> {
        let read_only = options.read_only;
        let shared = Arc::new(shared(catalog, store, options)?);
        let database = Arc::new(Database {
            shared,
            collections: RwLock::default(),
            clock: AtomicU64::new(0),
            opening: Mutex::new(()),
            threads: Mutex::default(),
            lock: Mutex::new(lock),
            handles: Mutex::new(0),
            key,
        });
        if !read_only {
            *database.threads.lock() = maintenance::start(&database)?;
        }
        Ok(database)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn open_ids(&self) -> Vec<Uuid> {
        self.collections.read().keys().copied().collect()
    }

    /// The present states of the open collections.
    pub(crate) fn open_snapshots(&self) -> Vec<Arc<Snapshot>> {
        // One that is being closed or deleted counts no more.
        self.collections.read().values().filter_map(|collection| collection.snapshot().ok()).collect()
    }

    fn open_collections(&self) -> Vec<Arc<Collection>> {
        self.collections.read().values().cloned().collect()
    }

    /// The database's own threads, for work that must not run on the caller's.
    pub fn threads(&self) -> &QueryThreads {
        &self.shared.threads
    }

    /// The catalog of tenants, databases and collections.
    pub fn catalog(&self) -> &Catalog {
        &self.shared.catalog
    }

    /// Creates a tenant.
    ///
    /// # Errors
    /// `AlreadyExists`, `ReadOnly`, `Io`.
    pub fn create_tenant(&self, name: &str) -> Result<()> {
        self.shared.check_writable()?;
        self.shared.catalog.create_tenant(name)
    }

    /// Creates a database in a tenant, which need not exist.
    ///
    /// # Errors
    /// `AlreadyExists`, `ReadOnly`, `Io`.
    pub fn create_database(&self, tenant: &str, name: &str) -> Result<()> {
        self.shared.check_writable()?;
        self.shared.catalog.create_database(tenant, name).map(|_| ())
    }

    /// Deletes a database and its collections.
    ///
    /// # Errors
    /// `NotFound`, `ReadOnly`, `Io`.
    pub fn delete_database(&self, tenant: &str, name: &str) -> Result<()> {
        self.shared.check_writable()?;
        let _no_opening = self.opening.lock();
        let mut named = HashSet::new();
        for row in self.shared.catalog.list_collections(tenant, name, None, 0)? {
            named.extend(self.shared.catalog.segment_ids_with_versions(row.id)?);
        }
        let deleted = self.shared.catalog.delete_database(tenant, name)?;
        self.forget(&deleted, named)
    }

    /// Creates a collection; with `get_or_create` returns the existing one of that name unchanged.
    ///
    /// # Errors
    /// `AlreadyExists`, `InvalidArgument` for a missing database or unreadable configuration, `ReadOnly`, `Io`.
    pub fn create_collection(&self, row: &CollectionRow, get_or_create: bool) -> Result<CollectionRow> {
        Settings::parse(&row.configuration, row.schema.as_deref())?;
        if get_or_create {
            match self.shared.catalog.collection_by_name(&row.tenant, &row.database, &row.name) {
                Err(e) if e.code() == Code::NotFound => {}
                found => return found,
            }
        }
        self.shared.check_writable()?;
        let _no_deletion = self.opening.lock();
        match self.shared.catalog.create_collection(row) {
            // Another client of this process was faster.
            Err(e) if get_or_create && e.code() == Code::AlreadyExists => {
                self.shared.catalog.collection_by_name(&row.tenant, &row.database, &row.name)
            }
            Err(e) => Err(e),
            Ok(()) => Ok(row.clone()),
        }
    }

    /// Keeps collections from being created, opened and deleted meanwhile.
    pub(crate) fn lock_opening(&self) -> MutexGuard<'_, ()> {
        self.opening.lock()
    }

    /// Changes a collection's name, metadata or configuration; what is `None` stays. `configuration` makes the new one of the old.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists` for a taken name, `InvalidArgument` for an unreadable configuration, `ReadOnly`, `Io`.
    pub fn update_collection(
        &self,
        id: Uuid,
        name: Option<&str>,
        metadata: Option<Option<&Metadata>>,
        configuration: Option<&ChangeConfiguration<'_>>,
    ) -> Result<()> {
        self.shared.check_writable()?;
        let _one_change = self.opening.lock();
        let row = self.shared.catalog.collection_by_id(id)?;
        let configuration = configuration.map(|change| change(&row.configuration)).transpose()?;
        let current = configuration.as_deref().unwrap_or(&row.configuration);
        let settings = Settings::parse(current, row.schema.as_deref())?;
        self.shared.catalog.update_collection(id, name, metadata, configuration.as_deref())?;
        if let Some(collection) = self.collections.read().get(&id) {
            collection.set_settings(settings);
        }
        Ok(())
    }

    /// Deletes a collection.
    ///
    /// # Errors
    /// `NotFound`, `ReadOnly`, `Io`.
    pub fn delete_collection(&self, tenant: &str, database: &str, name: &str) -> Result<()> {
        self.shared.check_writable()?;
        let _no_opening = self.opening.lock();
        let id = self.shared.catalog.collection_by_name(tenant, database, name)?.id;
        let named = self.shared.catalog.segment_ids_with_versions(id)?;
        self.shared.catalog.delete_collection(tenant, database, name)?;
        self.forget(&[id], named)
    }

    /// Drops everything and creates the default tenant and database anew.
    ///
    /// # Errors
    /// `ReadOnly`, `Io`.
    pub fn reset(&self) -> Result<()> {
        self.shared.check_writable()?;
        let _no_opening = self.opening.lock();
        let named = self.shared.catalog.all_segment_ids()?;
        let deleted = self.shared.catalog.all_collection_ids()?;
        self.shared.catalog.reset()?;
        self.forget(&deleted, named)
    }

    /// Ends a collection that the process which writes has deleted.
    pub(crate) fn end_followed(&self, id: Uuid) {
        let collection = self.collections.write().remove(&id);
        // Their files are the writer's to remove; here their indices leave the cache with their last reader.
        collection.iter().flat_map(|collection| collection.retire()).for_each(|segment| segment.retire());
        self.shared.versions.end_all(id);
    }

    /// Ends collections that the catalog no longer has, and gives up the files that nothing else names. `named` are the segments that
    /// the catalog named before; those that background work has made or replaced since are in the open collections.
    fn forget(&self, deleted: &[Uuid], mut named: HashSet<Uuid>) -> Result<()> {
        let mut held = Vec::new();
        for id in deleted {
            let collection = self.collections.write().remove(id);
            held.extend(collection.into_iter().flat_map(|collection| collection.retire()));
            self.shared.versions.end_all(*id);
        }
        named.extend(held.iter().map(|segment| segment.id()));
        // Readers may still hold some; the last of them removes the files.
        self.shared.release(&named.into_iter().collect::<Vec<_>>())
    }

    /// Opens a collection; later calls return the same one, for as long as someone holds it. One that nobody holds may be closed
    /// to keep within [`open_segments`](DatabaseOptions::open_segments). One that follows another process is brought up to date.
    ///
    /// # Errors
    /// `NotFound`, `Corrupted`, `Io`.
    pub fn collection(&self, id: Uuid) -> Result<Arc<Collection>> {
        // Asked for before the state is read: what is written meanwhile is looked for the next time.
        let version = if self.follows() { Some(self.shared.catalog.data_version()?) } else { None };
        if let Some(collection) = self.opened(id) {
            version.map_or(Ok(()), |version| self.follow(&collection, version))?;
            collection.used_at(self.clock.fetch_add(1, Ordering::Relaxed));
            return Ok(collection);
        }
        let _one_opener = self.opening.lock();
        let collection = self.open_locked(id)?;
        version.map_or(Ok(()), |version| self.follow(&collection, version))?;
        collection.used_at(self.clock.fetch_add(1, Ordering::Relaxed));
        self.close_idle();
        // It may have been left in the middle of something, and there may be more to close when it is no longer in use.
        self.shared.signal.raise();
        Ok(collection)
    }

    /// The collection if it is open.
    pub(crate) fn opened(&self, id: Uuid) -> Option<Arc<Collection>> {
        self.collections.read().get(&id).cloned()
    }

    /// Closes the collections that were idle longest, of those that nobody holds, until no more than the allowed number of
    /// segments is open. A collection counts for one even without segments: it has a head. Returns whether more are open all the same.
    pub(crate) fn close_idle(&self) -> bool {
        let options = &self.shared.options;
        if options.read_only && !options.follow {
            return false;
        }
        let size = |collection: &Collection| 1 + collection.segment_ids().len();
        let mut closed = Vec::new();
        let mut collections = self.collections.write();
        let mut open: usize = collections.values().map(|collection| size(collection)).sum();
        if open <= options.open_segments {
            return false;
        }
        let idle =
            |collection: &&Arc<Collection>| Arc::strong_count(collection) == 1 && collection.can_be_closed();
        let mut idle: Vec<_> = collections.values().filter(idle).map(|c| (c.last_used(), c.id())).collect();
        idle.sort_unstable();
        for (_, id) in idle {
            if open <= options.open_segments {
                break;
            }
            if let Some(collection) = collections.remove(&id) {
                open -= size(&collection);
                closed.push(collection);
            }
        }
        // Unmapping takes a while; nobody should wait for it.
        drop(collections);
        drop(closed);
        open > options.open_segments
    }

    /// Time since the last write to any open collection.
    pub(crate) fn idle(&self) -> Duration {
        let idle = |collection: &Arc<Collection>| collection.idle();
        self.collections.read().values().map(idle).min().unwrap_or(Duration::MAX)
    }

    fn open_locked(&self, id: Uuid) -> Result<Arc<Collection>> {
        if let Some(collection) = self.collections.read().get(&id) {
            return Ok(collection.clone());
        }
        let row = self.shared.catalog.collection_by_id(id)?;
        let collection = Arc::new(Collection::open(self.shared.clone(), &row)?);
        self.collections.write().insert(id, collection.clone());
        Ok(collection)
    }

    fn shut_down(&self) -> Result<()> {
        let collections = self.open_collections();
        let mut outcome = Ok(());
        if !self.shared.options.read_only {
            for collection in &collections {
                outcome = outcome.and(maintenance::seal_if_large(collection));
            }
        }
        self.stop();
        // Work that began before the flag was seen must be over before the files are free.
        for collection in &collections {
            drop(collection.sealing.lock());
            drop(collection.compacting.lock());
            drop(collection.lock_write());
        }
        outcome = outcome.and(self.shared.catalog.close());
        self.lock.lock().take();
        outcome
    }

    /// Ends the background threads.
    fn stop(&self) {
        self.shared.shutdown.cancel();
        self.shared.signal.raise();
        self.shared.loader.stop();
        let me = std::thread::current().id();
        for thread in self.threads.lock().drain(..) {
            // The last hold may have been a background thread's own.
            if thread.thread().id() != me {
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Handle {
    fn new(database: Arc<Database>) -> Self {
        *database.handles.lock() += 1;
        Handle { database, closed: AtomicBool::new(false) }
    }
}

/// What the collections of a database will share.
pub(crate) fn shared(
    catalog: Catalog,
    store: Arc<dyn BlobStore>,
    options: DatabaseOptions,
) -> Result<Shared> {
    let threads = QueryThreads::start(options.threads)?;
    let provider = Arc::new(Provider::new(options.index_cache_bytes));
    let shutdown = CancelToken::default();
    Ok(Shared {
        log_was_cut: AtomicBool::new(!options.read_only),
        catalog,
        segments: Arc::new(OpenSegments::new(store.clone())),
        versions: OpenVersions::default(),
        store,
        loader: Arc::new(Preloader::new(provider.clone(), shutdown.clone())),
        provider,
        row_caches: RowCacheBudget::new(options.vector_cache_bytes),
        options,
        signal: Signal::default(),
        shutdown,
        threads,
    })
}

/// Makes sure that `path` is a folder that holds a database or nothing.
fn prepare_folder(path: &Path, read_only: bool) -> Result<()> {
    let shown = path.display();
    let length = |name: &str| match path.join(name).metadata() {
        Ok(metadata) => Ok(metadata.len()),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(0),
        Err(e) => Err(Error::io(path.join(name).display(), e)),
    };
    interrupted_restore::expect_complete(path)?;
    if length(CATALOG_FILE)? > 0 {
        return Ok(());
    }
    if read_only {
        interrupted_restore::expect_undone(path)?;
    } else {
        interrupted_restore::undo(path)?;
        if length(CATALOG_FILE)? > 0 {
            return Ok(());
        }
    }
    if path.exists() && !path.is_dir() {
        return Err(Error::invalid(format!("{shown} is a file; a database needs a folder")));
    }
    if read_only {
        return Err(Error::new(Code::NotFound, format!("{shown} holds no database to open read-only")));
    }
    make_folders(path)?;
    for entry in std::fs::read_dir(path).map_err(|e| Error::io(&shown, e))? {
        let name = entry.map_err(|e| Error::io(&shown, e))?.file_name();
        let name = name.to_string_lossy();
        if name == "chroma.sqlite3" {
            return Err(Error::invalid(format!(
                "{shown} is a database of Chroma's own server: import it into another folder, with importChroma() or `ferrochrome import --from {shown} --to <folder>`"
            )));
        }
        // A first opening that was killed leaves a lock, an empty folder or a journal.
        let ours = [LOCK_FILE, SEGMENTS_FOLDER, QUARANTINE_FOLDER].contains(&&*name)
            || name.starts_with(CATALOG_FILE);
        if !ours && !name.starts_with('.') {
            return Err(Error::invalid(format!(
                "{shown} holds other files ({name}) and no Ferrochrome database; choose an empty or a new folder"
            )));
        }
    }
    let has_segments = std::fs::read_dir(path.join(SEGMENTS_FOLDER)).is_ok_and(|entries| {
        entries.flatten().any(|entry| is_published(&entry.file_name().to_string_lossy()))
    });
    if length(LOCK_FILE)? > 0 || has_segments {
        return Err(Error::corrupted(path.join(CATALOG_FILE).display(), "it is missing or empty"));
    }
    Ok(())
}

fn is_published(folder: &str) -> bool {
    Uuid::parse_str(folder).is_ok()
}

/// Removes segments that no manifest names: of interrupted seals, and of collections that are gone.
fn remove_garbage(catalog: &Catalog, store: &dyn BlobStore) -> Result<()> {
    store.clear_staging()?;
    let named = catalog.all_segment_ids()?;
    let folders = store.folders()?;
    let is_there = |id: &Uuid| folders.binary_search(&id.to_string()).is_ok();
    if !named.iter().all(is_there) {
        // The catalog is older than the segments, or these were lost: what seems garbage may be what a repair needs.
        return Ok(());
    }
    for folder in folders {
        let is_named = Uuid::parse_str(&folder).is_ok_and(|id| named.contains(&id));
        if !is_named {
            store.discard_folder(&folder)?;
        }
    }
    Ok(())
}
