//! Reads a directory that a Chroma server of versions 0.4 to 1.5 wrote.
//!
//! [`ChromaSource`] lists its collections; a [`CollectionReader`] gives the records of one in their order, a batch at a time. Ids,
//! documents and metadata come from SQLite (`ferrochrome_metadata::ChromaSqlite`), vectors from the folder with the HNSW index and
//! from the queue of writes that the index does not contain yet.
//!
//! Nothing in the directory is changed, and nothing in it is trusted. What is damaged is reported as a [`Problem`] of the record;
//! nothing is guessed.
#![forbid(unsafe_code)]

#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod hnsw_folder;
mod pickle;
mod reader;
mod vector_places;

pub use ferrochrome_metadata::{ChromaCollection, ChromaDatabase, ChromaRecord, Problem, ProblemKind};
pub use reader::{Batch, ChromaSource, CollectionReader};
