//! A process that does nothing does nothing. Alone in its file: other tests' threads would be counted.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails where a helper does")]

mod support;

use std::time::Duration;

use ferrochrome_engine::{DeleteRequest, WriteBatch, WriteKind};

use support::{create, open, options};

/// How often our threads have gone to sleep so far, and how many threads there are.
fn naps() -> (u64, usize) {
    let (mut naps, mut threads) = (0, 0);
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let Ok(status) = std::fs::read_to_string(task.path().join("status")) else { continue };
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
        if field("Name:").starts_with("ferrochrome") {
            naps += field("voluntary_ctxt_switches:").parse::<u64>().unwrap();
            threads += 1;
        }
    }
    (naps, threads)
}

#[test]
fn background_threads_sleep_while_there_is_nothing_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let handle = open(folder.path(), options(4_096));
    let collection = create(&handle, "idle", "{}");
    for begin in (0..9_000).step_by(3_000) {
        let ids = (begin..begin + 3_000).map(|id| id.to_string());
        let batch = WriteBatch {
            ids: ids.collect(),
            embeddings: Some((0..3_000 * 4).map(|i| (i % 97) as f32).collect()),
            dim: 4,
            ..WriteBatch::default()
        };
        collection.write(WriteKind::Add, batch).unwrap();
    }
    let ids = (0..3_000).map(|id| id.to_string()).collect();
    collection.delete(&DeleteRequest { ids: Some(ids), ..DeleteRequest::default() }).unwrap();
    // What is due when idle is done after a second or so.
    std::thread::sleep(Duration::from_secs(5));
    let stats = collection.stats().unwrap();
    assert!(stats.head_records == 0 && stats.segments.len() == 1, "{stats:?}");
    let before = naps();
    assert!(before.1 >= 2, "there are {} threads", before.1);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(naps(), before);
    handle.close().unwrap();
}
