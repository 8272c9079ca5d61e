//! What must not grow: files, log and memory under writes that replace one another, and what must shrink with the data.
#![allow(clippy::unwrap_used, reason = "a test fails where a helper does")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use ferrochrome_engine::{Collection, DeleteRequest, WriteBatch, WriteKind};
use ferrochrome_types::CancelToken;

use support::{create, open, options};

/// SQLite's write-ahead log may take so much before it is moved into the file, and a transaction more.
const LOG_BOUND: u64 = 80 << 20;

/// What background threads remove meanwhile counts as nothing.
fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| {
        if entry.path().is_dir() { bytes_in(&entry.path()) } else { entry.metadata().map_or(0, |m| m.len()) }
    };
    entries.flatten().map(size).sum()
}

fn rows(count: usize, dim: usize, version: usize) -> WriteBatch {
    let mut state = version as u64 + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / 1e6
    };
    WriteBatch {
        ids: (0..count).map(|i| i.to_string()).collect(),
        embeddings: Some((0..count * dim).map(|_| next()).collect()),
        dim,
        documents: Some((0..count).map(|i| Some(format!("record {i} in version {version}"))).collect()),
        ..WriteBatch::default()
    }
}

/// Bytes of user data in [`rows`]: vectors, ids and documents.
fn live_bytes(count: usize, dim: usize) -> u64 {
    let batch = rows(count, dim, 10);
    let texts = batch.ids.iter().chain(batch.documents.iter().flatten().flatten());
    (count * dim * size_of::<f32>() + texts.map(String::len).sum::<usize>()) as u64
}

/// Waits until background work has brought the folder below `bound`, and for as long as it takes to fail.
fn shrinks_below(folder: &Path, bound: u64, when: &str) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while bytes_in(folder) >= bound {
        assert!(
            Instant::now() < deadline,
            "{} bytes {when}, at most {bound} were expected",
            bytes_in(folder)
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Resident bytes of this process; 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[test]
fn a_log_that_nobody_seals_does_not_fill_the_disk() {
    const ROWS: usize = 1_000;
    const DIM: usize = 256;
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(100_000);
    // Half a dozen rounds; the head itself never holds more than one.
    options.seal_bytes = 6 * ROWS * DIM * size_of::<f32>();
    // Beside the log: the batches before they are cut, the head that is being sealed, and the segment that it replaces.
    let bound = LOG_BOUND + 4 * options.seal_bytes as u64;
    let handle = open(folder.path(), options);
    let collection = create(&handle, "again", "{}");
    for round in 0..200 {
        collection.write(WriteKind::Upsert, rows(ROWS, DIM, round)).unwrap();
        let size = bytes_in(folder.path());
        assert!(size < bound, "{size} bytes after {round} rounds, at most {bound} were expected");
    }
    shrinks_below(folder.path(), 15 * live_bytes(ROWS, DIM), "with a log that is too small to be sealed");
    collection.compact(&CancelToken::default()).unwrap();
    let size = bytes_in(folder.path());
    assert!(size < 2 * live_bytes(ROWS, DIM), "{size} bytes after compaction");
    assert_eq!(collection.count().unwrap(), ROWS as u64);
    handle.close().unwrap();
}

#[test]
fn ten_thousand_rows_written_a_hundred_times_take_less_than_three_times_their_size() {
    const ROWS: usize = 10_000;
    const DIM: usize = 128;
    let folder = tempfile::tempdir().unwrap();
    let handle = open(folder.path(), options(4_096));
    let collection = create(&handle, "again", "{}");
    let bound = 3 * live_bytes(ROWS, DIM);
    let mut resident = 0;
    for round in 0..100 {
        collection.write(WriteKind::Upsert, rows(ROWS, DIM, round)).unwrap();
        let log = |name: &str| folder.path().join(name).metadata().map_or(0, |metadata| metadata.len());
        assert!(log("catalog.sqlite") < LOG_BOUND && log("catalog.sqlite-wal") < LOG_BOUND, "round {round}");
        if round % 20 == 19 {
            shrinks_below(folder.path(), bound, &format!("after round {round}"));
            match resident {
                0 => resident = resident_bytes(),
                first => assert!(
                    resident_bytes() < first + (64 << 20),
                    "{} bytes of memory after round {round}, {first} after 20",
                    resident_bytes()
                ),
            }
        }
    }
    assert_eq!(collection.count().unwrap(), ROWS as u64);
    handle.close().unwrap();
}

fn delete_from(collection: &Collection, from: usize, to: usize) {
    let ids = (from..to).map(|id| id.to_string()).collect();
    collection.delete(&DeleteRequest { ids: Some(ids), ..DeleteRequest::default() }).unwrap();
}

#[test]
fn disk_and_memory_shrink_with_the_data() {
    const ROWS: usize = 60_000;
    const DIM: usize = 64;
    let folder = tempfile::tempdir().unwrap();
    let handle = open(folder.path(), options(20_000));
    let collection = create(&handle, "shrinking", "{}");
    collection.write(WriteKind::Add, rows(ROWS, DIM, 0)).unwrap();
    collection.compact(&CancelToken::default()).unwrap();
    let (disk, index) = (bytes_in(folder.path()), handle.database().unwrap().index_stats().bytes);
    assert!(index > 0 && disk > live_bytes(ROWS, DIM));
    delete_from(&collection, ROWS / 10, ROWS);
    collection.compact(&CancelToken::default()).unwrap();
    let (disk_left, index_left) = (bytes_in(folder.path()), handle.database().unwrap().index_stats().bytes);
    assert!(disk_left < disk / 8, "{disk_left} bytes on disk of {disk}");
    assert!(index_left < index / 8, "{index_left} bytes of indices of {index}");
    assert_eq!(collection.count().unwrap(), ROWS as u64 / 10);
    handle.close().unwrap();
}
