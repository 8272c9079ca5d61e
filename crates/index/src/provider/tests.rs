use std::sync::Barrier;

use ferrochrome_types::Code;
use ferrochrome_types::Error;

use super::*;
use crate::conformance::clustered;
use crate::{BuildOptions, build};

fn index(rows: usize) -> Result<Arc<dyn VectorIndex>> {
    build(&clustered(rows, 128, 4, 1), &BuildOptions::default(), false)
}

fn unexpected() -> Result<Arc<dyn VectorIndex>> {
    panic!("the index is open already")
}

#[test]
fn an_open_index_is_shared_and_not_loaded_again() {
    let provider = Provider::new(u64::MAX);
    let id = Uuid::new_v4();
    assert!(provider.get(id).is_none());
    let first = provider.get_or_load(id, || index(10)).unwrap();
    let second = provider.get_or_load(id, unexpected).unwrap();
    assert!(Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&first, &provider.get(id).unwrap()));
    let expected =
        ProviderStats { hits: 1, misses: 1, evictions: 0, bytes: first.memory_bytes() as u64, indices: 1 };
    assert_eq!(provider.stats(), expected);
    assert!(provider.remove(id) && !provider.remove(id));
    assert_eq!(provider.stats().indices, 0);
    assert_eq!(first.len(), 10);
}

#[test]
fn a_failed_load_leaves_nothing_and_may_be_tried_again() {
    let provider = Provider::new(u64::MAX);
    let id = Uuid::new_v4();
    let error = provider.get_or_load(id, || Err(Error::corrupted("index", "a link"))).unwrap_err();
    assert_eq!(error.code(), Code::Corrupted);
    assert!(provider.slots.read().is_empty());
    assert_eq!(provider.get_or_load(id, || index(3)).unwrap().len(), 3);
}

#[test]
fn of_many_who_ask_at_once_one_loads() {
    let provider = Provider::new(u64::MAX);
    let id = Uuid::new_v4();
    let loads = AtomicU64::new(0);
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                let load = || {
                    loads.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(std::time::Duration::from_millis(5));
                    index(4)
                };
                assert_eq!(provider.get_or_load(id, load).unwrap().len(), 4);
            });
        }
    });
    assert_eq!(loads.into_inner(), 1);
    assert_eq!((provider.stats().hits, provider.stats().misses), (7, 1));
}

#[test]
fn the_least_recently_used_goes_first_and_what_is_in_use_stays() {
    let size = index(50).unwrap().memory_bytes() as u64;
    let provider = Provider::new(2 * size);
    let ids: [Uuid; 4] = std::array::from_fn(|_| Uuid::new_v4());
    let open = |id| provider.get_or_load(id, || index(50)).unwrap();
    let held = open(ids[0]);
    drop(open(ids[1]));
    drop(open(ids[2]));
    assert!(provider.get(ids[0]).is_some(), "oldest, but in use");
    assert!(provider.get(ids[1]).is_none() && provider.get(ids[2]).is_some());
    drop(open(ids[0]));
    drop(held);
    drop(open(ids[3]));
    assert!(provider.get(ids[0]).is_some(), "used since");
    assert!(provider.get(ids[2]).is_none());
    let stats = provider.stats();
    assert_eq!((stats.evictions, stats.indices, stats.bytes), (2, 2, 2 * size));
}
