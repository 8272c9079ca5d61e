use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use ferrochrome_distance::Pool;
use ferrochrome_types::{CancelToken, Result};
use roaring::RoaringBitmap;

use super::visited::{Visited, insert_bit, insert_epoch};
use crate::scorer::Scorer;
use crate::shortlist::Candidate;

/// Nodes that a walk expands together, and as many again while the neighbours of these are scored: more misses overlap. With three, what is
/// found for it takes as much longer.
const EXPANSIONS: usize = 2;
/// The same of a filtered walk, which scores what it gathered before it goes on.
const FILTERED_EXPANSIONS: usize = 3;
/// Most links of a node (`m` is at most 64).
const MOST_LINKS: usize = 128;
/// Most neighbours that wait to be scored: those of two rounds.
const BATCH: usize = 2 * EXPANSIONS * MOST_LINKS;
const _: () = assert!(FILTERED_EXPANSIONS * MOST_LINKS <= BATCH);
/// Neighbours that are scored before others are gathered come in so many.
const PART: usize = 4;
/// Rows of which a walk asks whether they are allowed, before it is judged by how many are.
const JUDGED_AFTER: usize = 512;
/// A walk with a budget is given up among rows of which so many times fewer are allowed than of all: visits grow with the inverse of that
/// share to about the power .8, so that it would take more than twice what was expected.
const SCARCER: f64 = 2.5;
/// Rounds between two looks at the cancel token.
const CANCEL_STRIDE: usize = 64;

/// How far a walk goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reach {
    /// Candidates that are kept.
    pub(crate) kept: usize,
    /// So many of them are expanded wherever they lie, the others only if they are near enough.
    sure: usize,
    /// The place of the candidate that says what is near enough: what scores `slack` more at most.
    anchor: usize,
    slack: f32,
}

impl Reach {
    /// As far as the `ef` nearest that were found.
    pub(crate) fn of_rank(ef: usize) -> Self {
        Reach { kept: ef, sure: ef, anchor: 0, slack: f32::INFINITY }
    }

    /// For the links of a new node: `ef` candidates are kept, and the nearest four fifths of them expanded. What only the last fifth leads to is
    /// hardly ever nearer than what is known, and comparing it is a seventh of the work.
    pub(crate) fn of_insertion(ef: usize) -> Self {
        Reach { kept: ef, sure: ef - ef / 5, anchor: 0, slack: f32::NEG_INFINITY }
    }

    /// As far as the `ef`-th neighbour of a query lies on average: `slack` behind the `k`-th. Where many rows lie nearly as far as the `k`-th, that
    /// is more than `ef` of them, half as many again at most; where few do, fewer, but half at least.
    ///
    /// Searches that end by distance rather than by rank find as much with fewer comparisons, as they spend them on the queries that need them:
    /// Al-Jazzazi et al., "Distance Adaptive Beam Search for Provably Accurate Graph-Based Nearest Neighbor Search" (2025). There
    /// the slack is a part of the distance of the `k`-th; a score has no zero, so that here it is a difference.
    pub(crate) fn of_distance(ef: usize, k: usize, slack: f32) -> Self {
        Reach { kept: ef.saturating_add(ef / 2), sure: k.max(ef / 2), anchor: k.saturating_sub(1), slack }
    }

    /// The highest score that is near enough.
    #[inline(always)]
    fn limit(&self, pool: &Pool) -> f32 {
        pool.score(self.anchor).map_or(f32::INFINITY, |score| score + self.slack)
    }
}

/// The links of one level.
pub(crate) trait Links {
    /// Calls `visit` with each neighbour of `label`.
    fn for_each(&self, label: u32, visit: impl FnMut(u32)) -> Result<()>;

    /// A hint that the neighbours of `label` are wanted soon.
    fn prefetch(&self, label: u32);
}

/// Memory of a walk, reused by the next.
#[derive(Debug)]
pub(crate) struct WalkScratch {
    visited: Visited,
    /// The best so far.
    pool: Pool,
    /// After a walk: its result, ascending.
    pub(crate) nearest: Vec<Candidate>,
    /// Of a filtered walk: what is still to be expanded.
    frontier: BinaryHeap<Reverse<ByScore>>,
    /// What is expanded next.
    chosen: Vec<u32>,
    batch: Batch,
}

impl Default for WalkScratch {
    fn default() -> Self {
        WalkScratch {
            visited: Visited::default(),
            pool: Pool::default(),
            nearest: Vec::new(),
            frontier: BinaryHeap::new(),
            chosen: Vec::with_capacity(EXPANSIONS),
            batch: Batch { labels: Box::new([0; BATCH]), scores: Box::new([0.0; BATCH]), len: 0, scored: 0 },
        }
    }
}

/// Neighbours not seen before, to be scored together.
#[derive(Debug)]
struct Batch {
    labels: Box<[u32; BATCH]>,
    scores: Box<[f32; BATCH]>,
    len: usize,
    /// How many were scored since [`WalkScratch::begin_counting`].
    scored: usize,
}

impl Batch {
    /// A function of its own: within a walk the loop over links has too few registers.
    #[inline(never)]
    fn gather<L: Links>(&mut self, links: &L, label: u32, visited: &mut Visited) -> Result<()> {
        match visited {
            Visited::Bitmap(bits) => self.gather_new(links, label, |neighbour| insert_bit(bits, neighbour)),
            Visited::Epochs { epochs, current } => {
                self.gather_new(links, label, |neighbour| insert_epoch(epochs, *current, neighbour))
            }
        }
    }

    #[inline(always)]
    fn gather_new<L: Links>(
        &mut self,
        links: &L,
        label: u32,
        mut is_new: impl FnMut(u32) -> bool,
    ) -> Result<()> {
        // In a register: in memory, every link would wait for what the one before it stored.
        let mut len = self.len;
        let labels = &mut *self.labels;
        links.for_each(label, |neighbour| {
            if let Some(slot) = labels.get_mut(len) {
                // Written always, kept only if new: cheaper than a branch that is taken half of the time.
                *slot = neighbour;
                len += usize::from(is_new(neighbour));
            }
        })?;
        self.len = len;
        Ok(())
    }

    fn score<S: Scorer>(&mut self, scorer: &S, query: &S::Query) -> Result<()> {
        self.scored += self.len;
        scorer.score(query, &self.labels[..self.len], &mut self.scores[..])
    }

    /// Scores what lies in `part`; the first `fetched` labels from its beginning on were known to the call before.
    fn score_part<S: Scorer>(
        &mut self,
        scorer: &S,
        query: &S::Query,
        part: Range<usize>,
        fetched: usize,
    ) -> Result<()> {
        self.scored += part.len();
        scorer.score_ahead(query, &self.labels[part.start..self.len], fetched, &mut self.scores[part])
    }

    fn scored(&self) -> impl Iterator<Item = Candidate> {
        let pairs = self.labels[..self.len].iter().zip(&self.scores[..self.len]);
        pairs.map(|(&label, &score)| Candidate { score, label })
    }
}

/// A candidate in the order of its score.
#[derive(Clone, Copy, Debug)]
struct ByScore(Candidate);

impl PartialEq for ByScore {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ByScore {}

impl PartialOrd for ByScore {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByScore {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.order(&other.0)
    }
}

/// Scores one row.
pub(crate) fn score_one<S: Scorer>(scorer: &S, query: &S::Query, label: u32) -> Result<f32> {
    let mut score = [0.0];
    scorer.score(query, &[label], &mut score)?;
    Ok(score[0])
}

/// Moves from `from` to a neighbour as long as one is nearer. Returns where it ends.
pub(crate) fn descend<S: Scorer, L: Links>(
    scorer: &S,
    query: &S::Query,
    links: &L,
    mut from: Candidate,
    scratch: &mut WalkScratch,
) -> Result<Candidate> {
    loop {
        let batch = &mut scratch.batch;
        batch.len = 0;
        links.for_each(from.label, |neighbour| {
            batch.labels[batch.len] = neighbour;
            batch.len += 1;
        })?;
        batch.score(scorer, query)?;
        let nearest = batch.scored().min_by(Candidate::order);
        match nearest {
            Some(nearest) if nearest.score < from.score => from = nearest,
            _ => return Ok(from),
        }
    }
}

impl WalkScratch {
    pub(crate) fn begin_counting(&mut self) {
        self.batch.scored = 0;
    }

    /// Rows that were scored since.
    pub(crate) fn scored(&self) -> usize {
        self.batch.scored
    }

    fn begin(&mut self, len: usize, entries: &[Candidate], reach: Reach) {
        self.visited.begin(len);
        self.batch.len = 0;
        self.pool.begin(reach.kept.min(len));
        for &Candidate { score, label } in entries {
            if self.visited.insert(label) {
                self.pool.offer(&[score], &[label]);
            }
        }
    }

    /// Takes the nearest nodes that are not expanded yet, those within reach, and asks for their links.
    #[inline(always)]
    fn choose<L: Links>(&mut self, links: &L, reach: &Reach) {
        self.chosen.clear();
        let limit = reach.limit(&self.pool);
        while self.chosen.len() < EXPANSIONS {
            let Some(label) = self.pool.take(reach.sure, limit) else { break };
            links.prefetch(label);
            self.chosen.push(label);
        }
    }

    /// Scores what was gathered before, while the neighbours of what was chosen are gathered, and takes it into the pool.
    #[inline(always)]
    fn advance<S: Scorer, L: Links>(&mut self, scorer: &S, query: &S::Query, links: &L) -> Result<()> {
        let WalkScratch { visited, pool, chosen, batch, .. } = self;
        let waiting = batch.len;
        // The links that were asked for arrive meanwhile.
        let part =
            if chosen.is_empty() { waiting } else { (waiting / 2).next_multiple_of(PART).min(waiting) };
        batch.score_part(scorer, query, 0..part, waiting)?;
        for &label in &*chosen {
            batch.gather(links, label, visited)?;
        }
        batch.score_part(scorer, query, part..waiting, waiting - part)?;
        pool.offer(&batch.scores[..waiting], &batch.labels[..waiting]);
        batch.labels.copy_within(waiting..batch.len, 0);
        batch.len -= waiting;
        Ok(())
    }

    fn finish(&mut self) {
        let WalkScratch { pool, nearest, .. } = self;
        nearest.clear();
        nearest.extend(pool.candidates().map(|(score, label)| Candidate { score, label }));
    }
}

/// Looks for the nearest rows from `entries` on; leaves them in `scratch.nearest`, ascending.
///
/// What is expanded next is chosen before the neighbours of what was expanded last are scored: their codes are on their way then while others are
/// scored. A choice that knows a round less expands a node or two more.
pub(crate) fn walk<S: Scorer, L: Links>(
    scorer: &S,
    query: &S::Query,
    links: &L,
    entries: &[Candidate],
    reach: Reach,
    scratch: &mut WalkScratch,
    cancel: &CancelToken,
) -> Result<()> {
    scratch.begin(scorer.len(), entries, reach);
    for round in 1.. {
        if round % CANCEL_STRIDE == 0 {
            cancel.check()?;
        }
        scratch.choose(links, &reach);
        if scratch.chosen.is_empty() && scratch.batch.len == 0 {
            break;
        }
        scratch.advance(scorer, query, links)?;
    }
    scratch.finish();
    Ok(())
}

/// How a filtered walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Finished,
    BudgetExceeded,
}

/// As [`walk`], but only rows in `filter` (`None`: all) are kept: the walk leads through all of them, and goes on until nothing nearer than the
/// worst of `ef` kept rows is in sight. Scores at most about `budget` rows, and where there is a budget gives up as soon as it is clear that it leads
/// among rows that the filter keeps out.
#[allow(clippy::too_many_arguments)]
pub(crate) fn filtered_walk<S: Scorer, L: Links>(
    scorer: &S,
    query: &S::Query,
    links: &L,
    entry: Candidate,
    ef: usize,
    filter: Option<&RoaringBitmap>,
    budget: usize,
    scratch: &mut WalkScratch,
    cancel: &CancelToken,
) -> Result<End> {
    let WalkScratch { visited, pool, frontier, batch, .. } = scratch;
    visited.begin(scorer.len());
    visited.insert(entry.label);
    pool.begin(ef.min(scorer.len()));
    frontier.clear();
    frontier.push(Reverse(ByScore(entry)));
    let kept = |label| filter.is_none_or(|filter| filter.contains(label));
    let share = filter.map_or(1.0, |filter| filter.len() as f64 / scorer.len().max(1) as f64);
    let (mut asked, mut allowed) = (0, 0);
    if kept(entry.label) {
        pool.offer(&[entry.score], &[entry.label]);
    }
    let mut scored = 0;
    for round in 1.. {
        if round % CANCEL_STRIDE == 0 {
            cancel.check()?;
        }
        let mut worst = pool.worst();
        batch.len = 0;
        for _ in 0..FILTERED_EXPANSIONS {
            match frontier.peek() {
                Some(Reverse(ByScore(nearest))) if nearest.score <= worst => {
                    batch.gather(links, nearest.label, visited)?;
                    frontier.pop();
                }
                _ => break,
            }
        }
        if batch.len == 0 && frontier.peek().is_none_or(|Reverse(ByScore(nearest))| nearest.score > worst) {
            break;
        }
        scored += batch.len;
        let scarce = asked >= JUDGED_AFTER && (allowed as f64) * SCARCER < asked as f64 * share;
        if scored > budget || (scarce && budget < usize::MAX) {
            return Ok(End::BudgetExceeded);
        }
        batch.score(scorer, query)?;
        for candidate in batch.scored() {
            if candidate.score < worst {
                // Nearest of all for now, so perhaps the next to be expanded.
                if frontier.peek().is_none_or(|Reverse(ByScore(nearest))| candidate.score < nearest.score) {
                    links.prefetch(candidate.label);
                }
                frontier.push(Reverse(ByScore(candidate)));
                asked += 1;
                if kept(candidate.label) {
                    allowed += 1;
                    pool.offer(&[candidate.score], &[candidate.label]);
                    worst = pool.worst();
                }
            }
        }
    }
    scratch.finish();
    Ok(End::Finished)
}
