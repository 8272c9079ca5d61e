//! How wide walks must be on a graph, measured on the graph.

use ferrochrome_types::{CancelToken, Result, VectorRows};
use roaring::RoaringBitmap;

use super::Hnsw;
use super::graph::Graph;
use super::walk::{Links, WalkScratch, descend, filtered_walk, score_one, walk};
use crate::coding::{CALIBRATED_K, Coding};
use crate::exact::rescore;
use crate::scorer::{RowScorer, Scorer};
use crate::shortlist::Candidate;
use crate::storage::Storage;
use crate::true_neighbours::{Count, KNOWN_NEIGHBOURS, Probe, TrueNeighbours};

/// What walks must reach: recall@10 with an `ef`. More than is promised: probes are only a sample, and
/// lie where rows are, while real queries on real data were seen to miss three times as much.
const FLOORS: [(usize, f32); 2] = [(100, 0.985), (400, 0.997)];
/// The same for recall@100, whatever `ef` is.
const FLOOR_OF_MANY: f32 = 0.965;
/// Widths that are tried. With the last, every search is a scan.
const STEPS: [usize; 14] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 1 << 20];

/// A walk as wide as this part of the members scores about as many rows as a scan, which finds more.
const SCAN_FROM_PART: usize = 4;
/// A walk that is wider than was asked for must be worth it: as wide as this part of the members it takes as long as a scan.
const WIDENED_SCAN_FROM_PART: usize = 32;

/// How wide a walk is for what a search asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Width {
    /// What `ef` is multiplied by: more than 1 where the data make a graph hard to walk.
    pub(crate) ef_factor: usize,
    /// Candidates kept for each of the `k` wanted, at least.
    pub(crate) ef_per_k: usize,
}

impl Width {
    /// Of data that embeddings usually are.
    pub(crate) const USUAL: Width = Width { ef_factor: 1, ef_per_k: 2 };
    /// Greatest value of either.
    pub(crate) const MAX: usize = STEPS[STEPS.len() - 1];

    /// Candidates to be kept in a search for `k`.
    pub(crate) fn ef<S: Storage>(self, ef: usize, k: usize, coding: &Coding<S>) -> usize {
        let wide = ef.saturating_mul(self.ef_factor).max(k.saturating_mul(self.ef_per_k));
        wide.max(coding.depth(k))
    }

    /// Whether a search among so many members is better done without the graph.
    pub(crate) fn scans<S: Storage>(self, ef: usize, k: usize, coding: &Coding<S>, members: usize) -> bool {
        let wide = self.ef(ef, k, coding);
        let part = if wide > ef { WIDENED_SCAN_FROM_PART } else { SCAN_FROM_PART };
        wide.saturating_mul(part) >= members
    }

    /// The least width with which `index` reaches its floors.
    pub(crate) fn fit(
        index: &Hnsw,
        rows: &dyn VectorRows,
        truth: &TrueNeighbours,
        dead: &RoaringBitmap,
        threads: usize,
        cancel: &CancelToken,
    ) -> Result<Width> {
        let live = (!dead.is_empty()).then(|| {
            let mut live = RoaringBitmap::new();
            live.insert_range(0..index.coding.len as u32);
            live - dead
        });
        let members = live.as_ref().map_or(index.coding.len, |live| live.len() as usize);
        let measure = Measure { index, rows, live, cancel };
        let best = index.coding.recall.unwrap_or(1.0);
        let reaches = |width: Width, k: usize, ef: usize, floor: f32| -> Result<bool> {
            // A scan reaches what the codes do.
            if width.scans(ef, k, &index.coding, members) {
                return Ok(true);
            }
            let (wide, depth) = (width.ef(ef, k, &index.coding), index.depth(k, ef));
            Ok(measure.recall(truth, k, wide, depth, threads)? >= floor.min(best))
        };
        let mut width = Width::USUAL;
        for (ef, floor) in FLOORS {
            while width.ef_factor < Self::MAX && !reaches(width, CALIBRATED_K, ef, floor)? {
                width.ef_factor = next(width.ef_factor);
            }
        }
        let narrow = |width: Width| Width { ef_factor: 1, ..width };
        while width.ef_per_k < Self::MAX && !reaches(narrow(width), KNOWN_NEIGHBOURS, 1, FLOOR_OF_MANY)? {
            width.ef_per_k = next(width.ef_per_k);
        }
        Ok(width)
    }
}

fn next(step: usize) -> usize {
    STEPS.into_iter().find(|&next| next > step).unwrap_or(step)
}

struct Measure<'a> {
    index: &'a Hnsw,
    rows: &'a dyn VectorRows,
    /// The rows that may be found, if not all.
    live: Option<RoaringBitmap>,
    cancel: &'a CancelToken,
}

impl Measure<'_> {
    /// recall@k of walks of width `ef`, of whose candidates `depth` are rescored.
    fn recall(
        &self,
        truth: &TrueNeighbours,
        k: usize,
        ef: usize,
        depth: usize,
        threads: usize,
    ) -> Result<f32> {
        let count = |probes: &[Probe]| match &self.index.coding.codes {
            Some(codes) => self.counts(codes, probes, k, ef, depth),
            None => {
                let scorer = RowScorer::new(self.index.coding.metric, self.rows, self.index.coding.len);
                self.counts(&scorer, probes, k, ef, depth)
            }
        };
        Ok(truth.recalls(1, threads, count)?[0])
    }

    /// What walks find of the neighbours of each probe.
    fn counts<S: Scorer>(
        &self,
        scorer: &S,
        probes: &[Probe],
        k: usize,
        ef: usize,
        depth: usize,
    ) -> Result<Vec<Vec<Count>>> {
        let mut scratch = WalkScratch::default();
        let mut query = scorer.new_query()?;
        let mut counts = Vec::with_capacity(probes.len());
        for probe in probes.iter().filter(|probe| !probe.is_absent(self.index.graph.entry)) {
            let vector = self.rows.row(probe.label)?;
            scorer.prepare(vector, &mut query);
            self.walk_past(scorer, &query, probe, ef, &mut scratch)?;
            let labels = scratch.pool.iter().take(depth).map(|candidate| candidate.label);
            let hits = rescore(self.index.coding.metric, vector, self.rows, labels, k)?;
            counts.push(vec![probe.count(k, hits.iter().map(|hit| hit.distance))]);
        }
        Ok(counts)
    }

    /// A walk as if the probe were not in the graph: its own links would lead it to its neighbours as they lead no other query.
    fn walk_past<S: Scorer>(
        &self,
        scorer: &S,
        query: &S::Query,
        probe: &Probe,
        ef: usize,
        scratch: &mut WalkScratch,
    ) -> Result<()> {
        let graph: &Graph = &self.index.graph;
        let mut nearest = Candidate { score: score_one(scorer, query, graph.entry)?, label: graph.entry };
        for level in (1..=graph.top_level).rev() {
            let links = Past { links: graph.upper(level), probe };
            nearest = descend(scorer, query, &links, nearest, scratch)?;
        }
        let links = Past { links: graph.ground(), probe };
        match &self.live {
            None => walk(scorer, query, &links, &[nearest], ef, scratch, self.cancel),
            live => {
                let (filter, budget) = (live.as_ref(), usize::MAX);
                filtered_walk(scorer, query, &links, nearest, ef, filter, budget, scratch, self.cancel)
                    .map(drop)
            }
        }
    }
}

/// Links without those to what a probe leaves out.
struct Past<'a, L> {
    links: L,
    probe: &'a Probe,
}

impl<L: Links> Links for Past<'_, L> {
    fn for_each(&self, label: u32, mut visit: impl FnMut(u32)) -> Result<()> {
        self.links.for_each(label, |neighbour| {
            if !self.probe.is_absent(neighbour) {
                visit(neighbour);
            }
        })
    }

    fn prefetch(&self, label: u32) {
        self.links.prefetch(label);
    }
}
