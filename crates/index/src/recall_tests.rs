//! Recall on real embeddings.

use ferrochrome_types::{Metric, VectorRows};

use crate::conformance::{fitted, recall};
use crate::{BuildOptions, build, wordnet};

#[test]
fn wordnet_is_found_by_every_metric() {
    let Some((rows, queries)) = wordnet::load(20_000) else {
        // Announced rather than failed: the data set does not travel with the sources.
        use std::io::Write;
        let folder = wordnet::folder();
        writeln!(std::io::stderr(), "skipped: no WordNet vectors at {}", folder.display()).unwrap();
        return;
    };
    for metric in Metric::ALL {
        // Comparing all components of every row takes its time.
        let rows = if metric.has_codes() { &rows } else { &rows.first(10_000) };
        let (rows, queries) = (fitted(metric, rows), fitted(metric, &queries.first(100)));
        let options = BuildOptions { metric, threads: 2, ..BuildOptions::default() };
        let index = build(&rows, &options, true).unwrap();
        let (searched, scanned) = recall(&*index, &rows, &queries, None);
        assert!(
            searched >= 0.95 && scanned >= 0.98,
            "{metric}: {searched} of {} rows, scan {scanned}",
            rows.len()
        );
        assert_eq!(index.parameters().quantization, if metric.has_codes() { "int4" } else { "none" });
    }
}
