//! Checking and repairing databases whose files were damaged one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ferrochrome_engine::{
    CheckProgress, CheckReport, Collection, DeleteRequest, GetRequest, Handle, QueryRequest, RepairOptions,
    RepairReport, WriteBatch, WriteKind, check_folder, repair_folder,
};
use ferrochrome_types::{CancelToken, Code, Result, Value};

use crate::support::{create, open, options};

const DIM: usize = 5;

/// What a record should be: its vector and its document.
type Model = BTreeMap<String, (Vec<f32>, String)>;

/// What is done to a folder or a file.
type Harm<'a> = dyn Fn(&Path) + 'a;

fn vector(i: usize) -> Vec<f32> {
    (0..DIM).map(|d| ((i * 31 + d * 17) % 97) as f32 + (i as f32) / 1000.0).collect()
}

fn write(collection: &Collection, ids: &[usize], version: usize, model: &mut Model) {
    let text = |i: &usize| format!("document {i} of version {version}, which says somewhat more than needed");
    let batch = WriteBatch {
        ids: ids.iter().map(|i| format!("id{i}")).collect(),
        embeddings: Some(ids.iter().flat_map(|i| vector(i + version)).collect()),
        dim: DIM,
        documents: Some(ids.iter().map(|i| Some(text(i))).collect()),
        metadatas: Some(
            ids.iter()
                .map(|i| {
                    let value = |value| Some(Value::Int(value as i64));
                    Some(BTreeMap::from([
                        ("n".to_owned(), value(*i)),
                        ("version".to_owned(), value(version)),
                    ]))
                })
                .collect(),
        ),
        ..WriteBatch::default()
    };
    collection.write(WriteKind::Upsert, batch).unwrap();
    for i in ids {
        model.insert(format!("id{i}"), (vector(i + version), text(i)));
    }
}

/// Waits until the head is a segment.
fn settle(collection: &Collection) {
    for _ in 0..2_000 {
        if collection.indexing_status().unwrap().unindexed == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the head was not sealed");
}

/// A database of several segments with tombstones, of one collection without a segment, and a head in the log.
fn build(folder: &Path) -> Model {
    let mut model = Model::new();
    let handle = open(folder, options(40));
    let notes = create(&handle, "notes", r#"{"hnsw":{"space":"l2"}}"#);
    write(&notes, &(0..2_100).collect::<Vec<_>>(), 0, &mut model);
    settle(&notes);
    write(&notes, &(50..150).collect::<Vec<_>>(), 1, &mut model);
    settle(&notes);
    write(&notes, &(2_200..2_300).collect::<Vec<_>>(), 2, &mut model);
    settle(&notes);
    let gone: Vec<String> = (10..20).map(|i| format!("id{i}")).collect();
    gone.iter().for_each(|id| _ = model.remove(id));
    notes
        .delete(&DeleteRequest { ids: Some(gone.into_iter().collect()), ..DeleteRequest::default() })
        .unwrap();
    write(&notes, &[3_000, 3_001, 5], 3, &mut model);
    write(&notes, &[3_002], 3, &mut model);
    create(&handle, "empty", "{}");
    handle.close().unwrap();
    model
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy_tree(&path, &target) } else { _ = fs::copy(&path, &target).unwrap() }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Every file with its bytes, but for what SQLite keeps beside a catalog that was read.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let is_ours = |file: &PathBuf| {
        !file.to_string_lossy().ends_with("-shm") && !file.to_string_lossy().ends_with("-wal")
    };
    files(folder).into_iter().filter(is_ours).map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

fn check(folder: &Path) -> Result<CheckReport> {
    check_folder(folder, &CheckProgress::default())
}

fn repair(folder: &Path, dry_run: bool) -> RepairReport {
    let options = RepairOptions { dry_run, threads: 1 };
    repair_folder(folder, &options, &CheckProgress::default()).unwrap()
}

/// All records of the collection, by id.
fn read(handle: &Handle, name: &str) -> Model {
    let database = handle.database().unwrap();
    let row = database.catalog().collection_by_name("default_tenant", "default_database", name).unwrap();
    read_all(&database.collection(row.id).unwrap())
}

fn read_all(collection: &Collection) -> Model {
    let result = collection.get(&GetRequest::default(), &CancelToken::default()).unwrap();
    let text = |row| result.snapshot.document(row).unwrap().unwrap().to_owned();
    let vector = |row| result.snapshot.vector(row).unwrap().to_vec();
    let record = |row| (result.snapshot.id(row).unwrap().to_owned(), (vector(row), text(row)));
    let all: Model = result.rows.iter().map(|row| record(*row)).collect();
    assert_eq!(all.len(), result.rows.len(), "an id is there twice");
    // Some of them find themselves.
    for (id, (vector, _)) in all.iter().step_by(all.len() / 7 + 1) {
        let request = QueryRequest { embeddings: vector.clone(), dim: DIM, k: 1, ..QueryRequest::default() };
        let found = collection.query(request, &CancelToken::default()).unwrap();
        assert_eq!(found.queries[0][0].1, 0.0, "{id} is not its own nearest neighbour");
    }
    all
}

/// What a repair lost, as its report has it.
fn lost(report: &RepairReport) -> (u64, BTreeSet<String>) {
    let segments = report.collections.iter().flat_map(|collection| &collection.segments);
    let ids = segments.clone().flat_map(|segment| segment.lost_ids.iter().cloned()).collect();
    (segments.map(|segment| segment.lost).sum(), ids)
}

/// Repairs what was harmed, and compares it with the model.
fn judge(folder: &Path, model: &Model, what: &str) -> RepairReport {
    let before = content(folder);
    let dry = repair(folder, true);
    assert_eq!(content(folder), before, "{what}: a dry run changed something");
    let report = repair(folder, false);
    assert_eq!(dry.damaged, report.damaged, "{what}");
    assert_eq!(lost(&dry), lost(&report), "{what}: the dry run said something else");
    let after = check(folder).unwrap();
    assert!(after.ok, "{what}: {after:?}");
    if report.damaged && before.contains_key(&folder.join("catalog.sqlite")) {
        assert!(report.quarantine.is_some(), "{what}: {report:?}");
    }
    let again = repair(folder, false);
    assert!(!again.damaged && again.quarantine.is_none(), "{what}: {again:?}");
    let kept: BTreeSet<Vec<u8>> = content(folder).into_values().collect();
    for (file, bytes) in before {
        let name = file.file_name().unwrap().to_string_lossy();
        let is_evidence = name != "LOCK" && name != "catalog.sqlite";
        assert!(!is_evidence || kept.contains(&bytes), "{what}: {} is gone", file.display());
    }
    let handle = open(folder, options(40));
    let found = read(&handle, "notes");
    handle.close().unwrap();
    let (count, ids) = lost(&report);
    let adopted = report.collections.iter().any(|collection| collection.adopted);
    let batches = report.collections.iter().any(|collection| !collection.lost_batches.is_empty());
    for (id, record) in &found {
        if !adopted && !batches {
            assert_eq!(model.get(id), Some(record), "{what}: {id} is wrong");
        }
    }
    if report.catalog.is_empty() {
        let missing: Vec<&String> = model.keys().filter(|id| !found.contains_key(*id)).collect();
        assert!(missing.len() as u64 <= count, "{what}: {} are missing, {count} lost", missing.len());
        if !ids.is_empty() && ids.len() as u64 == count {
            assert!(missing.iter().all(|id| ids.contains(*id)), "{what}: {missing:?} of {ids:?}");
        }
    }
    report
}

fn harmed(source: &Path, harm: impl FnOnce(&Path)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_tree(source, folder.path());
    harm(folder.path());
    folder
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 0x55;
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_sound_database_is_found_sound_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let model = build(folder.path());
    let report = check(folder.path()).unwrap();
    assert!(report.ok && report.garbage.is_empty(), "{report:?}");
    let notes = report.collections.iter().find(|collection| collection.name == "notes").unwrap();
    assert!(notes.segments.len() >= 3 && notes.log_batches > 0, "{notes:?}");
    assert!(notes.segments.iter().any(|segment| segment.tombstones > 0));
    let before = content(folder.path());
    let report = repair(folder.path(), false);
    assert!(!report.damaged && report.quarantine.is_none(), "{report:?}");
    assert_eq!(content(folder.path()), before);
    let handle = open(folder.path(), options(40));
    assert_eq!(read(&handle, "notes"), model);
    let options = RepairOptions::default();
    let error = repair_folder(folder.path(), &options, &CheckProgress::default()).unwrap_err();
    assert_eq!(error.code(), Code::Locked);
    // In memory there are no files, but the same parts.
    assert!(handle.database().unwrap().check(&CheckProgress::default()).unwrap().ok);
    handle.close().unwrap();
}

#[test]
fn every_file_of_a_segment_may_be_damaged_cut_or_missing() {
    let source = tempfile::tempdir().unwrap();
    let model = build(source.path());
    let segments: Vec<PathBuf> = files(&source.path().join("segments"));
    let size = |folder: &Path| fs::metadata(folder.join("vectors.arrow")).unwrap().len();
    let folders: BTreeSet<&Path> = segments.iter().map(|file| file.parent().unwrap()).collect();
    assert!(folders.len() >= 3);
    // One that has an index, and one that has not.
    let largest = *folders.iter().max_by_key(|folder| size(folder)).unwrap();
    let smallest = *folders.iter().min_by_key(|folder| size(folder)).unwrap();
    for file in segments.iter().filter(|file| file.starts_with(largest) || file.starts_with(smallest)) {
        let relative = file.strip_prefix(source.path()).unwrap();
        let name = relative.display().to_string();
        let length = fs::metadata(file).unwrap().len() as usize;
        let is_data = name.ends_with("records.arrow") || name.ends_with("vectors.arrow");
        // The first and last blocks hold the file's structure.
        let places = [0, 700, length / 2, length - 1];
        for at in if file.starts_with(smallest) { &places[..] } else { &places[2..3] } {
            let at = (*at).min(length - 1);
            let folder = harmed(source.path(), |copy| flip(&copy.join(relative), at));
            let found = check(folder.path()).unwrap();
            assert!(!found.ok, "{name} at {at}: the check found nothing");
            let report = judge(folder.path(), &model, &format!("{name} with byte {at} of {length} flipped"));
            if !is_data {
                assert_eq!(lost(&report).0, 0, "{name} at {at} is derived");
            }
        }
        let harms: [(&str, &Harm<'_>); 2] = [
            ("cut", &|path| {
                fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length as u64 / 2).unwrap()
            }),
            ("missing", &|path| fs::remove_file(path).unwrap()),
        ];
        for (what, harm) in harms {
            let folder = harmed(source.path(), |copy| harm(&copy.join(relative)));
            assert!(!check(folder.path()).unwrap().ok, "{name} {what}");
            let report = judge(folder.path(), &model, &format!("{name} {what}"));
            if !is_data {
                assert_eq!(lost(&report).0, 0, "{name} {what} is derived");
            }
        }
    }
}

#[test]
fn one_block_takes_its_own_rows_only() {
    let source = tempfile::tempdir().unwrap();
    let model = build(source.path());
    let largest = |kind: &str| {
        let of_kind = files(source.path()).into_iter().filter(|file| file.ends_with(kind));
        of_kind.max_by_key(|file| fs::metadata(file).unwrap().len()).unwrap()
    };
    // What blocks of records cost is tested where they are read.
    let file = largest("vectors.arrow");
    let most = 4096 / (DIM as u64 * 4) + 2;
    let length = fs::metadata(&file).unwrap().len() as usize;
    for at in (0..length).step_by(2 * 4096) {
        let relative = file.strip_prefix(source.path()).unwrap();
        let folder = harmed(source.path(), |copy| flip(&copy.join(relative), at + 100.min(length - at - 1)));
        let report = judge(folder.path(), &model, &format!("vectors with block {} damaged", at / 4096));
        let (count, _) = lost(&report);
        assert!(count <= most, "block {} took {count} rows", at / 4096);
    }
}

#[test]
fn a_lost_catalog_is_made_of_what_segments_tell() {
    let source = tempfile::tempdir().unwrap();
    let model = build(source.path());
    let lose: [(&str, &Harm<'_>); 3] = [
        ("missing", &|folder| fs::remove_file(folder.join("catalog.sqlite")).unwrap()),
        ("empty", &|folder| fs::write(folder.join("catalog.sqlite"), "").unwrap()),
        ("of something else", &|folder| fs::write(folder.join("catalog.sqlite"), [7; 20_000]).unwrap()),
    ];
    for (what, lose) in lose {
        let folder = harmed(source.path(), lose);
        assert!(!check(folder.path()).unwrap().ok);
        let report = judge(folder.path(), &model, &format!("the catalog is {what}"));
        assert!(report.collections[0].adopted && report.collections[0].name == "notes", "{report:?}");
        let handle = open(folder.path(), options(40));
        let found = read(&handle, "notes");
        // What was in the log is lost, and so are the deletions that no segment knows of; all else is there.
        for (id, record) in &model {
            if !record.1.contains("version 3") {
                assert_eq!(found.get(id), Some(record), "{what}: {id}");
            }
        }
        handle.close().unwrap();
    }
}

#[test]
fn a_damaged_catalog_is_written_anew() {
    let source = tempfile::tempdir().unwrap();
    let model = build(source.path());
    let length = fs::metadata(source.path().join("catalog.sqlite")).unwrap().len() as usize;
    let mut whole = 0;
    let mut tried = 0;
    for at in (0..length).step_by(3_581) {
        let folder = harmed(source.path(), |copy| flip(&copy.join("catalog.sqlite"), at));
        // A flip in free space, or where SQLite corrects it, is no damage.
        let was_sound = check(folder.path()).unwrap().ok;
        let report =
            judge(folder.path(), &model, &format!("catalog.sqlite with byte {at} of {length} flipped"));
        assert_eq!(report.damaged, !was_sound, "byte {at}");
        let handle = open(folder.path(), options(40));
        tried += 1;
        whole += usize::from(read(&handle, "notes") == model);
        handle.close().unwrap();
    }
    assert!(whole * 3 > tried, "only {whole} of {tried} damaged catalogs were repaired without loss");
}

#[test]
fn versions_and_forks_outlive_a_damaged_catalog() {
    let source = tempfile::tempdir().unwrap();
    let mut model = build(source.path());
    let handle = open(source.path(), options(40));
    let database = handle.database().unwrap();
    let row = database.catalog().collection_by_name("default_tenant", "default_database", "notes").unwrap();
    let notes = database.collection(row.id).unwrap();
    let labelled = model.clone();
    let version = notes.create_version(Some("monday".to_owned())).unwrap().version;
    database.fork_collection(row.id, None, "fork").unwrap();
    // The segments of the version are no longer those of the collection, and it has batches in the log.
    write(&notes, &(0..60).collect::<Vec<_>>(), 4, &mut model);
    notes.compact(&CancelToken::default()).unwrap();
    handle.close().unwrap();

    let length = fs::metadata(source.path().join("catalog.sqlite")).unwrap().len() as usize;
    let (mut salvaged, mut kept, mut forks) = (0, 0, 0);
    // The head of each page, and its last cell.
    for at in (0..length).step_by(4_096).flat_map(|page| [page + 1, page + 4_080]) {
        let folder = harmed(source.path(), |copy| flip(&copy.join("catalog.sqlite"), at));
        let report = repair(folder.path(), false);
        salvaged += usize::from(report.damaged);
        assert!(check(folder.path()).unwrap().ok, "byte {at}: {report:?}");
        let handle = open(folder.path(), options(40));
        let database = handle.database().unwrap();
        let note = format!("version {version} ");
        let ended = report.collections.iter().any(|c| c.notes.iter().any(|found| found.starts_with(&note)));
        let found = database.catalog().collection_by_name("default_tenant", "default_database", "notes");
        if let Ok(row) = found {
            let versions = database.catalog().versions(row.id).unwrap();
            if let [one] = versions.as_slice() {
                assert!(one.version == version && one.label.as_deref() == Some("monday") && !ended);
                let old = database.collection_version(row.id, version).unwrap();
                assert_eq!(read_all(&old), labelled, "byte {at}");
                kept += 1;
            }
            forks += database.catalog().fork_count(row.id).unwrap();
        }
        handle.close().unwrap();
    }
    assert!(salvaged > 10, "{salvaged} catalogs were damaged");
    assert!(kept * 3 > salvaged * 2 && forks as usize * 3 > salvaged * 2, "{kept} and {forks} of {salvaged}");
}

#[test]
fn segments_that_are_newer_than_the_catalog_are_found() {
    // As if the write-ahead log had been lost: the manifest names segments that a merge has replaced.
    let folder = tempfile::tempdir().unwrap();
    let model = build(folder.path());
    let old = fs::read(folder.path().join("catalog.sqlite")).unwrap();
    let handle = open(folder.path(), options(40));
    let row = handle.database().unwrap().catalog();
    let id = row.collection_by_name("default_tenant", "default_database", "notes").unwrap().id;
    handle.database().unwrap().collection(id).unwrap().compact(&CancelToken::default()).unwrap();
    handle.close().unwrap();
    fs::write(folder.path().join("catalog.sqlite"), old).unwrap();
    let found = check(folder.path()).unwrap();
    assert!(!found.ok && found.garbage.len() == 1, "{found:?}");
    // Opening it does not take the only copy for garbage.
    open(folder.path(), options(40)).close().unwrap();
    assert_eq!(check(folder.path()).unwrap().garbage.len(), 1);
    let report = judge(folder.path(), &model, "an old catalog");
    assert!(report.collections[0].adopted, "{report:?}");
    let handle = open(folder.path(), options(40));
    assert_eq!(read(&handle, "notes"), model);
    handle.close().unwrap();
}

#[test]
fn a_damaged_batch_of_the_log_is_put_aside_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = build(folder.path());
    let path = folder.path().join("catalog.sqlite");
    let mut bytes = fs::read(&path).unwrap();
    let needle = b"document 3001 of version 3";
    let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    let report = judge(folder.path(), &model, "a batch is damaged");
    let notes = &report.collections[0];
    assert!(notes.lost_batches.len() == 1 && notes.lost_batches[0].quarantined, "{report:?}");
    assert!(report.quarantined.iter().any(|file| file.starts_with("log-")), "{report:?}");
    let handle = open(folder.path(), options(40));
    let found = read(&handle, "notes");
    assert!(!found.contains_key("id3000") && found.contains_key("id3002") && found["id5"] != model["id5"]);
    handle.close().unwrap();
}

#[test]
fn an_interrupted_exchange_of_the_catalog_is_finished() {
    let source = tempfile::tempdir().unwrap();
    let model = build(source.path());
    let folder = harmed(source.path(), |copy| {
        fs::rename(copy.join("catalog.sqlite"), copy.join("catalog.sqlite.repaired")).unwrap();
        fs::write(copy.join("catalog.sqlite"), [1; 9000]).unwrap();
        fs::write(copy.join("catalog.sqlite-wal"), "an old log").unwrap();
    });
    let error = ferrochrome_engine::Database::open(Some(folder.path()), options(40)).unwrap_err();
    assert!(error.message().contains("repair was interrupted"), "{error}");
    let report = repair(folder.path(), false);
    assert!(!report.damaged, "{report:?}");
    let handle = open(folder.path(), options(40));
    assert_eq!(read(&handle, "notes"), model);
    handle.close().unwrap();
}

#[test]
fn what_is_no_database_is_refused_and_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let error =
        repair_folder(folder.path(), &RepairOptions::default(), &CheckProgress::default()).unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert_eq!(check(folder.path()).unwrap_err().code(), Code::NotFound);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
