//! query: the nearest records of each query vector.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ferrochrome_index::{Hit, ScanOptions, SearchOptions, Share, VectorIndex, Walk, exact_search};
use ferrochrome_types::{CancelToken, Code, DocumentFilter, Error, Metric, Result, limits};
use rayon::prelude::*;
use roaring::RoaringBitmap;

use crate::collection::Collection;
use crate::get::{Allowed, allowed};
use crate::id_list::IdList;
use crate::part::Part;
use crate::planner::{Plan, Question};
use crate::query_threads::QueryThreads;
use crate::shared_filter::SharedFilter;
use crate::snapshot::{NamedRows, PartView, RowAddress, Snapshot};
use crate::write::dimension_mismatch;

/// Queries predicted to take no longer than this, all together, are worth answering on the calling thread.
const SHORT_QUERY_NANOSECONDS: f64 = 400_000.0;
/// Vectors of one query that one thread takes at a time.
const VECTORS_PER_TASK: usize = 12;
/// A filter whose bitmap must be made first is taken for this much.
const UNSEEN_FILTER_NANOSECONDS: f64 = 500_000.0;

/// A search of an index that is in its file, where most blocks are seen for the first time, is taken for this much.
const INDEX_IN_FILE_NANOSECONDS: f64 = 5_000_000.0;

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
    pub ids: Option<IdList>,
    /// Only those for which this holds.
    pub filter: Option<SharedFilter>,
    /// Only those whose document passes.
    pub document_filter: Option<DocumentFilter>,
}

/// The nearest rows of each query, nearest first, in one state of the collection.
#[derive(Clone, Debug)]
pub struct QueryResult {
    /// The state the rows belong to.
    pub snapshot: Arc<Snapshot>,
    /// For each query vector its rows with their distances.
    pub queries: Vec<NearestRows>,
}

/// The rows nearest to one vector with their distances, nearest first.
pub type NearestRows = Vec<(RowAddress, f32)>;

/// A query that was checked and planned, but not run.
#[derive(Debug)]
pub struct PreparedQuery {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) request: QueryRequest,
    pub(crate) filter: Option<SharedFilter>,
    named: Option<Vec<Arc<RoaringBitmap>>>,
    /// All threads have just looked ids up.
    threads_are_awake: bool,
    pub(crate) metric: Metric,
    pub(crate) ef: usize,
    cost: f64,
    /// A walk was given up, so that walks with a budget need not be tried again.
    given_up: AtomicBool,
}

impl PreparedQuery {
    /// Whether the answer is so near that handing the work to another thread would cost more than it saves.
    pub fn is_short(&self) -> bool {
        self.cost <= SHORT_QUERY_NANOSECONDS
    }

    /// What the answer is predicted to take on one thread.
    pub fn predicted_nanoseconds(&self) -> f64 {
        self.cost
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
        self.shared.threads.call_begins();
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
        let threads_are_awake =
            request.ids.as_ref().is_some_and(|ids| ids.is_long() && !snapshot.remembers_ids(ids));
        let named = match &request.ids {
            None => None,
            Some(ids) => {
                let NamedRows { by_part, found } = snapshot.labels_of(ids, Some(&self.shared.threads))?;
                if filter.is_none() && snapshot.dimension.is_some() && found < ids.different() {
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
        let mut prepared = PreparedQuery {
            snapshot,
            request,
            filter,
            named,
            threads_are_awake,
            metric,
            ef,
            cost: 0.0,
            given_up: AtomicBool::new(false),
        };
        prepared.cost = self.predict(&prepared)?;
        Ok(prepared)
    }

    /// Whether it is known already which records have these ids.
    ///
    /// # Errors
    /// `Closed`, `NotFound`.
    pub fn remembers_ids(&self, ids: &IdList) -> Result<bool> {
        Ok(self.snapshot()?.remembers_ids(ids))
    }

    /// Runs a prepared query; several vectors at once on the database's own threads.
    ///
    /// # Errors
    /// `Cancelled`, `Corrupted`.
    pub fn run_query(&self, query: &PreparedQuery, cancel: &CancelToken) -> Result<QueryResult> {
        let result = self.run(query, Scans::All, cancel)?;
        result.ok_or_else(|| Error::internal("a query was given up although it may take as long as it takes"))
    }

    /// As [`run_query`](Self::run_query) for a [short](PreparedQuery::is_short) query. `None` if it turns out to be long after all: where the
    /// graph was walked among rows that the filter keeps out, and many others are to be compared instead.
    ///
    /// # Errors
    /// As [`run_query`](Self::run_query).
    pub fn run_short_query(
        &self,
        query: &PreparedQuery,
        cancel: &CancelToken,
    ) -> Result<Option<QueryResult>> {
        let result = self.run(query, Scans::Short(&self.shared.threads), cancel);
        self.shared.threads.call_ends();
        result
    }

    fn run(&self, query: &PreparedQuery, scans: Scans, cancel: &CancelToken) -> Result<Option<QueryResult>> {
        let parts = self.searchable_parts(query, cancel)?;
        let request = &query.request;
        let vectors: Vec<&[f32]> = request.embeddings.chunks_exact(request.dim.max(1)).collect();
        let some = |vectors: &[&[f32]]| self.nearest(query, &parts, vectors, scans, cancel);
        let queries = if query.is_short() || vectors.len() <= 1 {
            // What makes a query of one vector long is the look-up of its filter, which all threads have just worked at.
            let scans = match scans {
                Scans::All if query.threads_are_awake || !query.is_short() => Scans::AllShared,
                _ => scans,
            };
            self.nearest(query, &parts, &vectors, scans, cancel)?
        } else {
            let groups =
                || vectors.par_chunks(VECTORS_PER_TASK).map(some).collect::<Result<Option<Vec<_>>>>();
            self.shared.threads.pool().install(groups)?.map(|groups| groups.into_iter().flatten().collect())
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
        Ok(queries.map(|queries| QueryResult { snapshot: query.snapshot.clone(), queries }))
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
        for number in 0..query.snapshot.parts.len() {
            let allowed = query.allowed(number, cancel)?;
            parts.extend(query.searchable(number, allowed)?);
        }
        Ok(parts)
    }

    /// The nearest rows of each vector. `None` where that takes a scan that `scans` leaves out.
    fn nearest(
        &self,
        query: &PreparedQuery,
        parts: &[Searchable<'_>],
        vectors: &[&[f32]],
        scans: Scans<'_>,
        cancel: &CancelToken,
    ) -> Result<Option<Vec<NearestRows>>> {
        cancel.check()?;
        let mut nearest = vec![Vec::new(); vectors.len()];
        for part in parts {
            let row = |hit: Hit| (RowAddress { part: part.number, label: hit.label }, hit.distance);
            let Some(found) = part.search(query, vectors, scans, cancel)? else { return Ok(None) };
            for (nearest, hits) in nearest.iter_mut().zip(found) {
                nearest.extend(hits.into_iter().map(row));
            }
        }
        if parts.len() > 1 {
            for nearest in &mut nearest {
                nearest.sort_unstable_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
                nearest.truncate(query.request.k);
            }
        }
        Ok(Some(nearest))
    }

    fn predict(&self, query: &PreparedQuery) -> Result<f64> {
        let mut cost = 0.0;
        for (number, view) in query.snapshot.parts.iter().enumerate() {
            let question =
                query.question(view, query.named(number).map_or(view.live_rows(), |named| named.len()));
            cost += match (&view.part, &query.filter) {
                (_, None) if question.exact => Plan::Exact.cost(question),
                (Part::Segment(segment), _) if !question.exact && segment.is_index_in_file() => {
                    INDEX_IN_FILE_NANOSECONDS
                }
                (Part::Segment(segment), Some(filter)) => match segment.remembered(filter) {
                    None => UNSEEN_FILTER_NANOSECONDS,
                    Some(matching) => planned_cost(view, question.at_most(matching.len()))?,
                },
                _ => planned_cost(view, question)?,
            };
        }
        let vectors = query.request.embeddings.len() / query.request.dim.max(1);
        Ok(cost * vectors as f64)
    }
}

impl PreparedQuery {
    /// Rows of a part that may be found.
    pub(crate) fn allowed(&self, number: usize, cancel: &CancelToken) -> Result<Allowed> {
        allowed(&self.snapshot.parts[number], self.named(number), self.filter.as_ref(), cancel)
    }

    /// The rows of a part that have one of the ids asked for, if any were.
    fn named(&self, number: usize) -> Option<&Arc<RoaringBitmap>> {
        self.named.as_ref().map(|by_part| &by_part[number])
    }

    /// A part made ready; `None` where nothing may be found.
    pub(crate) fn searchable(&self, number: usize, allowed: Allowed) -> Result<Option<Searchable<'_>>> {
        let view = &self.snapshot.parts[number];
        let members = allowed.len(view);
        if members == 0 {
            return Ok(None);
        }
        let index = if self.request.exact { None } else { index_of(view)? };
        let question = self.question(view, members).asked_of(index.as_deref());
        let plan = match Plan::choose(index.as_deref(), question) {
            Plan::Walk { visit_budget: Some(_) } if self.given_up.load(Ordering::Relaxed) => Plan::Scan,
            plan => plan,
        };
        let scan_nanoseconds = Plan::Scan.cost(question);
        Ok(Some(Searchable {
            number: number as u32,
            view,
            allowed,
            index,
            plan,
            scan_nanoseconds,
            k: question.k,
        }))
    }

    fn question(&self, view: &PartView, allowed: u64) -> Question {
        Question {
            rows: view.part.rows() as u64,
            allowed,
            k: self.request.k.min(allowed as usize),
            ef: self.ef,
            exact: self.request.exact,
            metric: self.metric,
            dim: self.request.dim,
            sketched: false,
        }
    }
}

/// What the plan for a part is predicted to cost.
fn planned_cost(view: &PartView, question: Question) -> Result<f64> {
    let index = index_of(view)?;
    let question = question.asked_of(index.as_deref());
    Ok(Plan::choose(index.as_deref(), question).cost(question))
}

fn index_of(view: &PartView) -> Result<Option<Arc<dyn VectorIndex>>> {
    match &view.part {
        Part::Chunk(_) => Ok(None),
        Part::Segment(segment) => segment.index(),
    }
}

/// A part with all that a search of it needs, prepared once for all query vectors.
pub(crate) struct Searchable<'a> {
    number: u32,
    pub(crate) view: &'a PartView,
    pub(crate) allowed: Allowed,
    pub(crate) index: Option<Arc<dyn VectorIndex>>,
    pub(crate) plan: Plan,
    /// What a scan is predicted to take.
    scan_nanoseconds: f64,
    pub(crate) k: usize,
}

/// Which scans a search may end in where a walk was given up.
#[derive(Clone, Copy)]
enum Scans<'a> {
    All,
    /// All, each shared with the other threads of the pool, which are awake.
    AllShared,
    /// Short ones, which the calling thread shares with these, of which it is none.
    Short(&'a QueryThreads),
}

impl Searchable<'_> {
    /// The index by which these vectors are searched for; `None` where they are compared exactly.
    pub(crate) fn index_for(&self, vectors: &[&[f32]]) -> Option<&dyn VectorIndex> {
        // Codes cannot stand for a vector that is not finite; Chroma accepts it and so do we.
        let finite = |vector: &&[f32]| vector.iter().all(|component| component.is_finite());
        self.index.as_deref().filter(|_| self.plan != Plan::Exact && vectors.iter().all(finite))
    }

    /// The hits of each vector. `None` where that takes a scan that `scans` leaves out.
    fn search(
        &self,
        query: &PreparedQuery,
        vectors: &[&[f32]],
        scans: Scans<'_>,
        cancel: &CancelToken,
    ) -> Result<Option<Vec<Vec<Hit>>>> {
        let rows = self.view.part.vectors();
        let members = self.allowed.bitmap();
        let exact = |vector: &&[f32]| exact_search(query.metric, vector, rows, members, self.k, cancel);
        if self.k == 0 {
            return Ok(Some(vec![Vec::new(); vectors.len()]));
        }
        let Some(index) = self.index_for(vectors) else {
            return vectors.iter().map(exact).map(|hits| hits.map(Some)).collect();
        };
        let scan = |vector: &&[f32]| self.scan(index, vector, scans, cancel).map(Some);
        match self.plan {
            Plan::Exact | Plan::Scan => vectors.iter().map(scan).collect(),
            Plan::Walk { visit_budget } => {
                let options =
                    SearchOptions { k: self.k, ef: query.ef, filter: members, visit_budget, cancel };
                let leaves_out =
                    matches!(scans, Scans::Short(_)) && self.scan_nanoseconds > SHORT_QUERY_NANOSECONDS;
                let search = |vector: &&[f32]| match index.search(vector, rows, &options)? {
                    Walk::Done(hits) => Ok(Some(hits)),
                    Walk::BudgetExceeded if leaves_out => {
                        query.given_up.store(true, Ordering::Relaxed);
                        Ok(None)
                    }
                    Walk::BudgetExceeded => scan(vector),
                };
                vectors.iter().map(search).collect()
            }
        }
    }

    /// Compares all members, together with other threads where that is worth it.
    fn scan(
        &self,
        index: &dyn VectorIndex,
        vector: &[f32],
        scans: Scans<'_>,
        cancel: &CancelToken,
    ) -> Result<Vec<Hit>> {
        let rows = self.view.part.vectors();
        let options = ScanOptions {
            threads_are_awake: matches!(scans, Scans::AllShared),
            ..ScanOptions::new(self.k, self.allowed.bitmap(), cancel)
        };
        if let (Scans::Short(threads), Part::Segment(segment), Some(shared)) =
            (scans, &self.view.part, &self.index)
            && let of @ 2.. = threads.shares_of(self.scan_nanoseconds)
        {
            let (segment, shared, allowed) = (segment.clone(), shared.clone(), self.allowed.clone());
            let (vector_of_shares, k, cancel) = (vector.to_vec(), self.k, cancel.clone());
            let candidates = threads.try_share(of, move |number| {
                let options = ScanOptions::new(k, allowed.bitmap(), &cancel);
                shared.scan_share(&vector_of_shares, segment.reader(), &options, Share { number, of })
            })?;
            return index.nearest_of(vector, rows, &options, candidates.concat());
        }
        index.scan(vector, rows, &options)
    }
}
