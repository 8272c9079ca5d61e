//! The life of an index, small enough for Miri: built, extended, stored, read back into memory and in its file, searched and scanned.
//! `cargo +nightly miri test -p ferrochrome-index --lib small_tests`

use ferrochrome_types::{CancelToken, Metric, VectorRows};
use roaring::RoaringBitmap;

use crate::conformance::{clustered, reload, reopen, store};
use crate::wordnet::Vectors;
use crate::{BuildOptions, Quantization, ScanOptions, SearchOptions, VectorIndex, Walk, build, extend};

const ROWS: usize = 24;
const DIM: usize = 12;

fn options(quantization: Quantization, threads: usize) -> BuildOptions {
    let metric = Metric::L2;
    BuildOptions { metric, m: 4, ef_construction: 16, quantization, threads, ..BuildOptions::default() }
}

/// Each of some rows finds itself.
fn expect_itself(index: &dyn VectorIndex, rows: &Vectors) {
    let cancel = CancelToken::default();
    let options = SearchOptions { k: 3, ef: 30, filter: None, visit_budget: None, cancel: &cancel };
    for label in [0, 7, index.len() as u32 - 1] {
        let query = rows.row(label).unwrap();
        let Walk::Done(hits) = index.search(query, rows, &options).unwrap() else {
            unreachable!("no budget")
        };
        assert_eq!((hits[0].label, hits[0].distance, hits.len()), (label, 0.0, 3));
        let members = RoaringBitmap::from_iter([label, 3, 4]);
        let hits = index.scan(query, rows, &ScanOptions::new(1, Some(&members), &cancel)).unwrap();
        assert_eq!((hits[0].label, hits.len()), (label, 1));
    }
}

#[test]
fn an_index_lives_with_every_coding() {
    let rows = clustered(ROWS, DIM, 4, 1);
    for quantization in [Quantization::Int4, Quantization::Int8, Quantization::None] {
        let base = build(&rows.first(ROWS / 2), &options(quantization, 1), true).unwrap();
        let index = extend(&*base, &rows, &options(quantization, 1), &RoaringBitmap::from_iter([1])).unwrap();
        expect_itself(&*index, &rows);
        let stored = store(&*index);
        expect_itself(&*reload(&stored).unwrap(), &rows);
        expect_itself(&*reopen(&stored).unwrap(), &rows);
    }
}

#[test]
fn two_threads_build_one_graph() {
    let rows = clustered(ROWS, DIM, 4, 2);
    expect_itself(&*build(&rows, &options(Quantization::Int8, 2), true).unwrap(), &rows);
}
