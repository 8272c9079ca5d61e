//! The Ferrochrome engine: an embedded vector database with Chroma's semantics.
//!
//! ```no_run
//! use ferrochrome_engine::{Database, DatabaseOptions, QueryRequest, WriteBatch, WriteKind};
//! # fn main() -> ferrochrome_types::Result<()> {
//! let handle = Database::open(Some("my-db".as_ref()), DatabaseOptions::default())?;
//! let database = handle.database()?;
//! let row = database.catalog().collection_by_name("default_tenant", "default_database", "notes")?;
//! let notes = database.collection(row.id)?;
//! let batch = WriteBatch { ids: vec!["a".into()], embeddings: Some(vec![0.0, 1.0]), dim: 2, ..WriteBatch::default() };
//! notes.write(WriteKind::Add, batch)?;
//! let request = QueryRequest { embeddings: vec![0.0, 0.9], dim: 2, k: 1, ..QueryRequest::default() };
//! let nearest = notes.query(request, &Default::default())?;
//! # let _ = nearest; handle.close()
//! # }
//! ```
//!
//! # Words
//! A **collection** is a list of **parts**. A part is a **chunk** of the head (in memory) or a sealed **segment** (files); neither
//! ever changes. Rows of a part have **labels** `0..n`; a **tombstone** marks a row that was deleted or replaced. A
//! **snapshot** is one list of parts with their tombstones: all that a reader needs.
//!
//! # The path of a write
//! 1. `write.rs` checks the batch and resolves it against the present snapshot into whole new records.
//! 2. `collection.rs` appends them to the log as one SQLite transaction, puts them into a chunk and swaps the snapshot in.
//! 3. `seal.rs` turns the head into a segment in the background and cuts the log.
//! 4. `compaction.rs` merges segments and builds graphs.
//!
//! # Locks
//! In this order, never the other way: the registry of open databases, `Database::opening`, `Collection::sealing`,
//! `Collection::compacting`, the open versions, `Collection::write`, the catalog's connection. Readers take none of them.
#![forbid(unsafe_code)]

mod check;
mod chunk;
mod collection;
mod compaction;
mod database;
mod database_copy;
mod disk_space;
mod erasure;
mod explain;
mod file_system;
mod folders;
mod follow;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod get;
mod id_list;
mod interrupted_restore;
mod lock;
mod log_entry;
mod maintenance;
mod merge;
mod merge_policy;
#[cfg(feature = "model")]
pub mod model;
mod open_segments;
mod options;
mod part;
mod planner;
mod preloader;
mod query;
mod query_threads;
mod remembered;
mod repair;
mod replacement;
mod seal;
mod segment;
mod segment_builder;
mod settings;
mod shared_filter;
mod snapshot;
mod status;
mod versions;
mod write;

pub use check::{
    CheckProgress, CheckReport, CheckedCollection, CheckedSegment, Finding, Garbage, check_folder,
};
pub use collection::Collection;
pub use compaction::CompactOptions;
pub use database::{ChangeConfiguration, Database, Handle};
pub use database_copy::{CopyProgress, DatabaseCopy, restore};
pub use explain::{Explanation, PartExplanation};
pub use ferrochrome_blockstore::Compression;
pub use ferrochrome_index::{Parameters as IndexParameters, SearchCounts};
pub use ferrochrome_metadata::{CollectionRow, Durability, VersionRow};
pub use get::{GetRequest, GetResult};
pub use id_list::IdList;
pub use options::DatabaseOptions;
pub use query::{NearestRows, PreparedQuery, QueryRequest, QueryResult};
pub use query_threads::{Offered, QueryThreads};
pub use remembered::Remembered;
pub use repair::{
    LostBatch, RepairOptions, RepairReport, RepairedCollection, RepairedSegment, repair_folder,
};
pub use shared_filter::SharedFilter;
pub use snapshot::{RowAddress, Snapshot};
pub use status::{CollectionStats, DatabaseStats, IndexingStatus, SegmentStats, isa};
pub use write::{DeleteRequest, MetadataPatch, WriteBatch, WriteKind};
