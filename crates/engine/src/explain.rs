//! explain: how a query is answered, part by part, and what that takes.

use std::time::{Duration, Instant};

use ferrochrome_index::{ScanOptions, SearchCounts, SearchOptions, Walk, exact_search};
use ferrochrome_types::{CancelToken, Result};
use uuid::Uuid;

use crate::collection::Collection;
use crate::part::Part;
use crate::planner::Plan;
use crate::query::{PreparedQuery, QueryRequest, Searchable};

/// How one query vector was answered.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Checking the request, and the planner's prediction.
    pub prepare: Duration,
    /// What the planner predicted for the rest, on one thread.
    pub predicted: Duration,
    /// Whether a call of `query` answers on the calling thread.
    pub on_calling_thread: bool,
    /// Width of walks.
    pub ef: usize,
    /// What was done in each part of the collection.
    pub parts: Vec<PartExplanation>,
}

/// What was done in one part of a collection.
#[derive(Clone, Debug)]
pub struct PartExplanation {
    /// The segment, or `None` for a chunk of the head.
    pub segment: Option<Uuid>,
    /// Rows, tombstoned ones among them.
    pub rows: u64,
    /// Tombstoned rows.
    pub tombstones: u64,
    /// Rows that the filter and the ids allow.
    pub allowed: u64,
    /// `"none"` (nothing is allowed), `"exact"`, `"scan"` (over codes) or `"walk"` (through the graph).
    pub plan: &'static str,
    /// Rows that the walk may compare before it is given up for a scan; `None` without a limit.
    pub visit_budget: Option<usize>,
    /// Whether the walk was given up for a scan.
    pub fell_back: bool,
    /// How the index codes vectors: `"int4"`, `"int8"`, `"none"`; `None` without an index.
    pub quantization: Option<String>,
    /// What was compared.
    pub counts: SearchCounts,
    /// Hits of the part.
    pub hits: usize,
    /// Whether the rows that the filter allows were remembered from an earlier query.
    pub filter_remembered: bool,
    /// From the filter to the allowed rows.
    pub filter: Duration,
    /// Opening the index, where it was not open, and choosing the plan.
    pub open: Duration,
    /// The search itself.
    pub search: Duration,
}

impl Collection {
    /// Runs a query for its first vector, part after part, and tells what was done.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub fn explain(&self, request: QueryRequest, cancel: &CancelToken) -> Result<Explanation> {
        let (query, prepare) = timed(|| self.prepare_query(request))?;
        let mut parts = Vec::with_capacity(query.snapshot.parts.len());
        for number in 0..query.snapshot.parts.len() {
            parts.push(self.explain_part(&query, number, cancel)?);
        }
        Ok(Explanation {
            prepare,
            predicted: Duration::from_nanos(query.predicted_nanoseconds() as u64),
            on_calling_thread: query.is_short(),
            ef: query.ef,
            parts,
        })
    }

    fn explain_part(
        &self,
        query: &PreparedQuery,
        number: usize,
        cancel: &CancelToken,
    ) -> Result<PartExplanation> {
        let view = &query.snapshot.parts[number];
        let segment = if let Part::Segment(segment) = &view.part { Some(segment) } else { None };
        let filter_remembered = match (segment, &query.filter) {
            (Some(segment), Some(filter)) => segment.remembered(filter).is_some(),
            _ => false,
        };
        let (allowed, filter) = timed(|| query.allowed(number, cancel))?;
        let mut explanation = PartExplanation {
            segment: segment.map(|segment| segment.id()),
            rows: view.part.rows().into(),
            tombstones: view.tombstones.len(),
            allowed: allowed.len(view),
            plan: "none",
            visit_budget: None,
            fell_back: false,
            quantization: None,
            counts: SearchCounts::default(),
            hits: 0,
            filter_remembered,
            filter,
            open: Duration::ZERO,
            search: Duration::ZERO,
        };
        let (searchable, open) = timed(|| query.searchable(number, allowed))?;
        explanation.open = open;
        if let Some(searchable) = searchable {
            explanation.quantization = searchable.index.as_ref().map(|index| index.parameters().quantization);
            let vector = query.request.embeddings.get(..query.request.dim).unwrap_or(&[]);
            if !vector.is_empty() {
                let ((), search) =
                    timed(|| self.explain_search(query, &searchable, vector, cancel, &mut explanation))?;
                explanation.search = search;
            }
        }
        Ok(explanation)
    }

    fn explain_search(
        &self,
        query: &PreparedQuery,
        part: &Searchable<'_>,
        vector: &[f32],
        cancel: &CancelToken,
        explanation: &mut PartExplanation,
    ) -> Result<()> {
        let (rows, members, k) = (part.view.part.vectors(), part.allowed.bitmap(), part.k);
        let Some(index) = part.index_for(&[vector]) else {
            explanation.plan = "exact";
            let hits = exact_search(query.metric, vector, rows, members, k, cancel)?;
            explanation.hits = hits.len();
            explanation.counts = SearchCounts { scored: 0, rescored: explanation.allowed as usize };
            return Ok(());
        };
        let options = ScanOptions { threads_are_awake: true, ..ScanOptions::new(k, members, cancel) };
        let scan = || index.scan(vector, rows, &options);
        let scan_counts = index.scan_counts(explanation.allowed as usize, k);
        let Plan::Walk { visit_budget } = part.plan else {
            explanation.plan = "scan";
            explanation.hits = scan()?.len();
            explanation.counts = scan_counts;
            return Ok(());
        };
        explanation.plan = "walk";
        explanation.visit_budget = visit_budget;
        let options = SearchOptions { k, ef: query.ef, filter: members, visit_budget, cancel };
        let (walk, mut counts) = index.search_counted(vector, rows, &options)?;
        explanation.hits = match walk {
            Walk::Done(hits) => hits.len(),
            Walk::BudgetExceeded => {
                explanation.fell_back = true;
                counts.scored += scan_counts.scored;
                counts.rescored += scan_counts.rescored;
                scan()?.len()
            }
        };
        explanation.counts = counts;
        Ok(())
    }
}

fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let begun = Instant::now();
    let outcome = work()?;
    Ok((outcome, begun.elapsed()))
}
