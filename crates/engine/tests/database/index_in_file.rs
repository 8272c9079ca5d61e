//! Searches of an index that is still in its file: the same answers, no wrong ones from damaged files, and nothing in the way while
//! it is copied into memory or dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferrochrome_engine::{Collection, DatabaseOptions, Handle, QueryRequest, WriteBatch, WriteKind};
use ferrochrome_types::{CancelToken, Code, Result};
use uuid::Uuid;

use crate::support::{create, open, options};

const DIM: usize = 8;
/// Enough for a graph.
const ROWS: usize = 5_200;

fn vector(seed: usize) -> impl Iterator<Item = f32> {
    (0..DIM).map(move |i| ((seed * 7919 + i * 104_729) % 1009) as f32 / 1009.0 + (seed % 13) as f32)
}

fn fill(collection: &Collection) {
    let batch = WriteBatch {
        ids: (0..ROWS).map(|i| format!("id-{i}")).collect(),
        embeddings: Some((0..ROWS).flat_map(vector).collect()),
        dim: DIM,
        ..WriteBatch::default()
    };
    collection.write(WriteKind::Add, batch).unwrap();
    collection.compact(&CancelToken::default()).unwrap();
}

/// A folder with collections of one segment each, closed.
fn filled(collections: usize) -> (tempfile::TempDir, Vec<Uuid>) {
    let folder = tempfile::tempdir().unwrap();
    let handle = open(folder.path(), options(100_000));
    let ids = (0..collections).map(|i| {
        let collection = create(&handle, &format!("collection-{i}"), "{}");
        fill(&collection);
        collection.id()
    });
    let ids = ids.collect();
    handle.close().unwrap();
    (folder, ids)
}

fn in_file(index_cache_bytes: u64) -> DatabaseOptions {
    let mut options = options(100_000);
    (options.index_map_bytes, options.index_cache_bytes) = (0, index_cache_bytes);
    options
}

fn collection(handle: &Handle, id: Uuid) -> Arc<Collection> {
    handle.database().unwrap().collection(id).unwrap()
}

type Hits = Vec<(String, f32)>;

fn nearest(collection: &Collection, seed: usize) -> Result<Hits> {
    let request =
        QueryRequest { embeddings: vector(seed).collect(), dim: DIM, k: 10, ..QueryRequest::default() };
    let result = collection.query(request, &CancelToken::default())?;
    let row = |(row, distance): &(_, f32)| Ok((result.snapshot.id(*row)?.to_owned(), *distance));
    result.queries[0].iter().map(row).collect()
}

fn answers(collection: &Collection) -> Vec<Hits> {
    (0..40).map(|i| nearest(collection, i * 131 + 5).unwrap()).collect()
}

fn index_file(folder: &Path) -> PathBuf {
    let mut segments = fs::read_dir(folder.join("segments")).unwrap();
    let file = segments.next().unwrap().unwrap().path().join("index.arrow");
    assert!(segments.next().is_none() && file.exists());
    file
}

/// What an index in memory answers.
fn expected(folder: &Path, id: Uuid) -> Vec<Hits> {
    let handle = open(folder, options(100_000));
    let expected = answers(&collection(&handle, id));
    assert_eq!(handle.database().unwrap().index_stats().resident, 1);
    handle.close().unwrap();
    expected
}

#[test]
fn answers_are_the_same_in_the_file_and_in_memory() {
    let (folder, ids) = filled(1);
    let expected = expected(folder.path(), ids[0]);
    let handle = open(folder.path(), in_file(0));
    assert_eq!(answers(&collection(&handle, ids[0])), expected);
    assert_eq!(handle.database().unwrap().index_stats().resident, 0, "there was no room for it");
    handle.close().unwrap();
}

#[test]
fn preloading_copies_into_memory_what_has_room() {
    let (folder, ids) = filled(1);
    for (room, resident) in [(0, 0), (1 << 30, 1)] {
        let handle = open(folder.path(), in_file(room));
        collection(&handle, ids[0]).preload().unwrap();
        assert_eq!(handle.database().unwrap().index_stats().resident, resident);
        assert_eq!(nearest(&collection(&handle, ids[0]), 3).unwrap().len(), 10);
        handle.close().unwrap();
    }
}

#[test]
fn what_was_just_built_is_not_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let handle = open(folder.path(), in_file(1 << 30));
    let collection = create(&handle, "fresh", "{}");
    fill(&collection);
    nearest(&collection, 3).unwrap();
    let stats = handle.database().unwrap().index_stats();
    assert_eq!((stats.indices, stats.resident, stats.misses), (1, 1, 0));
    handle.close().unwrap();
}

#[test]
fn no_damaged_byte_makes_a_wrong_answer() {
    let (folder, ids) = filled(1);
    let intact = expected(folder.path(), ids[0]);
    let path = index_file(folder.path());
    let bytes = fs::read(&path).unwrap();
    let everywhere = (0..bytes.len()).step_by(4096 + 17);
    let ends = (0..600).chain(bytes.len() - 1_500..bytes.len()).step_by(11);
    let mut refused = 0;
    for at in everywhere.chain(ends) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, &flipped).unwrap();
        let mut options = in_file(0);
        options.read_only = true;
        let handle = open(folder.path(), options);
        let opened = handle.database().unwrap().collection(ids[0]);
        for (i, intact) in intact.iter().enumerate() {
            match opened.clone().and_then(|collection| nearest(&collection, i * 131 + 5)) {
                Ok(hits) => assert_eq!(&hits, intact, "byte {at}"),
                Err(error) => {
                    assert_eq!(error.code(), Code::Corrupted, "byte {at}: {error}");
                    assert!(error.message().contains("/index.arrow"), "byte {at}: {error}");
                    refused += 1;
                }
            }
        }
        handle.close().unwrap();
    }
    assert!(refused > 1_000, "{refused} searches came upon a damaged block");
}

#[test]
fn many_first_queries_at_once_while_the_index_is_being_copied() {
    let (folder, ids) = filled(1);
    let expected = expected(folder.path(), ids[0]);
    for _ in 0..5 {
        let handle = open(folder.path(), in_file(1 << 30));
        let collection = collection(&handle, ids[0]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(answers(&collection), expected));
            }
        });
        let began = Instant::now();
        while handle.database().unwrap().index_stats().resident == 0 {
            assert!(began.elapsed() < Duration::from_secs(30), "the index never came into memory");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(answers(&collection), expected);
        handle.close().unwrap();
    }
}

#[test]
fn a_database_closes_while_an_index_is_being_copied() {
    let (folder, ids) = filled(1);
    for _ in 0..10 {
        let handle = open(folder.path(), in_file(1 << 30));
        nearest(&collection(&handle, ids[0]), 3).unwrap();
        handle.close().unwrap();
    }
}

#[test]
fn indices_are_dropped_while_others_search_them() {
    let (folder, ids) = filled(3);
    let handle = open(folder.path(), in_file(1 << 30));
    let collections: Vec<_> = ids.iter().map(|id| collection(&handle, *id)).collect();
    // Graphs that several threads built differ a little.
    let expected: Vec<_> = collections.iter().map(|collection| answers(collection)).collect();
    handle.close().unwrap();
    for room in [0, 1_200_000, 2_400_000] {
        let handle = open(folder.path(), in_file(room));
        let collections: Vec<_> = ids.iter().map(|id| collection(&handle, *id)).collect();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (collections, expected) = (&collections, &expected);
                scope.spawn(move || {
                    for round in 0..6 {
                        let number = (thread + round) % 3;
                        assert_eq!(answers(&collections[number]), expected[number]);
                    }
                });
            }
        });
        handle.close().unwrap();
    }
}
