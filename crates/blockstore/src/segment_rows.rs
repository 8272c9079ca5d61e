//! The rows of a segment: records, vectors and ids by label.

use std::ops::{ControlFlow, Range};
use std::sync::{Arc, OnceLock};

use ferrochrome_types::{DocumentRows, Metadata, Record, Result, ValueRef, VectorRows, with_rows_in_place};
use uuid::Uuid;

use crate::ids::{IdsFile, hash_id};
use crate::records::RecordsFile;
use crate::row_cache::{RowCache, RowCacheBudget};
use crate::segment_json::SegmentDescription;
use crate::store::{IDS, RECORDS, VECTORS};
use crate::vectors::VectorsFile;
use crate::{Blob, BlobStore, RecordRef};

/// The rows of a segment, staged or published. A published file is opened when it is first needed.
///
/// A label that is not below the number of rows yields `Corrupted`, as labels come from indices, which are files too.
#[derive(Debug)]
pub struct SegmentRows {
    store: Arc<dyn BlobStore>,
    folder: Uuid,
    origin: Origin,
    rows: u32,
    dim: usize,
    records: OnceLock<RecordsFile>,
    vectors: OnceLock<VectorsFile>,
    ids: OnceLock<IdsFile>,
    /// `None` until a budget is set: vectors are then mapped.
    cache: OnceLock<Arc<RowCache>>,
}

/// Where the files lie.
#[derive(Debug)]
enum Origin {
    Staged,
    /// Published, and expected to be as described.
    Published(SegmentDescription),
}

impl SegmentRows {
    /// Opens all files, since the staging folder is gone once the segment is published.
    pub(crate) fn staged(store: Arc<dyn BlobStore>, folder: Uuid, rows: u32, dim: usize) -> Result<Self> {
        let staged = Self::new(store, folder, Origin::Staged, rows, dim);
        staged.records_file()?;
        staged.vectors_file()?;
        staged.ids_file()?;
        Ok(staged)
    }

    pub(crate) fn published(store: Arc<dyn BlobStore>, description: SegmentDescription) -> Self {
        let SegmentDescription { folder, rows, dim, .. } = description;
        Self::new(store, folder, Origin::Published(description), rows, dim)
    }

    fn new(store: Arc<dyn BlobStore>, folder: Uuid, origin: Origin, rows: u32, dim: usize) -> Self {
        let (records, vectors, ids) = Default::default();
        SegmentRows { store, folder, origin, rows, dim, records, vectors, ids, cache: OnceLock::new() }
    }

    /// Number of rows; labels are `0..rows`.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Components of each vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The folder that holds the files.
    pub fn folder(&self) -> Uuid {
        self.folder
    }

    /// The vector of a row, [`dim`](Self::dim) components, borrowed from the file.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    #[inline]
    pub fn vector(&self, label: u32) -> Result<&[f32]> {
        self.vectors_file()?.vector(label)
    }

    /// A whole record.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn record(&self, label: u32) -> Result<Record> {
        self.records_file()?.record(label)
    }

    /// A whole record, borrowed.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn record_ref(&self, label: u32) -> Result<RecordRef<'_>> {
        self.records_file()?.record_ref(label)
    }

    /// The id of a row.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn id(&self, label: u32) -> Result<&str> {
        self.records_file()?.id(label)
    }

    /// A hint that the ids of rows, or with `whole` their documents and metadata too, will be asked for: their memory then arrives
    /// together.
    pub fn prefetch_records(&self, labels: &[u32], whole: bool) {
        if let Some(records) = self.records.get() {
            records.prefetch(labels, whole);
        }
    }

    /// The document of a row, if it has one.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn document(&self, label: u32) -> Result<Option<&str>> {
        self.records_file()?.document(label)
    }

    /// The metadata of a row, if it has any.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn metadata(&self, label: u32) -> Result<Option<Metadata>> {
        self.records_file()?.metadata(label)
    }

    /// Calls `f` with every key of a row's metadata and its value, keys ascending; whether it has metadata.
    ///
    /// # Errors
    /// `Corrupted`, `Io`, perhaps after `f` saw some entries.
    pub fn for_each_metadata_entry(&self, label: u32, f: &mut dyn FnMut(&str, ValueRef<'_>)) -> Result<bool> {
        self.records_file()?.for_each_metadata_entry(label, f)
    }

    /// The metadata of a row as [`metadata_codec`](crate::metadata_codec) encodes it, not yet checked.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn metadata_bytes(&self, label: u32) -> Result<Option<&[u8]>> {
        self.records_file()?.metadata_bytes(label)
    }

    /// The URI of a row, if it has one.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn uri(&self, label: u32) -> Result<Option<&str>> {
        self.records_file()?.uri(label)
    }

    /// The place of a row in insertion order.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn ordinal(&self, label: u32) -> Result<u64> {
        self.records_file()?.ordinal(label)
    }

    /// Whether [`ordinal`](Self::ordinal) is known to ascend with labels, without looking at every row.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn is_in_insertion_order(&self) -> Result<bool> {
        Ok(self.records_file()?.is_in_insertion_order())
    }

    /// The label of an id, `None` if no row has it. If several have, the smallest.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn find(&self, id: &str) -> Result<Option<u32>> {
        self.find_hashed(id, hash_id(id))
    }

    /// As [`find`](Self::find), for who looks an id up in many segments: `hash` is its [`hash_id`].
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn find_hashed(&self, id: &str, hash: u64) -> Result<Option<u32>> {
        self.ids_file()?.find(hash, |label| Ok(self.id(label)? == id))
    }

    /// Looks many ids up: calls `found` with the place of each id that a row has, and the label of that row, the smallest if several
    /// have it. `hashes` are the ids' [`hash_id`]s, `id` returns an id's UTF-8 by its place. Places may come in any order.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn find_many<'a>(
        &self,
        hashes: &[u64],
        id: impl Fn(usize) -> &'a [u8],
        mut found: impl FnMut(usize, u32),
    ) -> Result<()> {
        let (ids, records) = (self.ids_file()?, self.records_file()?);
        let mut candidates: Vec<(usize, u32)> = Vec::with_capacity(hashes.len());
        ids.find_many(hashes, |place, label| candidates.push((place, label)))?;
        let mut last = None;
        records.each_with_id(&candidates, id, |place, label| {
            if last.replace(place) != Some(place) {
                found(place, label);
            }
        })
    }

    /// Calls `f` with every document in label order until it breaks. Rows without a document are passed over.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn for_each_document(&self, f: &mut dyn FnMut(u32, &str) -> ControlFlow<()>) -> Result<()> {
        self.records_file()?.for_each_document(f)
    }

    /// Bounds the memory that [`with_rows`](VectorRows::with_rows) takes: it keeps copies of the rows it is asked
    /// for, up to so many bytes, as far as `budget` has them, and maps nothing. Without it rows are mapped. A second call does nothing.
    pub fn set_cache(&self, bytes: u64, budget: &Arc<RowCacheBudget>) {
        self.cache.get_or_init(|| RowCache::new(self.rows, self.dim, bytes, budget));
    }

    /// The file of the vectors.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn vectors_blob(&self) -> Result<&Blob> {
        self.vectors_file().map(VectorsFile::blob)
    }

    /// An upper estimate of the resident bytes of the mapped vectors since [`release_pages`](Self::release_pages).
    /// Cheap enough to ask after every search; zero for a [`MemoryStore`](crate::MemoryStore).
    pub fn touched_bytes(&self) -> u64 {
        self.vectors.get().map_or(0, |file| file.blob().touched_bytes())
    }

    /// Lets the kernel take back the pages of the mapped vectors. They stay readable.
    pub fn release_pages(&self) {
        if let Some(file) = self.vectors.get() {
            file.blob().release_pages();
        }
    }

    /// Lets the kernel take back the pages of mapped vectors and records, where more than `bytes` of them may be resident.
    pub fn bound_resident_rows(&self, bytes: u64) {
        let files = [self.vectors.get().map(|file| file.blob()), self.records.get().map(|file| file.blob())];
        let files = || files.iter().flatten();
        if files().map(|blob| blob.touched_bytes()).sum::<u64>() > bytes {
            files().for_each(|blob| blob.release_pages());
        }
    }

    pub(crate) fn description(&self) -> Option<&SegmentDescription> {
        match &self.origin {
            Origin::Staged => None,
            Origin::Published(description) => Some(description),
        }
    }

    /// Opens a file, and compares it with what `segment.json` says of it.
    pub(crate) fn open_file(&self, file: &str) -> Result<Blob> {
        let name = format!("{}/{file}", self.folder);
        let Origin::Published(description) = &self.origin else {
            return self.store.open_staged(&name);
        };
        let blob = self.store.open(&name)?;
        match description.files.get(file) {
            Some(as_written)
                if as_written.length == blob.len() as u64
                    && as_written.table_checksum == blob.table_checksum() =>
            {
                Ok(blob)
            }
            _ => Err(blob.damaged("it is not the file that segment.json names")),
        }
    }

    pub(crate) fn store(&self) -> &dyn BlobStore {
        &*self.store
    }

    #[inline]
    fn vectors_file(&self) -> Result<&VectorsFile> {
        open_once(&self.vectors, || VectorsFile::open(self.open_file(VECTORS)?, self.dim, self.rows))
    }

    fn records_file(&self) -> Result<&RecordsFile> {
        open_once(&self.records, || RecordsFile::open(self.open_file(RECORDS)?, self.rows))
    }

    pub(crate) fn ids_file(&self) -> Result<&IdsFile> {
        open_once(&self.ids, || IdsFile::open(self.open_file(IDS)?, self.rows))
    }
}

/// The value of `cell`, made by `open` the first time. A failure is not kept: the next call tries again.
#[inline]
pub(crate) fn open_once<T>(cell: &OnceLock<T>, open: impl FnOnce() -> Result<T>) -> Result<&T> {
    if let Some(value) = cell.get() {
        return Ok(value);
    }
    let value = open()?;
    Ok(cell.get_or_init(|| value))
}

impl VectorRows for SegmentRows {
    fn dim(&self) -> usize {
        self.dim
    }

    fn len(&self) -> usize {
        self.rows as usize
    }

    #[inline]
    fn row(&self, label: u32) -> Result<&[f32]> {
        self.vector(label)
    }

    fn with_rows(
        &self,
        labels: &[u32],
        room: &mut Vec<f32>,
        use_rows: &mut dyn FnMut(&[&[f32]]),
    ) -> Result<()> {
        let file = self.vectors_file()?;
        match self.cache.get() {
            Some(cache) if !file.is_in_memory() => file.with_cached_vectors(labels, cache, room, use_rows),
            _ => with_rows_in_place(self, labels, use_rows),
        }
    }

    #[inline]
    fn prefetch(&self, label: u32) {
        match (self.cache.get(), self.vectors.get()) {
            (Some(cache), _) => cache.prefetch(label),
            (None, Some(file)) => file.prefetch(label),
            (None, None) => {}
        }
    }
}

impl DocumentRows for SegmentRows {
    fn len(&self) -> usize {
        self.rows as usize
    }

    fn document(&self, label: u32) -> Result<Option<&str>> {
        SegmentRows::document(self, label)
    }

    fn each_containing(&self, labels: Range<u32>, text: &str, found: &mut dyn FnMut(u32)) -> Result<()> {
        self.records_file()?.each_containing(labels, text, found)
    }
}
