//! What every store promises.

use std::io::Write;
use std::sync::Arc;

use ferrochrome_blockstore::{
    BlobStore, Compression, LocalStore, SegmentOptions, SegmentReader, SegmentWriter,
};
use ferrochrome_types::{Code, Record};
use uuid::Uuid;

use crate::samples::{rows, stores, write, writer};

fn put(store: &dyn BlobStore, name: &str, bytes: &[u8]) {
    let mut writer = store.create(name).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap();
}

#[test]
fn a_folder_is_visible_only_when_published() {
    let (_dir, stores) = stores();
    for store in &stores {
        let folder = Uuid::new_v4().to_string();
        let name = format!("{folder}/ids.arrow");
        put(&**store, &name, b"first");
        put(&**store, &name, b"second");
        assert_eq!(store.open(&name).unwrap_err().code(), Code::Corrupted);
        assert_eq!(store.open_staged(&name).unwrap().all().unwrap(), b"second");
        assert!(store.folders().unwrap().is_empty());

        store.publish_folder(&folder).unwrap();
        let blob = store.open(&name).unwrap();
        assert_eq!(blob.all().unwrap(), b"second");
        assert_eq!(store.folders().unwrap(), std::slice::from_ref(&folder));
        assert!(store.open_staged(&name).is_err());
        assert_eq!(store.publish_folder(&folder).unwrap_err().code(), Code::AlreadyExists);

        store.discard_folder(&folder).unwrap();
        store.discard_folder(&folder).unwrap();
        assert!(store.folders().unwrap().is_empty());
        assert_eq!(blob.all().unwrap(), b"second", "an open blob outlives its folder");
    }
}

#[test]
fn leftovers_of_a_crash_are_invisible_and_cleared() {
    let (dir, stores) = stores();
    for store in &stores {
        let kept = write(store, 2, Compression::None, &rows(3, 2));
        let (folder, mut unfinished) = writer(store, 2, Compression::None);
        unfinished.push(&Record { id: "a".into(), ..Record::default() }, &[0.0; 2]).unwrap();
        unfinished.finish_rows().unwrap();
        // As if the process had died: nothing is cleaned up.
        std::mem::forget(unfinished);
        assert_eq!(store.folders().unwrap(), [kept.folder().to_string()]);
        assert!(SegmentReader::open(Arc::clone(store), folder).is_err());
        store.clear_staging().unwrap();
        assert!(store.open_staged(&format!("{folder}/ids.arrow")).is_err());
        kept.verify_all().unwrap();
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing_behind() {
    let (dir, stores) = stores();
    for store in &stores {
        let (_, mut writer) = writer(store, 2, Compression::Lz4);
        writer.push(&Record { id: "a".into(), ..Record::default() }, &[0.0; 2]).unwrap();
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_is_published_once_and_a_second_attempt_does_no_harm() {
    let (_dir, stores) = stores();
    for store in &stores {
        let kept = write(store, 2, Compression::None, &rows(3, 2));
        let options = SegmentOptions { dim: 2, compression: Compression::None };
        let again = SegmentWriter::create(Arc::clone(store), kept.folder(), options).unwrap();
        assert_eq!(again.publish().unwrap_err().code(), Code::AlreadyExists);
        let reopened = SegmentReader::open(Arc::clone(store), kept.folder()).unwrap();
        assert_eq!(reopened.rows(), 3);
        reopened.verify_all().unwrap();
    }
}

#[test]
fn hostile_names_are_refused() {
    let (_dir, stores) = stores();
    let good = Uuid::new_v4().to_string();
    let names = [
        String::new(),
        "/".into(),
        "ids.arrow".into(),
        good.clone(),
        format!("{good}/"),
        format!("{good}/.."),
        format!("{good}/../{good}/ids.arrow"),
        format!("../{good}/ids.arrow"),
        format!("/{good}/ids.arrow"),
        format!("{good}/ids.arrow.crc"),
        format!("{good}/ids.arrow\0"),
        format!("{good}/IDS.ARROW"),
        format!("{good}\\ids.arrow"),
        format!("{good}.staging/ids.arrow"),
        format!("{}/ids.arrow", good.to_uppercase().replace(|c: char| c.is_ascii_digit(), "A")),
        format!("{}/ids.arrow", good.replace('-', "")),
        format!("{{{good}}}/ids.arrow"),
        "../ids.arrow".into(),
        "etc/segment.json".into(),
    ];
    for store in &stores {
        for name in &names {
            assert_eq!(store.create(name).err().map(|e| e.code()), Some(Code::InvalidArgument), "{name:?}");
            assert_eq!(store.open(name).unwrap_err().code(), Code::InvalidArgument, "{name:?}");
            assert_eq!(store.open_staged(name).unwrap_err().code(), Code::InvalidArgument, "{name:?}");
            assert_eq!(store.local_path(name), None);
            assert_eq!(store.staging_path(name).unwrap_err().code(), Code::InvalidArgument, "{name:?}");
        }
        for folder in [
            "",
            ".",
            "..",
            "/",
            "a/b",
            "../x",
            &good.to_uppercase().replace('0', "A"),
            &good.replace('-', ""),
        ] {
            if folder == good {
                continue;
            }
            assert_eq!(store.publish_folder(folder).unwrap_err().code(), Code::InvalidArgument, "{folder:?}");
            assert_eq!(store.discard_folder(folder).unwrap_err().code(), Code::InvalidArgument, "{folder:?}");
        }
    }
}

#[test]
fn a_read_only_store_reads_and_refuses_to_write() {
    let (dir, stores) = stores();
    let written = write(&stores[0], 2, Compression::None, &rows(3, 2));
    let store: Arc<dyn BlobStore> = Arc::new(LocalStore::open(dir.path(), true).unwrap());
    let folder = written.folder().to_string();
    let segment = SegmentReader::open(Arc::clone(&store), written.folder()).unwrap();
    segment.verify_all().unwrap();
    assert_eq!(store.create(&format!("{folder}/ids.arrow")).err().map(|e| e.code()), Some(Code::ReadOnly));
    assert_eq!(store.publish_folder(&folder).unwrap_err().code(), Code::ReadOnly);
    assert_eq!(store.discard_folder(&folder).unwrap_err().code(), Code::ReadOnly);
    assert_eq!(store.clear_staging().unwrap_err().code(), Code::ReadOnly);
    let missing = LocalStore::open(&dir.path().join("missing"), true).unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
}
