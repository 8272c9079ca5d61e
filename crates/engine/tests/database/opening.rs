//! What `Database::open` accepts and what it refuses, and who shares what.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use ferrochrome_engine::{Database, GetRequest, WriteBatch, WriteKind};
use ferrochrome_types::{CancelToken, Code};

use crate::support::{create, open, options};

fn refusal(path: &Path, read_only: bool) -> (Code, String) {
    let mut options = options(100);
    options.read_only = read_only;
    let error = Database::open(Some(path), options).unwrap_err();
    (error.code(), error.message().to_owned())
}

fn one(id: &str) -> WriteBatch {
    WriteBatch { ids: vec![id.to_owned()], embeddings: Some(vec![1.0, 2.0]), dim: 2, ..WriteBatch::default() }
}

#[test]
fn a_folder_of_something_else_is_refused_and_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "text").unwrap();
    let (code, message) = refusal(&path, false);
    assert!(code == Code::InvalidArgument && message.contains("is a file"), "{message}");
    let (code, message) = refusal(folder.path(), false);
    assert!(code == Code::InvalidArgument && message.contains("other files (file)"), "{message}");
    fs::rename(&path, folder.path().join("chroma.sqlite3")).unwrap();
    let (code, message) = refusal(folder.path(), false);
    assert!(code == Code::InvalidArgument && message.contains("Chroma's own server"), "{message}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let (code, _) = refusal(&folder.path().join("nothing"), true);
    assert_eq!(code, Code::NotFound);
}

#[test]
fn a_lost_catalog_is_not_taken_for_a_new_database() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), options(100)).close().unwrap();
    let catalog = folder.path().join("catalog.sqlite");
    for lose in [|path: &Path| fs::write(path, "").unwrap(), |path: &Path| fs::remove_file(path).unwrap()] {
        lose(&catalog);
        let (code, message) = refusal(folder.path(), false);
        assert!(code == Code::Corrupted && message.contains("catalog.sqlite"), "{message}");
    }
}

#[test]
fn an_interrupted_first_opening_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("LOCK"), "").unwrap();
    fs::write(folder.path().join("catalog.sqlite"), "").unwrap();
    open(folder.path(), options(100)).close().unwrap();
}

#[test]
fn clients_of_one_process_share_one_database() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path(), options(100));
    let second = open(&folder.path().join("."), options(100));
    assert!(Arc::ptr_eq(first.database().unwrap(), second.database().unwrap()));
    let collection = create(&first, "shared", "{}");
    first.close().unwrap();
    assert_eq!(first.database().unwrap_err().code(), Code::Closed);
    collection.write(WriteKind::Add, one("still open")).unwrap();
    second.close().unwrap();
    assert_eq!(collection.write(WriteKind::Add, one("closed")).unwrap_err().code(), Code::Closed);
}

#[test]
fn a_reader_beside_the_writer_sees_what_was_published_when_it_opened() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(folder.path(), options(100));
    let collection = create(&writer, "watched", "{}");
    collection.write(WriteKind::Add, one("sealed")).unwrap();
    collection.compact(&CancelToken::default()).unwrap();
    collection.write(WriteKind::Add, one("in the log")).unwrap();
    let mut read_only = options(100);
    read_only.read_only = true;
    let reader = open(folder.path(), read_only);
    let seen = reader.database().unwrap().collection(collection.id()).unwrap();
    collection.write(WriteKind::Add, one("later")).unwrap();
    collection.compact(&CancelToken::default()).unwrap();
    writer.close().unwrap();
    let result = seen.get(&GetRequest::default(), &CancelToken::default()).unwrap();
    let ids: Vec<_> = result.rows.iter().map(|row| result.snapshot.id(*row).unwrap()).collect();
    assert_eq!(ids, ["sealed", "in the log"]);
    assert_eq!(seen.write(WriteKind::Add, one("refused")).unwrap_err().code(), Code::ReadOnly);
    reader.close().unwrap();
}

#[test]
fn segments_without_their_catalog_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let handle = open(folder.path(), options(100));
    let collection = create(&handle, "orphaned", "{}");
    collection.write(WriteKind::Add, one("a")).unwrap();
    collection.compact(&CancelToken::default()).unwrap();
    handle.close().unwrap();
    fs::remove_file(folder.path().join("catalog.sqlite")).unwrap();
    fs::remove_file(folder.path().join("LOCK")).unwrap();
    let (code, _) = refusal(folder.path(), false);
    assert_eq!(code, Code::Corrupted);
    assert_eq!(fs::read_dir(folder.path().join("segments")).unwrap().count(), 1);
}

fn folders_in(folder: &Path) -> usize {
    fs::read_dir(folder.join("segments")).unwrap().count()
}

#[test]
fn what_is_deleted_leaves_no_files_even_if_it_was_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let fill = |names: &[&str]| {
        let handle = open(folder.path(), options(100));
        for name in names {
            let collection = create(&handle, name, "{}");
            collection.write(WriteKind::Add, one("a")).unwrap();
            collection.compact(&CancelToken::default()).unwrap();
        }
        handle.close().unwrap();
    };
    fill(&["first", "second", "third"]);
    assert_eq!(folders_in(folder.path()), 3);
    let handle = open(folder.path(), options(100));
    let database = handle.database().unwrap();
    database.delete_collection("default_tenant", "default_database", "first").unwrap();
    assert_eq!(folders_in(folder.path()), 2);
    let second =
        database.catalog().collection_by_name("default_tenant", "default_database", "second").unwrap();
    let held = database.collection(second.id).unwrap();
    database.reset().unwrap();
    assert_eq!(held.count().unwrap_err().code(), Code::NotFound);
    assert_eq!(folders_in(folder.path()), 0);
    handle.close().unwrap();
    fill(&["fourth"]);
    let handle = open(folder.path(), options(100));
    handle.database().unwrap().delete_database("default_tenant", "default_database").unwrap();
    assert_eq!(folders_in(folder.path()), 0);
    handle.close().unwrap();
}
