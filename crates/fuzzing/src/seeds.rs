//! What fuzzing starts from: for each target what the product itself writes, or what it is usually asked.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ferrochrome_blockstore::fuzzing::DIM;
use ferrochrome_blockstore::{
    BlobStore, Compression, LocalStore, SegmentOptions, SegmentOrigin, SegmentWriter, metadata_codec,
};
use ferrochrome_engine::{CollectionRow, Database, DatabaseOptions, WriteBatch, WriteKind};
use ferrochrome_index::{BuildOptions, build};
use ferrochrome_metadata::{Postings, write_lookup};
use ferrochrome_types::{CancelToken, DocumentRows, Metadata, Metric, Record, Result, Value};
use roaring::RoaringBitmap;
use uuid::Uuid;

use crate::index::Rows;
use crate::record_files;

/// `{"id_to_label": {"r1": 1}, "label_to_id": {1: "r1"}}`, protocol 4.
pub const PICKLE: &[u8] =
    b"\x80\x04}(\x8c\x0bid_to_label}(\x8c\x02r1K\x01u\x8c\x0blabel_to_id}(K\x01\x8c\x02r1uu.";

const FILTERS: &[&str] = &[
    r#"{"n": 1}"#,
    r#"{"f": {"$gte": 0.5}}"#,
    r#"{"$and": [{"n": {"$in": [1, 2]}}, {"$or": [{"tags": {"$contains": "a"}}, {"f": {"$ne": 1.0}}]}]}"#,
    r#"{"n": {"$nin": [1, 2, 3]}}"#,
    r##"{"#document": {"$regex": "ir.n"}}"##,
    r#"{"$contains": "iron"}"#,
    r#"{"$or": [{"$not_contains": "page"}, {"$not_regex": "^a"}]}"#,
];
const PATTERNS: &[&str] =
    &["iron", "ir[aou]n ox", "(page|iron).*(3|oxide)", "(?i)IRON", r"\bpage\b.{0,10}\d", "^$", r"\p{L}{2,}+"];
const REQUESTS: &[&str] = &[
    r#"{"ids":["a","b"],"documents":["x",null],"metadatas":[{"n":1,"f":1.0,"t":["a"]},null],"uris":null}"#,
    r#"{"ids":["a"],"where":{"n":1},"where_document":{"$contains":"x"},"limit":3}"#,
    r#"{"ids":null,"where":null,"limit":2,"offset":1,"include":["documents","embeddings"]}"#,
    r#"{"n_results":3,"ef":20,"where":{"n":{"$gt":1}},"include":["distances"]}"#,
    r#"{"name":"c","tenant":"t","database":"d","metadata":{"a":1},"configuration":{"hnsw":{"space":"l2"}},"schema":null,"get_or_create":true}"#,
    r#"{"name":"n","metadata":{"x":2.0}}"#,
];
const BODIES: &[&str] = &[
    r#"{"ids":["a","b"],"embeddings":[[0.1,2e3],[1,-0.0]],"documents":["x",null],"metadatas":[{"n":1},null],"uris":null}"#,
    r#"{"ids":["a"],"embeddings":["AACAPwAAAEA="],"documents":null}"#,
    r#"{"query_embeddings":[[0.1,0.2]],"n_results":2,"where":{"n":{"$gt":1}},"include":["documents"]}"#,
    r#"{"ids":["a"],"where":{"n":1},"limit":3,"offset":1,"include":["metadatas"]}"#,
    r#"{"name":"c","metadata":{"a":1},"configuration":{"hnsw":{"space":"l2"}},"schema":null,"get_or_create":true}"#,
    r#"{"new_name":"n","new_metadata":{"x":2.0},"new_configuration":{"hnsw":{"ef_search":20}}}"#,
];
const LINES: &[&str] = &[
    "{\"ferrochrome\":1,\"name\":\"notes\"}\n{\"id\":\"a\",\"embedding\":[0.1,0.2],\"document\":\"iron\",\"metadata\":{\"page\":3}}\n",
    r#"{"ids":["a"],"embeddings":[[0.1]],"documents":["x"],"metadatas":[{"n":1}],"uris":[null],"include":["documents"]}"#,
    r#"[{"id":"6b1f0c1e-7f0d-4a53-9a55-0c2f3a3f8d10","name":"c","metadata":null,"dimension":2,"configuration_json":{}}]"#,
];

struct Texts(Vec<Option<String>>);

impl DocumentRows for Texts {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn document(&self, label: u32) -> Result<Option<&str>> {
        Ok(self.0.get(label as usize).and_then(Option::as_deref))
    }
}

/// Target, name of the file, bytes.
///
/// # Panics
/// Where a file cannot be written.
pub fn all() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut seeds = segments().and_then(|mut seeds| {
        seeds.extend(sqlite()?);
        Ok(seeds)
    });
    let texts = [
        ("filter_json", FILTERS),
        ("regex", PATTERNS),
        ("requests", REQUESTS),
        ("http_bodies", BODIES),
        ("record_lines", LINES),
    ];
    let seeds = seeds.as_mut().unwrap_or_else(|error| panic!("{error}"));
    for (target, texts) in texts {
        seeds.extend((0..).zip(texts).map(|(i, text)| (target, i.to_string(), text.as_bytes().to_vec())));
    }
    seeds.push(("pickle", "protocol-4".to_owned(), PICKLE.to_vec()));
    seeds.push(("manifest", "two-segments".to_owned(), manifest()));
    seeds.push(("hnsw_folder", "one".to_owned(), hnsw_folder()));
    seeds.push(("metadata_codec", "all-types".to_owned(), metadata_codec::encode(&metadata(3))));
    std::mem::take(seeds)
}

fn metadata(i: i64) -> Metadata {
    Metadata::from([
        ("n".to_owned(), Value::Int(i)),
        ("f".to_owned(), Value::Float(i as f64 / 2.0)),
        ("s".to_owned(), Value::Str(format!("text {i}"))),
        ("b".to_owned(), Value::Bool(i % 2 == 0)),
        ("tags".to_owned(), Value::StrArray(vec!["a".to_owned(), i.to_string()])),
        ("ints".to_owned(), Value::IntArray(vec![i, -1])),
    ])
}

fn record(row: usize) -> Record {
    Record {
        id: format!("id-{row}"),
        ordinal: row as u64,
        document: (row != 1).then(|| format!("document {row} ").repeat(3)),
        metadata: (row != 2).then(|| metadata(row as i64)),
        uri: (row == 3).then(|| "file:a".to_owned()),
    }
}

/// Files of segments, with each compression, and with and without a graph.
fn segments() -> Result<Vec<(&'static str, String, Vec<u8>)>> {
    let mut seeds = Vec::new();
    for (compression, graph, metric) in [
        (Compression::None, true, Metric::L2),
        (Compression::Lz4, false, Metric::Cosine),
        (Compression::Zstd, true, Metric::InnerProduct),
    ] {
        let folder = temporary()?;
        let store: Arc<dyn BlobStore> = Arc::new(LocalStore::open(folder.path(), false)?);
        let mut writer = SegmentWriter::create(store, Uuid::nil(), SegmentOptions { dim: DIM, compression })?;
        writer.set_origin(SegmentOrigin {
            collection: Uuid::nil(),
            sequence: 3,
            description: r#"{"name":"notes"}"#.to_owned(),
        });
        let rows = Rows::sample();
        for (row, vector) in rows.0.iter().enumerate() {
            writer.push(&record(row), vector)?;
        }
        let index = build(&rows, &BuildOptions { metric, ..BuildOptions::default() }, graph)?;
        writer.write_index(&index.parameters().to_json()?, &index.buffers()?)?;
        writer.publish()?;
        let files = [
            ("records_arrow", "records.arrow"),
            ("vectors_arrow", "vectors.arrow"),
            ("ids_arrow", "ids.arrow"),
            ("index_arrow", "index.arrow"),
            ("segment_json", "segment.json"),
            ("checksum_table", "records.arrow.crc"),
        ];
        for (target, file) in files {
            let bytes = read(&folder.path().join(Uuid::nil().to_string()).join(file))?;
            seeds.push((target, compression.as_str().to_owned(), bytes));
        }
    }
    Ok(seeds)
}

/// A catalog with a log, a lookup file, and what lies in their columns.
fn sqlite() -> Result<Vec<(&'static str, String, Vec<u8>)>> {
    let folder = temporary()?;
    let handle = Database::open(Some(folder.path()), DatabaseOptions::default())?;
    let database = handle.database()?;
    let row = CollectionRow {
        id: Uuid::from_u128(7),
        name: "notes".to_owned(),
        tenant: "default_tenant".to_owned(),
        database: "default_database".to_owned(),
        metadata: None,
        configuration: "{}".to_owned(),
        schema: None,
        dimension: None,
    };
    database.create_collection(&row, false)?;
    let batch = WriteBatch {
        ids: vec!["a".to_owned(), "b".to_owned()],
        embeddings: Some(vec![0.5, 1.0, -2.0, 3.0]),
        dim: 2,
        documents: Some(vec![Some("iron".to_owned()), None]),
        metadatas: Some(vec![Some(BTreeMap::from([("n".to_owned(), Some(Value::Int(1)))])), None]),
        ..WriteBatch::default()
    };
    let collection = database.collection(row.id)?;
    collection.write(WriteKind::Add, batch)?;
    let mut seeds = record_files::seeds(&collection, folder.path())?;
    database.catalog().read_log(row.id, 0, &mut |_, payload| {
        seeds.push(("log_entry", "add".to_owned(), payload.to_vec()));
        Ok(())
    })?;
    handle.close()?;
    seeds.push(("catalog", "one-collection".to_owned(), read(&folder.path().join("catalog.sqlite"))?));

    let mut postings = Postings::new();
    (0..20).for_each(|label| postings.insert(label, Some(&metadata(i64::from(label)))));
    let texts = Texts((0..20).map(|i| Some(format!("document {i}"))).collect());
    let lookup = write_lookup(None, &postings, &texts, true, &CancelToken::default())?;
    seeds.push(("lookup", "full-text".to_owned(), lookup.unwrap_or_default()));
    for (name, labels) in
        [("runs", (0..3_000).collect()), ("array", RoaringBitmap::from_iter([1, 7, 70_000]))]
    {
        let mut labels: RoaringBitmap = labels;
        labels.optimize();
        let mut bytes = Vec::new();
        labels
            .serialize_into(&mut bytes)
            .map_err(|e| ferrochrome_types::Error::internal(format!("a bitmap: {e}")))?;
        seeds.push(("postings", name.to_owned(), bytes));
    }
    seeds.push(("postings", "one-label".to_owned(), 5_u32.to_le_bytes().to_vec()));
    Ok(seeds)
}

/// A manifest of two segments, one of them with two records deleted.
fn manifest() -> Vec<u8> {
    let mut bytes: Vec<u8> = [3_u64, 17, 40, 2].iter().flat_map(|number| number.to_le_bytes()).collect();
    for (id, deleted) in [(1_u128, vec![]), (2, vec![4, 11])] {
        let mut tombstones = Vec::new();
        // Writing into memory does not fail.
        _ = RoaringBitmap::from_iter::<Vec<u32>>(deleted).serialize_into(&mut tombstones);
        bytes.extend(20_u64.to_le_bytes());
        bytes.extend(16_u16.to_le_bytes());
        bytes.extend((tombstones.len() as u16).to_le_bytes());
        bytes.extend(Uuid::from_u128(id).as_bytes());
        bytes.extend(tombstones);
    }
    bytes
}

/// The length of a header, the header, and one element of two components with label 1.
fn hnsw_folder() -> Vec<u8> {
    const LINKS: usize = 12;
    const SIZE: usize = LINKS + 2 * 4 + 8;
    let mut header = vec![0; 100];
    header[0] = 1;
    for (at, value) in [(12, 100_usize), (20, 1), (28, SIZE), (36, SIZE - 8), (44, LINKS)] {
        header[at..at + 8].copy_from_slice(&(value as u64).to_le_bytes());
    }
    let mut bytes = 100_u16.to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend([0; LINKS]);
    bytes.extend([0.6_f32.to_le_bytes(), 0.8_f32.to_le_bytes()].concat());
    bytes.extend(1_u64.to_le_bytes());
    bytes
}

fn temporary() -> Result<tempfile::TempDir> {
    tempfile::tempdir().map_err(|e| ferrochrome_types::Error::io("temporary folder", e))
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| ferrochrome_types::Error::io(path.display(), e))
}
