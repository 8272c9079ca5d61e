//! Compaction on demand: stopped at any moment, without space, with little memory, and leaving nothing of what was deleted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferrochrome_engine::{
    Collection, CompactOptions, DatabaseOptions, DeleteRequest, GetRequest, Handle, QueryRequest, WriteBatch,
    WriteKind,
};
use ferrochrome_types::{CancelToken, Code, Progress, Stage, Value};

use crate::support::{self, create, open, options};

const DIM: usize = 8;

/// A vector that tells the record and its version.
fn vector(id: usize, version: usize) -> [f32; DIM] {
    std::array::from_fn(|i| ((id * 31 + version * 7 + i * 13) % 101) as f32 + id as f32 / 1_000.0)
}

fn document(id: usize, version: usize) -> String {
    format!("document {id} in version {version}")
}

fn batch(rows: &[(usize, usize)]) -> WriteBatch {
    let metadata = |(id, version): &(usize, usize)| {
        let values = [("n", *id as i64), ("version", *version as i64)];
        Some(values.into_iter().map(|(key, value)| (key.to_owned(), Some(Value::Int(value)))).collect())
    };
    WriteBatch {
        ids: rows.iter().map(|(id, _)| id.to_string()).collect(),
        embeddings: Some(rows.iter().flat_map(|(id, version)| vector(*id, *version)).collect()),
        dim: DIM,
        documents: Some(rows.iter().map(|(id, version)| Some(document(*id, *version))).collect()),
        metadatas: Some(rows.iter().map(metadata).collect()),
        ..WriteBatch::default()
    }
}

/// What should be there: the version of each record.
#[derive(Default)]
struct Model(BTreeMap<usize, usize>);

impl Model {
    fn upsert(&mut self, collection: &Collection, ids: impl Iterator<Item = usize>, version: usize) {
        let rows: Vec<_> = ids.map(|id| (id, version)).collect();
        collection.write(WriteKind::Upsert, batch(&rows)).unwrap();
        self.0.extend(rows);
    }

    fn delete(&mut self, collection: &Collection, ids: impl Iterator<Item = usize>) {
        let ids: Vec<_> = ids.collect();
        let request = DeleteRequest {
            ids: Some(ids.iter().map(usize::to_string).collect()),
            ..DeleteRequest::default()
        };
        collection.delete(&request).unwrap();
        ids.iter().for_each(|id| _ = self.0.remove(id));
    }

    fn check(&self, collection: &Collection) {
        let all = collection.get(&GetRequest::default(), &CancelToken::default()).unwrap();
        let found: BTreeMap<usize, String> = all
            .rows
            .iter()
            .map(|row| {
                let id = all.snapshot.id(*row).unwrap().parse().unwrap();
                (id, all.snapshot.document(*row).unwrap().unwrap().to_owned())
            })
            .collect();
        assert_eq!(all.rows.len(), found.len());
        let expected: BTreeMap<_, _> =
            self.0.iter().map(|(id, version)| (*id, document(*id, *version))).collect();
        assert!(found == expected, "{} records, {} were expected", found.len(), expected.len());
        for (id, version) in self.0.iter().step_by(self.0.len() / 10 + 1) {
            let request = QueryRequest {
                embeddings: vector(*id, *version).to_vec(),
                dim: DIM,
                k: 1,
                ..QueryRequest::default()
            };
            let result = collection.query(request, &CancelToken::default()).unwrap();
            assert!(result.queries[0][0].1.abs() < 1e-3, "{id}");
        }
    }
}

fn reopen(
    folder: &Path,
    handle: Handle,
    id: uuid::Uuid,
    options: DatabaseOptions,
) -> (Handle, Arc<Collection>) {
    handle.close().unwrap();
    let handle = open(folder, options);
    let collection = handle.database().unwrap().collection(id).unwrap();
    (handle, collection)
}

#[test]
fn nothing_is_lost_wherever_a_compaction_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let mut handle = open(folder.path(), options(2_500));
    let mut collection = create(&handle, "stopped", "{}");
    let mut model = Model::default();
    model.upsert(&collection, 0..6_500, 0);
    let (mut looks, mut stopped, mut finished) = (0_u64, 0, 0);
    while finished < 3 {
        // Something to seal, something to erase, something to merge.
        let version = 1 + stopped + finished;
        model.upsert(&collection, (version * 40)..(version * 40 + 60), version);
        model.delete(&collection, (version * 90)..(version * 90 + 20));
        let secure = version % 3 == 0;
        let options =
            CompactOptions { secure, cancel: CancelToken::after_looks(looks), progress: Progress::default() };
        match collection.compact_with(&options) {
            Err(error) => {
                assert_eq!(error.code(), Code::Cancelled, "{error}");
                stopped += 1;
                // Few looks at first, where every one may be in another step; many later, in long loops.
                looks += 1 + looks / 6;
            }
            Ok(()) => finished += 1,
        }
        model.check(&collection);
        if version % 8 == 0 {
            let id = collection.id();
            drop(collection);
            (handle, collection) = reopen(folder.path(), handle, id, support::options(2_500));
            model.check(&collection);
        }
    }
    assert!(stopped >= 20, "it was stopped {stopped} times only");
    let stats = collection.stats().unwrap();
    assert!(stats.segments.len() == 1 && stats.segments[0].tombstones == 0, "{stats:?}");
    handle.close().unwrap();
}

#[test]
fn closing_the_database_stops_a_compaction() {
    let folder = tempfile::tempdir().unwrap();
    let handle = open(folder.path(), options(100_000));
    let collection = create(&handle, "closed", "{}");
    let mut model = Model::default();
    model.upsert(&collection, 0..20_000, 0);
    let id = collection.id();
    let (progress, watched) = (Progress::default(), collection.clone());
    let options = CompactOptions { progress: progress.clone(), ..CompactOptions::default() };
    let compaction = std::thread::spawn(move || watched.compact_with(&options));
    while progress.now().stage < Stage::Copy && !compaction.is_finished() {
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(collection);
    let (handle, collection) = reopen(folder.path(), handle, id, support::options(100_000));
    if let Err(error) = compaction.join().unwrap() {
        assert_eq!(error.code(), Code::Closed, "{error}");
    }
    model.check(&collection);
    handle.close().unwrap();
}

#[test]
fn progress_goes_through_the_stages_and_counts_rows() {
    let folder = tempfile::tempdir().unwrap();
    let handle = open(folder.path(), options(100_000));
    let collection = create(&handle, "watched", "{}");
    Model::default().upsert(&collection, 0..12_000, 0);
    let progress = Progress::default();
    let (watched, done) = (progress.clone(), CancelToken::default());
    let end = done.clone();
    let watcher = std::thread::spawn(move || {
        let mut reports = Vec::new();
        while !end.is_cancelled() {
            let now = watched.now();
            assert!(now.done <= now.total, "{now:?}");
            if reports.last() != Some(&now) {
                reports.push(now);
            }
        }
        reports
    });
    collection
        .compact_with(&CompactOptions { progress: progress.clone(), ..CompactOptions::default() })
        .unwrap();
    assert_eq!(progress.now().stage, Stage::Erase);
    done.cancel();
    let reports = watcher.join().unwrap();
    assert!(reports.is_sorted_by_key(|report| report.stage), "{reports:?}");
    let most = |stage| reports.iter().filter(|r| r.stage == stage).map(|r| (r.done, r.total)).max();
    assert_eq!(most(Stage::Index).map(|(_, total)| total), Some(12_000));
    assert!(most(Stage::Index).is_some_and(|(done, _)| done > 6_000), "{reports:?}");
    handle.close().unwrap();
}

#[test]
fn without_space_a_merge_is_refused_on_demand_and_put_off_in_the_background() {
    let folder = tempfile::tempdir().unwrap();
    let mut narrow = options(2_500);
    narrow.disk_reserve_bytes = u64::MAX;
    let handle = open(folder.path(), narrow);
    let collection = create(&handle, "full", "{}");
    let mut model = Model::default();
    for begin in (0..10_000).step_by(2_500) {
        model.upsert(&collection, begin..begin + 2_500, 0);
        collection.compact(&CancelToken::default()).unwrap_err();
    }
    let segments = collection.stats().unwrap().segments.len();
    let error = collection.compact(&CancelToken::default()).unwrap_err();
    assert_eq!(error.code(), Code::NoSpace);
    let figures = error.message().split(|c: char| !c.is_ascii_digit()).filter(|word| word.len() > 3).count();
    assert!(figures >= 3, "it should say what is needed, kept and there: {error}");
    // Longer than the collection must be idle for its rows to be merged.
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(collection.stats().unwrap().segments.len(), segments);
    model.check(&collection);
    let id = collection.id();
    drop(collection);
    let (handle, collection) = reopen(folder.path(), handle, id, options(2_500));
    let deadline = Instant::now() + Duration::from_secs(20);
    while collection.stats().unwrap().segments.len() > 1 {
        assert!(Instant::now() < deadline, "nothing was merged: {:?}", collection.stats());
        std::thread::sleep(Duration::from_millis(20));
    }
    model.check(&collection);
    handle.close().unwrap();
}

#[test]
fn with_little_memory_segments_stay_small() {
    let folder = tempfile::tempdir().unwrap();
    let mut small = options(2_500);
    // For some 6,000 rows of 8 components.
    small.compaction_memory_bytes = Some(4 << 20);
    let handle = open(folder.path(), small);
    let collection = create(&handle, "small", "{}");
    let mut model = Model::default();
    model.upsert(&collection, 0..20_000, 0);
    model.upsert(&collection, 5_000..9_000, 1);
    collection.compact(&CancelToken::default()).unwrap();
    let stats = collection.stats().unwrap();
    let rows: Vec<_> = stats.segments.iter().map(|segment| segment.rows).collect();
    assert!(rows.len() > 1, "{rows:?}");
    // A head is sealed whole.
    assert!(rows.iter().all(|rows| *rows <= 20_000), "{rows:?}");
    assert_eq!(stats.segments.iter().map(|segment| segment.tombstones).sum::<u64>(), 0);
    model.check(&collection);
    let before: Vec<_> = stats.segments.iter().map(|segment| segment.id).collect();
    collection.compact(&CancelToken::default()).unwrap();
    let after: Vec<_> = collection.stats().unwrap().segments.iter().map(|segment| segment.id).collect();
    assert_eq!(before, after, "there was nothing to do");
    handle.close().unwrap();
}

/// The files of a folder that hold these bytes.
fn files_with(folder: &Path, needle: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, needle));
        } else if std::fs::read(&path).unwrap_or_default().windows(needle.len()).any(|bytes| bytes == needle)
        {
            found.push(path);
        }
    }
    found
}

/// What only one record holds: its id, document, metadata and vector as bytes.
fn traces(name: &str) -> Vec<Vec<u8>> {
    let vector: Vec<u8> = secret_vector(name).iter().flat_map(|v| v.to_le_bytes()).collect();
    vec![
        format!("id-of-{name}").into_bytes(),
        format!("text of {name}").into_bytes(),
        format!("key-of-{name}").into_bytes(),
        format!("value of {name}").into_bytes(),
        vector[..8].to_vec(),
        vector[16..24].to_vec(),
    ]
}

fn secret_vector(name: &str) -> [f32; DIM] {
    std::array::from_fn(|i| {
        1.0 + name.bytes().map(f32::from).sum::<f32>() / 7.0 + (i as f32 + 0.123_456).sqrt()
    })
}

fn secret(name: &str) -> WriteBatch {
    let metadata = [(format!("key-of-{name}"), Some(Value::Str(format!("value of {name}"))))];
    WriteBatch {
        ids: vec![format!("id-of-{name}")],
        embeddings: Some(secret_vector(name).to_vec()),
        dim: DIM,
        documents: Some(vec![Some(format!("text of {name}"))]),
        metadatas: Some(vec![Some(metadata.into_iter().collect())]),
        ..WriteBatch::default()
    }
}

fn delete_ids(collection: &Collection, ids: &[&str]) {
    let ids = ids.iter().map(|id| format!("id-of-{id}")).collect();
    collection.delete(&DeleteRequest { ids: Some(ids), ..DeleteRequest::default() }).unwrap();
}

#[test]
fn a_secure_compaction_leaves_nothing_of_what_was_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let handle = open(folder.path(), options(3_000));
    let collection = create(&handle, "secrets", "{}");
    let mut model = Model::default();
    // One in a graph, one in a bare segment, one in the log alone, and one that was replaced.
    collection.write(WriteKind::Add, secret("alice")).unwrap();
    collection.write(WriteKind::Add, secret("erin")).unwrap();
    model.upsert(&collection, 0..7_000, 0);
    collection.compact(&CancelToken::default()).unwrap();
    collection.write(WriteKind::Add, secret("bob")).unwrap();
    model.upsert(&collection, 7_000..10_500, 0);
    collection.write(WriteKind::Add, secret("carol")).unwrap();
    collection.write(WriteKind::Add, secret("dave")).unwrap();
    let names = ["alice", "bob", "carol", "erin"];
    for name in names {
        for trace in traces(name) {
            assert!(!files_with(folder.path(), &trace).is_empty(), "{name}: the test would find nothing");
        }
    }
    let mut replaced = secret("harmless");
    replaced.ids = vec!["id-of-erin".to_owned()];
    let forgotten = ("key-of-erin".to_owned(), None);
    replaced.metadatas.as_mut().unwrap()[0].as_mut().unwrap().extend([forgotten]);
    collection.write(WriteKind::Upsert, replaced).unwrap();
    delete_ids(&collection, &["alice", "bob", "carol"]);
    collection.compact_with(&CompactOptions { secure: true, ..CompactOptions::default() }).unwrap();
    for name in names {
        // The id of the record that was replaced is still in use.
        for trace in traces(name).iter().skip(usize::from(name == "erin")) {
            let found = files_with(folder.path(), trace);
            assert!(found.is_empty(), "{name}: {:?} in {found:?}", String::from_utf8_lossy(trace));
        }
    }
    for trace in traces("dave") {
        assert!(!files_with(folder.path(), &trace).is_empty(), "what stays is there");
    }
    assert_eq!(collection.count().unwrap(), model.0.len() as u64 + 2);
    let catalog_keys = handle.database().unwrap().catalog().schema_keys(collection.id()).unwrap();
    let keys: Vec<_> = catalog_keys.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["key-of-dave", "key-of-harmless", "n", "version"]);
    // A key that was forgotten may come back.
    collection.write(WriteKind::Add, secret("alice")).unwrap();
    let id = collection.id();
    drop(collection);
    let (handle, collection) = reopen(folder.path(), handle, id, options(3_000));
    assert_eq!(handle.database().unwrap().catalog().schema_keys(id).unwrap().len(), 5);
    assert_eq!(collection.count().unwrap(), model.0.len() as u64 + 3);
    handle.close().unwrap();
}

#[test]
fn a_secure_compaction_waits_for_readers_and_erases_the_last_record() {
    let folder = tempfile::tempdir().unwrap();
    let handle = open(folder.path(), options(3_000));
    let collection = create(&handle, "readers", "{}");
    collection.write(WriteKind::Add, secret("alice")).unwrap();
    collection.compact(&CancelToken::default()).unwrap();
    let reader = collection.snapshot().unwrap();
    delete_ids(&collection, &["alice"]);
    let reading = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        drop(reader);
    });
    collection.compact_with(&CompactOptions { secure: true, ..CompactOptions::default() }).unwrap();
    for trace in traces("alice") {
        assert_eq!(files_with(folder.path(), &trace), Vec::<PathBuf>::new());
    }
    reading.join().unwrap();
    assert_eq!(collection.count().unwrap(), 0);
    handle.close().unwrap();
}
