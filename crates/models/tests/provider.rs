//! The cache of open indices, asked by several threads in every order that shuttle comes upon.
#![allow(clippy::unwrap_used, reason = "a test fails where a helper does")]

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ferrochrome_index::{
    Candidate, Hit, Parameters, ScanOptions, SearchCounts, SearchOptions, Share, VectorIndex, Walk,
};
use ferrochrome_models::provider::Provider;
use ferrochrome_types::{Error, Metric, Result, VectorRows};
use shuttle::thread;
use uuid::Uuid;

const ITERATIONS: usize = 1_000;

/// An index of which only the size matters.
#[derive(Debug)]
struct OfSize {
    bytes: usize,
    resident: bool,
}

impl VectorIndex for OfSize {
    fn metric(&self) -> Metric {
        Metric::L2
    }

    fn dim(&self) -> usize {
        1
    }

    fn len(&self) -> usize {
        0
    }

    fn memory_bytes(&self) -> usize {
        self.bytes
    }

    fn is_resident(&self) -> bool {
        self.resident
    }

    fn has_graph(&self) -> bool {
        false
    }

    fn search_counted(
        &self,
        _query: &[f32],
        _rows: &dyn VectorRows,
        _options: &SearchOptions<'_>,
    ) -> Result<(Walk, SearchCounts)> {
        Ok((Walk::Done(Vec::new()), SearchCounts::default()))
    }

    fn scan_counts(&self, _members: usize, _k: usize) -> SearchCounts {
        SearchCounts::default()
    }

    fn scan_share(
        &self,
        _query: &[f32],
        _rows: &dyn VectorRows,
        _options: &ScanOptions<'_>,
        _share: Share,
    ) -> Result<Vec<Candidate>> {
        Ok(Vec::new())
    }

    fn nearest_of(
        &self,
        _query: &[f32],
        _rows: &dyn VectorRows,
        _options: &ScanOptions<'_>,
        _candidates: Vec<Candidate>,
    ) -> Result<Vec<Hit>> {
        Ok(Vec::new())
    }

    fn parameters(&self) -> Parameters {
        unreachable!("nobody asks for the parameters of a model")
    }

    fn buffers(&self) -> Result<Vec<(&'static str, &[u8])>> {
        Ok(Vec::new())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn index(bytes: usize) -> Arc<dyn VectorIndex> {
    Arc::new(OfSize { bytes, resident: true })
}

fn in_file() -> Arc<dyn VectorIndex> {
    Arc::new(OfSize { bytes: 1, resident: false })
}

/// Runs the threads to their end in one interleaving.
fn together(threads: Vec<Box<dyn FnOnce() + Send>>) {
    let started: Vec<_> = threads.into_iter().map(thread::spawn).collect();
    started.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn of_several_that_ask_one_loads_and_all_get_the_same() {
    shuttle::check_random(
        || {
            let provider = Arc::new(Provider::new(100));
            let loads = Arc::new(AtomicUsize::new(0));
            let id = Uuid::from_u128(1);
            let ask = || -> Box<dyn FnOnce() + Send> {
                let (provider, loads) = (provider.clone(), loads.clone());
                Box::new(move || {
                    let load = || {
                        loads.fetch_add(1, Ordering::Relaxed);
                        thread::yield_now();
                        Ok(index(10))
                    };
                    let first = provider.get_or_load(id, load).unwrap();
                    assert!(Arc::ptr_eq(&first, &provider.get(id).unwrap()));
                })
            };
            together(vec![ask(), ask(), ask()]);
            assert_eq!(loads.load(Ordering::Relaxed), 1);
            let stats = provider.stats();
            assert_eq!((stats.hits, stats.misses, stats.bytes), (2, 1, 10));
        },
        ITERATIONS,
    );
}

#[test]
fn a_load_that_fails_leaves_the_next_one_to_try() {
    shuttle::check_random(
        || {
            let provider = Arc::new(Provider::new(100));
            let tries = Arc::new(AtomicUsize::new(0));
            let id = Uuid::from_u128(1);
            let ask = || -> Box<dyn FnOnce() + Send> {
                let (provider, tries) = (provider.clone(), tries.clone());
                Box::new(move || {
                    let load = || match tries.fetch_add(1, Ordering::Relaxed) {
                        0 => Err(Error::invalid("the first one fails")),
                        _ => Ok(index(10)),
                    };
                    // Who fails was the first to load.
                    _ = provider.get_or_load(id, load);
                })
            };
            together(vec![ask(), ask(), ask()]);
            assert_eq!(tries.load(Ordering::Relaxed), 2);
            assert!(provider.get(id).is_some());
        },
        ITERATIONS,
    );
}

#[test]
fn the_budget_holds_whatever_is_loaded_offered_and_removed() {
    shuttle::check_random(
        || {
            let provider = Arc::new(Provider::new(25));
            let ids: Vec<Uuid> = (0..4).map(Uuid::from_u128).collect();
            let mut threads: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
            for turn in 0..3 {
                let (provider, ids) = (provider.clone(), ids.clone());
                threads.push(Box::new(move || {
                    for (step, id) in ids.iter().enumerate() {
                        match (step + turn) % 4 {
                            0 => _ = provider.offer(*id, index(10)),
                            1 => _ = provider.remove(*id),
                            2 => provider.trim(),
                            _ => {
                                let pinned = provider.get_or_load(*id, || Ok(index(10))).unwrap();
                                // Whatever happens to the cache meanwhile, who holds an index has it.
                                thread::yield_now();
                                assert_eq!(pinned.memory_bytes(), 10);
                            }
                        }
                    }
                }));
            }
            together(threads);
            provider.trim();
            let stats = provider.stats();
            assert!(stats.bytes <= 25, "{stats:?}");
            assert_eq!(stats.bytes, 10 * stats.indices as u64);
        },
        ITERATIONS,
    );
}

#[test]
fn a_copy_takes_the_place_of_an_open_index_only() {
    shuttle::check_random(
        || {
            let provider = Arc::new(Provider::new(100));
            let id = Uuid::from_u128(1);
            provider.get_or_load(id, || Ok(in_file())).unwrap();
            let (loader, closer, searcher) = (provider.clone(), provider.clone(), provider.clone());
            together(vec![
                Box::new(move || _ = loader.replace(id, index(10))),
                Box::new(move || closer.close_file(id)),
                Box::new(move || {
                    searcher.get_or_load(id, || Ok(in_file())).unwrap();
                }),
            ]);
            // A segment that was closed leaves no index of its file behind, unless it was asked for again; a copy stays.
            let stats = provider.stats();
            assert!(stats.indices <= 1 && stats.resident <= stats.indices, "{stats:?}");
            if stats.resident == 1 {
                assert_eq!(stats.bytes, 10);
            }
        },
        ITERATIONS,
    );
}
