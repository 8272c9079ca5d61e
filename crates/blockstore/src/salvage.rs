//! Reading what is left of a damaged segment.

use ferrochrome_types::{Error, Record, Result};
use uuid::Uuid;

use crate::records::RecordsFile;
use crate::segment_json::{SegmentDescription, SegmentOrigin};
use crate::store::{RECORDS, SEGMENT_JSON, VECTORS};
use crate::vectors::VectorsFile;
use crate::{Blob, BlobStore, LocalStore};

/// A segment of which some files, or some blocks of files, may be damaged or missing.
///
/// A row can be read if all that it consists of lies in `records.arrow` and `vectors.arrow` in blocks that match their checksums;
/// everything else in the folder is derived from these two. No byte is returned that was not verified.
#[derive(Debug)]
pub struct SalvagedSegment {
    rows: u32,
    dim: Option<usize>,
    origin: Option<SegmentOrigin>,
    records: Result<RecordsFile>,
    vectors: Result<VectorsFile>,
}

impl SalvagedSegment {
    /// Opens what can be opened. `rows` and `dim` are what the catalog says, if it says so.
    pub fn open(store: &LocalStore, folder: Uuid, rows: Option<u32>, dim: Option<usize>) -> Self {
        let description = store
            .open(&format!("{folder}/{SEGMENT_JSON}"))
            .and_then(|blob| SegmentDescription::read(&blob, folder))
            .ok();
        let open = |file: &str| -> Result<Blob> {
            let expected = description.as_ref().and_then(|description| description.files.get(file));
            store.open_damaged(&format!("{folder}/{file}"), expected)
        };
        let records = open(RECORDS).and_then(RecordsFile::open_damaged);
        let rows = description.as_ref().map(|description| description.rows).or(rows);
        let rows = rows.unwrap_or_else(|| records.as_ref().map_or(0, RecordsFile::rows));
        let blob = open(VECTORS);
        let of_file = || blob.as_ref().ok().and_then(VectorsFile::dim_of);
        let dim = description.as_ref().map(|description| description.dim).or(dim).or_else(of_file);
        let vectors = blob.and_then(|blob| {
            let unknown = || Error::corrupted(format!("{folder}/{VECTORS}"), "its dimension is unknown");
            VectorsFile::open_damaged(blob, dim.ok_or_else(unknown)?, rows)
        });
        let origin = description.and_then(|description| description.origin);
        SalvagedSegment { rows, dim, origin, records, vectors }
    }

    /// Rows that the segment was written with, as far as anything tells; labels are `0..rows`.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Components of each vector, if anything tells.
    pub fn dim(&self) -> Option<usize> {
        self.dim
    }

    /// Which collection the segment was written for, if `segment.json` can be read.
    pub fn origin(&self) -> Option<&SegmentOrigin> {
        self.origin.as_ref()
    }

    /// A whole row.
    ///
    /// # Errors
    /// `Corrupted` naming the file whose damage the row lies in, `Io`.
    pub fn row(&self, label: u32) -> Result<(Record, &[f32])> {
        let records = self.records.as_ref().map_err(Clone::clone)?;
        let vectors = self.vectors.as_ref().map_err(Clone::clone)?;
        Ok((records.record(label)?, vectors.vector(label)?))
    }

    /// The id of a row, which may be known where the rest of it is lost.
    pub fn id(&self, label: u32) -> Option<&str> {
        self.records.as_ref().ok()?.id(label).ok()
    }
}
