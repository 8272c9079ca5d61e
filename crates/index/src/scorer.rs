use ferrochrome_distance::{ExactDistance, prefetch_row};
use ferrochrome_types::{Metric, Result, VectorRows};

/// What a graph is built and walked by: scores of rows against a query, smaller is nearer.
///
/// Scores are only compared with one another: constants that do not change the order are left out. They are never NaN.
pub(crate) trait Scorer: Sync {
    /// A query made ready, with room to be filled again.
    type Query: Send;

    /// Number of rows; labels are `0..len`.
    fn len(&self) -> usize;

    /// A query to be filled by [`load_row`](Self::load_row).
    fn new_query(&self) -> Result<Self::Query>;

    /// Makes `query` ready from a vector of the rows' dimension.
    fn prepare(&self, vector: &[f32], query: &mut Self::Query);

    /// Makes the row `label` the query. Scores between rows are comparable whichever of them is the query.
    fn load_row(&self, label: u32, query: &mut Self::Query) -> Result<()>;

    /// `scores[i]` of row `labels[i]`, for as many as there are labels.
    ///
    /// # Panics
    /// If a label is not below [`len`](Self::len), or there are fewer scores than labels.
    fn score(&self, query: &Self::Query, labels: &[u32], scores: &mut [f32]) -> Result<()> {
        self.score_ahead(query, labels, 0, &mut scores[..labels.len()])
    }

    /// `scores[i]` of row `labels[i]`, for as many as there are scores. The other labels will be scored next: what lies ahead of the row that is
    /// being scored is asked for, across that border. The call before knew of the first `fetched` labels.
    ///
    /// # Panics
    /// If a label is not below [`len`](Self::len), or there are fewer labels than scores.
    fn score_ahead(
        &self,
        query: &Self::Query,
        labels: &[u32],
        fetched: usize,
        scores: &mut [f32],
    ) -> Result<()>;
}

/// Infinite distances would tie with "not yet seen": they are scored as this.
const FARTHEST: f32 = f32::MAX;

/// Scores by the f32 rows themselves, for data that no code fits.
pub(crate) struct RowScorer<'a> {
    metric: Metric,
    rows: &'a dyn VectorRows,
    len: usize,
}

impl<'a> RowScorer<'a> {
    pub(crate) fn new(metric: Metric, rows: &'a dyn VectorRows, len: usize) -> Self {
        RowScorer { metric, rows, len }
    }
}

impl Scorer for RowScorer<'_> {
    type Query = Vec<f32>;

    fn len(&self) -> usize {
        self.len
    }

    fn new_query(&self) -> Result<Vec<f32>> {
        Ok(vec![0.0; self.rows.dim()])
    }

    fn prepare(&self, vector: &[f32], query: &mut Vec<f32>) {
        query.copy_from_slice(vector);
    }

    fn load_row(&self, label: u32, query: &mut Vec<f32>) -> Result<()> {
        query.copy_from_slice(self.rows.row(label)?);
        Ok(())
    }

    fn score_ahead(
        &self,
        query: &Vec<f32>,
        labels: &[u32],
        _fetched: usize,
        scores: &mut [f32],
    ) -> Result<()> {
        let exact = ExactDistance::new(self.metric, query);
        for (i, (&label, score)) in labels.iter().zip(scores).enumerate() {
            if let Some(&ahead) = labels.get(i + 4) {
                prefetch_row(self.rows.row(ahead)?);
            }
            *score = exact.to(self.rows.row(label)?).min(FARTHEST);
        }
        Ok(())
    }
}
