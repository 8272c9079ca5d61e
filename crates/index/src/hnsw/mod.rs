//! A navigable graph of several levels over codes (Malkov and Yashunin's HNSW), in flat memory.

mod builder;
mod graph;
pub(crate) mod hnsw_rs_builder;
mod visited;
mod walk;

use std::any::Any;
use std::cell::Cell;

use ferrochrome_types::{CancelToken, Metric, Result, VectorRows};
use roaring::RoaringBitmap;

pub(crate) use builder::{GrowOptions, grow};
pub(crate) use graph::{EMPTY, Graph, MAX_LEVEL, Shape, UpperLevels};

use crate::coding::Coding;
use crate::exact::rescore;
use crate::parameters::GraphParameters;
use crate::quantizer::CodeQuery;
use crate::scorer::{RowScorer, Scorer};
use crate::shortlist::Candidate;
use crate::{Hit, Parameters, SearchOptions, VectorIndex, Walk};
use walk::{End, WalkScratch, descend, filtered_walk, score_one, walk};

/// A walk as wide as this part of the members scores about as many rows as a scan, which finds more.
const SCAN_FROM_PART: usize = 4;

/// The index. Immutable; [`extend`](crate::extend) makes a longer one.
#[derive(Debug)]
pub(crate) struct Hnsw {
    pub(crate) coding: Coding,
    /// Over the same rows as `coding`.
    pub(crate) graph: Graph,
    pub(crate) ef_construction: usize,
}

/// Memory of a search, kept by each thread for the next one.
#[derive(Default)]
struct Scratch {
    walk: WalkScratch,
    query: Option<CodeQuery>,
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl Hnsw {
    fn walk_and_rescore(
        &self,
        query: &[f32],
        rows: &dyn VectorRows,
        options: &SearchOptions<'_>,
    ) -> Result<Walk> {
        // Taken out rather than borrowed: should `rows` search in turn, that search gets a scratch of its own.
        let mut scratch = SCRATCH.take().unwrap_or_default();
        let result = self.walk_with(query, rows, options, &mut scratch);
        SCRATCH.set(Some(scratch));
        result
    }

    fn walk_with(
        &self,
        query: &[f32],
        rows: &dyn VectorRows,
        options: &SearchOptions<'_>,
        scratch: &mut Scratch,
    ) -> Result<Walk> {
        let depth = self.coding.depth(options.k);
        let end = match &self.coding.codes {
            Some(codes) => {
                let padded = codes.quantizer.frame.rotation.padded();
                let code_query = match &mut scratch.query {
                    Some(query) if query.codes.len() == padded => query,
                    other => other.insert(codes.new_query()?),
                };
                codes.prepare(query, code_query);
                self.walk_by(codes, code_query, options, &mut scratch.walk)?
            }
            None => {
                let scorer = RowScorer::new(self.coding.metric, rows, self.coding.len);
                self.walk_by(&scorer, &query.to_vec(), options, &mut scratch.walk)?
            }
        };
        if end == End::BudgetExceeded {
            return Ok(Walk::BudgetExceeded);
        }
        let best = &scratch.walk.pool[..scratch.walk.pool.len().min(depth)];
        for candidate in best {
            rows.prefetch(candidate.label);
        }
        let labels = best.iter().map(|candidate| candidate.label);
        rescore(self.coding.metric, query, rows, labels, options.k).map(Walk::Done)
    }

    /// Leaves the nearest candidates by score in the scratch's pool.
    fn walk_by<S: Scorer>(
        &self,
        scorer: &S,
        query: &S::Query,
        options: &SearchOptions<'_>,
        scratch: &mut WalkScratch,
    ) -> Result<End> {
        let ef = self.ef(options);
        let ground = self.graph.ground();
        let score = score_one(scorer, query, self.graph.entry)?;
        let mut nearest = Candidate { score, label: self.graph.entry };
        for level in (1..=self.graph.top_level).rev() {
            nearest = descend(scorer, query, &self.graph.upper(level), nearest, scratch)?;
        }
        if options.filter.is_none() && options.visit_budget.is_none() {
            walk(scorer, query, &ground, &[nearest], ef, scratch, options.cancel)?;
            return Ok(End::Finished);
        }
        let budget = options.visit_budget.unwrap_or(usize::MAX);
        filtered_walk(scorer, query, &ground, nearest, ef, options.filter, budget, scratch, options.cancel)
    }

    /// Width of a walk: what was asked for, but room for as many candidates as rescoring needs to sort `k` out.
    fn ef(&self, options: &SearchOptions<'_>) -> usize {
        options.ef.max(self.coding.depth(options.k).min(options.k.saturating_mul(2)))
    }
}

impl VectorIndex for Hnsw {
    fn metric(&self) -> Metric {
        self.coding.metric
    }

    fn dim(&self) -> usize {
        self.coding.dim
    }

    fn len(&self) -> usize {
        self.coding.len
    }

    fn memory_bytes(&self) -> usize {
        self.coding.memory_bytes() + self.graph.memory_bytes()
    }

    fn has_graph(&self) -> bool {
        true
    }

    fn search(&self, query: &[f32], rows: &dyn VectorRows, options: &SearchOptions<'_>) -> Result<Walk> {
        self.coding.check(query, rows)?;
        let members = options.filter.map_or(self.coding.len as u64, RoaringBitmap::len) as usize;
        let options = SearchOptions { k: options.k.min(members).min(self.coding.len), ..*options };
        if options.k == 0 {
            return Ok(Walk::Done(Vec::new()));
        }
        let scan =
            || self.coding.scan(query, rows, options.filter, options.k, options.cancel).map(Walk::Done);
        if self.ef(&options).saturating_mul(SCAN_FROM_PART) >= members {
            return scan();
        }
        match self.walk_and_rescore(query, rows, &options)? {
            // The graph has a part that cannot be reached.
            Walk::Done(hits) if hits.len() < options.k && options.filter.is_none() => scan(),
            Walk::Done(hits) if hits.len() < options.k => Ok(Walk::BudgetExceeded),
            walk => Ok(walk),
        }
    }

    fn scan(
        &self,
        query: &[f32],
        rows: &dyn VectorRows,
        members: Option<&RoaringBitmap>,
        k: usize,
        cancel: &CancelToken,
    ) -> Result<Vec<Hit>> {
        self.coding.scan(query, rows, members, k, cancel)
    }

    fn parameters(&self) -> Parameters {
        let shape = self.graph.shape;
        let graph = GraphParameters {
            m: shape.m,
            ef_construction: self.ef_construction,
            row_width: shape.row_width(),
            upper_width: shape.upper_width(),
            entry: self.graph.entry,
            top_level: self.graph.top_level,
        };
        Parameters { graph: Some(graph), ..self.coding.parameters() }
    }

    fn buffers(&self) -> Vec<(&'static str, &[u8])> {
        let mut buffers = self.coding.buffers();
        buffers.push(("links", self.graph.links.as_bytes()));
        buffers.push(("upper_labels", self.graph.upper.labels.as_bytes()));
        buffers.push(("upper_links", self.graph.upper.links.as_bytes()));
        buffers.retain(|(_, bytes)| !bytes.is_empty());
        buffers
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
