//! What fuzzers call: a function for each decoder of bytes that come from a file, a request or a user. Whatever the bytes are, it
//! returns; a panic, an abort or a hang is a bug.
//!
//! `fuzz/` runs them under cargo-fuzz, `tests/corpus.rs` with the committed corpus and mutations of it. Never a dependency of the
//! product.
#![forbid(unsafe_code)]

mod index;
mod record_files;
pub mod seeds;
mod wire;

/// The name of a target, which is that of its folder in `fuzz/corpus`, and what it does with any bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("records_arrow", ferrochrome_blockstore::fuzzing::records),
    ("vectors_arrow", ferrochrome_blockstore::fuzzing::vectors),
    ("ids_arrow", ferrochrome_blockstore::fuzzing::ids),
    ("index_arrow", index::index_arrow),
    ("segment_json", ferrochrome_blockstore::fuzzing::segment_json),
    ("checksum_table", ferrochrome_blockstore::fuzzing::checksum_table),
    ("metadata_codec", ferrochrome_blockstore::fuzzing::metadata),
    ("log_entry", ferrochrome_engine::fuzzing::log_entry),
    ("catalog", ferrochrome_metadata::fuzzing::catalog),
    ("manifest", ferrochrome_metadata::fuzzing::manifest),
    ("lookup", ferrochrome_metadata::fuzzing::lookup),
    ("postings", ferrochrome_metadata::fuzzing::postings),
    ("filter_json", ferrochrome_metadata::fuzzing::filter_json),
    ("regex", ferrochrome_metadata::fuzzing::regex),
    ("requests", wire::requests),
    ("http_bodies", wire::http_bodies),
    ("record_lines", wire::record_lines),
    ("arrow_file", record_files::arrow_file),
    ("parquet_file", record_files::parquet_file),
    ("pickle", ferrochrome_chroma::fuzzing::pickle),
    ("hnsw_folder", hnsw_folder),
];

fn hnsw_folder(bytes: &[u8]) {
    ferrochrome_chroma::fuzzing::hnsw_folder(bytes, seeds::PICKLE);
}

/// Runs the target of this name.
///
/// # Panics
/// Where the target finds a bug; and where there is no such target.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, run) = target.unwrap_or_else(|| panic!("there is no target {name}"));
    run(bytes);
}
