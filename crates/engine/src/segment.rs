//! A sealed segment that is open: its files, its index, its look-ups, and answers worth keeping.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use ferrochrome_blockstore::{IndexFile, Lookup as LookupFile, SegmentReader};
use ferrochrome_index::{Parameters, Provider, VectorIndex};
use ferrochrome_metadata::{Lookup, evaluate, find_in_tasks};
use ferrochrome_types::{CancelToken, Error, Result};
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use uuid::Uuid;

use crate::collection::Shared;
use crate::id_list::IdList;
use crate::open_segments::OpenSegments;
use crate::preloader::{Preloader, load};
use crate::query_threads::QueryThreads;
use crate::remembered::Remembered;
use crate::shared_filter::SharedFilter;

/// Name of the file with posting lists and full text.
pub(crate) const LOOKUP_FILE: &str = "lookup.sqlite";
/// Filters whose bitmaps a segment remembers, and how many bytes they may take together.
const REMEMBERED_FILTERS: usize = 64;
const REMEMBERED_BYTES: usize = 8 << 20;
/// Likewise lists of ids. They have a place of their own: who asks with a new list each time shall not drive out filters.
const REMEMBERED_LISTS: usize = 256;
const REMEMBERED_LIST_BYTES: usize = 2 << 20;
/// Where a list has fewer labels than one in so many rows, they are sorted; otherwise a bit is set for each.
const ROWS_PER_SORTED_LABEL: usize = 256;
/// The part of the vector cache that one segment may take.
const SEGMENT_CACHE_PART: u64 = 4;
/// Vectors are read ahead when the index was asked for so often, twice by each search: a program that opens a database for one or two
/// queries need not read all of it.
const READ_AHEAD_USES: u64 = 16;
/// Mapped vectors that may stay resident after an exact search, and mapped rows after a pass over many.
const MAPPED_VECTOR_BYTES: u64 = 16 << 20;

/// An open segment. Its files never change; they are removed with the last holder once [`retire`](Self::retire) was called.
pub(crate) struct Segment {
    id: Uuid,
    reader: SegmentReader,
    segments: Arc<OpenSegments>,
    provider: Arc<Provider>,
    loader: Arc<Preloader>,
    /// An index file of at least so many bytes is first searched where it lies.
    index_map_bytes: u64,
    /// How often the index was asked for.
    uses: AtomicU64,
    /// How often the index was asked for while it was in its file, since it was opened.
    uses_in_file: AtomicU64,
    lookup: OnceLock<Lookup>,
    opening: Mutex<()>,
    filters: Remembered<SharedFilter, Arc<RoaringBitmap>>,
    id_lists: Remembered<u64, Arc<RoaringBitmap>>,
    order: OnceLock<Option<Vec<u32>>>,
    retired: AtomicBool,
    /// Dropped after the files of a retired segment were removed.
    files: Arc<()>,
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("id", &self.id).field("rows", &self.rows()).finish_non_exhaustive()
    }
}

impl Segment {
    pub fn new(id: Uuid, reader: SegmentReader, shared: &Shared) -> Self {
        reader.set_cache(shared.options.vector_cache_bytes / SEGMENT_CACHE_PART, &shared.row_caches);
        Segment {
            id,
            reader,
            segments: shared.segments.clone(),
            provider: shared.provider.clone(),
            loader: shared.loader.clone(),
            index_map_bytes: shared.options.index_map_bytes,
            uses: AtomicU64::new(0),
            uses_in_file: AtomicU64::new(0),
            lookup: OnceLock::new(),
            opening: Mutex::new(()),
            filters: Remembered::new(REMEMBERED_FILTERS, REMEMBERED_BYTES),
            id_lists: Remembered::new(REMEMBERED_LISTS, REMEMBERED_LIST_BYTES),
            order: OnceLock::new(),
            retired: AtomicBool::new(false),
            files: Arc::default(),
        }
    }

    pub fn id(&self) -> Uuid {
        self.id
    }

    pub fn rows(&self) -> u32 {
        self.reader.rows()
    }

    pub fn reader(&self) -> &SegmentReader {
        &self.reader
    }

    /// The search index; `None` for a segment too small to have one. A large one is at first searched in its file, and copied into
    /// memory in the background, as vectors are into the system's cache.
    pub fn index(&self) -> Result<Option<Arc<dyn VectorIndex>>> {
        if self.uses.fetch_add(1, Ordering::Relaxed) + 1 == READ_AHEAD_USES {
            self.read_ahead();
        }
        let Some(file) = self.reader.index_file()? else { return Ok(None) };
        let index = self.provider.get_or_load(self.id, || self.open_index(file))?;
        // There may be no room for it now, but some when it was used more often.
        if !index.is_resident() && self.uses_in_file.fetch_add(1, Ordering::Relaxed).is_power_of_two() {
            self.loader.request_copy(self.id, file.clone());
        }
        Ok(Some(index))
    }

    fn read_ahead(&self) {
        // What is wrong with the file is told to who needs a vector of it.
        if let Ok(vectors) = self.reader.vectors_blob()
            && !vectors.is_in_memory()
        {
            self.loader.request_read_ahead(vectors.clone());
        }
    }

    fn open_index(&self, file: &Arc<IndexFile>) -> Result<Arc<dyn VectorIndex>> {
        if file.bytes_on_disk() < self.index_map_bytes {
            return self.fitting(load(file, &CancelToken::default())?);
        }
        self.uses_in_file.store(1, Ordering::Relaxed);
        self.fitting(ferrochrome_index::open(file.parameters()?, file.clone())?)
    }

    /// The search index in memory, to be extended.
    pub fn index_in_memory(&self, cancel: &CancelToken) -> Result<Option<Arc<dyn VectorIndex>>> {
        let Some(file) = self.reader.index_file()? else { return Ok(None) };
        match self.provider.get(self.id) {
            Some(index) if index.is_resident() => Ok(Some(index)),
            _ => self.fitting(load(file, cancel)?).map(Some),
        }
    }

    /// Opens every file, and copies the index into memory if there is room for it. Vectors are read ahead in the background.
    pub fn preload(&self) -> Result<()> {
        self.pin()?;
        self.read_ahead();
        match (self.index()?, self.reader.index_file()?) {
            (Some(index), Some(file)) if !index.is_resident() => self.loader.copy(self.id, file),
            _ => Ok(()),
        }
    }

    /// The index, if it is of the segment's rows.
    fn fitting(&self, index: Arc<dyn VectorIndex>) -> Result<Arc<dyn VectorIndex>> {
        if index.len() == self.rows() as usize && index.dim() == self.reader.dim() {
            return Ok(index);
        }
        let found = format!("it indexes {} rows of {} components", index.len(), index.dim());
        Err(self.damaged_index(found))
    }

    /// Whether there is an index that is not in memory.
    pub fn is_index_in_file(&self) -> bool {
        self.reader.has_index() && self.provider.get(self.id).is_none_or(|index| !index.is_resident())
    }

    /// Whether the index has a graph. No buffer is read for it.
    pub fn has_graph(&self) -> Result<bool> {
        Ok(self.index_parameters()?.is_some_and(|parameters| parameters.graph.is_some()))
    }

    /// What describes the index, if there is one. No buffer is read for it.
    pub fn index_parameters(&self) -> Result<Option<Parameters>> {
        let Some(file) = self.reader.index_file()? else { return Ok(None) };
        serde_json::from_str(file.parameters()?).map(Some).map_err(|e| self.damaged_index(e))
    }

    fn damaged_index(&self, what: impl fmt::Display) -> Error {
        Error::corrupted(format!("{}/index.arrow", self.id), what)
    }

    fn lookup(&self) -> Result<&Lookup> {
        if let Some(lookup) = self.lookup.get() {
            return Ok(lookup);
        }
        let _one_opener = self.opening.lock();
        if self.lookup.get().is_none() {
            let opened = open_lookup(&self.reader)?;
            let _ = self.lookup.set(opened);
        }
        self.lookup.get().ok_or_else(|| Error::internal("the look-up file was opened and is gone"))
    }

    /// Labels for which `filter` holds. Segments never change, so an answer stays right for ever.
    pub fn matching(&self, filter: &SharedFilter, cancel: &CancelToken) -> Result<Arc<RoaringBitmap>> {
        if let Some(found) = self.filters.recall(filter) {
            return Ok(found);
        }
        let bitmap = evaluate(filter, self.lookup()?, &self.reader, self.rows(), cancel)?;
        let bitmap = Arc::new(bitmap);
        let bytes = filter.heap_bytes() + bitmap.serialized_size();
        self.filters.remember(filter.clone(), bytes, bitmap.clone());
        Ok(bitmap)
    }

    /// What [`matching`](Self::matching) would answer from memory.
    pub fn remembered(&self, filter: &SharedFilter) -> Option<Arc<RoaringBitmap>> {
        self.filters.recall(filter)
    }

    /// Labels of the rows that have one of these ids, tombstoned ones among them. As right for ever as [`matching`](Self::matching).
    /// A calling thread that is none of `threads` shares the work with it.
    pub fn named(
        self: &Arc<Self>,
        ids: &IdList,
        threads: Option<&QueryThreads>,
    ) -> Result<Arc<RoaringBitmap>> {
        if let Some(found) = ids.number().and_then(|number| self.id_lists.recall(&number)) {
            return Ok(found);
        }
        let bitmap = Arc::new(self.look_up(ids, threads)?);
        if let Some(number) = ids.number() {
            self.id_lists.remember(number, bitmap.serialized_size(), bitmap.clone());
        }
        Ok(bitmap)
    }

    /// Whether [`named`](Self::named) would answer from memory.
    pub fn remembers_ids(&self, ids: &IdList) -> bool {
        ids.number().is_some_and(|number| self.id_lists.holds(&number))
    }

    fn look_up(self: &Arc<Self>, ids: &IdList, threads: Option<&QueryThreads>) -> Result<RoaringBitmap> {
        let groups: Vec<usize> = ids.groups().collect();
        let found = match threads {
            Some(threads) if groups.len() > 1 && rayon::current_thread_index().is_none() => {
                let (segment, ids) = (self.clone(), ids.clone());
                threads.try_share(groups.len(), move |at| segment.look_up_group(&ids, groups[at]))?
            }
            _ => find_in_tasks(&groups, |group| self.look_up_group(ids, *group))?,
        };
        Ok(bitmap_of(&found, self.rows()))
    }

    fn look_up_group(&self, ids: &IdList, group: usize) -> Result<Vec<u32>> {
        let hashes = ids.hashes_from(group);
        let mut labels = Vec::with_capacity(hashes.len());
        self.reader.find_many(hashes, |at| ids.bytes_of(group + at), |_, label| labels.push(label))?;
        Ok(labels)
    }

    /// Labels in insertion order, or `None` where labels already are.
    pub fn insertion_order(&self) -> Result<Option<&[u32]>> {
        if let Some(order) = self.order.get() {
            return Ok(order.as_deref());
        }
        if self.reader.is_in_insertion_order()? {
            return Ok(None);
        }
        let mut ordinals = Vec::with_capacity(self.rows() as usize);
        for label in 0..self.rows() {
            ordinals.push(self.reader.ordinal(label)?);
        }
        let order = (!ordinals.is_sorted()).then(|| {
            let mut labels: Vec<u32> = (0..self.rows()).collect();
            labels.sort_by_key(|label| ordinals[*label as usize]);
            labels
        });
        Ok(self.order.get_or_init(|| order).as_deref())
    }

    /// Gives mapped vectors back to the system where an exact search has made many of them resident. Other searches map none.
    pub fn bound_resident_vectors(&self) {
        if self.reader.touched_bytes() > MAPPED_VECTOR_BYTES {
            self.reader.release_pages();
        }
    }

    /// Gives mapped rows back to the system where a pass over them has made many resident; this is one of `segments` that share the
    /// room.
    pub fn bound_resident_rows(&self, segments: usize) {
        self.reader.bound_resident_rows(MAPPED_VECTOR_BYTES / segments.max(1) as u64);
    }

    /// Opens every file, so that the segment stays readable after another process has removed it.
    pub fn pin(&self) -> Result<()> {
        if self.rows() > 0 {
            self.reader.id(0)?;
            self.reader.vector(0)?;
        }
        self.reader.find("")?;
        self.reader.index_file()?;
        self.lookup()?;
        Ok(())
    }

    /// Is alive until this segment was dropped and, if it was retired, its files are gone.
    pub fn files(&self) -> Weak<()> {
        Arc::downgrade(&self.files)
    }

    /// Marks the files as garbage: no manifest names them any more.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }
}

/// The bitmap of labels that come in any order.
fn bitmap_of(labels: &[Vec<u32>], rows: u32) -> RoaringBitmap {
    let count: usize = labels.iter().map(Vec::len).sum();
    let labels = labels.iter().flatten().copied();
    if count < rows as usize / ROWS_PER_SORTED_LABEL {
        let mut labels: Vec<u32> = labels.collect();
        labels.sort_unstable();
        return labels.into_iter().collect();
    }
    let mut bits = vec![0_u8; rows.div_ceil(8) as usize];
    for label in labels {
        bits[label as usize / 8] |= 1 << (label % 8);
    }
    RoaringBitmap::from_lsb0_bytes(0, &bits)
}

/// Opens the file with posting lists and full text.
pub(crate) fn open_lookup(reader: &SegmentReader) -> Result<Lookup> {
    match reader.lookup()? {
        Some(LookupFile::Path(path)) => Lookup::open_file(&path),
        Some(LookupFile::Bytes(blob)) => Lookup::open_bytes(blob.all()?.to_vec()),
        None => Err(Error::corrupted(format!("{}/{LOOKUP_FILE}", reader.folder()), "it is missing")),
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        let retired = self.retired.load(Ordering::Acquire);
        if retired {
            self.provider.remove(self.id);
        } else {
            self.provider.close_file(self.id);
        }
        self.segments.closed(self.id, retired);
    }
}
