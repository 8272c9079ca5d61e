//! How to search one part: exactly, over codes, or through the graph.
//!
//! Costs are in nanoseconds, measured on WordNet (117,659 x 384) and scaled by what grows with the dimension. They need to be
//! right only about the order of the alternatives.

use ferrochrome_index::VectorIndex;
use ferrochrome_types::Metric;

/// Below this many members a scan wins whatever the graph could do, and is exact.
const ALWAYS_SCAN: u64 = 12_000;
const SCAN_PER_MEMBER: f64 = 8.0;
/// Where the signs of all rows are looked at, they keep out all but a few members.
const SKETCH_PER_ROW: f64 = 1.7;
const SKETCHED_SCAN_PER_MEMBER: f64 = 0.6;
const WALK_PER_VISIT: f64 = 20.0;
/// With a filter a walk keeps a heap of what is still to be expanded, and asks of each row whether it is allowed.
const FILTERED_WALK_PER_VISIT: f64 = 27.0;
/// A walk that takes so many times what was predicted is among rows that the filter keeps out: it is given up for a scan, so
/// that the worst case is not much slower than the scan alone.
const PATIENCE: f64 = 2.0;
/// Fetching a row from somewhere in the file, for a walk without codes.
const FETCH_PER_VISIT: f64 = 60.0;
/// Visits of an unfiltered walk at ef 40, and how they grow with ef.
const VISITS_AT_EF_40: f64 = 1_000.0;
const VISITS_PER_EF: f64 = 20.0;
/// Visits grow with the inverse share of allowed rows to this power.
const SELECTIVITY_EXPONENT: f64 = 0.8;

/// How to search a part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Plan {
    /// Every allowed row in full precision.
    Exact,
    /// Every allowed row over codes, the best rescored.
    Scan,
    /// The graph; where it takes more visits than this, a scan after all.
    Walk { visit_budget: Option<usize> },
}

/// What the planner knows of a part and a query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub rows: u64,
    pub allowed: u64,
    pub k: usize,
    pub ef: usize,
    pub exact: bool,
    pub metric: Metric,
    pub dim: usize,
    /// Whether a scan looks at the signs of all rows first.
    pub sketched: bool,
}

impl Question {
    /// Of no more allowed rows than these.
    pub fn at_most(self, allowed: u64) -> Self {
        let allowed = self.allowed.min(allowed);
        Question { allowed, k: self.k.min(allowed as usize), ..self }
    }

    /// With the `ef` that a walk through `index` really takes, and as it scans.
    pub fn asked_of(self, index: Option<&dyn VectorIndex>) -> Self {
        let Some(index) = index else { return self };
        let ef = index.width(self.ef, self.k, self.allowed < self.rows);
        Question { ef, sketched: index.scan_is_sketched(self.allowed as usize), ..self }
    }
}

impl Plan {
    pub fn choose(index: Option<&dyn VectorIndex>, q: Question) -> Plan {
        let Some(index) = index.filter(|_| !q.exact) else { return Plan::Exact };
        let filtered = q.allowed < q.rows;
        // A result that is a large part of the collection is found faster by looking at all of it.
        let greedy = q.k as u64 * 8 > q.allowed;
        let few = filtered && q.allowed <= ALWAYS_SCAN && q.metric.has_codes();
        if !index.has_graph() || greedy || few {
            return Plan::Scan;
        }
        if !filtered {
            return Plan::Walk { visit_budget: None };
        }
        let (scan, walk) = (scan_cost(q), walk_cost(q));
        if walk >= scan {
            return Plan::Scan;
        }
        Plan::Walk { visit_budget: Some((scan.min(PATIENCE * walk) / visit_cost(q)) as usize) }
    }

    /// Predicted nanoseconds, to decide where the query runs.
    pub fn cost(self, q: Question) -> f64 {
        let dims = q.dim as f64 / 384.0;
        match self {
            Plan::Exact => q.allowed as f64 * exact_cost(q),
            // Short rows are waited for as long.
            Plan::Scan if q.metric.has_codes() => scan_cost(q) * dims.max((1.0 + dims) / 2.0),
            Plan::Scan => scan_cost(q),
            Plan::Walk { .. } if q.metric.has_codes() => walk_cost(q) * (1.0 + dims) / 2.0,
            Plan::Walk { .. } => walk_cost(q),
        }
    }
}

/// A row compared in full precision.
fn exact_cost(q: Question) -> f64 {
    let row = match q.metric {
        Metric::L2 | Metric::InnerProduct | Metric::Cosine | Metric::L1 | Metric::Hamming => 45.0,
        Metric::Jaccard => 60.0,
        Metric::Hellinger => 150.0,
        Metric::JensenShannon => 600.0,
    };
    row * q.dim as f64 / 384.0
}

/// All allowed rows over codes; without codes, in full precision.
fn scan_cost(q: Question) -> f64 {
    let (allowed, rows) = (q.allowed as f64, q.rows as f64);
    match q.metric.has_codes() {
        true if q.sketched => rows * SKETCH_PER_ROW + allowed * SKETCHED_SCAN_PER_MEMBER,
        true => allowed * SCAN_PER_MEMBER,
        false => allowed * exact_cost(q),
    }
}

fn visit_cost(q: Question) -> f64 {
    match q.metric.has_codes() {
        true if q.allowed < q.rows => FILTERED_WALK_PER_VISIT,
        true => WALK_PER_VISIT,
        false => FETCH_PER_VISIT + exact_cost(q),
    }
}

fn walk_cost(q: Question) -> f64 {
    let ef = q.ef.max(q.k) as f64;
    let visits = VISITS_AT_EF_40 + (ef - 40.0).max(0.0) * VISITS_PER_EF;
    let share = q.allowed as f64 / q.rows.max(1) as f64;
    visits * share.max(1e-9).powf(-SELECTIVITY_EXPONENT) * visit_cost(q)
}
