//! How wide walks must be on a graph, measured on the graph.

use ferrochrome_types::{CancelToken, Metric, Result, VectorRows};
use roaring::RoaringBitmap;

use super::Hnsw;
use super::graph::Graph;
use super::walk::{Links, Reach, WalkScratch, descend, filtered_walk, score_one, walk};
use crate::coding::{CALIBRATED_K, Coding};
use crate::exact::fetch_and_rescore;
use crate::scorer::{RowScorer, Scorer};
use crate::shortlist::Candidate;
use crate::storage::Storage;
use crate::true_neighbours::{KNOWN_NEIGHBOURS, Probe, TrueNeighbours};

/// What walks must reach with an `ef`. Wished for is more than is promised: probes are only a sample, and lie where rows are, while
/// real queries on real data were seen to miss three times as much.
const FLOORS: [Floor; 2] =
    [Floor { ef: 100, wished: 0.985, enough: 0.955 }, Floor { ef: 400, wished: 0.997, enough: 0.985 }];
/// What a walk so many times wider does not find, because hardly a link leads there, is not worth one that is wider still, if what
/// it finds is enough.
const PATIENCE: usize = 8;
/// Recall that is not worth a wider walk either, where what is wished for is out of reach.
const SMALL_GAIN: f32 = 0.003;
/// The same for recall@100, whatever `ef` is.
const FLOOR_OF_MANY: f32 = 0.965;
/// Probes that are looked at to see how scores grow with rank, and how many it takes at least.
const SLOPE_PROBES: usize = 256;
const LEAST_SLOPE_PROBES: usize = 16;
/// The neighbours of a query lie closer together than those of a row do: sentences among the terms of a dictionary had .7 of the slope.
const QUERY_PART: f32 = 0.8;
/// Widths that are tried. With the last, every search is a scan.
const STEPS: [usize; 14] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 1 << 20];

/// A walk as wide as this part of the members scores about as many rows as a scan, which finds more.
const SCAN_FROM_PART: usize = 4;
/// A walk that is wider than was asked for must be worth it: as wide as this part of the members it takes as long as a scan.
const WIDENED_SCAN_FROM_PART: usize = 32;

/// recall@10 of walks with an `ef`.
#[derive(Clone, Copy)]
struct Floor {
    ef: usize,
    wished: f32,
    enough: f32,
}

/// How wide a walk is for what a search asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Width {
    /// What `ef` is multiplied by: more than 1 where the data make a graph hard to walk.
    pub(crate) ef_factor: usize,
    /// The same with a filter, which may leave nothing but what links hardly lead to: what patience finds counts then.
    pub(crate) filtered_ef_factor: usize,
    /// Candidates kept for each of the `k` wanted, at least.
    pub(crate) ef_per_k: usize,
    /// By how much the score of a neighbour grows on average with the logarithm of its rank; above 0. `None` where walks are to end by rank.
    pub(crate) rank_slope: Option<f32>,
}

impl Width {
    /// Of data that embeddings usually are.
    pub(crate) const USUAL: Width =
        Width { ef_factor: 1, filtered_ef_factor: 1, ef_per_k: 2, rank_slope: None };
    /// Greatest value of each.
    pub(crate) const MAX: usize = STEPS[STEPS.len() - 1];

    /// Candidates to be kept in a search for `k`.
    pub(crate) fn ef<S: Storage>(self, ef: usize, k: usize, filtered: bool, coding: &Coding<S>) -> usize {
        let factor = if filtered { self.filtered_ef_factor } else { self.ef_factor };
        let wide = ef.saturating_mul(factor).max(k.saturating_mul(self.ef_per_k));
        wide.max(coding.depth(k))
    }

    /// How far a walk without a filter goes in a search for `k`.
    pub(crate) fn reach<S: Storage>(self, ef: usize, k: usize, coding: &Coding<S>) -> Reach {
        let (wide, anchor) = (self.ef(ef, k, false, coding), k.max(CALIBRATED_K));
        match self.rank_slope {
            Some(slope) if wide > anchor => {
                Reach::of_distance(wide, anchor, QUERY_PART * slope * (wide as f32 / anchor as f32).ln())
            }
            _ => Reach::of_rank(wide),
        }
    }

    /// Whether a search among so many members is better done without the graph.
    pub(crate) fn scans<S: Storage>(
        self,
        ef: usize,
        k: usize,
        filtered: bool,
        coding: &Coding<S>,
        members: usize,
    ) -> bool {
        let wide = self.ef(ef, k, filtered, coding);
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
        let by_distance = Width { rank_slope: measure.rank_slope(truth)?, ..Width::USUAL };
        let by_distance = Self::widened(by_distance, &measure, truth, members, threads)?;
        let is_usual =
            by_distance.ef_factor == Self::USUAL.ef_factor && by_distance.ef_per_k == Self::USUAL.ef_per_k;
        if is_usual || by_distance.rank_slope.is_none() {
            return Ok(by_distance);
        }
        // Where a usual width does not do, distances may say little of how far to go. Where they do, they spare as much as elsewhere.
        let by_rank = Self::widened(Width::USUAL, &measure, truth, members, threads)?;
        let is_wider = by_distance.ef_factor > by_rank.ef_factor || by_distance.ef_per_k > by_rank.ef_per_k;
        Ok(if is_wider { by_rank } else { by_distance })
    }

    /// As wide as the floors take.
    fn widened(
        mut width: Width,
        measure: &Measure<'_>,
        truth: &TrueNeighbours,
        members: usize,
        threads: usize,
    ) -> Result<Width> {
        let coding = &measure.index.coding;
        let best = coding.recall.unwrap_or(1.0);
        let recall_of = |width: Width, k: usize, ef: usize| -> Result<f32> {
            // A scan reaches what the codes do.
            if width.scans(ef, k, false, coding, members) {
                return Ok(best);
            }
            let (reach, depth) = (width.reach(ef, k, coding), measure.index.depth(k, ef));
            measure.recall(truth, k, reach, depth, threads)
        };
        for floor in FLOORS {
            let recall = |ef_factor: usize| {
                let width = Width { ef_factor, ..width };
                recall_of(width, CALIBRATED_K, floor.ef)
            };
            let (least, patient) = floor.least_factor(width.ef_factor, best, recall)?;
            width.ef_factor = least;
            width.filtered_ef_factor = width.filtered_ef_factor.max(patient);
        }
        let narrow = |width: Width| Width { ef_factor: 1, ..width };
        let many = FLOOR_OF_MANY.min(best);
        while width.ef_per_k < Self::MAX && recall_of(narrow(width), KNOWN_NEIGHBOURS, 1)? < many {
            width.ef_per_k = next(width.ef_per_k);
        }
        Ok(width)
    }
}

impl Floor {
    /// The least factor from `from` on with which `recall` reaches what is wished for, `best` at most; where that is out of reach,
    /// the least that comes near what the patient find. Also the factor of the patient.
    fn least_factor(
        self,
        from: usize,
        best: f32,
        recall: impl Fn(usize) -> Result<f32>,
    ) -> Result<(usize, usize)> {
        let mut measured: Vec<(usize, f32)> = Vec::new();
        let mut factor = from;
        loop {
            let reached = recall(factor)?;
            if reached >= self.wished.min(best) || factor == Width::MAX {
                return Ok((factor, factor));
            }
            measured.push((factor, reached));
            let found = measured.iter().fold(0.0_f32, |most, (_, recall)| most.max(*recall));
            if factor >= from.saturating_mul(PATIENCE) && found >= self.enough.min(best) {
                let worth = (found - SMALL_GAIN).max(self.enough.min(best));
                let least = measured.iter().find(|(_, recall)| *recall >= worth);
                return Ok((least.map_or(factor, |(factor, _)| *factor), factor));
            }
            factor = next(factor);
        }
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
    /// See [`Width::rank_slope`]. `None` where a score says nothing alone, as that of an inner product does not without the length of
    /// the query, or where there is too little to measure.
    fn rank_slope(&self, truth: &TrueNeighbours) -> Result<Option<f32>> {
        // With a filter, walks end by rank.
        if !matches!(self.index.coding.metric, Metric::Cosine | Metric::L2) || self.live.is_some() {
            return Ok(None);
        }
        let probes = truth.largest_kind();
        let probes = &probes[..probes.len().min(SLOPE_PROBES)];
        // How much more the last neighbour that is known scores than the last of a usual search.
        let gap = |_: &Probe, _: &[f32], nearest: &[Candidate]| {
            let score = |rank: usize| Some(nearest.get(rank - 1)?.score);
            Ok(score(KNOWN_NEIGHBOURS).zip(score(CALIBRATED_K)).map(|(far, near)| far - near))
        };
        let gaps = self.walks(probes, Reach::of_rank(KNOWN_NEIGHBOURS), gap)?;
        let gaps: Vec<f32> = gaps.into_iter().flatten().collect();
        if gaps.len() < LEAST_SLOPE_PROBES {
            return Ok(None);
        }
        let gap = gaps.iter().sum::<f32>() / gaps.len() as f32;
        let slope = gap / (KNOWN_NEIGHBOURS as f32 / CALIBRATED_K as f32).ln();
        Ok((slope.is_finite() && slope > 0.0).then_some(slope))
    }

    /// recall@k of walks, of whose candidates `depth` are rescored.
    fn recall(
        &self,
        truth: &TrueNeighbours,
        k: usize,
        reach: Reach,
        depth: usize,
        threads: usize,
    ) -> Result<f32> {
        let count = |probe: &Probe, vector: &[f32], nearest: &[Candidate]| {
            let labels = nearest.iter().take(depth).map(|candidate| candidate.label);
            let hits = fetch_and_rescore(self.index.coding.metric, vector, self.rows, labels, k)?;
            Ok(vec![probe.count(k, hits.iter().map(|hit| hit.distance))])
        };
        Ok(truth.recalls(1, threads, |probes| self.walks(probes, reach, count))?[0])
    }

    /// What `take` makes of each probe, its vector, and what a walk for it finds.
    fn walks<T>(
        &self,
        probes: &[Probe],
        reach: Reach,
        take: impl Fn(&Probe, &[f32], &[Candidate]) -> Result<T>,
    ) -> Result<Vec<T>> {
        let coding = &self.index.coding;
        match &coding.codes {
            Some(codes) => self.walks_by(codes, probes, reach, take),
            None => {
                let scorer = RowScorer::new(coding.metric, self.rows, coding.len);
                self.walks_by(&scorer, probes, reach, take)
            }
        }
    }

    fn walks_by<S: Scorer, T>(
        &self,
        scorer: &S,
        probes: &[Probe],
        reach: Reach,
        take: impl Fn(&Probe, &[f32], &[Candidate]) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut scratch = WalkScratch::default();
        let mut query = scorer.new_query()?;
        let mut taken = Vec::with_capacity(probes.len());
        for probe in probes.iter().filter(|probe| !probe.is_absent(self.index.graph.entry)) {
            let vector = self.rows.row(probe.label)?;
            scorer.prepare(vector, &mut query);
            self.walk_past(scorer, &query, probe, reach, &mut scratch)?;
            taken.push(take(probe, vector, &scratch.nearest)?);
        }
        Ok(taken)
    }

    /// A walk as if the probe were not in the graph: its own links would lead it to its neighbours as they lead no other query.
    fn walk_past<S: Scorer>(
        &self,
        scorer: &S,
        query: &S::Query,
        probe: &Probe,
        reach: Reach,
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
            None => walk(scorer, query, &links, &[nearest], reach, scratch, self.cancel),
            live => {
                let (filter, budget) = (live.as_ref(), usize::MAX);
                filtered_walk(
                    scorer,
                    query,
                    &links,
                    nearest,
                    reach.kept,
                    filter,
                    budget,
                    scratch,
                    self.cancel,
                )
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

#[cfg(test)]
mod tests {
    use super::*;

    fn least(recalls: &[(usize, f32)], best: f32) -> usize {
        let floor = Floor { ef: 100, wished: 0.99, enough: 0.96 };
        let recall = |factor: usize| {
            let known = recalls.iter().rev().find(|(from, _)| *from <= factor);
            Ok(known.map_or(0.0, |(_, recall)| *recall))
        };
        let (least, patient) = floor.least_factor(1, best, recall).unwrap();
        assert!(least <= patient);
        least
    }

    #[test]
    fn a_walk_is_widened_until_it_finds_enough() {
        assert_eq!(least(&[(1, 0.995)], 1.0), 1);
        assert_eq!(least(&[(1, 0.9), (3, 0.98), (6, 0.992)], 1.0), 6);
        assert_eq!(least(&[(1, 0.5), (48, 0.97)], 1.0), 48, "enough, beyond patience");
        assert_eq!(least(&[(1, 0.5)], 1.0), Width::MAX, "a scan");
        assert_eq!(least(&[(1, 0.9), (2, 0.95)], 0.95), 2, "the codes find no more");
    }

    #[test]
    fn what_no_link_leads_to_is_not_paid_for() {
        assert_eq!(least(&[(1, 0.97), (2, 0.982), (3, 0.984), (8, 0.985), (64, 0.99)], 1.0), 2);
        assert_eq!(least(&[(1, 0.985)], 1.0), 1);
        assert_eq!(least(&[(1, 0.958), (4, 0.96)], 1.0), 4, "not less than enough");
    }
}
