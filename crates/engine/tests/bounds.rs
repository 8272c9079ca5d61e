//! What must not grow: files and log under writes that replace one another.
#![allow(clippy::unwrap_used, reason = "a test fails where a helper does")]

mod support;

use std::path::Path;

use ferrochrome_engine::{WriteBatch, WriteKind};
use ferrochrome_types::CancelToken;

use support::{create, open, options};

const DIM: usize = 256;
const ROWS: usize = 1_000;
const ROUNDS: usize = 200;
/// SQLite's write-ahead log alone may take 64 MiB before it is moved into the file.
const BOUND: u64 = 128 << 20;

/// What background threads remove meanwhile counts as nothing.
fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| {
        if entry.path().is_dir() { bytes_in(&entry.path()) } else { entry.metadata().map_or(0, |m| m.len()) }
    };
    entries.flatten().map(size).sum()
}

fn rows(round: usize) -> WriteBatch {
    WriteBatch {
        ids: (0..ROWS).map(|i| i.to_string()).collect(),
        embeddings: Some((0..ROWS * DIM).map(|i| (i * (round + 1) % 97) as f32).collect()),
        dim: DIM,
        documents: Some(vec![Some(format!("version {round}")); ROWS]),
        ..WriteBatch::default()
    }
}

#[test]
fn writing_the_same_records_again_does_not_fill_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(100_000);
    // Half a dozen rounds; the head itself never holds more than one.
    options.seal_bytes = 6 * ROWS * DIM * size_of::<f32>();
    let handle = open(folder.path(), options);
    let collection = create(&handle, "again", "{}");
    for round in 0..ROUNDS {
        collection.write(WriteKind::Upsert, rows(round)).unwrap();
        let size = bytes_in(folder.path());
        assert!(size < BOUND, "{size} bytes after {round} rounds, at most {BOUND} were expected");
    }
    collection.compact(&CancelToken::default()).unwrap();
    let live = (ROWS * DIM * size_of::<f32>()) as u64;
    let size = bytes_in(folder.path());
    assert!(size < 6 * live, "{size} bytes after compaction for {live} bytes of vectors");
    assert_eq!(collection.count().unwrap(), ROWS as u64);
    handle.close().unwrap();
}
