//! Rows to write, and the stores to write them to.

use std::sync::Arc;

use ferrochrome_blockstore::{
    BlobStore, Compression, LocalStore, MemoryStore, SegmentOptions, SegmentReader, SegmentWriter,
};
use ferrochrome_types::{Metadata, Record, Value};
use tempfile::TempDir;
use uuid::Uuid;

/// Every way to compress.
pub const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Lz4, Compression::Zstd];

/// A row.
pub type Row = (Record, Vec<f32>);

/// Both stores, and the folder of the local one.
pub fn stores() -> (TempDir, [Arc<dyn BlobStore>; 2]) {
    let dir = TempDir::new().unwrap();
    let local = LocalStore::open(dir.path(), false).unwrap();
    (dir, [Arc::new(local), Arc::new(MemoryStore::new())])
}

/// Metadata with a value of every type.
pub fn metadata_of_every_type() -> Metadata {
    [
        ("str", Value::Str("straße".into())),
        ("int", Value::Int(i64::MIN)),
        ("float", Value::Float(-0.0)),
        ("bool", Value::Bool(true)),
        ("strs", Value::StrArray(vec!["".into(), "b".into()])),
        ("ints", Value::IntArray(vec![1, -1])),
        ("floats", Value::FloatArray(vec![1.5, f64::MIN_POSITIVE])),
        ("bools", Value::BoolArray(vec![false, true])),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

/// `n` rows; every third has no document, every fourth no metadata, every other no URI.
pub fn rows(n: usize, dim: usize) -> Vec<Row> {
    (0..n)
        .map(|i| {
            let record = Record {
                id: format!("id-{i}"),
                ordinal: 1000 + 7 * i as u64,
                document: (i % 3 != 0).then(|| format!("document {i} {}", "x".repeat(i % 50))),
                metadata: (i % 4 != 0).then(metadata_of_every_type),
                uri: (i % 2 != 0).then(|| format!("file:///{i}")),
            };
            (record, (0..dim).map(|d| (i * dim + d) as f32 * 0.5).collect())
        })
        .collect()
}

/// Starts a segment.
pub fn writer(store: &Arc<dyn BlobStore>, dim: usize, compression: Compression) -> (Uuid, SegmentWriter) {
    let folder = Uuid::new_v4();
    let options = SegmentOptions { dim, compression };
    (folder, SegmentWriter::create(Arc::clone(store), folder, options).unwrap())
}

/// Writes a segment of these rows, without an index.
pub fn write(
    store: &Arc<dyn BlobStore>,
    dim: usize,
    compression: Compression,
    rows: &[Row],
) -> SegmentReader {
    let (_, mut writer) = writer(store, dim, compression);
    for (label, (record, vector)) in rows.iter().enumerate() {
        assert_eq!(writer.push(record, vector).unwrap(), label as u32);
    }
    writer.publish().unwrap()
}
