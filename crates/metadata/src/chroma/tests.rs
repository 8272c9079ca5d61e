use std::path::Path;

use ferrochrome_types::{Code, Value};
use rusqlite::Connection;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;

const COLLECTION: &str = "11111111-1111-4111-8111-111111111111";

/// The tables of 0.4.0, the oldest that can be read.
const OLDEST: &str = "
CREATE TABLE collections (id TEXT PRIMARY KEY, name TEXT NOT NULL, topic TEXT NOT NULL, dimension INTEGER);
CREATE TABLE collection_metadata (collection_id TEXT, key TEXT NOT NULL, str_value TEXT, int_value INTEGER, float_value REAL);
CREATE TABLE segments (id TEXT PRIMARY KEY, type TEXT NOT NULL, scope TEXT NOT NULL, topic TEXT, collection TEXT);
CREATE TABLE segment_metadata (segment_id TEXT, key TEXT NOT NULL, str_value TEXT, int_value INTEGER, float_value REAL);
CREATE TABLE embeddings (id INTEGER PRIMARY KEY, segment_id TEXT NOT NULL, embedding_id TEXT NOT NULL, seq_id BLOB NOT NULL, UNIQUE (segment_id, embedding_id));
CREATE TABLE embedding_metadata (id INTEGER, key TEXT NOT NULL, string_value TEXT, int_value INTEGER, float_value REAL, PRIMARY KEY (id, key));
CREATE TABLE max_seq_id (segment_id TEXT PRIMARY KEY, seq_id BLOB NOT NULL);
CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, operation INTEGER NOT NULL, topic TEXT NOT NULL, id TEXT NOT NULL, vector BLOB, encoding TEXT, metadata TEXT);
INSERT INTO collections VALUES ('11111111-1111-4111-8111-111111111111', 'old', 'persistent://default/default/11111111-1111-4111-8111-111111111111', 2);
INSERT INTO collection_metadata VALUES ('11111111-1111-4111-8111-111111111111', 'hnsw:space', 'ip', NULL, NULL);
INSERT INTO segments VALUES ('m', 'urn:chroma:segment/metadata/sqlite', 'METADATA', 't', '11111111-1111-4111-8111-111111111111');
INSERT INTO embeddings VALUES (7, 'm', 'b', x'0000000000000001'), (3, 'm', 'c', x'0000000000000002');
INSERT INTO embedding_metadata VALUES (7, 'chroma:document', 'text', NULL, NULL), (7, 'n', NULL, 1, NULL), (7, 'f', NULL, NULL, 1.0);
INSERT INTO max_seq_id VALUES ('m', x'0000000000000102');
INSERT INTO embeddings_queue VALUES
  (1, 0, 'persistent://default/default/11111111-1111-4111-8111-111111111111', 'b', x'0000803f00000040', 'FLOAT32', '{\"a\": 1, \"b\": 1.0, \"c\": null, \"d\": [true], \"e\": {}, \"chroma:uri\": \"u\"}'),
  (2, 9, 'persistent://default/default/11111111-1111-4111-8111-111111111111', 'c', NULL, NULL, NULL),
  (3, 3, 'persistent://default/default/22222222-2222-4222-8222-222222222222', 'd', NULL, NULL, NULL);
";

fn directory(script: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    Connection::open(folder.path().join(CHROMA_SQLITE)).unwrap().execute_batch(script).unwrap();
    folder
}

fn open(folder: &Path) -> ChromaSqlite {
    ChromaSqlite::open(folder).unwrap()
}

#[test]
fn the_oldest_tables_are_read() {
    let folder = directory(OLDEST);
    let mut sqlite = open(folder.path());
    assert_eq!(sqlite.tenants().unwrap(), ["default_tenant"]);
    let collections = sqlite.collections().unwrap();
    let [collection] = collections.as_slice() else { panic!("{collections:?}") };
    assert_eq!(
        (collection.name.as_str(), collection.database.as_str(), collection.records),
        ("old", "default_database", 2)
    );
    assert_eq!(collection.metadata["hnsw:space"], Value::Str("ip".into()));
    assert!(sqlite.keeps_history());
    assert_eq!(sqlite.max_seq_id("m").unwrap(), Some(0x102));
    assert_eq!(sqlite.last_write("m", "c"), Some(2));

    let mut problems = Vec::new();
    let keys = sqlite.record_keys("m", &mut problems).unwrap();
    assert_eq!(keys.iter().map(|key| key.id.as_str()).collect::<Vec<_>>(), ["c", "b"]);
    let record = sqlite.record(&keys[1], &mut problems).unwrap();
    assert_eq!(record.document.as_deref(), Some("text"));
    let expected = [("f", Value::Float(1.0)), ("n", Value::Int(1))];
    assert_eq!(record.metadata, expected.map(|(key, value)| (key.to_owned(), value)).into());

    let (queue, unknown) = sqlite.queue(Uuid::parse_str(COLLECTION).unwrap()).unwrap();
    assert_eq!((queue.len(), unknown), (1, 1));
    assert_eq!(sqlite.queue_vector(1).unwrap(), Some(vec![1.0, 2.0]));
    let mut record = ChromaRecord::default();
    record.apply(sqlite.queue_patch(&queue[0], &mut problems).unwrap());
    assert_eq!(record.uri.as_deref(), Some("u"));
    let expected = [("a", Value::Int(1)), ("b", Value::Float(1.0)), ("d", Value::BoolArray(vec![true]))];
    assert_eq!(record.metadata, expected.map(|(key, value)| (key.to_owned(), value)).into());
    assert_eq!(problems.len(), 1, "{problems:?}");
}

#[test]
fn a_segment_that_is_no_uuid_names_no_folder() {
    let hostile = "INSERT INTO segments VALUES ('../../etc', 't', 'VECTOR', 't', '11111111-1111-4111-8111-111111111111');";
    let folder = directory(&format!("{OLDEST}{hostile}"));
    assert_eq!(open(folder.path()).collections().unwrap_err().code(), Code::Corrupted);
}

#[test]
fn views_in_the_place_of_tables_are_not_read() {
    let hostile = OLDEST.replace(
        "CREATE TABLE max_seq_id (segment_id TEXT PRIMARY KEY, seq_id BLOB NOT NULL);",
        "CREATE VIEW max_seq_id AS SELECT 'm' AS segment_id, 5 AS seq_id;",
    );
    let folder =
        directory(hostile.replace("INSERT INTO max_seq_id VALUES ('m', x'0000000000000102');", "").as_str());
    // Whether the view counts as missing or as damage, its query is not run.
    let outcome = open(folder.path()).max_seq_id("m");
    assert!(!matches!(outcome, Ok(Some(5))), "{outcome:?}");
}

#[test]
fn another_database_is_none_of_chromas() {
    let folder = directory("CREATE TABLE collections (id)");
    let error = ChromaSqlite::open(folder.path()).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
}

#[test]
fn a_file_in_wal_mode_gets_no_company() {
    let folder = directory(OLDEST);
    let writer = Connection::open(folder.path().join(CHROMA_SQLITE)).unwrap();
    writer.pragma_update(None, "journal_mode", "wal").unwrap();
    drop(writer);
    let names = || std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names(), 1);
    let sqlite = open(folder.path());
    assert_eq!(sqlite.collections().unwrap().len(), 1);
    assert_eq!(names(), 1);
}
