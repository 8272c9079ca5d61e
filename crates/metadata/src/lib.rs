//! SQLite: catalog, log, postings, full text, and filters to bitmaps.
//!
//! [`Catalog`] is one SQLite file with what a database knows of its collections: tenants, databases, collections, the
//! [`Manifest`] of each collection's sealed segments, and the log of what is not sealed yet.
//!
//! [`parse_filter`] and [`parse_document_filter`] read Chroma's `where` and `where_document`; [`evaluate`] turns a filter into a
//! bitmap of labels. It asks a [`FilterSource`]: [`Postings`] in memory for rows that are not sealed, [`Lookup`] over the
//! `lookup.sqlite` that [`write_lookup`] makes for a sealed segment.
//!
//! [`ChromaSqlite`] reads what a Chroma server keeps in SQLite, for the import.
#![forbid(unsafe_code)]

mod catalog;
mod checksum;
mod chroma;
mod filter;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod lookup;
mod postings;
mod ranges;
mod sqlite;

pub use catalog::{
    BatchState, Catalog, Changes, CollectionRow, DEFAULT_DATABASE, DEFAULT_TENANT, DatabaseRow, Durability,
    Location, LogPosition, LogSize, Manifest, ManifestSegment, NewVersion, SalvagedCatalog, VersionRow,
};
pub use chroma::{
    CHROMA_SQLITE, ChromaCollection, ChromaDatabase, ChromaRecord, ChromaSqlite, Operation, Problem,
    ProblemKind, QueueEntry, RecordKey, RecordPatch,
};
pub use filter::{
    FilterSource, RequiredText, compile_regex, evaluate, find_in_tasks, parse_document_filter, parse_filter,
};
pub use lookup::{Lookup, check_lookup, write_lookup};
pub use postings::Postings;
