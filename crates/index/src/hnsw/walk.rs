use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ferrochrome_types::{CancelToken, Result};
use roaring::RoaringBitmap;

use super::visited::Visited;
use crate::scorer::Scorer;
use crate::shortlist::Candidate;

/// Nodes expanded together: their neighbours' codes are fetched as one batch, so more misses overlap. More than three gain nothing.
const EXPANSIONS: usize = 3;
/// Most neighbours of the nodes of one round (`m` is at most 64).
const BATCH: usize = EXPANSIONS * 128;
/// Marks a label in the pool whose neighbours were looked at.
const EXPANDED: u32 = 1 << 31;
/// Rounds between two looks at the cancel token.
const CANCEL_STRIDE: usize = 64;

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
    /// The best so far, ascending. After a walk: its result.
    pub(crate) pool: Vec<Candidate>,
    /// Of a filtered walk: what is still to be expanded.
    frontier: BinaryHeap<Reverse<ByScore>>,
    batch: Batch,
}

impl Default for WalkScratch {
    fn default() -> Self {
        WalkScratch {
            visited: Visited::default(),
            pool: Vec::new(),
            frontier: BinaryHeap::new(),
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
    #[inline(always)]
    fn gather<L: Links>(&mut self, links: &L, label: u32, visited: &mut Visited) -> Result<()> {
        links.for_each(label, |neighbour| {
            if self.len < BATCH {
                // Written always, kept only if new: cheaper than a branch that is taken half of the time.
                self.labels[self.len] = neighbour;
                self.len += usize::from(visited.insert(neighbour));
            }
        })
    }

    fn score<S: Scorer>(&mut self, scorer: &S, query: &S::Query) -> Result<()> {
        self.scored += self.len;
        scorer.score(query, &self.labels[..self.len], &mut self.scores[..])
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

/// How far a walk has come: everything in the pool before `first` is expanded, and the last round ended before `position`.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    first: usize,
    position: usize,
}

impl WalkScratch {
    pub(crate) fn begin_counting(&mut self) {
        self.batch.scored = 0;
    }

    /// Rows that were scored since.
    pub(crate) fn scored(&self) -> usize {
        self.batch.scored
    }

    fn begin(&mut self, len: usize, entries: &[Candidate], ef: usize) {
        self.visited.begin(len);
        self.batch.len = 0;
        self.pool.clear();
        self.pool.reserve(ef + 1);
        for &entry in entries {
            if self.visited.insert(entry.label) {
                insert(&mut self.pool, ef, entry);
            }
        }
    }

    /// Gathers the new neighbours of the nearest nodes that are not expanded yet. False if there are none.
    #[inline(always)]
    fn expand<L: Links>(&mut self, links: &L, progress: &mut Progress) -> Result<bool> {
        let WalkScratch { visited, pool, batch, .. } = self;
        batch.len = 0;
        let mut position = progress.first;
        let mut expansions = 0;
        while position < pool.len() && expansions < EXPANSIONS {
            let label = pool[position].label;
            if label & EXPANDED == 0 {
                pool[position].label |= EXPANDED;
                batch.gather(links, label, visited)?;
                expansions += 1;
            }
            position += 1;
        }
        progress.position = position;
        if expansions > 0 {
            prefetch_next(links, &pool[position..]);
        }
        Ok(expansions > 0)
    }

    /// Takes what was gathered, and scored since, into the pool.
    #[inline(always)]
    fn absorb<L: Links>(&mut self, links: &L, ef: usize, progress: &mut Progress) {
        let WalkScratch { pool, batch, .. } = self;
        let Progress { position, .. } = *progress;
        let mut first = position;
        let mut worst = if pool.len() < ef { f32::INFINITY } else { pool[ef - 1].score };
        for candidate in batch.scored() {
            if candidate.score < worst {
                let place = insert(pool, ef, candidate);
                first = first.min(place);
                if place < position + EXPANSIONS {
                    links.prefetch(candidate.label);
                }
                if pool.len() == ef {
                    worst = pool[ef - 1].score;
                }
            }
        }
        progress.first = first;
    }

    fn finish(&mut self) {
        for candidate in &mut self.pool {
            candidate.label &= !EXPANDED;
        }
    }
}

/// Looks for the `ef` nearest rows from `entries` on; leaves them in `scratch.pool`, ascending.
pub(crate) fn walk<S: Scorer, L: Links>(
    scorer: &S,
    query: &S::Query,
    links: &L,
    entries: &[Candidate],
    ef: usize,
    scratch: &mut WalkScratch,
    cancel: &CancelToken,
) -> Result<()> {
    scratch.begin(scorer.len(), entries, ef);
    let mut progress = Progress::default();
    for round in 1.. {
        if round % CANCEL_STRIDE == 0 {
            cancel.check()?;
        }
        if !scratch.expand(links, &mut progress)? {
            break;
        }
        scratch.batch.score(scorer, query)?;
        scratch.absorb(links, ef, &mut progress);
    }
    scratch.finish();
    Ok(())
}

/// One of several walks that take turns.
pub(crate) struct Walker<'a, Q> {
    pub(crate) query: &'a Q,
    pub(crate) entry: Candidate,
    pub(crate) scratch: &'a mut WalkScratch,
}

impl<Q> Walker<'_, Q> {
    /// Scores what was gathered before, and gathers what comes next. False at the end.
    #[inline(always)]
    fn step<S: Scorer<Query = Q>, L: Links>(
        &mut self,
        scorer: &S,
        links: &L,
        ef: usize,
        progress: &mut Progress,
    ) -> Result<bool> {
        let scratch = &mut *self.scratch;
        scratch.batch.score(scorer, self.query)?;
        scratch.absorb(links, ef, progress);
        let goes_on = scratch.expand(links, progress)?;
        scorer.prefetch(&scratch.batch.labels[..scratch.batch.len]);
        if !goes_on {
            scratch.finish();
        }
        Ok(goes_on)
    }
}

/// As [`walk`] for each walker, in turns: while what one of them gathered is on its way from memory, the others are scored.
pub(crate) fn walk_in_turns<S: Scorer, L: Links>(
    scorer: &S,
    links: &L,
    ef: usize,
    walkers: &mut [Walker<'_, S::Query>],
    cancel: &CancelToken,
) -> Result<()> {
    for walker in walkers.iter_mut() {
        walker.scratch.begin(scorer.len(), &[walker.entry], ef);
    }
    let mut walking: Vec<(&mut Walker<'_, S::Query>, Progress)> =
        walkers.iter_mut().map(|walker| (walker, Progress::default())).collect();
    for round in 1.. {
        if round % CANCEL_STRIDE == 0 {
            cancel.check()?;
        }
        let mut failure = None;
        walking.retain_mut(|(walker, progress)| {
            walker.step(scorer, links, ef, progress).unwrap_or_else(|error| {
                failure = Some(error);
                false
            })
        });
        if let Some(error) = failure {
            return Err(error);
        }
        if walking.is_empty() {
            break;
        }
    }
    Ok(())
}

/// Asks for the links of the nodes that are next in line.
#[inline(always)]
fn prefetch_next<L: Links>(links: &L, pool: &[Candidate]) {
    for candidate in pool.iter().filter(|c| c.label & EXPANDED == 0).take(EXPANSIONS) {
        links.prefetch(candidate.label);
    }
}

/// Puts `candidate` in its place among at most `ef`. Returns the place.
#[inline(always)]
fn insert(pool: &mut Vec<Candidate>, ef: usize, candidate: Candidate) -> usize {
    let place = pool.partition_point(|other| other.score < candidate.score);
    if pool.len() == ef {
        pool.pop();
    }
    pool.insert(place.min(pool.len()), candidate);
    place
}

/// How a filtered walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Finished,
    BudgetExceeded,
}

/// As [`walk`], but only rows in `filter` (`None`: all) are kept: the walk leads through all of them, and goes on until nothing nearer than the
/// worst of `ef` kept rows is in sight. Scores at most about `budget` rows.
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
    let WalkScratch { visited, pool, frontier, batch } = scratch;
    visited.begin(scorer.len());
    visited.insert(entry.label);
    pool.clear();
    pool.reserve(ef + 1);
    frontier.clear();
    frontier.push(Reverse(ByScore(entry)));
    let kept = |label| filter.is_none_or(|filter| filter.contains(label));
    if kept(entry.label) {
        pool.push(entry);
    }
    let mut scored = 0;
    for round in 1.. {
        if round % CANCEL_STRIDE == 0 {
            cancel.check()?;
        }
        let mut worst = if pool.len() < ef { f32::INFINITY } else { pool[ef - 1].score };
        batch.len = 0;
        for _ in 0..EXPANSIONS {
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
        if scored > budget {
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
                if kept(candidate.label) {
                    insert(pool, ef, candidate);
                    if pool.len() == ef {
                        worst = pool[ef - 1].score;
                    }
                }
            }
        }
    }
    Ok(End::Finished)
}
