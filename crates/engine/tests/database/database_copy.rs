//! Snapshots of a database while it is written to, and restoring one.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use ferrochrome_engine::{
    CheckProgress, Collection, Database, DatabaseOptions, GetRequest, Handle, WriteBatch, WriteKind, restore,
};
use ferrochrome_types::{CancelToken, Code};

use crate::support;

const ROWS: usize = 40;

fn write(collection: &Collection, value: usize) {
    let batch = WriteBatch {
        ids: (0..ROWS).map(|row| format!("row{row}")).collect(),
        embeddings: Some((0..ROWS).flat_map(|row| [row as f32, value as f32]).collect()),
        dim: 2,
        ..WriteBatch::default()
    };
    collection.write(WriteKind::Upsert, batch).unwrap();
}

/// The value that all rows have: a batch is there whole or not at all.
fn value_in(handle: &Handle, name: &str) -> usize {
    let database = handle.database().unwrap();
    let row = database.catalog().collection_by_name("default_tenant", "default_database", name).unwrap();
    let collection = database.collection(row.id).unwrap();
    let result = collection.get(&GetRequest::default(), &CancelToken::default()).unwrap();
    assert_eq!(result.rows.len(), ROWS);
    let values: Vec<f32> = result.rows.iter().map(|row| result.snapshot.vector(*row).unwrap()[1]).collect();
    assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
    values[0] as usize
}

fn open(folder: &Path) -> Handle {
    support::open(folder, support::options(30))
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_copy_is_of_one_moment_while_writes_merges_and_deletions_go_on() {
    let place = tempfile::tempdir().unwrap();
    let handle = open(&place.path().join("live"));
    let collection = support::create(&handle, "busy", "{}");
    let gone = support::create(&handle, "gone", "{}");
    write(&collection, 0);
    write(&gone, 0);
    gone.compact(&CancelToken::default()).unwrap();
    drop(gone);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut value = 0;
            while !stop.load(Ordering::Relaxed) {
                value += 1;
                write(&collection, value);
                if value.is_multiple_of(3) {
                    collection.compact(&CancelToken::default()).unwrap();
                }
            }
        });
        for number in 0..4 {
            let target = place.path().join(format!("copy{number}"));
            let mut copy = handle.database().unwrap().copy_to(&target).unwrap();
            copy.step().unwrap();
            if number == 0 {
                // What the copy names is kept until it is made.
                let database = handle.database().unwrap();
                database.delete_collection("default_tenant", "default_database", "gone").unwrap();
            }
            collection.compact(&CancelToken::default()).unwrap();
            assert!(!target.exists(), "the target appears whole");
            let progress = copy.finish().unwrap();
            assert_eq!(progress.segments, progress.total);
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    });
    let mut last = 0;
    for number in 0..4 {
        let copied = open(&place.path().join(format!("copy{number}")));
        let value = value_in(&copied, "busy");
        assert!(value >= last);
        last = value;
        if number == 0 {
            assert_eq!(value_in(&copied, "gone"), 0);
        }
        // A database like any other: it can be written to without the first noticing.
        let before = value_in(&handle, "busy");
        let database = copied.database().unwrap();
        let row =
            database.catalog().collection_by_name("default_tenant", "default_database", "busy").unwrap();
        write(&database.collection(row.id).unwrap(), 9_999);
        database.collection(row.id).unwrap().compact(&CancelToken::default()).unwrap();
        assert_eq!(value_in(&handle, "busy"), before);
        copied.close().unwrap();
    }
    // Files that were held back are gone.
    collection.compact(&CancelToken::default()).unwrap();
    assert_eq!(names_in(&place.path().join("live/segments")).len(), 1);
}

#[test]
fn a_copy_that_is_given_up_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let handle = open(&place.path().join("live"));
    let collection = support::create(&handle, "notes", "{}");
    write(&collection, 1);
    collection.compact(&CancelToken::default()).unwrap();
    let target = place.path().join("copy");
    let mut copy = handle.database().unwrap().copy_to(&target).unwrap();
    copy.step().unwrap();
    drop(copy);
    assert_eq!(names_in(place.path()), ["live"]);
}

#[test]
fn a_target_with_something_in_it_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let handle = open(&place.path().join("live"));
    write(&support::create(&handle, "notes", "{}"), 1);
    let database = handle.database().unwrap();
    let full = place.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("mine"), "").unwrap();
    assert_eq!(database.copy_to(&full).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(database.copy_to(&full.join("mine")).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(database.copy_to(&place.path().join("live")).unwrap_err().code(), Code::InvalidArgument);
    let empty = place.path().join("deep/down/empty");
    fs::create_dir_all(&empty).unwrap();
    database.copy_to(&empty).unwrap().finish().unwrap();
    assert_eq!(value_in(&open(&empty), "notes"), 1);
}

#[test]
fn a_database_in_memory_is_written_to_files() {
    let place = tempfile::tempdir().unwrap();
    let handle = Database::open(None, support::options(30)).unwrap();
    let collection = support::create(&handle, "notes", "{}");
    write(&collection, 3);
    collection.compact(&CancelToken::default()).unwrap();
    collection.create_version(None).unwrap();
    let target = place.path().join("copy");
    handle.database().unwrap().copy_to(&target).unwrap().finish().unwrap();
    let copied = open(&target);
    assert_eq!(value_in(&copied, "notes"), 3);
    let database = copied.database().unwrap();
    assert_eq!(database.collection(collection.id()).unwrap().versions().unwrap().len(), 1);
    assert!(database.check(&CheckProgress::default()).unwrap().ok);
}

#[test]
fn a_snapshot_is_restored_beside_or_in_place_of_a_closed_database() {
    let place = tempfile::tempdir().unwrap();
    let (live, snapshot) = (place.path().join("live"), place.path().join("snapshot"));
    let handle = open(&live);
    let collection = support::create(&handle, "notes", "{}");
    write(&collection, 1);
    collection.compact(&CancelToken::default()).unwrap();
    handle.database().unwrap().copy_to(&snapshot).unwrap().finish().unwrap();
    write(&collection, 2);

    let beside = place.path().join("beside");
    restore(&snapshot, &beside, false).unwrap().finish().unwrap();
    assert_eq!(value_in(&open(&beside), "notes"), 1);
    assert_eq!(restore(&snapshot, &live, false).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(restore(&snapshot, &live, true).unwrap_err().code(), Code::Locked);
    assert_eq!(value_in(&handle, "notes"), 2);
    drop(collection);
    handle.close().unwrap();
    restore(&snapshot, &live, true).unwrap().finish().unwrap();
    assert_eq!(value_in(&open(&live), "notes"), 1);
    assert_eq!(value_in(&open(&snapshot), "notes"), 1);
    let nothing = restore(&place.path().join("nothing"), &place.path().join("x"), false).unwrap_err();
    assert_eq!(nothing.code(), Code::NotFound);
    let mut names = names_in(place.path());
    names.sort();
    assert_eq!(names, ["beside", "live", "snapshot"]);
}

#[test]
fn damage_in_a_snapshot_is_found_and_the_target_stays_as_it_was() {
    let place = tempfile::tempdir().unwrap();
    let (live, snapshot) = (place.path().join("live"), place.path().join("snapshot"));
    let handle = open(&live);
    let collection = support::create(&handle, "notes", "{}");
    write(&collection, 1);
    collection.compact(&CancelToken::default()).unwrap();
    handle.database().unwrap().copy_to(&snapshot).unwrap().finish().unwrap();
    handle.close().unwrap();
    let segment = snapshot.join("segments").join(&names_in(&snapshot.join("segments"))[0]);
    let file = segment.join("vectors.arrow");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    // Not through the name that the snapshot shares with the database.
    fs::remove_file(&file).unwrap();
    fs::write(&file, bytes).unwrap();
    let error = restore(&snapshot, &live, true).unwrap().finish().unwrap_err();
    assert_eq!(error.code(), Code::Corrupted);
    assert!(error.message().contains("vectors.arrow"), "{error}");
    assert_eq!(value_in(&open(&live), "notes"), 1);
    fs::remove_dir_all(&segment).unwrap();
    let error = restore(&snapshot, &place.path().join("beside"), false).unwrap().finish().unwrap_err();
    assert_eq!(error.code(), Code::Corrupted);
    assert!(!place.path().join("beside").exists());
}

#[test]
fn a_reader_beside_the_writer_can_copy_too() {
    let place = tempfile::tempdir().unwrap();
    let handle = open(&place.path().join("live"));
    write(&support::create(&handle, "notes", "{}"), 5);
    let mut options = DatabaseOptions::default();
    options.read_only = true;
    let reader = Database::open(Some(&place.path().join("live")), options).unwrap();
    reader.database().unwrap().copy_to(&place.path().join("copy")).unwrap().finish().unwrap();
    assert_eq!(value_in(&open(&place.path().join("copy")), "notes"), 5);
}

/// A snapshot with the value 1 beside a closed database with the value 2, which lies as a restore leaves it that is killed when it
/// has moved the database aside.
fn interrupted_restore(place: &Path) -> std::path::PathBuf {
    let (live, snapshot) = (place.join("live"), place.join("snapshot"));
    let handle = open(&live);
    let collection = support::create(&handle, "notes", "{}");
    write(&collection, 1);
    handle.database().unwrap().copy_to(&snapshot).unwrap().finish().unwrap();
    write(&collection, 2);
    drop(collection);
    handle.close().unwrap();
    fs::rename(&live, place.join(format!("live.{}.replaced", uuid::Uuid::new_v4()))).unwrap();
    live
}

#[test]
fn a_restore_that_was_killed_between_its_two_renames_is_undone_by_the_next_opening() {
    let place = tempfile::tempdir().unwrap();
    let live = interrupted_restore(place.path());
    let mut reader = support::options(30);
    reader.read_only = true;
    let error = Database::open(Some(&live), reader).unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.message().contains("open it once to write"), "{error}");
    // An empty folder in its place is no obstacle.
    fs::create_dir(&live).unwrap();
    assert_eq!(value_in(&open(&live), "notes"), 2);
    let mut names = names_in(place.path());
    names.sort();
    assert_eq!(names, ["live", "snapshot"]);
}

#[test]
fn a_second_restore_does_not_forget_the_database_that_an_interrupted_one_moved_aside() {
    let place = tempfile::tempdir().unwrap();
    let live = interrupted_restore(place.path());
    let snapshot = place.path().join("snapshot");
    assert_eq!(restore(&snapshot, &live, false).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(value_in(&open(&live), "notes"), 2);
    fs::rename(&live, place.path().join(format!("live.{}.replaced", uuid::Uuid::new_v4()))).unwrap();
    restore(&snapshot, &live, true).unwrap().finish().unwrap();
    assert_eq!(value_in(&open(&live), "notes"), 1);
    assert_eq!(names_in(place.path()).len(), 2);
}

/// One that was stopped before it removed them. Beside two, nobody could tell which to put back.
#[test]
fn a_restore_removes_what_an_earlier_one_left_of_the_database_it_replaced() {
    let place = tempfile::tempdir().unwrap();
    let live = interrupted_restore(place.path());
    assert_eq!(value_in(&open(&live), "notes"), 2);
    let left = place.path().join(format!("live.{}.replaced", uuid::Uuid::new_v4()));
    fs::create_dir(&left).unwrap();
    fs::write(left.join("LOCK"), "").unwrap();
    restore(&place.path().join("snapshot"), &live, true).unwrap().finish().unwrap();
    assert_eq!(value_in(&open(&live), "notes"), 1);
    assert_eq!(names_in(place.path()).len(), 2);
}

#[test]
fn a_copy_that_was_cut_off_is_no_database() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join(format!("copy.{}.incomplete", uuid::Uuid::new_v4()));
    fs::create_dir(&folder).unwrap();
    let error = Database::open(Some(&folder), support::options(30)).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("cut off"), "{error}");
}
