//! What a collection says of its parts.

use ferrochrome_engine::{DeleteRequest, WriteBatch, WriteKind};
use ferrochrome_types::CancelToken;

use crate::support::{create, open, options};

const ROWS: usize = 2_100;

#[test]
fn parts_are_described() {
    let folder = tempfile::tempdir().unwrap();
    let handle = open(folder.path(), options(100_000));
    let collection = create(&handle, "c", "{}");
    let batch = WriteBatch {
        ids: (0..ROWS).map(|row| row.to_string()).collect(),
        embeddings: Some((0..ROWS * 2).map(|i| i as f32).collect()),
        dim: 2,
        ..WriteBatch::default()
    };
    collection.write(WriteKind::Add, batch).unwrap();
    let stats = collection.stats().unwrap();
    assert_eq!((stats.records, stats.head_records, stats.segments.len()), (ROWS as u64, ROWS as u64, 0));
    collection.compact(&CancelToken::default()).unwrap();
    collection
        .delete(&DeleteRequest { ids: Some(["7"].into_iter().collect()), ..DeleteRequest::default() })
        .unwrap();

    let stats = collection.stats().unwrap();
    let [segment] = stats.segments.as_slice() else { panic!("{stats:?}") };
    assert_eq!((stats.records, stats.head_records, stats.dimension), (ROWS as u64 - 1, 0, Some(2)));
    assert_eq!((segment.rows as usize, segment.tombstones), (ROWS, 1));
    assert_eq!(segment.index.as_ref().unwrap().len, ROWS);
}
