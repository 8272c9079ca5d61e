//! Filters that many rows pass, none of them near the query.

use std::sync::Arc;

use ferrochrome_types::{CancelToken, Metric, VectorRows};
use roaring::RoaringBitmap;

use crate::conformance::clustered;
use crate::wordnet::Vectors;
use crate::{BuildOptions, ScanOptions, SearchOptions, Share, VectorIndex, Walk, build};

const ROWS: usize = 10_000;
/// Enough for a scan of half of the rows to be shared.
const DIM: usize = 3_072;

fn flat() -> (Vectors, Arc<dyn VectorIndex>) {
    let rows = clustered(ROWS, DIM, 200, 21);
    let options = BuildOptions { metric: Metric::L2, ..BuildOptions::default() };
    let index = build(&rows, &options, false).unwrap();
    (rows, index)
}

#[test]
fn threads_of_a_pool_find_together_what_one_finds() {
    let (rows, index) = flat();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let cancel = CancelToken::default();
    let members = [
        None,
        Some((0..ROWS as u32).filter(|label| label % 2 == 0).collect()),
        // All of them in one share, and labels that the index does not have.
        Some((0..6_000).chain(ROWS as u32..ROWS as u32 + 9).collect::<RoaringBitmap>()),
        // Shared by threads that are awake only.
        Some((0..ROWS as u32).filter(|label| label % 8 == 0).collect()),
    ];
    for members in &members {
        for k in [1, 10, 300] {
            for query in (0..ROWS as u32).step_by(2_999) {
                let usual = ScanOptions::new(k, members.as_ref(), &cancel);
                let options = ScanOptions { threads_are_awake: query > 0, ..usual };
                let scan = || index.scan(rows.row(query).unwrap(), &rows, &options).unwrap();
                let together = pool.install(scan);
                assert_eq!(together, scan());
                let share = |number| {
                    index
                        .scan_share(rows.row(query).unwrap(), &rows, &usual, Share { number, of: 5 })
                        .unwrap()
                };
                let candidates = (0..5).flat_map(share).collect();
                let in_shares = index.nearest_of(rows.row(query).unwrap(), &rows, &usual, candidates);
                assert_eq!(in_shares.unwrap(), together);
                assert_eq!(together.len(), k);
            }
        }
    }
    cancel.cancel();
    let scan = || index.scan(rows.row(0).unwrap(), &rows, &ScanOptions::new(10, None, &cancel));
    assert!(pool.install(scan).is_err());
}

#[test]
fn a_walk_among_rows_that_are_kept_out_is_given_up_early() {
    let rows = clustered(ROWS, 16, 50, 22);
    let options = BuildOptions { metric: Metric::L2, threads: 2, ..BuildOptions::default() };
    let index = build(&rows, &options, true).unwrap();
    let cancel = CancelToken::default();
    let query = rows.row(7).unwrap();
    let distance = |label: &u32| ferrochrome_distance::distance(Metric::L2, query, rows.row(*label).unwrap());
    let mut by_distance: Vec<u32> = (0..rows.len() as u32).collect();
    by_distance.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
    let (near, far) = by_distance.split_at(rows.len() / 2);
    let search = |filter: &[u32], visit_budget| {
        let filter: RoaringBitmap = filter.iter().copied().collect();
        let options = SearchOptions { k: 10, ef: 100, filter: Some(&filter), visit_budget, cancel: &cancel };
        index.search_counted(query, &rows, &options).unwrap()
    };
    let (walk, counts) = search(far, Some(ROWS));
    assert_eq!(walk, Walk::BudgetExceeded);
    assert!(counts.scored < 1_000, "{} rows scored", counts.scored);
    let found = |walk: Walk| matches!(walk, Walk::Done(hits) if hits.len() == 10);
    assert!(found(search(near, Some(ROWS)).0));
    assert!(found(search(far, None).0), "without a budget a walk goes on");
}
