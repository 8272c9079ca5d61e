use std::any::Any;
use std::fmt::Debug;

use ferrochrome_types::{Metric, Result, VectorRows};

use crate::{Candidate, Parameters, ScanOptions, SearchOptions, Share};

/// One result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Exact distance by the index's metric, from the f32 vectors. Never NaN.
    pub distance: f32,
    /// The row.
    pub label: u32,
}

/// How a search ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Walk {
    /// Up to `k` hits, ascending by (distance, label).
    Done(Vec<Hit>),
    /// The walk passed its budget, or found fewer than `min(k, members)` hits: [`VectorIndex::scan`] the members instead.
    BudgetExceeded,
}

/// What a search did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SearchCounts {
    /// Rows compared by what the graph is walked by: codes, or vectors where there are none. In a scan, those too that their signs kept
    /// out before.
    pub scored: usize,
    /// Of these the rows compared again, in full precision.
    pub rescored: usize,
}

/// Nearest-neighbour search over the vectors of one segment. Immutable and shared.
///
/// Every method that takes `rows` wants the very vectors that the index was built from.
pub trait VectorIndex: Send + Sync + Debug {
    /// How vectors are compared.
    fn metric(&self) -> Metric;

    /// Components of each vector.
    fn dim(&self) -> usize;

    /// Number of vectors; labels are `0..len`.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory that the index itself takes, in bytes. The f32 vectors, and what lies in a file, are not counted.
    fn memory_bytes(&self) -> usize;

    /// Whether it lies in memory, as indices from [`build`](crate::build), [`extend`](crate::extend) and
    /// [`load`](crate::load) do, rather than in a file ([`open`](crate::open)).
    fn is_resident(&self) -> bool;

    /// Whether [`search`](Self::search) walks a graph. Without one it scans.
    fn has_graph(&self) -> bool;

    /// Candidates that a walk keeps in a search for `k` with `ef`, with or without a filter: more than `ef` where `k` needs them, where
    /// the data are hard to walk, or with a filter. A measure of what the search costs.
    fn width(&self, ef: usize, k: usize, _filtered: bool) -> usize {
        ef.max(k)
    }

    /// The `k` nearest rows, approximately, among those that the filter allows.
    ///
    /// Without a filter there are always `min(k, len)` hits, and [`Walk::BudgetExceeded`] only comes back when a budget was
    /// given.
    ///
    /// # Errors
    /// `InvalidArgument` if the query has another dimension or `rows` is not what the index was built from; `Cancelled`; whatever
    /// `rows` fails with; of an index in a file `Corrupted`.
    fn search(&self, query: &[f32], rows: &dyn VectorRows, options: &SearchOptions<'_>) -> Result<Walk> {
        self.search_counted(query, rows, options).map(|(walk, _)| walk)
    }

    /// As [`search`](Self::search), and what it did.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    fn search_counted(
        &self,
        query: &[f32],
        rows: &dyn VectorRows,
        options: &SearchOptions<'_>,
    ) -> Result<(Walk, SearchCounts)>;

    /// What [`scan`](Self::scan) does with so many members.
    fn scan_counts(&self, members: usize, k: usize) -> SearchCounts;

    /// Whether a [`scan`](Self::scan) of so many members looks at the signs of all rows first, and at the codes of few.
    fn scan_is_sketched(&self, _members: usize) -> bool {
        false
    }

    /// The `k` nearest among the members by the codes of each and every one of them, the best rescored exactly.
    /// Hits ascend by (distance, label); there are `min(k, members)` of them. Members beyond `len` are ignored.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    fn scan(&self, query: &[f32], rows: &dyn VectorRows, options: &ScanOptions<'_>) -> Result<Vec<Hit>> {
        let candidates = self.scan_share(query, rows, options, Share::WHOLE)?;
        self.nearest_of(query, rows, options, candidates)
    }

    /// The first step of a [`scan`](Self::scan), for one share of the rows: the members in it that are worth being compared exactly.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    fn scan_share(
        &self,
        query: &[f32],
        rows: &dyn VectorRows,
        options: &ScanOptions<'_>,
        share: Share,
    ) -> Result<Vec<Candidate>>;

    /// The second step of a [`scan`](Self::scan): its hits, of the candidates of all shares, in any order.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    fn nearest_of(
        &self,
        query: &[f32],
        rows: &dyn VectorRows,
        options: &ScanOptions<'_>,
        candidates: Vec<Candidate>,
    ) -> Result<Vec<Hit>>;

    /// What beside the buffers must be kept to [`load`](crate::load) the index again, and what may interest a person.
    fn parameters(&self) -> Parameters;

    /// The named little-endian buffers that make up the index. Names are unique; empty buffers are left out.
    ///
    /// # Errors
    /// Of an index in a file: `Corrupted`.
    fn buffers(&self) -> Result<Vec<(&'static str, &[u8])>>;

    /// The concrete index, for [`extend`](crate::extend).
    fn as_any(&self) -> &dyn Any;
}
