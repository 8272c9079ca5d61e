//! The exchange of a collection's snapshot: writers, a seal, merges and readers, in every order that shuttle comes upon.
#![allow(clippy::unwrap_used, reason = "a test fails where a helper does")]

use std::collections::BTreeMap;
use std::sync::Arc;

use ferrochrome_engine_models::model::{collection, merge, seal};
use ferrochrome_engine_models::{
    Collection, CollectionRow, DatabaseOptions, DeleteRequest, GetRequest, Snapshot, WriteBatch, WriteKind,
};
use ferrochrome_types::CancelToken;
use shuttle::scheduler::RandomScheduler;
use shuttle::thread::{spawn, yield_now};
use shuttle::{Config, Runner};
use uuid::Uuid;

const ITERATIONS: usize = 150;
/// SQLite and Arrow need more than shuttle's usual stack.
const STACK_BYTES: usize = 2 << 20;
const WRITES: usize = 4;

fn run(model: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    Runner::new(RandomScheduler::new(ITERATIONS), config).run(model);
}

fn new_collection() -> Arc<Collection> {
    let row = CollectionRow {
        id: Uuid::from_u128(1),
        name: "model".to_owned(),
        tenant: "default_tenant".to_owned(),
        database: "default_database".to_owned(),
        metadata: None,
        configuration: "{}".to_owned(),
        schema: None,
        dimension: None,
    };
    let mut options = DatabaseOptions::default();
    options.threads = 1;
    collection(&row, options).unwrap()
}

/// Writes these ids with a version, all in one batch.
fn write(collection: &Collection, ids: &[&str], version: usize) {
    let batch = WriteBatch {
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        embeddings: Some(ids.iter().flat_map(|_| [version as f32, 1.0]).collect()),
        dim: 2,
        documents: Some(ids.iter().map(|_| Some(version.to_string())).collect()),
        ..WriteBatch::default()
    };
    collection.write(WriteKind::Upsert, batch).unwrap();
}

/// Every record of a state, each read in full: id, version of the vector, version of the document.
fn read(collection: &Collection) -> BTreeMap<String, usize> {
    let result = collection.get(&GetRequest::default(), &CancelToken::default()).unwrap();
    // What replaces the state meanwhile must not take its segments away.
    yield_now();
    let snapshot: &Snapshot = &result.snapshot;
    let mut found = BTreeMap::new();
    for row in result.rows {
        let version: usize = snapshot.document(row).unwrap().unwrap().parse().unwrap();
        assert_eq!(snapshot.vector(row).unwrap(), [version as f32, 1.0], "a vector of another version");
        let before = found.insert(snapshot.id(row).unwrap().to_owned(), version);
        assert_eq!(before, None, "an id is there twice");
    }
    found
}

#[test]
fn a_batch_is_seen_whole_while_it_is_sealed_and_merged() {
    run(|| {
        let subject = new_collection();
        write(&subject, &["a", "b"], 0);
        let writer = subject.clone();
        let mut threads = vec![spawn(move || {
            for version in 1..=WRITES {
                write(&writer, &["a", "b"], version);
            }
        })];
        let sealer = subject.clone();
        threads.push(spawn(move || (0..3).for_each(|_| seal(&sealer).unwrap())));
        let merger = subject.clone();
        threads.push(spawn(move || {
            for _ in 0..3 {
                merge(&merger).unwrap();
                yield_now();
            }
        }));
        for _ in 0..2 {
            let reader = subject.clone();
            threads.push(spawn(move || {
                let mut last = 0;
                for _ in 0..3 {
                    let found = read(&reader);
                    assert_eq!(found.len(), 2, "{found:?}");
                    assert_eq!(found["a"], found["b"], "half a batch");
                    assert!(found["a"] >= last, "time went backwards");
                    last = found["a"];
                }
            }));
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(read(&subject), BTreeMap::from([("a".to_owned(), WRITES), ("b".to_owned(), WRITES)]));
        while merge(&subject).unwrap() {}
        assert_eq!(read(&subject).len(), 2);
    });
}

#[test]
fn writers_of_several_ids_lose_nothing_to_a_seal_or_to_one_another() {
    run(|| {
        let subject = new_collection();
        let mut threads = Vec::new();
        for id in ["a", "b"] {
            let writer = subject.clone();
            threads.push(spawn(move || {
                for version in 1..=WRITES {
                    write(&writer, &[id, "shared"], version);
                    assert_eq!(read(&writer)[id], version, "a writer does not see its own write");
                }
            }));
        }
        let background = subject.clone();
        threads.push(spawn(move || {
            for _ in 0..3 {
                seal(&background).unwrap();
                merge(&background).unwrap();
            }
        }));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let found = read(&subject);
        assert_eq!((found["a"], found["b"], found["shared"], found.len()), (WRITES, WRITES, WRITES, 3));
    });
}

#[test]
fn what_is_deleted_during_a_seal_or_a_merge_stays_deleted() {
    run(|| {
        let subject = new_collection();
        let ids = ["a", "b", "c", "d"];
        write(&subject, &ids, 0);
        let background = subject.clone();
        let deleter = subject.clone();
        let threads = [
            spawn(move || {
                for _ in 0..3 {
                    seal(&background).unwrap();
                    merge(&background).unwrap();
                }
            }),
            spawn(move || {
                for id in &ids[..3] {
                    let request =
                        DeleteRequest { ids: Some([*id].into_iter().collect()), ..DeleteRequest::default() };
                    deleter.delete(&request).unwrap();
                    assert!(!read(&deleter).contains_key(*id), "{id} is still there");
                }
            }),
        ];
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(read(&subject), BTreeMap::from([("d".to_owned(), 0)]));
        while merge(&subject).unwrap() {}
        assert_eq!(read(&subject).len(), 1);
    });
}
