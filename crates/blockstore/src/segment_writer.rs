//! Writing a segment: rows first, then what is built from them, then all of it published at once.

use std::sync::Arc;

use ferrochrome_types::limits::MAX_SEGMENT_ROWS;
use ferrochrome_types::{Code, Error, Record, Result};
use uuid::Uuid;

use crate::ids::{hash_id, write_ids};
use crate::index_file::write_index;
use crate::records::RecordsWriter;
use crate::segment_json::{FileDescription, SegmentDescription, SegmentOrigin};
use crate::store::{IDS, INDEX, LOOKUP, RECORDS, SEGMENT_JSON, VECTORS};
use crate::vectors::{VectorsWriter, check_dim};
use crate::{BlobStore, Compression, RecordRef, SegmentReader, SegmentRows, metadata_codec};

/// What is fixed before the first row.
#[derive(Clone, Copy, Debug)]
pub struct SegmentOptions {
    /// Components of each vector, `1..=MAX_DIMENSION`.
    pub dim: usize,
    /// Of `records.arrow`.
    pub compression: Compression,
}

/// Writes one segment. Dropped before [`publish`](Self::publish), it leaves nothing behind.
///
/// Rows are written as they come: memory holds one batch of records (some 16 MiB), one of vectors (32 MiB) and 8 bytes a row.
#[derive(Debug)]
pub struct SegmentWriter {
    store: Arc<dyn BlobStore>,
    folder: Uuid,
    options: SegmentOptions,
    /// `None` once the rows are finished.
    row_files: Option<RowFiles>,
    rows: u32,
    files: Vec<&'static str>,
    origin: Option<SegmentOrigin>,
    published: bool,
}

struct RowFiles {
    records: RecordsWriter,
    vectors: VectorsWriter,
    id_hashes: Vec<u64>,
}

impl SegmentWriter {
    /// Starts a segment in a new folder.
    ///
    /// # Errors
    /// `InvalidArgument` for a dimension out of range, `ReadOnly`, `Io`.
    pub fn create(store: Arc<dyn BlobStore>, folder: Uuid, options: SegmentOptions) -> Result<Self> {
        check_dim(options.dim)?;
        let row_files = RowFiles {
            records: RecordsWriter::create(&*store, format!("{folder}/{RECORDS}"), options.compression)?,
            vectors: VectorsWriter::create(&*store, format!("{folder}/{VECTORS}"), options.dim)?,
            id_hashes: Vec::new(),
        };
        let (row_files, files) = (Some(row_files), Vec::new());
        Ok(SegmentWriter {
            store,
            folder,
            options,
            row_files,
            rows: 0,
            files,
            origin: None,
            published: false,
        })
    }

    /// Says whose rows these are, for [`SegmentReader::origin`].
    pub fn set_origin(&mut self, origin: SegmentOrigin) {
        self.origin = Some(origin);
    }

    /// Appends a row and returns its label. Ids must be unique in a segment; that is not checked here.
    ///
    /// # Errors
    /// `InvalidArgument` for a vector of another dimension, `LimitExceeded` for a record or segment too large, `Io`.
    pub fn push(&mut self, record: &Record, vector: &[f32]) -> Result<u32> {
        let metadata = record.metadata.as_ref().map(metadata_codec::encode);
        let record = RecordRef {
            id: &record.id,
            ordinal: record.ordinal,
            document: record.document.as_deref(),
            metadata: metadata.as_deref(),
            uri: record.uri.as_deref(),
        };
        self.push_ref(record, vector)
    }

    /// As [`push`](Self::push), from borrowed parts, for instance of another segment.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn push_ref(&mut self, record: RecordRef<'_>, vector: &[f32]) -> Result<u32> {
        let Some(files) = &mut self.row_files else { return Err(rows_are_finished()) };
        if self.rows as usize >= MAX_SEGMENT_ROWS {
            return Err(Error::new(
                Code::LimitExceeded,
                format!("a segment holds at most {MAX_SEGMENT_ROWS} rows"),
            ));
        }
        files.vectors.check(vector)?;
        files.records.push(record)?;
        files.vectors.push(vector)?;
        files.id_hashes.push(hash_id(record.id));
        let label = self.rows;
        self.rows += 1;
        Ok(label)
    }

    /// Ends the rows and lets them be read, so that the index and the lookup database can be built from them. What is
    /// returned stays readable after [`publish`](Self::publish); but Windows publishes only when it was dropped.
    ///
    /// # Errors
    /// `InvalidArgument` if the rows were finished before, `Io`.
    pub fn finish_rows(&mut self) -> Result<SegmentRows> {
        let files = self.row_files.take().ok_or_else(rows_are_finished)?;
        files.records.finish()?;
        files.vectors.finish()?;
        write_ids(&*self.store, self.name(IDS), &files.id_hashes)?;
        self.files.extend([RECORDS, VECTORS, IDS]);
        SegmentRows::staged(Arc::clone(&self.store), self.folder, self.rows, self.options.dim)
    }

    /// Writes the vector index: `parameters` as one string, and named buffers.
    ///
    /// # Errors
    /// `InvalidArgument` if two buffers have the same name, `Io`.
    pub fn write_index(&mut self, parameters: &str, buffers: &[(&str, &[u8])]) -> Result<()> {
        write_index(&*self.store, self.name(INDEX), parameters, buffers)?;
        self.add(INDEX);
        Ok(())
    }

    /// Takes in `lookup.sqlite`, which somebody else wrote at the store's
    /// [`staging_path`](BlobStore::staging_path) and has closed.
    ///
    /// # Errors
    /// `InvalidArgument` for another name, `NotFound` if the file is not there, `Unsupported` if the store has no paths, `Io`.
    pub fn add_file(&mut self, file: &str) -> Result<()> {
        check_addable(file)?;
        self.store.adopt(&self.name(LOOKUP))?;
        self.add(LOOKUP);
        Ok(())
    }

    /// Takes in `lookup.sqlite` as bytes.
    ///
    /// # Errors
    /// `InvalidArgument` for another name, `Io`.
    pub fn add_bytes(&mut self, file: &str, bytes: &[u8]) -> Result<()> {
        check_addable(file)?;
        let name = self.name(LOOKUP);
        let mut writer = self.store.create(&name)?;
        writer.write_all(bytes).map_err(|e| Error::io(&name, e))?;
        writer.finish()?;
        self.add(LOOKUP);
        Ok(())
    }

    /// Writes `segment.json`, makes the segment visible and opens it. On return it is on the medium.
    ///
    /// # Errors
    /// `AlreadyExists` if the folder was published before, `Io`.
    pub fn publish(mut self) -> Result<SegmentReader> {
        if self.row_files.is_some() {
            self.finish_rows()?;
        }
        let compression = self.options.compression.as_str();
        let mut description = SegmentDescription::new(self.folder, self.rows, self.options.dim, compression);
        for file in &self.files {
            let blob = self.store.open_staged(&self.name(file))?;
            let as_written =
                FileDescription { length: blob.len() as u64, table_checksum: blob.table_checksum() };
            description.files.insert((*file).to_owned(), as_written);
        }
        description.origin = self.origin.take();
        let name = self.name(SEGMENT_JSON);
        let mut writer = self.store.create(&name)?;
        writer.write_all(&description.to_bytes()?).map_err(|e| Error::io(&name, e))?;
        writer.finish()?;
        self.store.publish_folder(&self.folder.to_string())?;
        self.published = true;
        SegmentReader::open(Arc::clone(&self.store), self.folder)
    }

    fn name(&self, file: &str) -> String {
        format!("{}/{file}", self.folder)
    }

    fn add(&mut self, file: &'static str) {
        if !self.files.contains(&file) {
            self.files.push(file);
        }
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed now is removed by `clear_staging` later; a destructor has nobody to tell.
            let _ = self.store.discard_staged(&self.folder.to_string());
        }
    }
}

impl std::fmt::Debug for RowFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowFiles").field("rows", &self.id_hashes.len()).finish_non_exhaustive()
    }
}

fn rows_are_finished() -> Error {
    Error::invalid("the rows of this segment were finished, expected no more of them")
}

fn check_addable(file: &str) -> Result<()> {
    if file == LOOKUP {
        Ok(())
    } else {
        Err(Error::invalid(format!("{file:?} cannot be added to a segment, expected {LOOKUP:?}")))
    }
}
