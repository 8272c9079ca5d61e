//! query: the nearest records of each query vector.

use std::sync::Arc;

use ferrochrome_index::{Hit, SearchOptions, VectorIndex, Walk, exact_search};
use ferrochrome_types::{CancelToken, Code, DocumentFilter, Error, Filter, Metric, Result, limits};
use rayon::prelude::*;
use roaring::RoaringBitmap;

use crate::collection::Collection;
use crate::get::{Allowed, NamedRows, allowed};
use crate::part::Part;
use crate::planner::{Plan, Question};
use crate::snapshot::{PartView, RowAddress, Snapshot};
use crate::write::dimension_mismatch;

/// Queries predicted to take no longer than this, all together, are worth answering on the calling thread.
const SHORT_QUERY_NANOSECONDS: f64 = 300_000.0;
/// A filter whose bitmap must be made first is taken for this much.
const UNSEEN_FILTER_NANOSECONDS: f64 = 500_000.0;

/// An index that must be read from its file first is taken for this much.
const UNOPENED_INDEX_NANOSECONDS: f64 = 5_000_000.0;

/// What to look for.
#[derive(Clone, Debug, Default)]
pub struct QueryRequest {
    /// Query vectors, row-major `[n, dim]`.
    pub embeddings: Vec<f32>,
    /// Components of each query vector.
    pub dim: usize,
    /// How many records for each; fewer where fewer match.
    pub k: usize,
    /// Candidates the graph keeps. Default: the collection's `ef_search`. At least `k` are kept anyway.
    pub ef: Option<usize>,
    /// Compare with every matching record in full precision.
    pub exact: bool,
    /// Only these ids.
    pub ids: Option<Vec<String>>,
    /// Only those for which this holds.
    pub filter: Option<Filter>,
    /// Only those whose document passes.
    pub document_filter: Option<DocumentFilter>,
}

/// The nearest rows of each query, nearest first, in one state of the collection.
#[derive(Clone, Debug)]
pub struct QueryResult {
    /// The state the rows belong to.
    pub snapshot: Arc<Snapshot>,
    /// For each query vector its rows with their distances.
    pub queries: Vec<Vec<(RowAddress, f32)>>,
}

/// A query that was checked and planned, but not run.
#[derive(Debug)]
pub struct PreparedQuery {
    snapshot: Arc<Snapshot>,
    request: QueryRequest,
    filter: Option<Filter>,
    named: Option<Vec<RoaringBitmap>>,
    metric: Metric,
    ef: usize,
    cost: f64,
}

impl PreparedQuery {
    /// Whether the answer is so near that handing the work to another thread would cost more than it saves.
    pub fn is_short(&self) -> bool {
        self.cost <= SHORT_QUERY_NANOSECONDS
    }
}

impl Collection {
    /// Checks a query and predicts what it costs.
    ///
    /// # Errors
    /// `InvalidArgument` for vectors of a wrong dimension or with negative components where the space has no meaning for them,
    /// and for a filter on a disabled index; `Internal` "Error finding id"
    /// for an unknown id without a filter, as Chroma has it; `Closed`, `NotFound`.
    pub fn prepare_query(&self, mut request: QueryRequest) -> Result<PreparedQuery> {
        let snapshot = self.snapshot()?;
        let filter = self.combined_filter(request.filter.as_ref(), request.document_filter.as_ref())?;
        let whole = request.dim > 0 && request.embeddings.len().is_multiple_of(request.dim);
        if !request.embeddings.is_empty() && !whole {
            return Err(Error::invalid("Inconsistent dimensions in provided embeddings"));
        }
        if let Some(expected) =
            snapshot.dimension.filter(|dim| !request.embeddings.is_empty() && *dim as usize != request.dim)
        {
            return Err(dimension_mismatch(expected, request.dim as u32));
        }
        let settings = self.settings();
        for (i, vector) in request.embeddings.chunks_exact(request.dim.max(1)).enumerate() {
            settings.metric.check(vector, format_args!("query embedding {i}"))?;
        }
        request.k = request.k.min(limits::MAX_RESULTS);
        let named = match &request.ids {
            None => None,
            Some(ids) => {
                let NamedRows { by_part, unknown } = snapshot.labels_of(ids)?;
                if unknown > 0 && filter.is_none() && snapshot.dimension.is_some() {
                    return Err(Error::new(
                        Code::Internal,
                        "Error executing plan: Internal error: Error finding id",
                    ));
                }
                Some(by_part)
            }
        };
        let ef = request.ef.unwrap_or(settings.ef_search).max(1);
        let metric = settings.metric;
        let mut prepared = PreparedQuery { snapshot, request, filter, named, metric, ef, cost: 0.0 };
        prepared.cost = self.predict(&prepared)?;
        Ok(prepared)
    }

    /// Runs a prepared query; several vectors at once on the database's own threads.
    ///
    /// # Errors
    /// `Cancelled`, `Corrupted`.
    pub fn run_query(&self, query: &PreparedQuery, cancel: &CancelToken) -> Result<QueryResult> {
        let parts = self.searchable_parts(query, cancel)?;
        let request = &query.request;
        let one = |vector: &[f32]| -> Result<Vec<(RowAddress, f32)>> {
            cancel.check()?;
            self.nearest(query, &parts, vector, cancel)
        };
        let vectors: Vec<&[f32]> = request.embeddings.chunks_exact(request.dim.max(1)).collect();
        let queries = match vectors.as_slice() {
            [] => Vec::new(),
            few if query.is_short() => few.iter().map(|vector| one(vector)).collect::<Result<_>>()?,
            [vector] => vec![one(vector)?],
            many => self
                .shared
                .pool
                .install(|| many.par_iter().map(|vector| one(vector)).collect::<Result<_>>())?,
        };
        for part in &parts {
            // Where there are no codes, the graph is walked over the mapped vectors themselves.
            if !query.metric.has_codes() {
                break;
            }
            if let Part::Segment(segment) = &part.view.part {
                segment.bound_resident_vectors();
            }
        }
        Ok(QueryResult { snapshot: query.snapshot.clone(), queries })
    }

    /// Both steps at once.
    ///
    /// # Errors
    /// As [`prepare_query`](Self::prepare_query) and [`run_query`](Self::run_query).
    pub fn query(&self, request: QueryRequest, cancel: &CancelToken) -> Result<QueryResult> {
        self.run_query(&self.prepare_query(request)?, cancel)
    }

    fn searchable_parts<'a>(
        &self,
        query: &'a PreparedQuery,
        cancel: &CancelToken,
    ) -> Result<Vec<Searchable<'a>>> {
        let mut parts = Vec::with_capacity(query.snapshot.parts.len());
        for (number, view) in query.snapshot.parts.iter().enumerate() {
            let named = query.named.as_ref().map(|by_part| &by_part[number]);
            let allowed = allowed(view, named, query.filter.as_ref(), cancel)?;
            let members = allowed.len(view);
            if members == 0 {
                continue;
            }
            let index = if query.request.exact { None } else { index_of(view)? };
            let question = query.question(view, members);
            let plan = Plan::choose(index.as_deref(), question);
            parts.push(Searchable { number: number as u32, view, allowed, index, plan, k: question.k });
        }
        Ok(parts)
    }

    fn nearest(
        &self,
        query: &PreparedQuery,
        parts: &[Searchable<'_>],
        vector: &[f32],
        cancel: &CancelToken,
    ) -> Result<Vec<(RowAddress, f32)>> {
        let mut nearest = Vec::new();
        for part in parts {
            let hits = part.search(query.metric, vector, query.ef, cancel)?;
            let row = |hit: Hit| (RowAddress { part: part.number, label: hit.label }, hit.distance);
            nearest.extend(hits.into_iter().map(row));
        }
        if parts.len() > 1 {
            nearest.sort_unstable_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
            nearest.truncate(query.request.k);
        }
        Ok(nearest)
    }

    fn predict(&self, query: &PreparedQuery) -> Result<f64> {
        let mut cost = 0.0;
        for view in &query.snapshot.parts {
            let question = query.question(view, view.live_rows());
            cost += match (&view.part, &query.filter) {
                (Part::Segment(segment), Some(filter)) if !segment.remembers(filter) => {
                    UNSEEN_FILTER_NANOSECONDS
                }
                // Filtered: a scan of what passes or a walk that costs no more.
                (Part::Segment(_), Some(_)) if query.metric.has_codes() => {
                    Plan::Scan.cost(question).min(SHORT_QUERY_NANOSECONDS / 2.0)
                }
                (_, _) if question.exact => Plan::Exact.cost(question),
                (Part::Segment(_), Some(_)) => Plan::Scan.cost(question),
                (Part::Segment(segment), None) if segment.is_unopened()? => UNOPENED_INDEX_NANOSECONDS,
                _ => Plan::choose(index_of(view)?.as_deref(), question).cost(question),
            };
        }
        let vectors = query.request.embeddings.len() / query.request.dim.max(1);
        Ok(cost * vectors as f64)
    }
}

impl PreparedQuery {
    fn question(&self, view: &PartView, allowed: u64) -> Question {
        Question {
            rows: view.part.rows() as u64,
            allowed,
            k: self.request.k.min(allowed as usize),
            ef: self.ef,
            exact: self.request.exact,
            metric: self.metric,
            dim: self.request.dim,
        }
    }
}

fn index_of(view: &PartView) -> Result<Option<Arc<dyn VectorIndex>>> {
    match &view.part {
        Part::Chunk(_) => Ok(None),
        Part::Segment(segment) => segment.index(),
    }
}

/// A part with all that a search of it needs, prepared once for all query vectors.
struct Searchable<'a> {
    number: u32,
    view: &'a PartView,
    allowed: Allowed,
    index: Option<Arc<dyn VectorIndex>>,
    plan: Plan,
    k: usize,
}

impl Searchable<'_> {
    fn search(&self, metric: Metric, vector: &[f32], ef: usize, cancel: &CancelToken) -> Result<Vec<Hit>> {
        let rows = self.view.part.vectors();
        let members = self.allowed.bitmap();
        let exact = || exact_search(metric, vector, rows, members, self.k, cancel);
        if self.k == 0 {
            return Ok(Vec::new());
        }
        let Some(index) = &self.index else { return exact() };
        let scan = || index.scan(vector, rows, members, self.k, cancel);
        match self.plan {
            // Codes cannot stand for a vector that is not finite; Chroma accepts it and so do we.
            _ if vector.iter().any(|component| !component.is_finite()) => exact(),
            Plan::Exact => exact(),
            Plan::Scan => scan(),
            Plan::Walk { visit_budget } => {
                let options = SearchOptions { k: self.k, ef, filter: members, visit_budget, cancel };
                match index.search(vector, rows, &options)? {
                    Walk::Done(hits) => Ok(hits),
                    Walk::BudgetExceeded => scan(),
                }
            }
        }
    }
}
