//! The files are plain Arrow: Arrow's own reader reads them.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, UInt32Type, UInt64Type};
use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::FileReader;
use ferrochrome_blockstore::{BlobStore, Compression, metadata_codec};

use crate::samples::{COMPRESSIONS, Row, rows, stores, writer};

fn read(path: PathBuf) -> (FileReader<File>, Vec<RecordBatch>) {
    let reader = FileReader::try_new(File::open(&path).unwrap(), None).unwrap();
    let batches =
        FileReader::try_new(File::open(&path).unwrap(), None).unwrap().map(Result::unwrap).collect();
    (reader, batches)
}

fn publish(
    store: &Arc<dyn BlobStore>,
    compression: Compression,
    expected: &[Row],
) -> impl Fn(&str) -> PathBuf {
    let (folder, mut writer) = writer(store, 5, compression);
    for (record, vector) in expected {
        writer.push(record, vector).unwrap();
    }
    writer.write_index("parameters", &[("codes", b"abc"), ("links", b"")]).unwrap();
    writer.publish().unwrap();
    let store = Arc::clone(store);
    move |file| store.local_path(&format!("{folder}/{file}")).unwrap()
}

#[test]
fn arrow_reads_every_file() {
    let expected = rows(5000, 5);
    let (_dir, stores) = stores();
    for compression in COMPRESSIONS {
        let path = publish(&stores[0], compression, &expected);
        check_records(path("records.arrow"), &expected);
        check_vectors(path("vectors.arrow"), &expected);
        check_ids(path("ids.arrow"), &expected);

        let (reader, batches) = read(path("index.arrow"));
        assert_eq!(reader.schema().metadata()["parameters"], "parameters");
        assert_eq!(batches[0].column_by_name("codes").unwrap().as_binary::<i64>().value(0), b"abc");
        assert_eq!(batches[0].column_by_name("links").unwrap().as_binary::<i64>().value(0), b"");
    }
}

fn check_records(path: PathBuf, expected: &[Row]) {
    let (_, batches) = read(path);
    assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [4096, 904]);
    let mut expected = expected.iter();
    for batch in &batches {
        let column = |name: &str| batch.column_by_name(name).unwrap();
        for (row, (record, _)) in (0..batch.num_rows()).zip(&mut expected) {
            let text = |name: &str| {
                let column = column(name).as_string::<i32>();
                column.is_valid(row).then(|| column.value(row).to_owned())
            };
            assert_eq!(text("id").as_ref(), Some(&record.id));
            assert_eq!(text("document"), record.document);
            assert_eq!(text("uri"), record.uri);
            let metadata = column("metadata").as_binary::<i32>();
            let metadata =
                metadata.is_valid(row).then(|| metadata_codec::decode(metadata.value(row)).unwrap());
            assert_eq!(metadata, record.metadata);
            assert_eq!(column("ordinal").as_primitive::<UInt64Type>().value(row), record.ordinal);
        }
    }
    assert!(expected.next().is_none());
}

fn check_vectors(path: PathBuf, expected: &[Row]) {
    let (_, batches) = read(path);
    let lists =
        batches.iter().flat_map(|batch| batch.column(0).as_fixed_size_list().iter().collect::<Vec<_>>());
    let vectors: Vec<Vec<f32>> =
        lists.map(|list| list.unwrap().as_primitive::<Float32Type>().values().to_vec()).collect();
    assert_eq!(vectors, expected.iter().map(|(_, vector)| vector.clone()).collect::<Vec<_>>());
}

fn check_ids(path: PathBuf, expected: &[Row]) {
    let (_, batches) = read(path);
    let hashes = batches[0].column(0).as_primitive::<UInt64Type>().values();
    let labels = batches[0].column(1).as_primitive::<UInt32Type>().values();
    assert!(hashes.is_sorted());
    for (hash, label) in hashes.iter().zip(labels) {
        let id = &expected[*label as usize].0.id;
        assert_eq!(*hash, xxhash_rust::xxh3::xxh3_64(id.as_bytes()));
    }
    assert_eq!(labels.len(), expected.len());
}
