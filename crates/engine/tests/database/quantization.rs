//! Quantization as a setting of a collection, seen in the files that it leads to.

use std::path::Path;

use ferrochrome_engine::{WriteBatch, WriteKind};
use ferrochrome_types::{CancelToken, Code};

use crate::support::{create, open, options};

const ROWS: usize = 5_200;
const DIM: usize = 8;

fn batch() -> WriteBatch {
    let component = |i: usize| ((i * 7_919 + i / DIM * 31) % 1_009) as f32;
    WriteBatch {
        ids: (0..ROWS).map(|row| row.to_string()).collect(),
        embeddings: Some((0..ROWS * DIM).map(component).collect()),
        dim: DIM,
        documents: None,
        metadatas: None,
        ..WriteBatch::default()
    }
}

/// The codes of the only segment, by the parameters in its index file.
fn coded_as(folder: &Path) -> String {
    let segments: Vec<_> =
        std::fs::read_dir(folder.join("segments")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(segments.len(), 1, "{segments:?}");
    let file = std::fs::read(segments[0].join("index.arrow")).unwrap();
    let text = String::from_utf8_lossy(&file);
    let (_, after) = text.split_once("\"quantization\":\"").unwrap();
    after.split_once('"').unwrap().0.to_owned()
}

#[test]
fn a_setting_holds_for_new_segments_and_by_compact_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let handle = open(folder.path(), options(100_000));
    let collection = create(&handle, "coded", r#"{"hnsw":{"quantization":"int8"}}"#);
    collection.write(WriteKind::Add, batch()).unwrap();
    collection.compact(&CancelToken::default()).unwrap();
    assert_eq!(coded_as(folder.path()), "int8");

    let (database, id) = (handle.database().unwrap(), collection.id());
    for quantization in ["none", "int4"] {
        let configuration = format!(r#"{{"hnsw":{{"quantization":"{quantization}"}}}}"#);
        database.update_collection(id, None, None, Some(&|_| Ok(configuration.clone()))).unwrap();
        collection.compact(&CancelToken::default()).unwrap();
        assert_eq!(coded_as(folder.path()), quantization);
    }
}

#[test]
fn an_unknown_quantization_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let handle = open(folder.path(), options(100_000));
    let collection = create(&handle, "coded", "{}");
    let unknown = r#"{"hnsw":{"quantization":"int2"}}"#;
    let database = handle.database().unwrap();
    let error =
        database.update_collection(collection.id(), None, None, Some(&|_| Ok(unknown.into()))).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.to_string().contains("expected one of `auto`, `int4`, `int8`, `none`"), "{error}");
}
