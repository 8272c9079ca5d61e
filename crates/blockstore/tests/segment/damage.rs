//! Damaged files: right answers or `Corrupted`, nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferrochrome_blockstore::{BlobStore, Compression, LocalStore, SegmentReader, hash_id};
use ferrochrome_types::{Code, Error, IndexBuffers};
use tempfile::TempDir;
use uuid::Uuid;

use crate::samples::{COMPRESSIONS, Row, rows, writer};

struct Sample {
    dir: TempDir,
    store: Arc<dyn BlobStore>,
    folder: Uuid,
    rows: Vec<Row>,
    index: Vec<u8>,
}

impl Sample {
    fn new(compression: Compression) -> Self {
        let dir = TempDir::new().unwrap();
        let store: Arc<dyn BlobStore> = Arc::new(LocalStore::open(dir.path(), false).unwrap());
        let rows = rows(7, 3);
        let index: Vec<u8> = (0..200).collect();
        let (folder, mut writer) = writer(&store, 3, compression);
        for (record, vector) in &rows {
            writer.push(record, vector).unwrap();
        }
        writer.write_index("parameters", &[("codes", &index), ("links", b"links")]).unwrap();
        writer.add_bytes("lookup.sqlite", b"a database").unwrap();
        writer.publish().unwrap();
        Sample { dir, store, folder, rows, index }
    }

    fn files(&self) -> Vec<PathBuf> {
        let dir = self.dir.path().join(self.folder.to_string());
        let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert_eq!(files.len(), 11, "six files and five sidecars");
        files
    }

    /// Uses everything. Answers are right or errors are `Corrupted`; returns the errors.
    fn exercise(&self) -> Vec<Error> {
        let mut errors = Vec::new();
        let segment = match SegmentReader::open(Arc::clone(&self.store), self.folder) {
            Ok(segment) => segment,
            Err(error) => return vec![error],
        };
        let mut check = |outcome: Result<bool, Error>| match outcome {
            Ok(right) => assert!(right, "a wrong answer"),
            Err(error) => errors.push(error),
        };
        check(Ok(segment.rows() as usize == self.rows.len() && segment.dim() == 3));
        for (label, (record, vector)) in (0..).zip(&self.rows) {
            check(segment.record(label).map(|read| read == *record));
            check(segment.document(label).map(|read| read == record.document.as_deref()));
            check(segment.vector(label).map(|read| read == vector));
            check(segment.find(&record.id).map(|read| read == Some(label)));
        }
        check(segment.find("absent").map(|read| read.is_none()));
        let ids: Vec<&str> = self.rows.iter().map(|(record, _)| record.id.as_str()).collect();
        check(find_all(&segment, &ids).map(|labels| labels.into_iter().eq((0..).take(ids.len()).map(Some))));
        let index = segment.index_file().and_then(|file| file.ok_or_else(|| Error::internal("no index")));
        check(index.clone().and_then(|index| index.parameters()).map(|read| read == "parameters"));
        for (name, expected) in [("codes", &self.index[..]), ("links", b"links")] {
            let place = index.clone().map(|index| (index, index.place(name).unwrap_or(0..0)));
            check(place.and_then(|(index, place)| index.bytes(place)).map(|read| read == expected));
        }
        check(segment.lookup().map(|read| read.is_some()));
        check(segment.verify_all().map(|()| true));
        for error in &errors {
            assert_eq!(error.code(), Code::Corrupted, "{error}");
        }
        errors
    }

    /// Damages `path` and expects to be told, by the name of the damaged file.
    fn expect_damage(&self, path: &Path, what: &str) {
        let errors = self.exercise();
        let file = path.file_name().unwrap().to_str().unwrap().trim_end_matches(".crc");
        let expected = format!("{}/{file}", self.folder);
        assert!(!errors.is_empty(), "{what} of {file} went unnoticed");
        for error in errors {
            assert!(error.message().contains(&expected), "{what} of {file}: {error}");
        }
    }
}

/// The label of each id, looked up together.
fn find_all(segment: &SegmentReader, ids: &[&str]) -> Result<Vec<Option<u32>>, Error> {
    let hashes: Vec<u64> = ids.iter().map(|id| hash_id(id)).collect();
    let mut labels = vec![None; ids.len()];
    segment.find_many(&hashes, |place| ids[place].as_bytes(), |place, label| labels[place] = Some(label))?;
    Ok(labels)
}

#[test]
fn ids_in_whole_blocks_are_found_beside_damaged_ones() {
    let dir = TempDir::new().unwrap();
    let store: Arc<dyn BlobStore> = Arc::new(LocalStore::open(dir.path(), false).unwrap());
    let rows = rows(10_000, 3);
    let (folder, mut writer) = writer(&store, 3, Compression::None);
    for (record, vector) in &rows {
        writer.push(record, vector).unwrap();
    }
    writer.publish().unwrap();
    let path = dir.path().join(folder.to_string()).join("records.arrow");
    let mut bytes = fs::read(&path).unwrap();
    bytes[20_000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let segment = SegmentReader::open(store, folder).unwrap();
    let ids: Vec<&str> = rows.iter().map(|(record, _)| record.id.as_str()).collect();
    let found = find_all(&segment, &ids[5_000..]).unwrap();
    assert!(found.into_iter().eq((5_000..10_000).map(Some)));
    assert_eq!(find_all(&segment, &ids).unwrap_err().code(), Code::Corrupted);
}

#[test]
fn no_flipped_byte_goes_unnoticed() {
    for compression in COMPRESSIONS {
        let sample = Sample::new(compression);
        assert!(sample.exercise().is_empty());
        for path in sample.files() {
            let bytes = fs::read(&path).unwrap();
            for at in 0..bytes.len() {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << (at % 8);
                fs::write(&path, &flipped).unwrap();
                sample.expect_damage(&path, &format!("a flip at {at}"));
            }
            fs::write(&path, &bytes).unwrap();
        }
        assert!(sample.exercise().is_empty());
    }
}

#[test]
fn no_truncated_or_missing_file_goes_unnoticed() {
    let sample = Sample::new(Compression::None);
    for path in sample.files() {
        let bytes = fs::read(&path).unwrap();
        for len in (0..bytes.len()).step_by(17).chain([bytes.len() - 1]) {
            fs::write(&path, &bytes[..len]).unwrap();
            sample.expect_damage(&path, &format!("truncation to {len}"));
        }
        fs::write(&path, [&bytes[..], &[0]].concat()).unwrap();
        sample.expect_damage(&path, "a byte too many");
        fs::remove_file(&path).unwrap();
        sample.expect_damage(&path, "removal");
        fs::write(&path, &bytes).unwrap();
    }
}

#[test]
fn a_file_of_another_segment_is_noticed() {
    let (sample, other) = (Sample::new(Compression::None), Sample::new(Compression::Lz4));
    for (path, foreign) in sample.files().into_iter().zip(other.files()) {
        let sidecar = |path: &Path| PathBuf::from(format!("{}.crc", path.display()));
        if path.extension().is_some_and(|extension| extension == "crc")
            || fs::read(&path).unwrap() == fs::read(&foreign).unwrap()
        {
            continue;
        }
        let kept = fs::read(&path).unwrap();
        let kept_sidecar = fs::read(sidecar(&path)).ok();
        fs::copy(&foreign, &path).unwrap();
        if kept_sidecar.is_some() {
            fs::copy(sidecar(&foreign), sidecar(&path)).unwrap();
        }
        sample.expect_damage(&path, "a foreign file");
        fs::write(&path, kept).unwrap();
        if let Some(bytes) = kept_sidecar {
            fs::write(sidecar(&path), bytes).unwrap();
        }
    }
    assert!(sample.exercise().is_empty());
}
