use std::sync::{Barrier, LazyLock};

use ferrochrome_types::Code;
use ferrochrome_types::Error;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::conformance::{Stored, clustered, reload, reopen, store};
use crate::{BuildOptions, build};

fn index(rows: usize) -> Result<Arc<dyn VectorIndex>> {
    build(&clustered(rows, 128, 4, 1), &BuildOptions::default(), false)
}

fn provider(budget: u64) -> Provider {
    Provider::with_available_memory(budget, || None)
}

/// An index of fifty rows, to be opened quickly and often.
static FIFTY: LazyLock<Stored> = LazyLock::new(|| store(&*index(50).unwrap()));

fn unexpected() -> Result<Arc<dyn VectorIndex>> {
    panic!("the index is open already")
}

#[test]
fn an_open_index_is_shared_and_not_loaded_again() {
    let provider = provider(u64::MAX);
    let id = Uuid::new_v4();
    assert!(provider.get(id).is_none());
    let first = provider.get_or_load(id, || index(10)).unwrap();
    let second = provider.get_or_load(id, unexpected).unwrap();
    assert!(Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&first, &provider.get(id).unwrap()));
    let bytes = first.memory_bytes() as u64;
    let expected =
        ProviderStats { hits: 1, misses: 1, evictions: 0, bytes, budget: u64::MAX, indices: 1, resident: 1 };
    assert_eq!(provider.stats(), expected);
    assert!(provider.remove(id) && !provider.remove(id));
    assert_eq!(provider.stats().indices, 0);
    assert_eq!(first.len(), 10);
}

#[test]
fn a_failed_load_leaves_nothing_and_may_be_tried_again() {
    let provider = provider(u64::MAX);
    let id = Uuid::new_v4();
    let error = provider.get_or_load(id, || Err(Error::corrupted("index", "a link"))).unwrap_err();
    assert_eq!(error.code(), Code::Corrupted);
    assert_eq!(provider.stats().indices, 0);
    assert_eq!(provider.get_or_load(id, || index(3)).unwrap().len(), 3);
}

#[test]
fn of_many_who_ask_at_once_one_loads() {
    let provider = provider(u64::MAX);
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
fn the_least_used_goes_first_and_what_is_in_use_stays() {
    let size = reload(&FIFTY).unwrap().memory_bytes() as u64;
    let provider = provider(2 * size);
    let ids: [Uuid; 4] = std::array::from_fn(|_| Uuid::new_v4());
    let open = |id| provider.get_or_load(id, || reload(&FIFTY)).unwrap();
    let held = open(ids[0]);
    drop(open(ids[1]));
    drop(open(ids[2]));
    assert!(provider.get(ids[0]).is_some(), "oldest, but in use");
    assert!(provider.get(ids[1]).is_none() && provider.get(ids[2]).is_some());
    drop(open(ids[0]));
    drop(held);
    drop(open(ids[3]));
    assert!(provider.get(ids[0]).is_some(), "used twice");
    assert!(provider.get(ids[2]).is_none());
    let stats = provider.stats();
    assert_eq!((stats.evictions, stats.indices, stats.bytes), (2, 2, 2 * size));
}

/// A number below `n`, each as often as the inverse of its rank.
fn zipf(rng: &mut StdRng, cumulative: &[f64]) -> usize {
    let place = rng.random::<f64>() * cumulative[cumulative.len() - 1];
    cumulative.partition_point(|sum| *sum < place)
}

#[test]
fn a_skewed_load_does_not_thrash_and_a_pass_over_everything_displaces_nothing() {
    const BUDGET: usize = 50;
    let size = reload(&FIFTY).unwrap().memory_bytes() as u64;
    let provider = provider(BUDGET as u64 * size);
    let ids: Vec<Uuid> = (0..1_000).map(|_| Uuid::new_v4()).collect();
    let request = |id| drop(provider.get_or_load(id, || reload(&FIFTY)).unwrap());
    let cumulative: Vec<f64> = (1..=ids.len())
        .scan(0.0, |sum, rank| {
            *sum += 1.0 / rank as f64;
            Some(*sum)
        })
        .collect();
    let optimum = cumulative[BUDGET - 1] / cumulative[ids.len() - 1];
    let mut rng = StdRng::seed_from_u64(5);
    let mut hit_rate = |requests: usize| {
        let before = provider.stats();
        (0..requests).for_each(|_| request(ids[zipf(&mut rng, &cumulative)]));
        let after = provider.stats();
        assert!(after.bytes <= BUDGET as u64 * size);
        (after.hits - before.hits) as f64 / requests as f64
    };
    hit_rate(10_000);
    let settled = hit_rate(10_000);
    assert!(settled > 0.9 * optimum, "hit rate {settled}, at most {optimum} is possible");
    ids.iter().for_each(|id| request(*id));
    let hot = ids[..30].iter().filter(|id| provider.get(**id).is_some()).count();
    assert!(hot >= 29, "{hot} of the thirty most used are left after one pass over all");
    let after = hit_rate(2_000);
    assert!(after > 0.9 * optimum, "hit rate {after} after the pass");
}

#[test]
fn what_becomes_popular_comes_in_and_what_was_is_forgotten() {
    let size = reload(&FIFTY).unwrap().memory_bytes() as u64;
    let provider = provider(8 * size);
    let ids: Vec<Uuid> = (0..16).map(|_| Uuid::new_v4()).collect();
    let request = |id| drop(provider.get_or_load(id, || reload(&FIFTY)).unwrap());
    (0..8_000).for_each(|i| request(ids[i % 8]));
    let before = provider.stats().misses;
    (0..120_000).for_each(|i| request(ids[8 + i % 8]));
    assert!(ids[8..].iter().all(|id| provider.get(*id).is_some()));
    assert!(provider.stats().misses - before < 20_000);
    provider.trim();
    assert_eq!(provider.slots.read().len(), 8, "what nobody asks for is not remembered for ever");
}

#[test]
fn an_offer_displaces_only_what_is_used_less() {
    let resident = || reload(&FIFTY).unwrap();
    let size = resident().memory_bytes() as u64;
    // Room for two in memory and what one that is searched in its file keeps beside it: that alone displaces nothing.
    let provider = provider(2 * size + reopen(&FIFTY).unwrap().memory_bytes() as u64);
    let ids: [Uuid; 3] = std::array::from_fn(|_| Uuid::new_v4());
    assert!(provider.offer(ids[0], resident()) && provider.offer(ids[1], resident()));
    assert!(!provider.offer(ids[2], resident()), "nobody has asked for it more often");
    drop(provider.get_or_load(ids[2], || reopen(&FIFTY)).unwrap());
    ids.iter().for_each(|id| provider.close_file(*id));
    assert!(provider.get(ids[2]).is_none() && provider.get(ids[0]).is_some());
    let mapped = provider.get_or_load(ids[2], || reopen(&FIFTY)).unwrap();
    assert!(!mapped.is_resident() && provider.stats().resident < 2 + 1);
    assert!(provider.replace(ids[2], resident()));
    assert!(!provider.replace(Uuid::new_v4(), resident()), "nothing is open to be replaced");
    let now = provider.get_or_load(ids[2], unexpected).unwrap();
    assert!(now.is_resident() && !mapped.is_resident());
    assert_eq!(provider.stats().bytes, 2 * size);
}

#[test]
fn a_short_of_memory_system_gets_its_memory_back() {
    const PLENTY: u64 = 1 << 40;
    static AVAILABLE: AtomicU64 = AtomicU64::new(PLENTY);
    let provider = Provider::with_available_memory(PLENTY, || Some(AVAILABLE.load(Ordering::Relaxed)));
    let size = reload(&FIFTY).unwrap().memory_bytes() as u64;
    for _ in 0..10 {
        provider.get_or_load(Uuid::new_v4(), || reload(&FIFTY)).unwrap();
    }
    provider.trim();
    assert_eq!(provider.stats().indices, 10);
    AVAILABLE.store(2 * size, Ordering::Relaxed);
    provider.trim();
    assert_eq!(provider.stats().indices, 6);
    assert_eq!(effective_budget(100, 70, Some(10)), 40);
    assert_eq!(effective_budget(100, 70, Some(1_000)), 100);
    assert_eq!(effective_budget(100, 170, None), 100);
}
