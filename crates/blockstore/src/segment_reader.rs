//! A published segment.

use std::ops::{Deref, Range};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use ferrochrome_types::{DocumentRows, Result, VectorRows};
use uuid::Uuid;

use crate::index_file::IndexFile;
use crate::segment_json::{SegmentDescription, SegmentOrigin};
use crate::segment_rows::{SegmentRows, open_once};
use crate::store::{INDEX, LOOKUP, RECORDS, SEGMENT_JSON};
use crate::{Blob, BlobStore};

/// A published segment: its rows, to which it dereferences, its vector index and its lookup database.
#[derive(Debug)]
pub struct SegmentReader {
    rows: SegmentRows,
    index: OnceLock<Arc<IndexFile>>,
    lookup: OnceLock<Blob>,
}

/// `lookup.sqlite`, verified.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// A file that SQLite can open itself, read-only and immutable.
    Path(PathBuf),
    /// A database image to deserialise, where files have no path.
    Bytes(Blob),
}

impl SegmentReader {
    /// Opens the segment in `folder`. Reads `segment.json` only, however large the segment is; the other files are opened,
    /// and their blocks verified, when they are first needed.
    ///
    /// # Errors
    /// `Corrupted` if `segment.json` is missing or damaged, `Io`.
    pub fn open(store: Arc<dyn BlobStore>, folder: Uuid) -> Result<Self> {
        let blob = store.open(&format!("{folder}/{SEGMENT_JSON}"))?;
        let description = SegmentDescription::read(&blob, folder)?;
        let rows = SegmentRows::published(store, description);
        Ok(SegmentReader { rows, index: OnceLock::new(), lookup: OnceLock::new() })
    }

    /// Bytes of the segment's files, checksums not counted.
    pub fn bytes_on_disk(&self) -> u64 {
        let description = self.rows.description();
        description.map_or(0, |description| description.files.values().map(|file| file.length).sum())
    }

    /// Bytes of the file with ids, documents and metadata.
    pub fn records_bytes(&self) -> u64 {
        let records = self.rows.description().and_then(|description| description.files.get(RECORDS));
        records.map_or(0, |file| file.length)
    }

    /// Which collection the segment was written for, if its writer said so.
    pub fn origin(&self) -> Option<&SegmentOrigin> {
        self.rows.description().and_then(|description| description.origin.as_ref())
    }

    /// Whether the segment has a vector index.
    pub fn has_index(&self) -> bool {
        self.has_file(INDEX)
    }

    /// The vector index, `None` if the segment has none. Only its description is read; blocks are verified when they are first
    /// touched.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn index_file(&self) -> Result<Option<&Arc<IndexFile>>> {
        if !self.has_index() {
            return Ok(None);
        }
        open_once(&self.index, || Ok(Arc::new(IndexFile::open(self.rows.open_file(INDEX)?)?))).map(Some)
    }

    /// The lookup database, `None` if the segment has none. Verified as a whole, once, because SQLite reads it by itself.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn lookup(&self) -> Result<Option<Lookup>> {
        if !self.has_file(LOOKUP) {
            return Ok(None);
        }
        let blob = open_once(&self.lookup, || {
            let blob = self.rows.open_file(LOOKUP)?;
            blob.verify_all()?;
            blob.release_pages();
            Ok(blob)
        })?;
        let path = self.rows.store().local_path(blob.name());
        Ok(Some(path.map_or_else(|| Lookup::Bytes(blob.clone()), Lookup::Path)))
    }

    /// Verifies every block of every file.
    ///
    /// # Errors
    /// `Corrupted` naming the first damaged file, `Io`.
    pub fn verify_all(&self) -> Result<()> {
        self.file_names().into_iter().try_for_each(|file| self.verify_file(file).map(|_| ()))
    }

    pub(crate) fn has_file(&self, file: &str) -> bool {
        self.rows.description().is_some_and(|description| description.files.contains_key(file))
    }
}

impl Deref for SegmentReader {
    type Target = SegmentRows;

    fn deref(&self) -> &SegmentRows {
        &self.rows
    }
}

impl VectorRows for SegmentReader {
    fn dim(&self) -> usize {
        self.rows.dim()
    }

    fn len(&self) -> usize {
        VectorRows::len(&self.rows)
    }

    #[inline]
    fn row(&self, label: u32) -> Result<&[f32]> {
        self.rows.vector(label)
    }

    fn with_rows(
        &self,
        labels: &[u32],
        room: &mut Vec<f32>,
        use_rows: &mut dyn FnMut(&[&[f32]]),
    ) -> Result<()> {
        self.rows.with_rows(labels, room, use_rows)
    }

    #[inline]
    fn prefetch(&self, label: u32) {
        self.rows.prefetch(label);
    }
}

impl DocumentRows for SegmentReader {
    fn len(&self) -> usize {
        DocumentRows::len(&self.rows)
    }

    fn document(&self, label: u32) -> Result<Option<&str>> {
        self.rows.document(label)
    }

    fn each_containing(&self, labels: Range<u32>, text: &str, found: &mut dyn FnMut(u32)) -> Result<()> {
        DocumentRows::each_containing(&self.rows, labels, text, found)
    }
}
