use std::ops::Range;
use std::str::FromStr;

use ferrochrome_types::{CancelToken, Error, Metric, Progress, Result};
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

/// How vectors are coded for the search before exact rescoring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantization {
    /// The cheapest that reaches the recall floor, measured with some of the rows as queries.
    #[default]
    Auto,
    /// 4 bits a dimension.
    Int4,
    /// 8 bits a dimension.
    Int8,
    /// None: the f32 rows themselves are compared.
    None,
}

impl Quantization {
    /// `auto`, `int4`, `int8` or `none`.
    pub fn as_str(self) -> &'static str {
        match self {
            Quantization::Auto => "auto",
            Quantization::Int4 => "int4",
            Quantization::Int8 => "int8",
            Quantization::None => "none",
        }
    }
}

impl FromStr for Quantization {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = [Quantization::Auto, Quantization::Int4, Quantization::Int8, Quantization::None];
        all.into_iter().find(|quantization| quantization.as_str() == name).ok_or_else(|| {
            Error::invalid(format!(
                "unknown quantization `{name}`, expected one of `auto`, `int4`, `int8`, `none`"
            ))
        })
    }
}

/// How an index is built. Values out of range are brought into it.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// How vectors are compared. Default `l2`.
    pub metric: Metric,
    /// Half the links of a node on the ground level, `2..=64`. Default 16.
    pub m: usize,
    /// Candidates considered for the links of a new node, `2 * m..=4096`. Default 100.
    pub ef_construction: usize,
    /// Seed of levels and rotation. With one thread, equal seeds give equal indices. Default 0. Without effect where the metric has
    /// no codes.
    pub seed: u64,
    /// Threads that insert, `1..=64`. Default 1.
    pub threads: usize,
    /// The codes, where the metric has any. Default [`Quantization::Auto`].
    pub quantization: Quantization,
    /// Least recall@10 that codes with rescoring must reach, against exact search for some of the rows, `0.0..=1.0`. Default 0.995.
    pub recall_floor: f32,
    /// Stops the build.
    pub cancel: CancelToken,
    /// Counts the rows that are inserted into a graph.
    pub progress: Progress,
}

impl Default for BuildOptions {
    fn default() -> Self {
        BuildOptions {
            metric: Metric::default(),
            m: 16,
            ef_construction: 100,
            seed: 0,
            threads: 1,
            quantization: Quantization::default(),
            recall_floor: 0.995,
            cancel: CancelToken::default(),
            progress: Progress::default(),
        }
    }
}

/// What one search wants.
#[derive(Clone, Copy, Debug)]
pub struct SearchOptions<'a> {
    /// Number of hits. Cut to the number of rows.
    pub k: usize,
    /// Width of the walk: more finds more and takes longer. Raised to `k`.
    pub ef: usize,
    /// The labels that may be returned. `None`: all.
    pub filter: Option<&'a RoaringBitmap>,
    /// Most rows that the walk may score before it gives up with [`Walk::BudgetExceeded`](crate::Walk::BudgetExceeded).
    pub visit_budget: Option<usize>,
    /// Stops the search.
    pub cancel: &'a CancelToken,
}

/// What one scan wants.
#[derive(Clone, Copy, Debug)]
pub struct ScanOptions<'a> {
    /// Number of hits. Cut to the number of members.
    pub k: usize,
    /// The labels that may be returned. `None`: all.
    pub members: Option<&'a RoaringBitmap>,
    /// Whether the other threads of the pool that the scan runs on have just worked and wait for more: they share even a small one
    /// then. Otherwise they are woken for a large one only.
    pub threads_are_awake: bool,
    /// Stops the scan.
    pub cancel: &'a CancelToken,
}

impl<'a> ScanOptions<'a> {
    /// A scan by itself.
    pub fn new(k: usize, members: Option<&'a RoaringBitmap>, cancel: &'a CancelToken) -> Self {
        ScanOptions { k, members, threads_are_awake: false, cancel }
    }
}

/// One of several parts of the rows, which have all of them once.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// Which, from 0.
    pub number: usize,
    /// How many there are, at least one.
    pub of: usize,
}

impl Share {
    /// All rows.
    pub const WHOLE: Share = Share { number: 0, of: 1 };

    /// Those of `labels` that are in this share, which begins and ends a multiple of `stretch` behind their first.
    pub(crate) fn of_labels(self, labels: Range<u32>, stretch: u32) -> Range<u32> {
        let stretches = labels.len().div_ceil(stretch as usize);
        let cut = |number: usize| {
            let rows = stretches * number.min(self.of) / self.of.max(1) * stretch as usize;
            labels.start.saturating_add(rows as u32).min(labels.end)
        };
        cut(self.number)..cut(self.number + 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shares_have_all_labels_once_in_order(
            start in 0_u32..3_000,
            len in 0_u32..50_000,
            of in 1_usize..9,
            stretch in 1_u32..5_000,
        ) {
            let labels = start..start + len;
            let shares = (0..of).map(|number| Share { number, of }.of_labels(labels.clone(), stretch));
            prop_assert_eq!(shares.clone().flatten().collect::<Vec<_>>(), labels.clone().collect::<Vec<_>>());
            for share in shares {
                prop_assert!(share.is_empty() || (share.start - start) % stretch == 0);
            }
        }
    }
}
