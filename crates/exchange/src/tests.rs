//! Files that come back as they were, files of other programs, and files that lie.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::types::{Int8Type, UInt64Type};
use arrow_array::{
    ArrayRef, DictionaryArray, FixedSizeListArray, Float32Array, Float64Array, Int64Array, ListArray,
    PrimitiveArray, RecordBatch, StringArray, StructArray, TimestampSecondArray, UInt64Array,
};
use arrow_buffer::OffsetBuffer;
use arrow_ipc::writer::{DictionaryHandling, FileWriter, IpcWriteOptions};
use arrow_schema::{DataType, Field, Schema};
use ferrochrome_engine::{
    Collection, CollectionRow, Database, DatabaseOptions, GetRequest, Handle, MetadataPatch, WriteBatch,
    WriteKind,
};
use ferrochrome_types::{CancelToken, Metadata, Value};
use ferrochrome_wire::Include;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use uuid::Uuid;

use crate::{ColumnNames, Compression, Format, RecordFileReader, RecordFileWriter};

const ALL: Include =
    Include { distances: false, documents: true, embeddings: true, metadatas: true, uris: true };
const FORMATS: [(Format, Compression); 7] = [
    (Format::Jsonl, Compression::None),
    (Format::Arrow, Compression::None),
    (Format::Arrow, Compression::Lz4),
    (Format::Arrow, Compression::Zstd),
    (Format::Parquet, Compression::None),
    (Format::Parquet, Compression::Snappy),
    (Format::Parquet, Compression::Zstd),
];

/// A record without what its place in a collection is.
#[derive(Clone, Debug, Default, PartialEq)]
struct Plain {
    vector: Vec<f32>,
    document: Option<String>,
    uri: Option<String>,
    metadata: Option<Metadata>,
}

/// An empty collection in memory.
fn collection() -> (Handle, Arc<Collection>) {
    let handle = Database::open(None, DatabaseOptions::default()).unwrap();
    let database = handle.database().unwrap();
    let row = CollectionRow {
        id: Uuid::new_v4(),
        name: "records".to_owned(),
        tenant: "default_tenant".to_owned(),
        database: "default_database".to_owned(),
        metadata: None,
        configuration: "{}".to_owned(),
        schema: None,
        dimension: None,
    };
    let row = database.create_collection(&row, false).unwrap();
    let collection = database.collection(row.id).unwrap();
    (handle, collection)
}

fn write(collection: &Collection, records: &BTreeMap<String, Plain>) {
    let patch = |metadata: &Metadata| -> MetadataPatch {
        metadata.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect()
    };
    let batch = WriteBatch {
        ids: records.keys().cloned().collect(),
        embeddings: Some(records.values().flat_map(|record| record.vector.clone()).collect()),
        dim: records.values().next().map_or(0, |record| record.vector.len()),
        documents: Some(records.values().map(|record| record.document.clone()).collect()),
        metadatas: Some(records.values().map(|record| record.metadata.as_ref().map(patch)).collect()),
        uris: Some(records.values().map(|record| record.uri.clone()).collect()),
        ..WriteBatch::default()
    };
    if !records.is_empty() {
        collection.write(WriteKind::Add, batch).unwrap();
    }
}

fn records(collection: &Collection) -> BTreeMap<String, Plain> {
    let all = collection.get(&GetRequest::default(), &CancelToken::default()).unwrap();
    let record = |row: &ferrochrome_engine::RowAddress| {
        let snapshot = &all.snapshot;
        let plain = Plain {
            vector: snapshot.vector(*row).unwrap().to_vec(),
            document: snapshot.document(*row).unwrap().map(str::to_owned),
            uri: snapshot.uri(*row).unwrap().map(str::to_owned),
            metadata: snapshot.metadata(*row).unwrap(),
        };
        (snapshot.id(*row).unwrap().to_owned(), plain)
    };
    all.rows.iter().map(record).collect()
}

fn export(collection: &Collection, path: &Path, format: Format, compression: Compression, batch: usize) {
    let all = collection.get(&GetRequest::default(), &CancelToken::default()).unwrap();
    let cancel = CancelToken::default();
    let description = Some("{\"name\":\"records\"}");
    let mut file =
        RecordFileWriter::create(path, format, compression, description, all, ALL, &cancel).unwrap();
    while file.write(batch).unwrap() < file.total() {}
    assert_eq!(file.finish().unwrap(), path.metadata().unwrap().len());
}

fn import(path: &Path, format: Format, batch: usize) -> BTreeMap<String, Plain> {
    let mut file = RecordFileReader::open(path, format, &ColumnNames::default()).unwrap();
    assert_eq!(file.description(), Some("{\"name\":\"records\"}"));
    let (_handle, collection) = collection();
    while let Some(records) = file.read(batch).unwrap() {
        collection.write(WriteKind::Add, records).unwrap();
    }
    let read = records(&collection);
    assert_eq!(file.total().unwrap_or(read.len() as u64), read.len() as u64);
    read
}

fn any_value() -> impl Strategy<Value = Value> {
    let finite = || any::<f64>().prop_filter("finite", |f| f.is_finite());
    prop_oneof![
        ".{0,12}".prop_map(Value::Str),
        any::<i64>().prop_map(Value::Int),
        finite().prop_map(Value::Float),
        any::<bool>().prop_map(Value::Bool),
        vec(".{0,4}", 1..4).prop_map(Value::StrArray),
        vec(any::<i64>(), 1..4).prop_map(Value::IntArray),
        vec(finite(), 1..4).prop_map(Value::FloatArray),
        vec(any::<bool>(), 1..4).prop_map(Value::BoolArray),
    ]
}

fn any_metadata() -> impl Strategy<Value = Metadata> {
    // Few keys, so that some have one type throughout and others several; and names that columns have.
    let key = prop_oneof![
        "[a-e]",
        "[a-z\u{e4}.\"`]{1,6}",
        Just("id".to_owned()),
        Just("metadata".to_owned()),
        Just("text".to_owned()),
        Just("vector".to_owned()),
        Just("__index_level_0__".to_owned())
    ];
    btree_map(key, any_value(), 1..5)
}

fn any_records() -> impl Strategy<Value = BTreeMap<String, Plain>> {
    (1_usize..5).prop_flat_map(|dim| {
        let component = any::<f32>().prop_filter("finite", |x| x.is_finite());
        let record = (
            vec(component, dim),
            proptest::option::of(".{0,20}"),
            proptest::option::of(".{0,9}"),
            proptest::option::of(any_metadata()),
        );
        let record =
            record.prop_map(|(vector, document, uri, metadata)| Plain { vector, document, uri, metadata });
        btree_map(".{1,5}", record, 0..30)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn records_come_back_as_they_were(expected in any_records(), out in 1_usize..12, back in 1_usize..12) {
        let folder = tempfile::tempdir().unwrap();
        let (_handle, source) = collection();
        write(&source, &expected);
        for (i, (format, compression)) in FORMATS.into_iter().enumerate() {
            let path = folder.path().join(i.to_string());
            export(&source, &path, format, compression, out);
            prop_assert_eq!(&import(&path, format, back), &expected, "{:?} {:?}", format, compression);
        }
    }
}

/// Metadata of one type each, and of two types under one key.
fn sample() -> BTreeMap<String, Plain> {
    let record = |i: i64| {
        let metadata = Metadata::from([
            ("year".to_owned(), Value::Int(1_990 + i)),
            ("score".to_owned(), Value::Float(i as f64)),
            ("tags".to_owned(), Value::StrArray(vec![format!("t{i}"), "all".to_owned()])),
            ("mixed".to_owned(), if i % 2 == 0 { Value::Int(i) } else { Value::Float(i as f64) }),
        ]);
        Plain {
            vector: vec![i as f32, 0.5, -1.0],
            document: (i % 3 != 0).then(|| format!("document {i}")),
            uri: None,
            metadata: (i % 5 != 0).then_some(metadata),
        }
    };
    (1..40).map(|i| (format!("id{i:03}"), record(i))).collect()
}

#[test]
fn a_key_of_one_type_is_a_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.arrow");
    let (_handle, source) = collection();
    write(&source, &sample());
    export(&source, &path, Format::Arrow, Compression::None, 7);
    let reader = arrow_ipc::reader::FileReader::try_new(File::open(path).unwrap(), None).unwrap();
    let schema = reader.schema();
    let of = |name: &str| schema.field_with_name(name).map(|field| field.data_type().clone());
    assert_eq!(of("year").unwrap(), DataType::Int64);
    assert_eq!(of("score").unwrap(), DataType::Float64);
    assert!(matches!(of("tags").unwrap(), DataType::List(_)));
    assert!(matches!(of("embedding").unwrap(), DataType::FixedSizeList(_, 3)));
    assert!(of("mixed").is_err());
    assert_eq!(of("metadata").unwrap(), DataType::Utf8);
    assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 39);
}

#[test]
fn a_compression_of_the_other_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let wrong = [
        (Format::Arrow, Compression::Snappy),
        (Format::Parquet, Compression::Lz4),
        (Format::Jsonl, Compression::Zstd),
    ];
    for (format, compression) in wrong {
        let (_handle, source) = collection();
        let all = source.get(&GetRequest::default(), &CancelToken::default()).unwrap();
        let cancel = CancelToken::default();
        assert!(RecordFileWriter::create(&path, format, compression, None, all, ALL, &cancel).is_err());
        assert!(!path.exists());
    }
}

fn arrow_file(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    let batch = RecordBatch::try_new(schema.clone(), arrays).unwrap();
    let mut writer = FileWriter::try_new(File::create(path).unwrap(), &schema).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
}

fn lists(components: Vec<f64>, lengths: &[usize]) -> ArrayRef {
    let field = Arc::new(Field::new_list_field(DataType::Float64, true));
    let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
    Arc::new(ListArray::new(field, offsets, Arc::new(Float64Array::from(components)), None))
}

fn read_all(path: &Path) -> ferrochrome_types::Result<WriteBatch> {
    RecordFileReader::open(path, Format::Arrow, &ColumnNames::default())?
        .read(100)
        .map(Option::unwrap_or_default)
}

#[test]
fn files_of_other_programs_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.arrow");
    let colours: DictionaryArray<Int8Type> = vec![Some("red"), None].into_iter().collect();
    let of_struct = StructArray::from(vec![
        (
            Arc::new(Field::new("n", DataType::Int64, true)),
            Arc::new(Int64Array::from(vec![None, Some(2)])) as ArrayRef,
        ),
        (
            Arc::new(Field::new("s", DataType::Utf8, true)),
            Arc::new(StringArray::from(vec!["x", "y"])) as ArrayRef,
        ),
    ]);
    arrow_file(
        &path,
        vec![
            ("ids", Arc::new(PrimitiveArray::<UInt64Type>::from(vec![7, 8]))),
            ("vector", lists(vec![0.25, 1.0, 2.0, 3.0], &[2, 2])),
            ("text", Arc::new(StringArray::from(vec![Some("one"), None]))),
            ("colour", Arc::new(colours)),
            ("metadatas", Arc::new(of_struct)),
        ],
    );
    let batch = read_all(&path).unwrap();
    assert_eq!(batch.ids, ["7", "8"]);
    assert_eq!(batch.embeddings.unwrap(), [0.25, 1.0, 2.0, 3.0]);
    assert_eq!(batch.documents.unwrap(), [Some("one".to_owned()), None]);
    let metadatas = batch.metadatas.unwrap();
    let text = |text: &str| Some(Value::Str(text.to_owned()));
    let first = [("colour".to_owned(), text("red")), ("s".to_owned(), text("x"))];
    assert_eq!(metadatas[0], Some(MetadataPatch::from(first)));
    let second = [("n".to_owned(), Some(Value::Int(2))), ("s".to_owned(), text("y"))];
    assert_eq!(metadatas[1], Some(MetadataPatch::from(second)));
}

#[test]
fn a_dictionary_may_come_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.arrow");
    let colours = [vec![Some("red"), None], vec![Some("red"), Some("blue")]];
    let batch = |colours: &[Option<&str>]| {
        let colours: DictionaryArray<Int8Type> = colours.iter().copied().collect();
        let ids: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        let columns = [
            ("id", ids),
            ("vector", lists(vec![1.0; 4], &[2, 2])),
            ("colour", Arc::new(colours) as ArrayRef),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap()
    };
    for handling in [DictionaryHandling::Delta, DictionaryHandling::Resend] {
        let options = IpcWriteOptions::default().with_dictionary_handling(handling);
        let schema = batch(&colours[0]).schema();
        let mut writer =
            FileWriter::try_new_with_options(File::create(&path).unwrap(), &schema, options).unwrap();
        writer.write(&batch(&colours[0])).unwrap();
        // A file cannot replace a dictionary.
        let both_times =
            if matches!(handling, DictionaryHandling::Delta) { &colours[1] } else { &colours[0] };
        writer.write(&batch(both_times)).unwrap();
        writer.finish().unwrap();
        let mut file = RecordFileReader::open(&path, Format::Arrow, &ColumnNames::default()).unwrap();
        for expected in [&colours[0], both_times] {
            let metadatas = file.read(2).unwrap().unwrap().metadatas.unwrap();
            let of_row = |colour: &Option<&str>| {
                let patch = |text: &str| Some(Value::Str(text.to_owned()));
                colour.map(|text| MetadataPatch::from([("colour".to_owned(), patch(text))]))
            };
            assert_eq!(metadatas, expected.iter().map(of_row).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_bad_cell_is_named_by_row_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.arrow");
    let ids = || Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef;
    let vectors = || lists(vec![1.0; 4], &[2, 2]);
    let fails = |columns: Vec<(&str, ArrayRef)>, expected: &str| {
        arrow_file(&path, columns);
        let message = read_all(&path).unwrap_err().message().to_owned();
        assert!(message.contains(expected), "{message}");
    };
    let missing_id = Arc::new(StringArray::from(vec![Some("a"), None]));
    fails(vec![("id", missing_id), ("embedding", vectors())], "Row 2, column `id`: it is empty");
    let ragged = lists(vec![1.0; 5], &[2, 3]);
    fails(vec![("id", ids()), ("embedding", ragged)], "Row 2, column `embedding`: it has 3 components");
    let endless = lists(vec![1.0, f64::NAN, 1.0, 1.0], &[2, 2]);
    fails(vec![("id", ids()), ("embedding", endless)], "Row 1, column `embedding`: a component is missing");
    let huge = lists(vec![1.0, 1.0, 1.0, 1e300], &[2, 2]);
    fails(vec![("id", ids()), ("embedding", huge)], "Row 2, column `embedding`");
    let large = Arc::new(UInt64Array::from(vec![1, u64::MAX]));
    fails(
        vec![("id", ids()), ("embedding", vectors()), ("n", large)],
        "Row 2, column `n`: 18446744073709551615",
    );
    let json = Arc::new(StringArray::from(vec!["{\"a\":1}", "[1]"]));
    fails(vec![("id", ids()), ("embedding", vectors()), ("metadata", json)], "Row 2, column `metadata`");
    let time = Arc::new(TimestampSecondArray::from(vec![1, 2]));
    fails(vec![("id", ids()), ("embedding", vectors()), ("at", time)], "Column `at` has type Timestamp");
    let floats = Arc::new(Float32Array::from(vec![1.0, 2.0]));
    fails(vec![("id", floats), ("embedding", vectors())], "Column `id` has type Float32");
}

#[test]
fn what_is_no_such_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    for bytes in [&b""[..], b"{\"id\":1}\n", b"PAR1PAR1", b"ARROW1\0\0ARROW1", &[0xff; 200]] {
        std::fs::write(&path, bytes).unwrap();
        for format in [Format::Arrow, Format::Parquet] {
            assert!(RecordFileReader::open(&path, format, &ColumnNames::default()).is_err());
        }
        let lines = RecordFileReader::open(&path, Format::Jsonl, &ColumnNames::default());
        assert!(
            lines.and_then(|mut lines| lines.read(10)).is_ok_and(|batch| batch.is_none()) == bytes.is_empty()
        );
    }
    assert!(
        RecordFileReader::open(&folder.path().join("b"), Format::Arrow, &ColumnNames::default()).is_err()
    );
}

/// Reads what it can; the file may be refused at any point, but by an error.
fn read_or_refuse(path: &Path, format: Format) {
    let Ok(mut file) = RecordFileReader::open(path, format, &ColumnNames::default()) else { return };
    while let Ok(Some(batch)) = file.read(10) {
        assert!(!batch.ids.is_empty());
    }
}

#[test]
fn no_damaged_byte_panics() {
    let folder = tempfile::tempdir().unwrap();
    let (_handle, source) = collection();
    write(&source, &sample());
    for (format, compression) in FORMATS {
        let path = folder.path().join("whole");
        export(&source, &path, format, compression, 20);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let damaged = folder.path().join("damaged");
        for at in (0..bytes.len()).step_by(5) {
            let mut copy = bytes.clone();
            copy[at] ^= if at % 2 == 0 { 0x80 } else { 0xff };
            std::fs::write(&damaged, &copy).unwrap();
            read_or_refuse(&damaged, format);
        }
        for length in (0..bytes.len()).step_by(41) {
            std::fs::write(&damaged, &bytes[..length]).unwrap();
            read_or_refuse(&damaged, format);
        }
    }
}

#[test]
fn a_list_of_fixed_length_may_be_a_slice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.arrow");
    let field = Arc::new(Field::new_list_field(DataType::Float32, true));
    let components = Arc::new(Float32Array::from_iter_values((0..8).map(|i| i as f32)));
    let vectors = FixedSizeListArray::new(field, 2, components, None).slice(1, 3);
    arrow_file(
        &path,
        vec![("id", Arc::new(StringArray::from(vec!["a", "b", "c"]))), ("embedding", Arc::new(vectors))],
    );
    let mut file = RecordFileReader::open(&path, Format::Arrow, &ColumnNames::default()).unwrap();
    assert_eq!(file.read(2).unwrap().unwrap().embeddings.unwrap(), [2.0, 3.0, 4.0, 5.0]);
    assert_eq!(file.read(2).unwrap().unwrap().embeddings.unwrap(), [6.0, 7.0]);
    assert!(file.read(2).unwrap().is_none());
}
