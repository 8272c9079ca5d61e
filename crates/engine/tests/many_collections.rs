//! More collections than may be open: memory, file handles and mappings stay bounded, and nobody notices otherwise.
#![allow(clippy::unwrap_used, reason = "a test fails where a helper does")]

mod support;

use std::sync::Arc;

use ferrochrome_engine::{Collection, Database, GetRequest, Handle, QueryRequest, WriteBatch, WriteKind};
use ferrochrome_types::CancelToken;
use uuid::Uuid;

use support::{create, open, options};

const DIM: usize = 4;

/// Vectors that tell collection and row.
fn batch(collection: usize, rows: std::ops::Range<usize>) -> WriteBatch {
    let vector = |row: usize| [collection as f32, row as f32, (row % 7) as f32, 1.0];
    WriteBatch {
        ids: rows.clone().map(|row| format!("{collection}-{row}")).collect(),
        embeddings: Some(rows.flat_map(vector).collect()),
        dim: DIM,
        ..WriteBatch::default()
    }
}

fn collection(handle: &Handle, id: Uuid) -> Arc<Collection> {
    handle.database().unwrap().collection(id).unwrap()
}

/// Looks for the row `row` of the collection numbered `number` by its vector.
fn assert_finds(handle: &Handle, id: Uuid, number: usize, row: usize) {
    let embeddings = batch(number, row..row + 1).embeddings.unwrap();
    let request = QueryRequest { embeddings, dim: DIM, k: 1, ..QueryRequest::default() };
    let result = collection(handle, id).query(request, &CancelToken::default()).unwrap();
    let (nearest, distance) = result.queries[0][0];
    assert_eq!((result.snapshot.id(nearest).unwrap(), distance), (&*format!("{number}-{row}"), 0.0));
}

/// Open file descriptors of this process, and mappings of files of a segment.
#[cfg(target_os = "linux")]
fn handles_and_mappings() -> (usize, usize) {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mapped = maps.lines().filter(|line| line.ends_with(".arrow") || line.ends_with(".sqlite"));
    (std::fs::read_dir("/proc/self/fd").unwrap().count(), mapped.count())
}

#[test]
fn collections_are_closed_and_opened_again_as_they_are_used() {
    const COLLECTIONS: usize = 1_000;
    const OPEN: usize = 100;
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(1_000);
    options.open_segments = OPEN;
    let handle = open(folder.path(), options);
    let ids: Vec<Uuid> = (0..COLLECTIONS)
        .map(|number| {
            let collection = create(&handle, &format!("collection-{number}"), "{}");
            collection.write(WriteKind::Add, batch(number, 0..20)).unwrap();
            if number % 8 == 0 {
                collection.compact(&CancelToken::default()).unwrap();
            }
            // Some of it is in the log only.
            collection.write(WriteKind::Add, batch(number, 20..30)).unwrap();
            collection.id()
        })
        .collect();
    for round in 0..3 {
        for (number, id) in ids.iter().enumerate() {
            assert_finds(&handle, *id, number, (number + round) % 30);
            if number % 10 == round {
                collection(&handle, *id).write(WriteKind::Add, batch(number, 30..31)).unwrap();
            }
            let database = handle.database().unwrap();
            let stats = database.stats();
            assert!(stats.collections + stats.segments <= OPEN + 2, "{stats:?}");
        }
    }
    #[cfg(target_os = "linux")]
    {
        let (handles, mappings) = handles_and_mappings();
        assert!(handles < 3 * OPEN && mappings < 6 * OPEN, "{handles} handles and {mappings} mappings");
    }
    let held = collection(&handle, ids[0]);
    for (number, id) in ids.iter().enumerate() {
        let expected = if number % 10 < 3 { 31 } else { 30 };
        assert_eq!(collection(&handle, *id).count().unwrap(), expected);
        let all = collection(&handle, *id).get(&GetRequest::default(), &CancelToken::default()).unwrap();
        assert_eq!(all.rows.len() as u64, expected);
    }
    assert!(Arc::ptr_eq(&held, &collection(&handle, ids[0])), "what is held is not closed");
    handle.close().unwrap();
}

#[test]
fn one_pass_over_all_collections_leaves_the_hot_indices_open() {
    const COLLECTIONS: usize = 40;
    const HOT: usize = 8;
    const ROWS: usize = 2_100;
    // Codes of 64 bytes and factors of eight, and a little more.
    const INDEX_BYTES: u64 = (ROWS * (64 + 8) + 1_024) as u64;
    let mut options = options(10_000);
    options.index_cache_bytes = 10 * INDEX_BYTES;
    options.vector_cache_bytes = 200_000;
    options.open_segments = 30;
    let handle = Database::open(None, options).unwrap();
    let ids: Vec<Uuid> = (0..COLLECTIONS)
        .map(|number| {
            let collection = create(&handle, &format!("collection-{number}"), "{}");
            collection.write(WriteKind::Add, batch(number, 0..ROWS)).unwrap();
            collection.compact(&CancelToken::default()).unwrap();
            collection.id()
        })
        .collect();
    let stats = || handle.database().unwrap().stats();
    for round in 0..20 {
        (0..HOT).for_each(|number| assert_finds(&handle, ids[number], number, round));
    }
    (0..COLLECTIONS).for_each(|number| assert_finds(&handle, ids[number], number, number));
    let before = stats();
    assert!(before.index.bytes <= before.index.budget && before.index.evictions > 0, "{before:?}");
    assert!(before.vector_cache_bytes <= before.vector_cache_budget, "{before:?}");
    for round in 0..20 {
        (0..HOT).for_each(|number| assert_finds(&handle, ids[number], number, round));
    }
    let misses = stats().index.misses - before.index.misses;
    assert!(misses <= 1, "{misses} of the hot indices were displaced by one pass over all");
    handle.close().unwrap();
}
