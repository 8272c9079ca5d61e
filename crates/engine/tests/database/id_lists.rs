//! Requests that name many ids, the same list again and again, while the records change under it.

use std::collections::BTreeMap;

use ferrochrome_engine::{
    Collection, DeleteRequest, GetRequest, IdList, QueryRequest, WriteBatch, WriteKind,
};
use ferrochrome_types::{CancelToken, Code, Filter, Scalar, Test, Value};

use crate::support::{create, open, options};

const DIM: usize = 2;

/// Writes records whose vector and number are `version`.
fn upsert(collection: &Collection, ids: &[usize], version: usize, model: &mut BTreeMap<usize, usize>) {
    let batch = WriteBatch {
        ids: ids.iter().map(|id| format!("id {id}")).collect(),
        embeddings: Some(ids.iter().flat_map(|id| [version as f32, *id as f32]).collect()),
        dim: DIM,
        metadatas: Some(
            ids.iter().map(|_| Some([("v".to_owned(), Some(Value::Int(version as i64)))].into())).collect(),
        ),
        ..WriteBatch::default()
    };
    collection.write(WriteKind::Upsert, batch).unwrap();
    model.extend(ids.iter().map(|id| (*id, version)));
}

fn list(ids: &[usize]) -> IdList {
    ids.iter().map(|id| format!("id {id}")).collect()
}

fn get(collection: &Collection, ids: &IdList, filter: Option<Filter>) -> Vec<String> {
    let request =
        GetRequest { ids: Some(ids.clone()), filter: filter.map(Into::into), ..GetRequest::default() };
    let result = collection.get(&request, &CancelToken::default()).unwrap();
    let mut ids: Vec<String> =
        result.rows.iter().map(|row| result.snapshot.id(*row).unwrap().to_owned()).collect();
    ids.sort();
    ids
}

fn nearest(collection: &Collection, ids: &IdList, k: usize) -> ferrochrome_types::Result<Vec<String>> {
    let request = QueryRequest {
        embeddings: vec![0.0, 0.0],
        dim: DIM,
        k,
        ids: Some(ids.clone()),
        ..QueryRequest::default()
    };
    let result = collection.query(request, &CancelToken::default())?;
    Ok(result.queries[0].iter().map(|(row, _)| result.snapshot.id(*row).unwrap().to_owned()).collect())
}

/// Asks with the list, and with the same ids in another order, which is another list.
fn check(collection: &Collection, ids: &[usize], model: &BTreeMap<usize, usize>) {
    let named = |version: Option<usize>| {
        let there = |id: &&usize| model.get(*id).is_some_and(|found| version.is_none_or(|v| *found == v));
        let mut names: Vec<String> = ids.iter().filter(there).map(|id| format!("id {id}")).collect();
        names.sort();
        names
    };
    let second = Filter::Key("v".into(), Test::Equal(Scalar::Int(2)));
    let mut turned = ids.to_vec();
    turned.rotate_left(ids.len() / 3);
    for list in [list(ids), list(&turned), list(ids)] {
        assert_eq!(get(collection, &list, None), named(None));
        assert_eq!(get(collection, &list, Some(second.clone())), named(Some(2)));
        if ids.iter().all(|id| model.contains_key(id)) {
            let mut found = nearest(collection, &list, ids.len()).unwrap();
            found.sort();
            assert_eq!(found, named(None));
        } else {
            assert_eq!(nearest(collection, &list, 1).unwrap_err().code(), Code::Internal);
        }
    }
}

#[test]
fn a_remembered_list_follows_every_change() {
    let folder = tempfile::tempdir().unwrap();
    let handle = open(folder.path(), options(100_000));
    let collection = create(&handle, "notes", r#"{"hnsw":{"space":"l2"}}"#);
    let mut model = BTreeMap::new();
    let ids: Vec<usize> = (0..6_000).step_by(2).collect();
    let few: Vec<usize> = (0..6_000).step_by(200).collect();
    let check = |model: &BTreeMap<usize, usize>| {
        check(&collection, &ids, model);
        check(&collection, &few, model);
    };
    // In the head, then half in a segment, then all of it, then merged with what came later.
    upsert(&collection, &(0..3_000).collect::<Vec<_>>(), 0, &mut model);
    check(&model);
    collection.compact(&CancelToken::default()).unwrap();
    check(&model);
    upsert(&collection, &(3_000..6_000).collect::<Vec<_>>(), 1, &mut model);
    check(&model);
    collection.compact(&CancelToken::default()).unwrap();
    check(&model);
    for round in 0..2 {
        upsert(&collection, &[2, 4, 5_998, 7_000], 2, &mut model);
        check(&model);
        for gone in [[400, 401], [2, 3]] {
            collection.delete(&DeleteRequest { ids: Some(list(&gone)), ..DeleteRequest::default() }).unwrap();
            gone.iter().for_each(|id| _ = model.remove(id));
            check(&model);
        }
        upsert(&collection, &[400], 2 + round, &mut model);
        check(&model);
        upsert(&collection, &[2], 3, &mut model);
        check(&model);
        collection.compact(&CancelToken::default()).unwrap();
        check(&model);
    }
}

#[test]
fn equal_ids_count_once_but_in_what_a_delete_reports() {
    let folder = tempfile::tempdir().unwrap();
    let handle = open(folder.path(), options(100_000));
    let collection = create(&handle, "notes", r#"{"hnsw":{"space":"l2"}}"#);
    upsert(&collection, &(0..200).collect::<Vec<_>>(), 0, &mut BTreeMap::new());
    let twice: Vec<usize> = (0..100).chain(50..150).collect();
    assert_eq!(get(&collection, &list(&twice), None).len(), 150);
    assert_eq!(nearest(&collection, &list(&twice), 500).unwrap().len(), 150);
    let request = DeleteRequest { ids: Some(list(&twice)), ..DeleteRequest::default() };
    assert_eq!(collection.delete(&request).unwrap(), 200);
    assert_eq!(collection.count().unwrap(), 50);
}

/// As a program's own thread asks, which looks the ids up and scans their rows itself, with the help of the database's threads.
#[test]
fn a_new_list_is_asked_with_by_a_thread_of_the_caller() {
    const ROWS: usize = 9_000;
    const DIM: usize = 32;
    const K: usize = 10;
    let folder = tempfile::tempdir().unwrap();
    let handle = open(folder.path(), options(100_000));
    let collection = create(&handle, "notes", r#"{"hnsw":{"space":"l2"}}"#);
    let component =
        |i: usize| ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f32 / (1 << 24) as f32;
    let batch = WriteBatch {
        ids: (0..ROWS).map(|id| format!("id {id}")).collect(),
        embeddings: Some((0..ROWS * DIM).map(component).collect()),
        dim: DIM,
        ..WriteBatch::default()
    };
    collection.write(WriteKind::Add, batch).unwrap();
    collection.compact(&CancelToken::default()).unwrap();
    let (mut found, mut asked) = (0, 0);
    for turn in 0..20 {
        let mut ids: Vec<usize> = (0..ROWS).filter(|id| id % 3 != turn % 3).collect();
        ids.rotate_left(turn + 1);
        let request = QueryRequest {
            embeddings: (0..DIM).map(|i| component(ROWS * DIM + turn * DIM + i)).collect(),
            dim: DIM,
            k: K,
            // So many that a scan is the cheaper plan.
            ef: Some(ROWS),
            ids: Some(list(&ids)),
            ..QueryRequest::default()
        };
        let cancel = CancelToken::default();
        let prepared = collection.prepare_query(request.clone()).unwrap();
        assert!(prepared.is_short());
        let result = collection.run_short_query(&prepared, &cancel).unwrap().unwrap();
        let exact = collection.query(QueryRequest { exact: true, ..request }, &cancel).unwrap();
        assert!(result.queries[0].is_sorted_by(|(_, a), (_, b)| a <= b) && result.queries[0].len() == K);
        found += exact.queries[0].iter().filter(|hit| result.queries[0].contains(hit)).count();
        asked += K;
    }
    assert!(found * 100 >= asked * 98, "{found} of {asked}");
}
