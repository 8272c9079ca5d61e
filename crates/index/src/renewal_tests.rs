//! Indices that go on without some of their rows.

use ferrochrome_types::{CancelToken, Code, Metric, VectorRows};
use roaring::RoaringBitmap;

use crate::conformance::{clustered, fitted, recall, reload, store};
use crate::wordnet::Vectors;
use crate::{BuildOptions, Quantization, VectorIndex, build, renew, wordnet};

fn options(metric: Metric, quantization: Quantization) -> BuildOptions {
    BuildOptions { metric, quantization, threads: 2, seed: 3, ..BuildOptions::default() }
}

/// The rows that stay, and then further ones.
fn replaced(rows: &Vectors, gone: &RoaringBitmap, further: &[f32]) -> Vectors {
    let stays = |label: &u32| !gone.contains(*label);
    let kept = (0..rows.len() as u32).filter(stays).flat_map(|label| rows.row(label).unwrap().to_vec());
    let values = kept.chain(further.iter().copied()).collect();
    Vectors { dim: rows.dim, values }
}

/// Every part in a hundred of the rows, spread evenly.
fn share(len: usize, percent: usize) -> RoaringBitmap {
    (0..len as u32).filter(|label| (*label as usize * 37 + 11) % 100 < percent).collect()
}

/// What a reader of files checks: links lead to rows that reach their level.
fn is_sound(index: &dyn VectorIndex) {
    reload(&store(index)).unwrap();
}

#[test]
fn a_renewed_index_finds_as_much_as_a_fresh_one() {
    let all = clustered(4_000, 32, 40, 1);
    let (rows, further) = (all.first(3_500), &all.values[3_500 * 32..]);
    let queries = clustered(40, 32, 40, 1);
    for (metric, quantization, percents) in [
        (Metric::L2, Quantization::Auto, &[1, 20, 45, 90][..]),
        (Metric::Cosine, Quantization::Int8, &[20]),
        (Metric::InnerProduct, Quantization::None, &[20]),
        // Its graphs cannot be mended.
        (Metric::L1, Quantization::Auto, &[20]),
    ] {
        let options = options(metric, quantization);
        let rows = fitted(metric, &rows);
        let base = build(&rows, &options, true).unwrap();
        for &percent in percents {
            let gone = share(rows.len(), percent);
            for further in [&[][..], further] {
                let rows = replaced(&rows, &gone, further);
                let renewed = renew(&*base, &gone, &rows, &options).unwrap();
                is_sound(&*renewed);
                assert_eq!((renewed.len(), renewed.metric()), (rows.len(), metric));
                let fresh = build(&rows, &options, true).unwrap();
                let (searched, expected) =
                    (recall(&*renewed, &rows, &queries, None).0, recall(&*fresh, &rows, &queries, None).0);
                assert!(
                    searched >= expected - 0.015,
                    "{metric}, {percent} % gone, {} rows: {searched}, afresh {expected}",
                    rows.len()
                );
            }
        }
    }
}

#[test]
fn whole_clusters_may_go_and_everything() {
    let rows = clustered(3_000, 16, 5, 2);
    let options = options(Metric::L2, Quantization::Auto);
    let base = build(&rows, &options, true).unwrap();
    // Everything on one side of a plane, and the entry with it if it lies there.
    for side in [false, true] {
        let gone: RoaringBitmap =
            (0..3_000).filter(|label| (rows.row(*label).unwrap()[0] > 0.3) == side).collect();
        let rest = replaced(&rows, &gone, &[]);
        let renewed = renew(&*base, &gone, &rest, &options).unwrap();
        is_sound(&*renewed);
        let (searched, _) = recall(&*renewed, &rest, &rest.first(50), None);
        assert!(searched >= 0.97, "{} rows are left: {searched}", rest.len());
    }
    let everything: RoaringBitmap = (0..3_000).collect();
    assert!(renew(&*base, &everything, &replaced(&rows, &everything, &[]), &options).unwrap().is_empty());
    let one_left: RoaringBitmap = (0..2_999).collect();
    assert_eq!(renew(&*base, &one_left, &replaced(&rows, &one_left, &[]), &options).unwrap().len(), 1);
    let too_few = renew(&*base, &RoaringBitmap::new(), &rows.first(10), &options).unwrap_err();
    assert_eq!(too_few.code(), Code::InvalidArgument);
    let stopped = BuildOptions { cancel: CancelToken::after_looks(3), ..options };
    let gone = share(3_000, 20);
    let stopped = renew(&*base, &gone, &replaced(&rows, &gone, &[]), &stopped).unwrap_err();
    assert_eq!(stopped.code(), Code::Cancelled);
}

/// The nearest of real data, after a fifth of them was replaced ten times.
#[test]
fn ten_rounds_of_replacing_a_fifth_cost_less_than_half_a_point_of_recall() {
    const ROWS: usize = 6_000;
    const ROUNDS: usize = 10;
    let Some((all, queries)) = wordnet::load(ROWS + ROUNDS * ROWS / 5) else {
        use std::io::Write;
        let folder = wordnet::folder();
        writeln!(std::io::stderr(), "skipped: no WordNet vectors at {}", folder.display()).unwrap();
        return;
    };
    let queries = queries.first(300);
    let options = options(Metric::Cosine, Quantization::Auto);
    let mut rows = all.first(ROWS);
    let mut index = build(&rows, &options, true).unwrap();
    for round in 0..ROUNDS {
        // Every fifth, beginning elsewhere each time.
        let gone: RoaringBitmap = (0..ROWS as u32).filter(|label| *label as usize % 5 == round % 5).collect();
        let further = &all.values[(ROWS + round * ROWS / 5) * rows.dim..][..ROWS / 5 * rows.dim];
        rows = replaced(&rows, &gone, further);
        index = renew(&*index, &gone, &rows, &options).unwrap();
    }
    let fresh = build(&rows, &options, true).unwrap();
    let (searched, expected) =
        (recall(&*index, &rows, &queries, None).0, recall(&*fresh, &rows, &queries, None).0);
    assert!(searched >= expected - 0.005, "{searched}, afresh {expected}");
}
