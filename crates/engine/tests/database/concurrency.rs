//! Readers beside writers, seals and merges: every read sees one whole state.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ferrochrome_engine::{Collection, GetRequest, QueryRequest, WriteBatch, WriteKind};
use ferrochrome_types::{CancelToken, Code};

use crate::support::{create, open, options};

const DIM: usize = 8;
const BATCH: u64 = 50;

/// Rows `from..from + BATCH`; the vector and the document of a row follow from its number.
fn batch(from: u64) -> WriteBatch {
    let rows = from..from + BATCH;
    WriteBatch {
        ids: rows.clone().map(|i| i.to_string()).collect(),
        embeddings: Some(rows.clone().flat_map(|i| vec![i as f32; DIM]).collect()),
        dim: DIM,
        documents: Some(rows.map(|i| Some(format!("row {i}"))).collect()),
        ..WriteBatch::default()
    }
}

fn read_once(collection: &Collection, written: &AtomicU64) {
    let acknowledged = written.load(Ordering::Acquire);
    let result = collection.get(&GetRequest::default(), &CancelToken::default()).unwrap();
    let rows = result.rows.len() as u64;
    assert!(rows >= acknowledged, "{rows} rows, {acknowledged} were acknowledged");
    assert_eq!(rows % BATCH, 0, "half a batch was seen");
    if acknowledged == 0 {
        return;
    }
    let target = acknowledged / 2;
    let request =
        QueryRequest { embeddings: vec![target as f32; DIM], dim: DIM, k: 3, ..QueryRequest::default() };
    let nearest = collection.query(request, &CancelToken::default()).unwrap();
    let (row, distance) = nearest.queries[0][0];
    assert_eq!((nearest.snapshot.id(row).unwrap(), distance), (target.to_string().as_str(), 0.0));
    assert_eq!(nearest.snapshot.document(row).unwrap(), Some(format!("row {target}").as_str()));
}

#[test]
fn reads_are_whole_while_the_head_is_sealed_and_segments_are_merged() {
    let folder = tempfile::tempdir().unwrap();
    let handle = open(folder.path(), options(400));
    let collection = create(&handle, "busy", "{}");
    let (written, done) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    read_once(&collection, &written);
                }
            });
        }
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                collection.compact(&CancelToken::default()).unwrap();
                thread::sleep(Duration::from_millis(20));
            }
        });
        for from in (0..8_000).step_by(BATCH as usize) {
            collection.write(WriteKind::Add, batch(from)).unwrap();
            written.store(from + BATCH, Ordering::Release);
        }
        done.store(true, Ordering::Release);
    });
    collection.compact(&CancelToken::default()).unwrap();
    read_once(&collection, &written);
    assert_eq!(collection.count().unwrap(), 8_000);
    handle.close().unwrap();
    assert_eq!(collection.count().unwrap_err().code(), Code::Closed);
}

#[test]
fn rows_deleted_during_a_merge_stay_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let handle = open(folder.path(), options(200));
    let collection = create(&handle, "shrinking", "{}");
    for from in (0..4_000).step_by(BATCH as usize) {
        collection.write(WriteKind::Add, batch(from)).unwrap();
    }
    thread::scope(|scope| {
        scope.spawn(|| collection.compact(&CancelToken::default()).unwrap());
        for id in (0..4_000_u64).step_by(3) {
            let request = ferrochrome_engine::DeleteRequest {
                ids: Some([id.to_string()].into_iter().collect()),
                ..Default::default()
            };
            collection.delete(&request).unwrap();
        }
    });
    let expected: Vec<u64> = (0..4_000).filter(|id| id % 3 != 0).collect();
    let ids = |collection: &Collection| {
        let result = collection.get(&GetRequest::default(), &CancelToken::default()).unwrap();
        let id = |row| result.snapshot.id(row).unwrap().parse::<u64>().unwrap();
        result.rows.iter().map(|row| id(*row)).collect::<Vec<_>>()
    };
    assert_eq!(ids(&collection), expected);
    let id = collection.id();
    handle.close().unwrap();
    let handle = open(folder.path(), options(200));
    assert_eq!(ids(&handle.database().unwrap().collection(id).unwrap()), expected);
    handle.close().unwrap();
}

#[test]
fn closing_stops_a_merge() {
    let folder = tempfile::tempdir().unwrap();
    let handle = open(folder.path(), options(1_000));
    let collection = create(&handle, "closing", "{}");
    for from in (0..20_000).step_by(BATCH as usize) {
        collection.write(WriteKind::Add, batch(from)).unwrap();
    }
    handle.close().unwrap();
    let handle = open(folder.path(), options(1_000));
    assert_eq!(handle.database().unwrap().collection(collection.id()).unwrap().count().unwrap(), 20_000);
    handle.close().unwrap();
}
