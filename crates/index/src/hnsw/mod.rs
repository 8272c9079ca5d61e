//! A navigable graph of several levels over codes (Malkov and Yashunin's HNSW), in flat memory.

mod builder;
mod graph;
pub(crate) mod hnsw_rs_builder;
mod mend;
mod visited;
mod walk;
mod width;

use std::any::Any;
use std::cell::Cell;

use ferrochrome_types::{Error, Metric, Result, VectorRows};
use roaring::RoaringBitmap;

pub(crate) use builder::{GrowOptions, grow};
pub(crate) use graph::{EMPTY, Graph, MAX_LEVEL, Shape, UpperLevels};
pub(crate) use mend::{MendOptions, Mended, mend};
pub(crate) use width::Width;

use crate::coding::{Coding, depth_of_ef};
use crate::exact::rescore;
use crate::parameters::GraphParameters;
use crate::quantizer::CodeQuery;
use crate::scorer::{RowScorer, Scorer};
use crate::shortlist::Candidate;
use crate::storage::{CodeRows, LinkRows, Resident, Storage};
use crate::{Hit, Parameters, ScanOptions, SearchCounts, SearchOptions, Share, VectorIndex, Walk};
use walk::{End, WalkScratch, descend, filtered_walk, score_one, walk};

/// A walk with a filter keeps one candidate more for each so many: it ends by rank, and finds less with an `ef` than one that ends by distance.
const FILTERED_GAIN: usize = 4;

/// The index. Immutable; [`extend`](crate::extend) makes a longer one.
#[derive(Debug)]
pub(crate) struct Hnsw<S: Storage = Resident> {
    pub(crate) coding: Coding<S>,
    /// Over the same rows as `coding`.
    pub(crate) graph: Graph<S>,
    pub(crate) ef_construction: usize,
    pub(crate) width: Width,
}

/// Memory of a search, kept by each thread for the next one.
#[derive(Default)]
struct Scratch {
    walk: WalkScratch,
    query: Option<CodeQuery>,
}

impl Scratch {
    /// Makes the query ready for `codes`.
    fn prepare<C: CodeRows>(&mut self, codes: &C, query: &[f32]) -> Result<()> {
        let padded = codes.quantizer().frame.rotation.padded();
        let code_query = match &mut self.query {
            Some(query) if query.codes.len() == padded => query,
            other => other.insert(codes.new_query()?),
        };
        codes.quantizer().prepare(query, code_query);
        Ok(())
    }
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl<S: Storage> Hnsw<S> {
    fn walk_and_rescore(
        &self,
        query: &[f32],
        rows: &dyn VectorRows,
        options: &SearchOptions<'_>,
    ) -> Result<(Walk, SearchCounts)> {
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
    ) -> Result<(Walk, SearchCounts)> {
        let end = match &self.coding.codes {
            Some(codes) => {
                scratch.prepare(codes, query)?;
                let Scratch { walk, query } = scratch;
                let Some(code_query) = query else { return Err(Error::internal("a query was not prepared")) };
                self.walk_by(codes, code_query, options, walk)?
            }
            None => {
                let scorer = RowScorer::new(self.coding.metric, rows, self.coding.len);
                self.walk_by(&scorer, &query.to_vec(), options, &mut scratch.walk)?
            }
        };
        let scored = scratch.walk.scored();
        if end == End::BudgetExceeded {
            return Ok((Walk::BudgetExceeded, SearchCounts { scored, rescored: 0 }));
        }
        self.prefetch_best(&scratch.walk, rows, options);
        let hits = self.rescore_best(&scratch.walk, query, rows, options)?;
        let rescored = scratch.walk.nearest.len().min(self.depth(options.k, options.ef));
        Ok((Walk::Done(hits), SearchCounts { scored, rescored }))
    }

    fn prefetch_best(&self, walked: &WalkScratch, rows: &dyn VectorRows, options: &SearchOptions<'_>) {
        for candidate in walked.nearest.iter().take(self.depth(options.k, options.ef)) {
            rows.prefetch(candidate.label);
        }
    }

    fn rescore_best(
        &self,
        walked: &WalkScratch,
        query: &[f32],
        rows: &dyn VectorRows,
        options: &SearchOptions<'_>,
    ) -> Result<Vec<Hit>> {
        let depth = self.depth(options.k, options.ef);
        let labels = walked.nearest.iter().take(depth).map(|candidate| candidate.label);
        rescore(self.coding.metric, query, rows, labels, options.k)
    }

    /// The node nearest to the query that a descent through the upper levels finds.
    fn descend<C: Scorer>(
        &self,
        scorer: &C,
        query: &C::Query,
        scratch: &mut WalkScratch,
    ) -> Result<Candidate> {
        scratch.begin_counting();
        let score = score_one(scorer, query, self.graph.entry)?;
        let mut nearest = Candidate { score, label: self.graph.entry };
        for level in (1..=self.graph.top_level).rev() {
            nearest = descend(scorer, query, &self.graph.upper(level), nearest, scratch)?;
        }
        Ok(nearest)
    }

    /// Leaves the nearest candidates by score in `scratch.nearest`.
    fn walk_by<C: Scorer>(
        &self,
        scorer: &C,
        query: &C::Query,
        options: &SearchOptions<'_>,
        scratch: &mut WalkScratch,
    ) -> Result<End> {
        let ground = self.graph.ground();
        let nearest = self.descend(scorer, query, scratch)?;
        if options.filter.is_none() && options.visit_budget.is_none() {
            let reach = self.width.reach(options.ef, options.k, &self.coding);
            walk(scorer, query, &ground, &[nearest], reach, scratch, options.cancel)?;
            return Ok(End::Finished);
        }
        let ef = self.width(options.ef, options.k, options.filter.is_some());
        let budget = options.visit_budget.unwrap_or(usize::MAX);
        filtered_walk(scorer, query, &ground, nearest, ef, options.filter, budget, scratch, options.cancel)
    }

    /// Candidates to be rescored.
    fn depth(&self, k: usize, ef: usize) -> usize {
        self.coding.depth(k).max(depth_of_ef(ef))
    }
}

impl<S: Storage> VectorIndex for Hnsw<S> {
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

    fn is_resident(&self) -> bool {
        S::RESIDENT
    }

    fn has_graph(&self) -> bool {
        true
    }

    fn width(&self, ef: usize, k: usize, filtered: bool) -> usize {
        let wide = self.width.ef(ef, k, filtered, &self.coding);
        if filtered { wide.saturating_add(wide / FILTERED_GAIN) } else { wide }
    }

    fn search_counted(
        &self,
        query: &[f32],
        rows: &dyn VectorRows,
        options: &SearchOptions<'_>,
    ) -> Result<(Walk, SearchCounts)> {
        self.coding.check(query, rows)?;
        let members = options.filter.map_or(self.coding.len as u64, RoaringBitmap::len) as usize;
        let options = SearchOptions { k: options.k.min(members).min(self.coding.len), ..*options };
        if options.k == 0 {
            return Ok((Walk::Done(Vec::new()), SearchCounts::default()));
        }
        let SearchOptions { k, ef, filter, cancel, .. } = options;
        let scan = || {
            let hits =
                self.coding.scan(query, rows, &ScanOptions::new(k, filter, cancel), depth_of_ef(ef))?;
            Ok((Walk::Done(hits), self.coding.scan_counts(members, k, depth_of_ef(ef))))
        };
        if self.width.scans(ef, k, filter.is_some(), &self.coding, members) {
            return scan();
        }
        match self.walk_and_rescore(query, rows, &options)? {
            // The graph has a part that cannot be reached.
            (Walk::Done(hits), _) if hits.len() < options.k && options.filter.is_none() => scan(),
            (Walk::Done(hits), counts) if hits.len() < options.k => Ok((Walk::BudgetExceeded, counts)),
            walked => Ok(walked),
        }
    }

    fn scan_counts(&self, members: usize, k: usize) -> SearchCounts {
        self.coding.scan_counts(members, k, 0)
    }

    fn scan_is_sketched(&self, members: usize) -> bool {
        self.coding.scan_is_sketched(members)
    }

    fn scan_share(
        &self,
        query: &[f32],
        rows: &dyn VectorRows,
        options: &ScanOptions<'_>,
        share: Share,
    ) -> Result<Vec<Candidate>> {
        self.coding.scan_share(query, rows, options, share, 0)
    }

    fn nearest_of(
        &self,
        query: &[f32],
        rows: &dyn VectorRows,
        options: &ScanOptions<'_>,
        candidates: Vec<Candidate>,
    ) -> Result<Vec<Hit>> {
        self.coding.nearest_of(query, rows, options, candidates, 0)
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
            ef_factor: self.width.ef_factor,
            filtered_ef_factor: Some(self.width.filtered_ef_factor),
            ef_per_k: self.width.ef_per_k,
            rank_slope: self.width.rank_slope,
        };
        Parameters { graph: Some(graph), ..self.coding.parameters() }
    }

    fn buffers(&self) -> Result<Vec<(&'static str, &[u8])>> {
        let mut buffers = self.coding.buffers()?;
        buffers.push(("links", self.graph.links.as_bytes()?));
        buffers.push(("upper_labels", self.graph.upper.labels.as_bytes()));
        buffers.push(("upper_links", self.graph.upper.links.as_bytes()?));
        buffers.retain(|(_, bytes)| !bytes.is_empty());
        Ok(buffers)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
