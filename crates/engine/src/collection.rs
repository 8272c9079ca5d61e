//! A collection's state, and how one state becomes the next.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use ferrochrome_blockstore::{BlobStore, RowCacheBudget, SegmentReader};
use ferrochrome_index::{Codebook, Provider};
use ferrochrome_metadata::{Catalog, CollectionRow, Manifest, ManifestSegment, VersionRow};
use ferrochrome_types::{CancelToken, Code, Error, Result, ValueKind, VectorRows};
use parking_lot::{Condvar, Mutex, MutexGuard};
use roaring::RoaringBitmap;
use uuid::Uuid;

use crate::chunk::{Chunk, Row};
use crate::follow::Followed;
use crate::log_entry::LogEntry;
use crate::maintenance::{Signal, Wanted, head_is_worth_a_segment};
use crate::open_segments::OpenSegments;
use crate::options::DatabaseOptions;
use crate::part::Part;
use crate::preloader::Preloader;
use crate::query_threads::QueryThreads;
use crate::segment::Segment;
use crate::settings::Settings;
use crate::snapshot::{PartView, RowAddress, Snapshot};
use crate::versions::OpenVersions;

/// Neighbouring chunks are merged while the result has no more rows, so that single-record writes do not leave a chunk each.
/// The rows of larger batches are not copied again.
const MERGED_CHUNK_ROWS: usize = 1_024;
/// How long a writer waits for a seal before it looks again.
const BACK_PRESSURE_POLL: Duration = Duration::from_millis(100);

/// What all collections of a database share.
pub(crate) struct Shared {
    pub catalog: Catalog,
    pub store: Arc<dyn BlobStore>,
    pub segments: Arc<OpenSegments>,
    pub versions: OpenVersions,
    pub provider: Arc<Provider>,
    pub loader: Arc<Preloader>,
    pub row_caches: Arc<RowCacheBudget>,
    pub options: DatabaseOptions,
    pub signal: Signal,
    /// Whether the catalog may have space to give back.
    pub log_was_cut: AtomicBool,
    /// Cancelled when the database closes.
    pub shutdown: CancelToken,
    pub threads: QueryThreads,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("store", &self.store)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// # Errors
    /// `ReadOnly` where the database was opened so.
    pub fn check_writable(&self) -> Result<()> {
        if self.options.read_only {
            return Err(Error::new(
                Code::ReadOnly,
                "The database was opened read-only; open it without readOnly to write",
            ));
        }
        Ok(())
    }

    pub fn open_segment(&self, id: Uuid) -> Result<Arc<Segment>> {
        self.segments.get_or_open(id, || {
            let reader = SegmentReader::open(self.store.clone(), id)?;
            Ok(self.segment(id, reader))
        })
    }

    /// Gives up the files of those of `segments` that no manifest names any more: what a fork or a version still names stays.
    ///
    /// To be called after the manifest that named them was replaced or deleted. Whoever asks last finds a segment unnamed, and
    /// [it stays so](Catalog::unnamed_segments). Only then is the catalog made durable: after a power loss no earlier state of it
    /// may come back, of this collection or of another one, that would look for them.
    ///
    /// # Errors
    /// `Io`; files that are still there are removed by a later call or at the next opening.
    pub fn release(&self, segments: &[Uuid]) -> Result<()> {
        if segments.is_empty() {
            return Ok(());
        }
        let unnamed = self.catalog.unnamed_segments(segments)?;
        if unnamed.is_empty() {
            return Ok(());
        }
        self.catalog.make_durable()?;
        // A collection that was closed may have left its indices behind.
        unnamed
            .iter()
            .filter(|id| self.segments.get(**id).is_none())
            .for_each(|id| _ = self.provider.remove(*id));
        self.segments.discard(&unnamed)
    }

    pub fn segment(&self, id: Uuid, reader: SegmentReader) -> Segment {
        Segment::new(id, reader, self)
    }
}

/// An open collection. Reads take a [`Snapshot`] and never wait; writes take turns.
#[derive(Debug)]
pub struct Collection {
    pub(crate) id: Uuid,
    /// Where this is a version of a collection, which can only be read.
    pub(crate) version: Option<u64>,
    pub(crate) shared: Arc<Shared>,
    settings: ArcSwap<Settings>,
    snapshot: ArcSwap<Snapshot>,
    /// Taken for every change of `snapshot`. Lock order: `sealing`, `compacting`, then `write`.
    write: Mutex<WriteState>,
    head_sealed: Condvar,
    /// Held while the head is being sealed.
    pub(crate) sealing: Mutex<()>,
    /// Held while segments are being merged.
    pub(crate) compacting: Mutex<()>,
    /// Stops the merge that a background thread does.
    pub(crate) background_merge: Mutex<CancelToken>,
    /// Segments that were replaced, while it is not certain yet that the manifest without them would survive a power loss.
    replaced: Mutex<Vec<Arc<Segment>>>,
    /// Segments whose manifest could not be published, while it is not certain yet that a crash would not bring it back.
    abandoned: Mutex<Vec<Arc<Segment>>>,
    /// Segments given up whose files may still be there, because somebody reads them.
    pub(crate) removing: Mutex<Vec<(Uuid, Weak<()>)>>,
    /// Whether the head may be ready to be sealed.
    pub(crate) seal_wanted: Wanted,
    /// Whether segments may be ready to be merged.
    pub(crate) merge_wanted: Wanted,
    /// Only of a collection that follows another process. Lock order: before all others.
    pub(crate) followed: Mutex<Followed>,
    /// How the newest segment was coded, for the next one that is sealed.
    pub(crate) codebook: ArcSwapOption<Codebook>,
    gone: AtomicBool,
    opened: Instant,
    last_write_ms: AtomicU64,
    /// When it was last asked for, by the clock of its database.
    last_used: AtomicU64,
}

/// What only writers know.
#[derive(Debug, Default)]
pub(crate) struct WriteState {
    pub last_seq: u64,
    pub log_cut: u64,
    /// Bytes of the log after `log_cut`.
    pub log_bytes: u64,
    pub next_ordinal: u64,
    pub manifest_version: u64,
    pub known_keys: HashSet<(String, ValueKind)>,
    /// Chunks that a seal is copying; they must not be merged away under it.
    pub being_sealed: Vec<Arc<Chunk>>,
    /// Why the last seal failed, until one succeeds.
    pub seal_error: Option<Error>,
}

impl Collection {
    /// Opens a collection: its manifest's segments, then the log on top.
    pub(crate) fn open(shared: Arc<Shared>, row: &CollectionRow) -> Result<Self> {
        // One that follows another process begins with nothing, and catches up before it is read.
        let follows = shared.options.read_only && shared.options.follow;
        let (state, snapshot) = if follows { Default::default() } else { load(&shared, row)? };
        Self::new(shared, row, state, snapshot)
    }

    /// A collection whose state is not read: for building segments only.
    pub(crate) fn unread(shared: Arc<Shared>, row: &CollectionRow) -> Result<Self> {
        Self::new(shared, row, WriteState::default(), Snapshot::default())
    }

    fn new(shared: Arc<Shared>, row: &CollectionRow, state: WriteState, snapshot: Snapshot) -> Result<Self> {
        Ok(Collection {
            id: row.id,
            version: None,
            settings: ArcSwap::from_pointee(Settings::parse(&row.configuration, row.schema.as_deref())?),
            shared,
            snapshot: ArcSwap::from_pointee(snapshot),
            write: Mutex::new(state),
            head_sealed: Condvar::new(),
            sealing: Mutex::new(()),
            compacting: Mutex::new(()),
            background_merge: Mutex::default(),
            replaced: Mutex::default(),
            abandoned: Mutex::default(),
            removing: Mutex::default(),
            seal_wanted: Wanted::default(),
            merge_wanted: Wanted::default(),
            followed: Mutex::default(),
            codebook: ArcSwapOption::empty(),
            gone: AtomicBool::new(false),
            opened: Instant::now(),
            last_write_ms: AtomicU64::new(0),
            last_used: AtomicU64::new(0),
        })
    }

    /// Opens a version of a collection: its manifest and log, with the collection's present settings.
    pub(crate) fn open_version(
        shared: Arc<Shared>,
        row: CollectionRow,
        version: &VersionRow,
    ) -> Result<Self> {
        let row = CollectionRow { id: version.state, dimension: version.dimension, ..row };
        Ok(Collection { version: Some(version.version), ..Self::open(shared, &row)? })
    }

    /// The collection's UUID; of a version the UUID of its state.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The present state.
    ///
    /// # Errors
    /// `NotFound` once the collection was deleted, `Closed` once the database was closed.
    pub fn snapshot(&self) -> Result<Arc<Snapshot>> {
        self.check_usable()?;
        Ok(self.snapshot.load_full())
    }

    /// The present state, whether or not it may still be used.
    pub(crate) fn current(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    pub(crate) fn check_usable(&self) -> Result<()> {
        if self.gone.load(Ordering::Acquire) {
            let gone = match self.version {
                None => format!("Collection [{}] does not exist.", self.id),
                Some(version) => format!("Version {version} of the collection does not exist any more."),
            };
            return Err(Error::new(Code::NotFound, gone));
        }
        if self.shared.shutdown.is_cancelled() {
            return Err(Error::new(Code::Closed, "The database was closed"));
        }
        Ok(())
    }

    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    pub(crate) fn set_settings(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// Does now what first queries would have to wait for: opens all files, and copies indices into memory as far as the cache has
    /// room.
    ///
    /// # Errors
    /// `Corrupted`, `Io`, `LimitExceeded` where the system gives no memory, `Closed`, `NotFound`.
    pub fn preload(&self) -> Result<()> {
        self.snapshot()?.segments().try_for_each(|(segment, _)| segment.preload())
    }

    /// Marks the collection as deleted. Returns the segments that it had, to be [released](Shared::release) while what is returned
    /// keeps them open.
    pub(crate) fn retire(&self) -> Vec<Arc<Segment>> {
        let _no_writer = self.write.lock();
        self.gone.store(true, Ordering::Release);
        let last = self.snapshot.swap(Arc::default());
        self.head_sealed.notify_all();
        let present = last.segments().map(|(segment, _)| segment.clone());
        present.chain(self.replaced.lock().drain(..)).collect()
    }

    pub(crate) fn lock_write(&self) -> MutexGuard<'_, WriteState> {
        self.write.lock()
    }

    /// Time since the last write (or since opening).
    pub(crate) fn idle(&self) -> Duration {
        let last = Duration::from_millis(self.last_write_ms.load(Ordering::Relaxed));
        self.opened.elapsed().saturating_sub(last)
    }

    /// Rows and bytes in the head.
    pub(crate) fn head_size(&self) -> (usize, usize) {
        let snapshot = self.snapshot.load();
        snapshot.chunks().fold((0, 0), |(rows, bytes), (chunk, _)| {
            (rows + VectorRows::len(chunk.as_ref()), bytes + chunk.bytes())
        })
    }

    pub(crate) fn head_wants_sealing(&self, state: &WriteState) -> bool {
        let options = &self.shared.options;
        let (rows, bytes) = self.head_size();
        // Deletes leave no rows, and rows written again and again leave no more of them, only log.
        let batches = state.last_seq - state.log_cut;
        rows >= options.seal_rows
            || bytes >= options.seal_bytes
            || batches >= options.seal_rows as u64
            || state.log_bytes >= options.seal_bytes as u64
    }

    /// Makes the writer wait while the head is twice as large as it should be, so that memory stays bounded.
    pub(crate) fn wait_for_room(&self, state: &mut MutexGuard<'_, WriteState>) -> Result<()> {
        let options = &self.shared.options;
        loop {
            self.check_usable()?;
            let (rows, bytes) = self.head_size();
            let log_has_room = state.log_bytes < 2 * options.seal_bytes as u64;
            if rows < 2 * options.seal_rows && bytes < 2 * options.seal_bytes && log_has_room {
                return Ok(());
            }
            if let Some(error) = &state.seal_error {
                return Err(error.clone());
            }
            self.seal_wanted.ask_now(&self.shared.signal);
            self.head_sealed.wait_for(state, BACK_PRESSURE_POLL);
        }
    }

    pub(crate) fn notify_sealed(&self) {
        self.head_sealed.notify_all();
    }

    /// Appends an entry to the log and then makes its effect visible.
    pub(crate) fn commit(
        &self,
        state: &mut WriteState,
        before: &Snapshot,
        entry: LogEntry,
        replaced: &[RowAddress],
        dimension: Option<u32>,
    ) -> Result<()> {
        let new_keys = unknown_keys(state, &entry);
        let changes_records = !entry.puts.is_empty() || !replaced.is_empty();
        let fixes_dimension = before.dimension.is_none() && dimension.is_some();
        if !changes_records && !fixes_dimension {
            return Ok(());
        }
        let seq = state.last_seq + 1;
        let newly_fixed = dimension.filter(|_| fixes_dimension);
        let payload = entry.encode();
        self.shared.catalog.append(self.id, seq, &payload, newly_fixed, &new_keys)?;
        state.last_seq = seq;
        state.log_bytes += payload.len() as u64;
        drop(payload);
        state.known_keys.extend(new_keys);
        if let Some(last) = entry.puts.last() {
            state.next_ordinal = state.next_ordinal.max(last.ordinal + 1);
        }
        let mut after = apply(before, entry, replaced, &state.being_sealed)?;
        after.dimension = before.dimension.or(dimension);
        self.publish(after);
        self.last_write_ms.store(self.opened.elapsed().as_millis() as u64, Ordering::Relaxed);
        self.ask_for_work(state, before, replaced);
        Ok(())
    }

    /// Tells the background threads what a write may have made due.
    fn ask_for_work(&self, state: &WriteState, before: &Snapshot, replaced: &[RowAddress]) {
        let signal = &self.shared.signal;
        if self.head_wants_sealing(state) {
            self.seal_wanted.ask_now(signal);
        } else if head_is_worth_a_segment(self.head_size().0, state.log_bytes) {
            self.seal_wanted.ask(signal);
        }
        let in_segment = |row: &RowAddress| matches!(before.parts[row.part as usize].part, Part::Segment(_));
        if replaced.iter().any(in_segment) {
            self.merge_wanted.ask(signal);
        }
    }

    pub(crate) fn publish(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
    }

    /// Writes the segments of `snapshot` to the catalog and cuts the log. The caller holds the write lock.
    pub(crate) fn publish_manifest(
        &self,
        state: &mut WriteState,
        snapshot: &Snapshot,
        log_cut: u64,
    ) -> Result<()> {
        let segments = snapshot.segments().map(|(segment, view)| ManifestSegment {
            id: segment.id(),
            rows: segment.rows(),
            tombstones: view.tombstones.as_ref().clone(),
        });
        let manifest = Manifest {
            version: state.manifest_version + 1,
            segments: segments.collect(),
            log_cut,
            next_ordinal: state.next_ordinal,
        };
        self.shared.catalog.publish(self.id, &manifest)?;
        state.manifest_version = manifest.version;
        state.log_cut = log_cut;
        // The manifest stands, so nothing may fail from here on. Without the figure the next seal comes a little late.
        state.log_bytes = self.shared.catalog.log_size(self.id).map_or(0, |size| size.bytes);
        Ok(())
    }

    /// Ids of the segments in the present state.
    pub(crate) fn segment_ids(&self) -> Vec<Uuid> {
        self.snapshot.load().segments().map(|(segment, _)| segment.id()).collect()
    }

    /// When [`used_at`](Self::used_at) was last called.
    pub(crate) fn last_used(&self) -> u64 {
        self.last_used.load(Ordering::Relaxed)
    }

    pub(crate) fn used_at(&self, now: u64) {
        self.last_used.store(now, Ordering::Relaxed);
    }

    /// Whether a later opening would find this very state, and nobody is looking at it. The caller holds the only reference.
    pub(crate) fn can_be_closed(&self) -> bool {
        // One reference is the collection's, the other the one that is counted here.
        self.replaced.lock().is_empty()
            && self.abandoned.lock().is_empty()
            && Arc::strong_count(&self.snapshot.load_full()) <= 2
    }

    /// Takes over segments that the manifest no longer names.
    pub(crate) fn replace(&self, parts: Vec<Part>) {
        self.replaced.lock().extend(parts.into_iter().filter_map(|part| match part {
            Part::Segment(segment) => Some(segment),
            Part::Chunk(_) => None,
        }));
    }

    /// Takes over a segment whose manifest could not be published. The commit may have come as far as the log: then a crash would
    /// bring back a manifest that names these files.
    pub(crate) fn abandon(&self, segment: Arc<Segment>) {
        self.abandoned.lock().push(segment);
    }

    /// Gives up the files of replaced segments that nothing else names, once the manifest that no longer names them is safely on
    /// disk: after a power loss the manifest before it would look for them. Also those of segments whose manifest was not published.
    ///
    /// # Errors
    /// `Io`; the files are kept until a later call succeeds.
    pub(crate) fn retire_replaced(&self) -> Result<()> {
        let (mut replaced, mut abandoned) = (self.replaced.lock(), self.abandoned.lock());
        if replaced.is_empty() && abandoned.is_empty() {
            return Ok(());
        }
        if !abandoned.is_empty() {
            self.shared.catalog.supersede_failed_commits()?;
        }
        let ids: Vec<_> = replaced.iter().chain(abandoned.iter()).map(|segment| segment.id()).collect();
        self.shared.release(&ids)?;
        let mut removing = self.removing.lock();
        removing.retain(|(_, files)| files.strong_count() > 0);
        for segment in replaced.drain(..).chain(abandoned.drain(..)) {
            removing.push((segment.id(), segment.files()));
        }
        Ok(())
    }
}

/// How often a reader beside a writing process looks again when segments vanish between manifest and opening.
pub(crate) const OPENING_ATTEMPTS: usize = 5;

fn load(shared: &Shared, row: &CollectionRow) -> Result<(WriteState, Snapshot)> {
    let mut attempt = 1;
    loop {
        let (mut log, mut log_bytes) = (Vec::new(), 0);
        let manifest = shared.catalog.manifest_and_log(row.id, &mut |seq, payload| {
            log_bytes += payload.len() as u64;
            log.push((seq, LogEntry::decode(payload)?));
            Ok(())
        })?;
        let manifest = manifest.unwrap_or_default();
        let parts = match open_parts(shared, &manifest, &Snapshot::default()) {
            Err(_) if shared.options.read_only && attempt < OPENING_ATTEMPTS => {
                attempt += 1;
                continue;
            }
            parts => parts?,
        };
        let mut state = WriteState {
            last_seq: manifest.log_cut,
            log_cut: manifest.log_cut,
            log_bytes,
            next_ordinal: manifest.next_ordinal,
            manifest_version: manifest.version,
            known_keys: shared.catalog.schema_keys(row.id)?.into_iter().collect(),
            ..WriteState::default()
        };
        let mut snapshot = Snapshot { parts, dimension: row.dimension };
        // A reader beside a writing process may have read the row before the first write and the log after it.
        let logged = log.iter().map(|(_, entry)| entry.dim as u32).find(|dim| *dim > 0);
        snapshot.dimension = snapshot.dimension.or(logged);
        for (seq, entry) in log {
            state.last_seq = seq;
            if let Some(last) = entry.puts.last() {
                state.next_ordinal = state.next_ordinal.max(last.ordinal + 1);
            }
            snapshot = replay(&snapshot, entry)?;
        }
        return Ok((state, snapshot));
    }
}

/// The parts of a manifest; segments that are open in `known` are not opened again.
pub(crate) fn open_parts(shared: &Shared, manifest: &Manifest, known: &Snapshot) -> Result<Vec<PartView>> {
    let is = |view: &PartView, id: Uuid| matches!(&view.part, Part::Segment(open) if open.id() == id);
    let mut parts = Vec::with_capacity(manifest.segments.len());
    for named in &manifest.segments {
        if let Some(view) = known.parts.iter().find(|view| is(view, named.id)) {
            let same = *view.tombstones == named.tombstones;
            let tombstoned = || PartView::new(view.part.clone(), Arc::new(named.tombstones.clone()));
            parts.push(if same { view.clone() } else { tombstoned() });
            continue;
        }
        let segment = shared.open_segment(named.id)?;
        if segment.rows() != named.rows || named.tombstones.max().is_some_and(|label| label >= named.rows) {
            return Err(Error::corrupted(
                format!("{}/segment.json", named.id),
                format!("it has {} rows where the manifest expects {}", segment.rows(), named.rows),
            ));
        }
        if shared.options.read_only {
            segment.pin()?;
        }
        parts.push(PartView::new(Part::Segment(segment), Arc::new(named.tombstones.clone())));
    }
    Ok(parts)
}

fn unknown_keys(state: &WriteState, entry: &LogEntry) -> Vec<(String, ValueKind)> {
    let mut unknown = HashSet::new();
    for (key, value) in entry.puts.iter().filter_map(|record| record.metadata.as_ref()).flatten() {
        let pair = (key.clone(), value.kind());
        if !state.known_keys.contains(&pair) {
            unknown.insert(pair);
        }
    }
    unknown.into_iter().collect()
}

/// Applies an entry from the log: every id in it is replaced wherever it lives.
pub(crate) fn replay(before: &Snapshot, entry: LogEntry) -> Result<Snapshot> {
    let ids = entry.puts.iter().map(|record| &record.id).chain(&entry.deletes);
    let found = before.find(&ids.collect::<Vec<_>>())?;
    let replaced: Vec<RowAddress> = found.into_iter().flatten().collect();
    apply(before, entry, &replaced, &[])
}

/// The state after an entry: `replaced` rows are tombstoned, new versions go into a chunk at the end.
fn apply(
    before: &Snapshot,
    entry: LogEntry,
    replaced: &[RowAddress],
    being_sealed: &[Arc<Chunk>],
) -> Result<Snapshot> {
    let mut after = before.clone();
    let mut by_part: HashMap<u32, RoaringBitmap> = HashMap::new();
    for address in replaced {
        by_part.entry(address.part).or_default().insert(address.label);
    }
    for (part, labels) in by_part {
        let view = &mut after.parts[part as usize];
        *view = PartView::new(view.part.clone(), Arc::new(view.tombstones.as_ref() | labels));
    }
    after.parts.retain(|view| !is_spent(view, being_sealed));
    if !entry.puts.is_empty() {
        let chunk = Chunk::of_batch(entry.dim, entry.puts, entry.vectors);
        after.parts.push(PartView::new(Part::Chunk(Arc::new(chunk)), Arc::default()));
        merge_last_chunks(&mut after, being_sealed)?;
    }
    Ok(after)
}

/// A chunk without live rows that no seal is looking at.
fn is_spent(view: &PartView, being_sealed: &[Arc<Chunk>]) -> bool {
    match &view.part {
        Part::Chunk(chunk) => view.live_rows() == 0 && !contains(being_sealed, chunk),
        Part::Segment(_) => false,
    }
}

fn contains(chunks: &[Arc<Chunk>], chunk: &Arc<Chunk>) -> bool {
    chunks.iter().any(|other| Arc::ptr_eq(other, chunk))
}

/// Keeps the number of chunks logarithmic, as a binary counter does: a chunk is merged with one before it of no more rows.
fn merge_last_chunks(snapshot: &mut Snapshot, being_sealed: &[Arc<Chunk>]) -> Result<()> {
    while let [.., a, b] = snapshot.parts.as_slice() {
        let (Part::Chunk(first), Part::Chunk(second)) = (&a.part, &b.part) else { return Ok(()) };
        let (before, after) = (a.part.rows() as usize, b.part.rows() as usize);
        if before > after || before + after > MERGED_CHUNK_ROWS || contains(being_sealed, first) {
            return Ok(());
        }
        let mut rows = Vec::with_capacity(before + after);
        for (chunk, view) in [(first, a), (second, b)] {
            for label in view.live().iter() {
                rows.push(Row { record: chunk.record(label)?.clone(), vector: chunk.row(label)? });
            }
        }
        let merged = PartView::new(Part::Chunk(Arc::new(Chunk::new(first.dim(), rows))), Arc::default());
        snapshot.parts.truncate(snapshot.parts.len() - 2);
        snapshot.parts.push(merged);
    }
    Ok(())
}
