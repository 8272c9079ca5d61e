use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ferrochrome_types::{CancelToken, Metadata, Value, ValueKind};
use proptest::prelude::*;
use roaring::RoaringBitmap;
use tempfile::TempDir;

use super::*;

fn memory() -> Catalog {
    Catalog::open(Location::Memory, Durability::Normal, false).unwrap()
}

fn file(path: &Path) -> Result<Catalog> {
    Catalog::open(Location::File(path.to_owned()), Durability::Normal, false)
}

fn collection(number: u128, name: &str) -> CollectionRow {
    CollectionRow {
        id: Uuid::from_u128(number),
        name: name.into(),
        tenant: DEFAULT_TENANT.into(),
        database: DEFAULT_DATABASE.into(),
        metadata: None,
        configuration: "{}".into(),
        schema: None,
        dimension: None,
    }
}

fn rich_metadata() -> Metadata {
    [
        ("hnsw:M", Value::Int(128)),
        ("one", Value::Float(1.0)),
        ("tenth", Value::Float(0.1 + 0.2)),
        ("zero", Value::Float(-0.0)),
        ("huge", Value::Float(f64::MAX)),
        ("most", Value::Int(i64::MAX)),
        ("least", Value::Int(i64::MIN)),
        ("__proto__", Value::Str("quote \" NUL \0 emoji \u{1F980}".into())),
        ("flag", Value::Bool(true)),
        ("names", Value::StrArray(vec!["a".into(), String::new()])),
        ("ints", Value::IntArray(vec![1, -1])),
        ("floats", Value::FloatArray(vec![1.0, 1e-300])),
        ("bools", Value::BoolArray(vec![false, true])),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

fn manifest(version: u64, log_cut: u64) -> Manifest {
    Manifest {
        version,
        segments: vec![
            ManifestSegment {
                id: Uuid::from_u128(7),
                rows: 10,
                tombstones: RoaringBitmap::from_iter([1, 3]),
            },
            ManifestSegment { id: Uuid::from_u128(8), rows: 5, tombstones: RoaringBitmap::new() },
        ],
        log_cut,
        next_ordinal: 15,
    }
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> Code {
    result.unwrap_err().code()
}

fn log_of(catalog: &Catalog, id: Uuid, after: u64) -> Result<Vec<(u64, Vec<u8>)>> {
    let mut found = Vec::new();
    catalog.read_log(id, after, &mut |seq, payload| {
        found.push((seq, payload.to_vec()));
        Ok(())
    })?;
    Ok(found)
}

#[test]
fn tenants_and_databases() {
    let catalog = memory();
    catalog.tenant(DEFAULT_TENANT).unwrap();
    assert_eq!(catalog.database(DEFAULT_TENANT, DEFAULT_DATABASE).unwrap().id, Uuid::nil());
    catalog.create_tenant("t").unwrap();
    let error = catalog.create_tenant("t").unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::AlreadyExists, "Tenant [t] already exists"));
    let error = catalog.tenant("u").unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::NotFound, "Tenant [u] not found"));

    let b = catalog.create_database("nobody", "b").unwrap();
    catalog.create_database("nobody", "a").unwrap();
    let error = catalog.create_database("nobody", "a").unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::AlreadyExists, "Database [a] already exists"));
    assert_eq!(catalog.database("nobody", "b").unwrap().id, b);
    assert_eq!(code(catalog.database(DEFAULT_TENANT, "b")), Code::NotFound);
    let names = |limit, offset| -> Vec<String> {
        catalog.list_databases("nobody", limit, offset).unwrap().into_iter().map(|d| d.name).collect()
    };
    assert_eq!(names(None, 0), ["a", "b"]);
    assert_eq!(names(Some(1), 1), ["b"]);
    assert_eq!(names(Some(0), 0), [""; 0]);
    assert_eq!(catalog.list_databases("unknown", None, 0).unwrap(), []);
}

#[test]
fn deleting_a_database_deletes_its_collections() {
    let catalog = memory();
    catalog.create_database("t", "d").unwrap();
    let row = CollectionRow { tenant: "t".into(), database: "d".into(), ..collection(1, "c") };
    catalog.create_collection(&row).unwrap();
    catalog.create_collection(&collection(2, "c")).unwrap();
    catalog.append(row.id, 1, b"x", Some(3), &[]).unwrap();
    assert_eq!(catalog.delete_database("t", "d").unwrap(), [row.id]);
    assert_eq!(code(catalog.collection_by_id(row.id)), Code::NotFound);
    assert_eq!(code(catalog.delete_database("t", "d")), Code::NotFound);
    assert_eq!(catalog.all_collection_ids().unwrap(), [Uuid::from_u128(2)]);
}

#[test]
fn collections_by_name_and_id() {
    let catalog = memory();
    let rich = CollectionRow {
        metadata: Some(rich_metadata()),
        configuration: r#"{"hnsw":{"space":"l2"}}"#.into(),
        schema: Some("{}".into()),
        dimension: Some(384),
        ..collection(2, "rich")
    };
    catalog.create_collection(&rich).unwrap();
    catalog.create_collection(&collection(1, "plain")).unwrap();
    assert_eq!(catalog.collection_by_name(DEFAULT_TENANT, DEFAULT_DATABASE, "rich").unwrap(), rich);
    assert_eq!(catalog.collection_by_id(rich.id).unwrap(), rich);

    let error = catalog.create_collection(&collection(3, "rich")).unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::AlreadyExists, "Collection [rich] already exists"));
    assert_eq!(code(catalog.create_collection(&collection(2, "other"))), Code::AlreadyExists);
    let homeless = CollectionRow { database: "none".into(), ..collection(3, "c") };
    let error = catalog.create_collection(&homeless).unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::InvalidArgument, "Database [none] does not exist"));
    let error = catalog.collection_by_name(DEFAULT_TENANT, "none", "rich").unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::NotFound, "Collection [rich] does not exist"));
    let error = catalog.collection_by_id(Uuid::nil()).unwrap_err();
    assert_eq!(error.message(), "Collection [00000000-0000-0000-0000-000000000000] does not exist.");

    let listed = catalog.list_collections(DEFAULT_TENANT, DEFAULT_DATABASE, None, 0).unwrap();
    assert_eq!(listed.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["plain", "rich"]);
    assert_eq!(catalog.list_collections(DEFAULT_TENANT, DEFAULT_DATABASE, Some(5), 1).unwrap(), [rich]);
    assert_eq!(catalog.count_collections(DEFAULT_TENANT, DEFAULT_DATABASE).unwrap(), 2);
    assert_eq!(catalog.count_collections(DEFAULT_TENANT, "none").unwrap(), 0);
}

#[test]
fn collections_change_and_go() {
    let catalog = memory();
    catalog.create_collection(&collection(1, "a")).unwrap();
    catalog.create_collection(&collection(2, "b")).unwrap();
    let id = Uuid::from_u128(1);
    assert_eq!(code(catalog.update_collection(id, Some("b"), None, None)), Code::AlreadyExists);
    catalog.update_collection(id, Some("a"), None, None).unwrap();
    catalog.update_collection(id, Some("c"), Some(Some(&rich_metadata())), Some("[]")).unwrap();
    let changed =
        CollectionRow { metadata: Some(rich_metadata()), configuration: "[]".into(), ..collection(1, "c") };
    assert_eq!(catalog.collection_by_id(id).unwrap(), changed);
    assert_eq!(code(catalog.collection_by_name(DEFAULT_TENANT, DEFAULT_DATABASE, "a")), Code::NotFound);
    catalog.update_collection(id, None, Some(None), None).unwrap();
    assert_eq!(catalog.collection_by_id(id).unwrap(), CollectionRow { metadata: None, ..changed });
    assert_eq!(code(catalog.update_collection(Uuid::nil(), None, None, None)), Code::NotFound);

    assert_eq!(catalog.delete_collection(DEFAULT_TENANT, DEFAULT_DATABASE, "c").unwrap(), id);
    assert_eq!(code(catalog.delete_collection(DEFAULT_TENANT, DEFAULT_DATABASE, "c")), Code::NotFound);
    for result in [
        catalog.append(id, 1, b"", None, &[]),
        catalog.publish(id, &manifest(1, 0)),
        catalog.manifest(id).map(drop),
        catalog.segment_ids(id).map(drop),
        catalog.schema_keys(id).map(drop),
        catalog.log_size(id).map(drop),
    ] {
        assert_eq!(code(result), Code::NotFound);
    }
    // The name is free again, under another UUID.
    catalog.create_collection(&collection(3, "c")).unwrap();
}

#[test]
fn log_keeps_what_the_manifest_does_not_contain() {
    let catalog = memory();
    let id = Uuid::from_u128(1);
    catalog.create_collection(&collection(1, "c")).unwrap();
    catalog.append(id, 1, b"one", None, &[]).unwrap();
    assert_eq!(catalog.collection_by_id(id).unwrap().dimension, None);
    catalog.append(id, 2, b"", Some(3), &[("k".into(), ValueKind::Int)]).unwrap();
    catalog
        .append(id, 3, b"three", Some(4), &[("k".into(), ValueKind::Int), ("k".into(), ValueKind::Float)])
        .unwrap();
    assert_eq!(catalog.collection_by_id(id).unwrap().dimension, Some(3));
    assert_eq!(
        catalog.schema_keys(id).unwrap(),
        [("k".into(), ValueKind::Float), ("k".into(), ValueKind::Int)]
    );
    for wrong in [0, 3, 5, u64::MAX] {
        assert_eq!(code(catalog.append(id, wrong, b"x", None, &[])), Code::InvalidArgument, "{wrong}");
    }
    assert_eq!(catalog.log_size(id).unwrap(), LogSize { rows: 3, bytes: 8 });
    assert_eq!(log_of(&catalog, id, 1).unwrap(), [(2, b"".to_vec()), (3, b"three".to_vec())]);

    assert_eq!(catalog.manifest(id).unwrap(), None);
    assert_eq!(catalog.segment_ids(id).unwrap(), Vec::<Uuid>::new());
    catalog.publish(id, &manifest(1, 2)).unwrap();
    assert_eq!(catalog.manifest(id).unwrap(), Some(manifest(1, 2)));
    let segments: Vec<Uuid> = manifest(1, 2).segments.iter().map(|segment| segment.id).collect();
    assert_eq!(catalog.segment_ids(id).unwrap(), segments);
    assert_eq!(log_of(&catalog, id, 2).unwrap(), [(3, b"three".to_vec())]);
    assert_eq!(catalog.log_size(id).unwrap(), LogSize { rows: 1, bytes: 5 });
    assert_eq!(code(catalog.publish(id, &manifest(1, 3))), Code::InvalidArgument);
    assert_eq!(code(catalog.publish(id, &manifest(2, 1))), Code::InvalidArgument);
    catalog.publish(id, &Manifest { segments: vec![], ..manifest(2, 3) }).unwrap();
    assert_eq!(catalog.all_segment_ids().unwrap().len(), 0);
    catalog.publish(id, &manifest(3, 3)).unwrap();
    assert_eq!(catalog.all_segment_ids().unwrap(), [7, 8].map(Uuid::from_u128).into());
    catalog.append(id, 4, b"four", None, &[]).unwrap();
    let mut seen = Vec::new();
    let found = catalog.manifest_and_log(id, &mut |seq, _| {
        seen.push(seq);
        Ok(())
    });
    assert_eq!((found.unwrap(), seen), (Some(manifest(3, 3)), vec![4]));
    // Batches 1 to 3 are in the segments, so a reader that asks for them has missed a manifest.
    assert_eq!(code(log_of(&catalog, id, 2)), Code::Corrupted);
}

#[test]
fn forks_and_versions_have_the_state_and_keep_it() {
    let catalog = memory();
    let row = CollectionRow { metadata: Some(rich_metadata()), ..collection(1, "source") };
    catalog.create_collection(&row).unwrap();
    let keys = [("n".to_owned(), ValueKind::Int)];
    catalog.append(row.id, 1, b"one", Some(4), &keys).unwrap();
    catalog.append(row.id, 2, b"two", None, &[]).unwrap();
    catalog.publish(row.id, &manifest(1, 1)).unwrap();
    let state = |id: Uuid| {
        let mut batches = Vec::new();
        let manifest = catalog.manifest_and_log(id, &mut |seq, payload| {
            batches.push((seq, payload.to_vec()));
            Ok(())
        });
        (manifest.unwrap().unwrap_or_default(), batches)
    };
    let before = state(row.id);
    let version =
        catalog.create_version(row.id, &NewVersion { records: 8, ..NewVersion::default() }).unwrap();
    assert_eq!((version.version, version.records, version.dimension), (2, 8, Some(4)));
    let (fork, of_version) = (Uuid::from_u128(2), Uuid::from_u128(3));
    let forked = catalog.fork(row.id, None, fork, "fork").unwrap();
    assert_eq!(forked, CollectionRow { id: fork, name: "fork".into(), dimension: Some(4), ..row.clone() });

    // Each goes its own way.
    catalog.append(row.id, 3, b"three", None, &[]).unwrap();
    let next = Manifest { version: 2, segments: Vec::new(), log_cut: 3, next_ordinal: 9 };
    catalog.publish(row.id, &next).unwrap();
    catalog.append(fork, 3, b"other", None, &[]).unwrap();
    catalog.fork(row.id, Some(2), of_version, "of-version").unwrap();
    assert_eq!(state(version.state), before);
    assert_eq!(state(of_version), before);
    assert_eq!(state(fork).1, [(2, b"two".to_vec()), (3, b"other".to_vec())]);
    assert_eq!(catalog.schema_keys(of_version).unwrap(), keys);

    // Segments stay named until the last who names them is gone.
    let segments: Vec<Uuid> = before.0.segments.iter().map(|segment| segment.id).collect();
    for gone in ["source", "fork"] {
        assert!(catalog.unnamed_segments(&segments).unwrap().is_empty());
        catalog.delete_collection(DEFAULT_TENANT, DEFAULT_DATABASE, gone).unwrap();
    }
    assert_eq!(catalog.fork_count(of_version).unwrap(), 1);
    assert_eq!(code(catalog.manifest_and_log(version.state, &mut |_, _| Ok(()))), Code::NotFound);
    catalog.delete_collection(DEFAULT_TENANT, DEFAULT_DATABASE, "of-version").unwrap();
    assert_eq!(catalog.unnamed_segments(&segments).unwrap().len(), segments.len());
    // Nothing is left that belongs to nothing.
    catalog.read(schema_is_whole).unwrap();
}

fn schema_is_whole(connection: &Connection) -> Result<()> {
    for table in ["log", "manifests", "manifest_segments", "versions", "forks", "schema_keys"] {
        let count: i64 =
            connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |r| r.get(0)).map_err(sql)?;
        assert_eq!(count, 0, "{table}");
    }
    let digests: i64 = connection.query_row("SELECT count(*) FROM digests", [], |r| r.get(0)).map_err(sql)?;
    // One for each whole table, and the format.
    assert_eq!(digests, schema::WHOLE_TABLES.len() as i64 + 1);
    Ok(())
}

#[test]
fn reset_leaves_the_defaults() {
    let catalog = memory();
    catalog.create_tenant("t").unwrap();
    catalog.create_collection(&collection(1, "c")).unwrap();
    catalog.append(Uuid::from_u128(1), 1, b"x", None, &[("k".into(), ValueKind::Str)]).unwrap();
    catalog.publish(Uuid::from_u128(1), &manifest(1, 0)).unwrap();
    catalog.reset().unwrap();
    assert_eq!(code(catalog.tenant("t")), Code::NotFound);
    assert_eq!(catalog.all_collection_ids().unwrap(), Vec::<Uuid>::new());
    assert_eq!(catalog.all_segment_ids().unwrap().len(), 0);
    assert_eq!(catalog.list_databases(DEFAULT_TENANT, None, 0).unwrap().len(), 1);
    catalog.create_collection(&collection(1, "c")).unwrap();
}

#[test]
fn a_closed_catalog_leaves_one_file_and_opens_again() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("catalog.sqlite");
    for durability in [Durability::Normal, Durability::Full] {
        let catalog = Catalog::open(Location::File(path.clone()), durability, false).unwrap();
        if durability == Durability::Normal {
            fill(&catalog);
        }
        catalog.checkpoint().unwrap();
        catalog.vacuum(&CancelToken::default()).unwrap();
        assert_eq!(dump(&catalog).unwrap(), dump(&filled()).unwrap());
        catalog.close().unwrap();
        catalog.close().unwrap();
        assert_eq!(code(catalog.tenant(DEFAULT_TENANT)), Code::Closed);
        assert_eq!(code(catalog.checkpoint()), Code::Closed);
        let names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["catalog.sqlite"]);
    }
}

/// A copy of `catalog.sqlite` with its log, as a process leaves them that ends without closing.
fn left_behind(dir: &Path) -> PathBuf {
    for suffix in ["", "-wal"] {
        let from = dir.join(format!("catalog.sqlite{suffix}"));
        fs::copy(from, dir.join(format!("copy.sqlite{suffix}"))).unwrap();
    }
    dir.join("copy.sqlite")
}

#[test]
fn a_catalog_that_was_not_closed_has_what_was_acknowledged() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("catalog.sqlite");
    let catalog = file(&path).unwrap();
    fill(&catalog);
    let copy = left_behind(dir.path());
    assert_eq!(dump(&file(&copy).unwrap()).unwrap(), dump(&catalog).unwrap());
}

#[test]
fn commits_are_made_durable_beside_a_reader() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("catalog.sqlite");
    let catalog = file(&path).unwrap();
    fill(&catalog);
    let mut other = Connection::open(&path).unwrap();
    let reader = other.transaction().unwrap();
    let tenants = || reader.query_row("SELECT count(*) FROM tenants", [], |r| r.get::<_, i64>(0)).unwrap();
    let before = tenants();
    catalog.create_tenant("later").unwrap();
    catalog.make_durable().unwrap();
    assert_eq!(tenants(), before);
    catalog.create_tenant("last").unwrap();
    catalog.make_durable().unwrap();
    drop(reader);
    catalog.tenant("last").unwrap();
    let read_only = Catalog::open(Location::File(path), Durability::Normal, true).unwrap();
    read_only.make_durable().unwrap();
    catalog.close().unwrap();
    memory().make_durable().unwrap();
}

#[test]
fn checkpoints_go_on_beside_commits() {
    const BATCHES: u64 = 200;
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("catalog.sqlite");
    let catalog = file(&path).unwrap();
    let row = collection(1, "c");
    catalog.create_collection(&row).unwrap();
    let payload = |seq: u64| vec![seq as u8; 20_000];
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for seq in 1..=BATCHES {
                catalog.append(row.id, seq, &payload(seq), None, &[]).unwrap();
            }
        });
        while !writer.is_finished() {
            catalog.checkpoint().unwrap();
            catalog.make_durable().unwrap();
        }
    });
    catalog.checkpoint().unwrap();
    // What was moved is in the file alone.
    let copy = dir.path().join("copy.sqlite");
    fs::copy(&path, &copy).unwrap();
    for catalog in [&catalog, &file(&copy).unwrap()] {
        let log = log_of(catalog, row.id, 0).unwrap();
        assert!(log.iter().map(|(seq, _)| *seq).eq(1..=BATCHES));
        assert!(log.iter().all(|(seq, found)| *found == payload(*seq)));
    }
    // A commit after a checkpoint of everything begins the write-ahead log anew.
    let length = || fs::metadata(dir.path().join("catalog.sqlite-wal")).unwrap().len();
    let before = length();
    catalog.append(row.id, BATCHES + 1, &payload(0), None, &[]).unwrap();
    assert_eq!(length(), before);
    memory().checkpoint().unwrap();
}

#[test]
fn a_log_that_nobody_moves_stays_bounded() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("catalog.sqlite");
    let catalog = file(&path).unwrap();
    let row = collection(1, "c");
    catalog.create_collection(&row).unwrap();
    let payload = vec![7; 4 << 20];
    for seq in 1..=40 {
        catalog.append(row.id, seq, &payload, None, &[]).unwrap();
        let log = fs::metadata(dir.path().join("catalog.sqlite-wal")).unwrap().len();
        assert!(log < super::CHECKPOINT_BYTES + (8 << 20), "{log} bytes after {seq} batches");
    }
    assert!(fs::metadata(&path).unwrap().len() > super::CHECKPOINT_BYTES);
}

#[test]
fn a_log_that_another_process_left_is_written_again() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("catalog.sqlite");
    let catalog = file(&path).unwrap();
    fill(&catalog);
    let copy = left_behind(dir.path());
    let log = dir.path().join("copy.sqlite-wal");
    let written = |path: &Path| (fs::metadata(path).unwrap().modified().unwrap(), fs::read(path).unwrap());
    let (left, bytes) = written(&log);
    // Time passes between two writes that the file system can tell apart.
    std::thread::sleep(std::time::Duration::from_millis(20));
    let full = Catalog::open(Location::File(copy), Durability::Full, false).unwrap();
    let (opened, same) = written(&log);
    assert!(opened > left && same == bytes, "before the first commit is synced in it");
    assert_eq!(dump(&full).unwrap(), dump(&catalog).unwrap());
    full.close().unwrap();
    assert!(!log.exists());
}

#[test]
fn a_reader_follows_a_writer() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("catalog.sqlite");
    let read_only = || Catalog::open(Location::File(path.clone()), Durability::Normal, true);
    let error = read_only().map(drop).unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(!path.exists());

    let writer = file(&path).unwrap();
    let reader = read_only().unwrap();
    fill(&writer);
    assert_eq!(dump(&reader).unwrap(), dump(&writer).unwrap());
    for result in [
        reader.create_tenant("x"),
        reader.reset(),
        reader.vacuum(&CancelToken::default()),
        reader.append(Uuid::from_u128(1), 9, b"", None, &[]),
    ] {
        assert_eq!(code(result), Code::ReadOnly);
    }
    writer.close().unwrap();
    assert_eq!(dump(&reader).unwrap(), dump(&filled()).unwrap());
    reader.close().unwrap();
    // Nobody writes any more; the file alone is enough.
    let reader = read_only().unwrap();
    assert_eq!(dump(&reader).unwrap(), dump(&filled()).unwrap());
}

#[test]
fn refuses_what_is_no_catalog_of_ours() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("catalog.sqlite");
    let refused = |path: &Path| file(path).map(drop).unwrap_err();
    fs::write(&path, "this is no SQLite file, and it is longer than a hundred bytes ".repeat(20)).unwrap();
    assert_eq!(refused(&path).code(), Code::Corrupted);
    assert_eq!(refused(&dir.path().join("missing/catalog.sqlite")).code(), Code::Io);

    let foreign = dir.path().join("foreign.sqlite");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert_eq!(refused(&foreign).code(), Code::Corrupted);

    let newer = dir.path().join("newer.sqlite");
    let catalog = file(&newer).unwrap();
    catalog
        .write(|tx| {
            schema::put_digest(tx, schema::FORMAT, &[], schema::Digest { rows: 2, sum: 0, bytes: 0 })?;
            tx.pragma_update(None, "user_version", 2).map_err(sql)
        })
        .unwrap();
    catalog.close().unwrap();
    let error = refused(&newer);
    assert_eq!(error.code(), Code::Unsupported);
    assert!(error.message().contains("newer release"), "{error}");
}

#[test]
fn a_row_that_vanished_is_missed() {
    let dir = TempDir::new().unwrap();
    for table in [
        "tenants",
        "databases",
        "collections",
        "schema_keys",
        "manifests",
        "manifest_segments",
        "log",
        "versions",
        "forks",
        "digests",
    ] {
        let path = dir.path().join(format!("{table}.sqlite"));
        let catalog = file(&path).unwrap();
        fill(&catalog);
        catalog.close().unwrap();
        let connection = Connection::open(&path).unwrap();
        let sql = format!("DELETE FROM {table} WHERE crc IN (SELECT crc FROM {table} LIMIT 1)");
        let sql = if table == "manifest_segments" {
            "DELETE FROM manifest_segments WHERE position = 1"
        } else {
            &sql
        };
        assert!(connection.execute(sql, []).unwrap() > 0);
        drop(connection);
        let error = file(&path).map(drop).unwrap_err();
        assert_eq!(error.code(), Code::Corrupted, "{table}");
        assert!(error.message().contains("catalog.sqlite"), "{error}");
    }
}

/// Something in every table.
fn fill(catalog: &Catalog) {
    catalog.create_tenant("tenant").unwrap();
    // A fixed UUID, so that two filled catalogs are equal.
    catalog
        .write(|tx| {
            let row =
                DatabaseRow { id: Uuid::from_u128(99), name: "database".into(), tenant: "tenant".into() };
            tenants::insert_database(tx, &row)
        })
        .unwrap();
    let first = CollectionRow { metadata: Some(rich_metadata()), ..collection(1, "first") };
    let second = CollectionRow {
        tenant: "tenant".into(),
        database: "database".into(),
        schema: Some(r#"{"defaults":{},"keys":{}}"#.into()),
        ..collection(2, "second")
    };
    for row in [&first, &second] {
        catalog.create_collection(row).unwrap();
        for seq in 1..=3_u64 {
            let payload: Vec<u8> = (0..300 * seq).map(|i| (i * seq) as u8).collect();
            let keys = [(format!("key{seq}"), ValueKind::Str), ("number".into(), ValueKind::Int)];
            catalog.append(row.id, seq, &payload, Some(4), &keys).unwrap();
        }
    }
    catalog.publish(first.id, &manifest(1, 1)).unwrap();
    // Small, since each byte is flipped.
    let third = collection(3, "third");
    catalog.create_collection(&third).unwrap();
    catalog.append(third.id, 1, b"batch", Some(4), &[]).unwrap();
    let kept = NewVersion { label: Some("kept".into()), created: 5, records: 8, automatic: false };
    catalog.create_version(third.id, &kept).unwrap();
    catalog.fork(third.id, Some(1), Uuid::from_u128(4), "fourth").unwrap();
}

fn filled() -> Catalog {
    let catalog = memory();
    fill(&catalog);
    catalog
}

/// Everything that can be read.
fn dump(catalog: &Catalog) -> Result<String> {
    let mut all = String::new();
    let mut note = |item: &dyn std::fmt::Debug| all.push_str(&format!("{item:?}\n"));
    for tenant in [DEFAULT_TENANT, "tenant"] {
        catalog.tenant(tenant)?;
        for database in catalog.list_databases(tenant, None, 0)? {
            note(&catalog.database(tenant, &database.name)?);
            for row in catalog.list_collections(tenant, &database.name, None, 0)? {
                note(&catalog.collection_by_name(tenant, &database.name, &row.name)?);
                note(&catalog.schema_keys(row.id)?);
                note(&catalog.log_size(row.id)?);
                note(&catalog.fork_count(row.id)?);
                let versions = catalog.versions(row.id)?;
                for version in &versions {
                    // States are random.
                    note(&VersionRow { state: Uuid::nil(), ..version.clone() });
                }
                for state in versions.iter().map(|version| version.state).chain([row.id]) {
                    let mut batches = Vec::new();
                    note(&catalog.manifest_and_log(state, &mut |seq, payload| {
                        batches.push((seq, payload.to_vec()));
                        Ok(())
                    })?);
                    note(&batches);
                }
            }
            note(&catalog.count_collections(tenant, &database.name)?);
        }
    }
    note(&catalog.all_collection_ids()?);
    note(&catalog.all_segment_ids()?.into_iter().collect::<std::collections::BTreeSet<_>>());
    Ok(all)
}

/// The bytes of a small filled catalog. Its pages are the smallest that SQLite has, so that there are few bytes to flip.
fn small_file(dir: &Path) -> Vec<u8> {
    let path = dir.join("small.sqlite");
    let catalog = file(&path).unwrap();
    fill(&catalog);
    catalog.close().unwrap();
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = DELETE; PRAGMA page_size = 512; VACUUM; PRAGMA journal_mode = WAL",
        )
        .unwrap();
    connection.close().unwrap();
    fs::read(&path).unwrap()
}

/// What a damaged file must do: say what the sound one says, or that it is damaged.
fn assert_right_or_corrupted(dir: &Path, bytes: &[u8], sound: &str, what: &str) {
    let path = dir.join("catalog.sqlite");
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(dir.join(format!("catalog.sqlite{suffix}")));
    }
    fs::write(&path, bytes).unwrap();
    match file(&path).and_then(|catalog| dump(&catalog)) {
        Ok(found) => assert_eq!(found, sound, "{what}"),
        Err(error) => {
            assert_eq!(error.code(), Code::Corrupted, "{what}: {error}");
            assert!(error.message().contains("catalog.sqlite"), "{what}: {error}");
        }
    }
}

#[test]
fn every_flipped_byte_is_harmless_or_noticed() {
    let dir = TempDir::new().unwrap();
    let bytes = small_file(dir.path());
    let sound = dump(&filled()).unwrap();
    assert_right_or_corrupted(dir.path(), &bytes, &sound, "sound");
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (place % 8);
        assert_right_or_corrupted(dir.path(), &damaged, &sound, &format!("byte {place}"));
    }
}

#[test]
fn every_truncation_is_noticed() {
    let dir = TempDir::new().unwrap();
    let bytes = small_file(dir.path());
    let sound = dump(&filled()).unwrap();
    for len in (1..bytes.len()).step_by(131) {
        assert_right_or_corrupted(dir.path(), &bytes[..len], &sound, &format!("cut to {len} bytes"));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(u8, Vec<u8>),
    Publish(u8, u8),
    Rename(u8, u8),
    Delete(u8),
    Create(u8),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        (any::<u8>(), 5_000..40_000_usize).prop_map(|(byte, len)| vec![byte; len])
    ];
    prop_oneof![
        4 => (0..4_u8, payload).prop_map(|(c, p)| Step::Append(c, p)),
        2 => (0..4_u8, 0..5_u8).prop_map(|(c, n)| Step::Publish(c, n)),
        1 => (0..4_u8, 0..6_u8).prop_map(|(c, n)| Step::Rename(c, n)),
        1 => (0..4_u8).prop_map(Step::Delete),
        3 => (0..4_u8).prop_map(Step::Create),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Clone, Debug, Default)]
struct Model {
    name: String,
    log: BTreeMap<u64, Vec<u8>>,
    version: u64,
    cut: u64,
    last: u64,
}

fn apply(catalog: &Catalog, model: &mut BTreeMap<u8, Model>, step: &Step) {
    let id = |c: &u8| Uuid::from_u128(u128::from(*c));
    match step {
        Step::Create(c) => {
            let name = format!("name{c}");
            let taken = model.contains_key(c) || model.values().any(|m| m.name == name);
            let created = catalog.create_collection(&collection(u128::from(*c), &name));
            assert_eq!(created.is_err(), taken);
            if !taken {
                model.insert(*c, Model { name, ..Model::default() });
            }
        }
        Step::Append(c, payload) => {
            let seq = model.get(c).map_or(1, |m| m.last + 1);
            let appended = catalog.append(id(c), seq, payload, None, &[]);
            assert_eq!(appended.is_ok(), model.contains_key(c));
            if let Some(m) = model.get_mut(c) {
                m.log.insert(seq, payload.clone());
                m.last = seq;
            }
        }
        Step::Publish(c, ahead) => {
            let Some(m) = model.get_mut(c) else { return };
            m.cut = (m.cut + u64::from(*ahead)).min(m.last);
            m.version += 1;
            m.log.retain(|seq, _| *seq > m.cut);
            catalog.publish(id(c), &manifest(m.version, m.cut)).unwrap();
        }
        Step::Rename(c, n) => {
            let name = format!("name{n}");
            let taken = model.iter().any(|(other, m)| other != c && m.name == name);
            let renamed = catalog.update_collection(id(c), Some(&name), None, None);
            assert_eq!(renamed.is_ok(), model.contains_key(c) && !taken);
            if let (Some(m), false) = (model.get_mut(c), taken) {
                m.name = name;
            }
        }
        Step::Delete(c) => {
            if let Some(m) = model.remove(c) {
                assert_eq!(
                    catalog.delete_collection(DEFAULT_TENANT, DEFAULT_DATABASE, &m.name).unwrap(),
                    id(c)
                );
            }
        }
        Step::Reopen => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn behaves_like_a_map(steps in prop::collection::vec(step(), 1..40)) {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("catalog.sqlite");
        let mut catalog = file(&path).unwrap();
        let mut model = BTreeMap::new();
        for step in &steps {
            if matches!(step, Step::Reopen) {
                catalog.close().unwrap();
                catalog = file(&path).unwrap();
            }
            apply(&catalog, &mut model, step);
            for (c, m) in &model {
                let id = Uuid::from_u128(u128::from(*c));
                prop_assert_eq!(&catalog.collection_by_id(id).unwrap().name, &m.name);
                prop_assert_eq!(catalog.manifest(id).unwrap(), (m.version > 0).then(|| manifest(m.version, m.cut)));
                let log: Vec<_> = m.log.clone().into_iter().collect();
                prop_assert_eq!(log_of(&catalog, id, m.cut).unwrap(), log);
            }
            prop_assert_eq!(catalog.all_collection_ids().unwrap().len(), model.len());
        }
    }
}

#[cfg(unix)]
#[test]
fn a_catalog_that_was_removed_takes_no_more_writes() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("catalog.sqlite");
    let catalog = file(&path).unwrap();
    catalog.create_collection(&collection(1, "before")).unwrap();
    fs::rename(&path, dir.path().join("moved")).unwrap();
    let refused = catalog.create_collection(&collection(2, "after")).unwrap_err();
    assert_eq!(refused.code(), Code::Io);
    assert!(refused.message().contains("was removed, moved or replaced"), "{refused}");
    fs::write(&path, "another file").unwrap();
    assert_eq!(catalog.create_collection(&collection(2, "after")).unwrap_err().code(), Code::Io);
    fs::rename(dir.path().join("moved"), &path).unwrap();
    catalog.create_collection(&collection(2, "after")).unwrap();
}
