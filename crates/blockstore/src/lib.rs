//! Segment files: Arrow, mapped and checksummed, over a blob store.
//!
//! A *segment* is an immutable set of rows, numbered by label `0..n`, in a folder of its own:
//! `records.arrow`, `vectors.arrow`, `ids.arrow`, `index.arrow`, `lookup.sqlite` and `segment.json`.
//! [`SegmentWriter`] streams rows into a staging folder and publishes it in one rename; [`SegmentReader`] maps the files
//! and hands out borrowed rows.
//!
//! Files lie in a [`BlobStore`]: [`LocalStore`] keeps them in a folder, [`MemoryStore`] in memory. Either way a file is read
//! through a [`Blob`], which lets no byte out before the checksum of its 4 KiB block was verified. Files are untrusted all
//! the same: every offset and length is checked before it is used, so that a hostile file yields
//! [`Code::Corrupted`](ferrochrome_types::Code::Corrupted) and nothing worse.
//!
//! The bytes are described in `docs/format.md`.

mod arrow_file;
mod blob;
mod checksum;
mod column;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
#[cfg(test)]
mod hostile_files;
mod ids;
mod index_file;
mod local_store;
mod memory_store;
pub mod metadata_codec;
mod prefetch;
mod records;
mod row_cache;
mod salvage;
mod segment_check;
mod segment_copy;
mod segment_json;
mod segment_reader;
mod segment_rows;
mod segment_writer;
mod store;
mod vectors;

pub use blob::Blob;
pub use ids::hash_id;
pub use index_file::IndexFile;
pub use local_store::LocalStore;
pub use memory_store::MemoryStore;
pub use records::{Compression, RecordRef};
pub use row_cache::RowCacheBudget;
pub use salvage::SalvagedSegment;
pub use segment_copy::{CopyMode, copy_segment};
pub use segment_json::SegmentOrigin;
pub use segment_reader::{Lookup, SegmentReader};
pub use segment_rows::SegmentRows;
pub use segment_writer::{SegmentOptions, SegmentWriter};
pub use store::{BlobStore, BlobWriter};
