use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use ferrochrome_types::{CancelToken, Progress, Result};
use parking_lot::Mutex;
use roaring::RoaringBitmap;

use super::graph::{EMPTY, Graph, Shape, UpperLevels, rarity};
use super::walk::{Links, Reach, WalkScratch, descend, score_one, walk};
use crate::aligned_buffer::AlignedBuffer;
use crate::scorer::Scorer;
use crate::shortlist::Candidate;
use crate::threads::join_all;

/// Locks for writing rows; labels share them by their low bits.
const STRIPES: usize = 1 << 12;
/// The links of a new node are chosen from so many of the nearest candidates for each. From more, those are chosen that lie far away, too, and walks
/// score more rows for what they find.
const CANDIDATES_PER_LINK: usize = 4;
/// The part of new nodes that is inserted first where they come group by group.
const SAMPLE: f64 = 0.25;

/// What is beside the scorer needed to grow a graph.
pub(crate) struct GrowOptions<'a> {
    pub(crate) shape: Shape,
    pub(crate) ef_construction: usize,
    pub(crate) seed: u64,
    pub(crate) threads: usize,
    /// Nodes that new ones should not link to.
    pub(crate) dead: &'a RoaringBitmap,
    /// Nodes of the base that are to be inserted again; not its entry.
    pub(crate) again: &'a [u32],
    /// Whether rows come group by group.
    pub(crate) grouped: bool,
    pub(crate) cancel: &'a CancelToken,
    /// Counts what is inserted.
    pub(crate) progress: &'a Progress,
}

/// A graph over all rows of `scorer`: a copy of `base`, whose nodes are the first rows, with the others inserted.
///
/// Where rows come group by group, as the passages of a text do, a random quarter of them comes first, from the highest level down, and then the
/// others in their order. In their order alone all candidates of a node would be of a few groups, and hardly a link would lead from group
/// to group. The quarter spans all of them while they are few, and what is linked then stays linked.
pub(crate) fn grow<S: Scorer>(scorer: &S, base: Option<&Graph>, options: &GrowOptions<'_>) -> Result<Graph> {
    let (len, shape) = (scorer.len(), options.shape);
    let base_len = base.map_or(0, |base| base.len);
    let base_links: &[u32] = base.map_or(&[], |base| &base.links);
    let mut links = AlignedBuffer::extended(base_links, len * shape.row_width())?;
    links[base_links.len()..].fill(EMPTY);
    let mut upper =
        UpperLevels::with_levels(base.map(|base| &base.upper), base_len, len, shape, options.seed)?;
    let mut upper_links = std::mem::replace(&mut upper.links, AlignedBuffer::zeroed(0)?);
    let mut entry =
        base.filter(|base| base.len > 0).map(|base| Entry { label: base.entry, level: base.top_level });
    let mut begin = base_len;
    if entry.is_none() && len > 0 {
        entry = Some(Entry { label: 0, level: upper.level(0) });
        begin = 1;
    }
    if let Some(entry) = &mut entry {
        let builder = Builder {
            scorer,
            options,
            ground: as_atomic(&mut links),
            upper_links: as_atomic(&mut upper_links),
            upper: &upper,
            entry: Mutex::new(*entry),
            stripes: (0..STRIPES).map(|_| Mutex::new(())).collect(),
            first: options.again.iter().copied().chain(sample(begin, len, options)).collect(),
            begin,
            next: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
        };
        builder.run()?;
        *entry = builder.entry.into_inner();
    }
    upper.links = upper_links;
    let entry = entry.unwrap_or(Entry { label: 0, level: 0 });
    Ok(Graph { shape, len, links, upper, entry: entry.label, top_level: entry.level })
}

impl GrowOptions<'_> {
    /// Whether a new node is among those that are inserted first.
    fn is_sampled(&self, label: u32) -> bool {
        self.grouped && rarity(self.seed, label) <= SAMPLE
    }
}

/// The new nodes that are inserted first, highest level first.
fn sample(begin: usize, len: usize, options: &GrowOptions<'_>) -> Vec<u32> {
    let mut sample: Vec<u32> =
        (begin as u32..len as u32).filter(|&label| options.is_sampled(label)).collect();
    sample.sort_by_cached_key(|&label| rarity(options.seed, label).to_bits());
    sample
}

/// Shares a buffer among threads that read rows while others write them.
fn as_atomic(values: &mut [u32]) -> &[AtomicU32] {
    // SAFETY: `AtomicU32` has the layout of `u32`, and the exclusive borrow lasts as long as the result.
    unsafe { &*(std::ptr::from_mut(values) as *const [AtomicU32]) }
}

#[derive(Clone, Copy)]
struct Entry {
    label: u32,
    level: u8,
}

/// Links are read without locks: every slot holds a label or `EMPTY` at any time, and a row seen half-way through a change
/// is still a row of nodes. Rows are changed under the lock of their stripe.
struct Builder<'a, S: Scorer> {
    scorer: &'a S,
    options: &'a GrowOptions<'a>,
    ground: &'a [AtomicU32],
    upper_links: &'a [AtomicU32],
    /// Where rows lie; its own links are not used while building.
    upper: &'a UpperLevels,
    entry: Mutex<Entry>,
    stripes: Box<[Mutex<()>]>,
    /// Nodes to be inserted before the others: those that are inserted again, and the sample.
    first: Vec<u32>,
    /// The first of the others, if it is not in the sample.
    begin: usize,
    /// How many of `first`, and then of the labels from `begin` on, somebody has taken on.
    next: AtomicUsize,
    failed: AtomicBool,
}

/// One level of the growing graph.
struct GrowingLinks<'a, S: Scorer> {
    builder: &'a Builder<'a, S>,
    level: u8,
}

impl<S: Scorer> Links for GrowingLinks<'_, S> {
    #[inline(always)]
    fn for_each(&self, label: u32, mut visit: impl FnMut(u32)) -> Result<()> {
        for slot in self.builder.row(label, self.level) {
            let link = slot.load(Ordering::Relaxed);
            if link == EMPTY {
                break;
            }
            visit(link);
        }
        Ok(())
    }

    #[inline(always)]
    fn prefetch(&self, label: u32) {
        if self.level == 0 {
            let row = self.builder.row(label, 0);
            ferrochrome_distance::prefetch_bytes(row.as_ptr().cast(), size_of_val(row));
        }
    }
}

/// Memory of one thread.
struct Workspace<Q> {
    walk: WalkScratch,
    query: Q,
    /// Of the node whose row is full.
    owner: Q,
    selection: Selection<Q>,
    candidates: Vec<Candidate>,
    row: Vec<u32>,
    scores: Vec<f32>,
}

/// Links being selected.
pub(super) struct Selection<Q> {
    /// The one selected last, as a query.
    query: Q,
    pub(super) selected: Vec<Candidate>,
    /// Left out for being nearer to a selected one, nearest first.
    covered: Vec<Candidate>,
    /// Neither yet, and room for their scores.
    open: Vec<Candidate>,
    labels: Vec<u32>,
    scores: Vec<f32>,
}

impl<S: Scorer> Builder<'_, S> {
    fn run(&self) -> Result<()> {
        let threads = self.options.threads;
        if threads == 1 {
            return self.insert_all();
        }
        std::thread::scope(|scope| {
            let workers = (0..threads).map(|_| scope.spawn(|| self.insert_all())).collect();
            join_all(workers).map(drop)
        })
    }

    fn insert_all(&self) -> Result<()> {
        let result = self.insert_until_done();
        if result.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        result
    }

    fn insert_until_done(&self) -> Result<()> {
        let capacity = self.options.shape.ground_links() + 1;
        let new_query = || self.scorer.new_query();
        let mut workspace = Workspace {
            walk: WalkScratch::default(),
            query: new_query()?,
            owner: new_query()?,
            selection: Selection::new(new_query()?, capacity),
            candidates: Vec::new(),
            row: Vec::with_capacity(capacity),
            scores: vec![0.0; capacity],
        };
        loop {
            if self.failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            let Some(label) = self.take() else { return Ok(()) };
            self.options.cancel.check()?;
            self.insert(label, &mut workspace)?;
            self.options.progress.advance(1);
        }
    }

    /// The next node to be inserted.
    fn take(&self) -> Option<u32> {
        loop {
            let taken = self.next.fetch_add(1, Ordering::Relaxed);
            if let Some(&label) = self.first.get(taken) {
                return Some(label);
            }
            let label = self.begin + taken - self.first.len();
            if label >= self.scorer.len() {
                return None;
            }
            if !self.options.is_sampled(label as u32) {
                return Some(label as u32);
            }
        }
    }

    fn row(&self, label: u32, level: u8) -> &[AtomicU32] {
        if level == 0 {
            let width = self.options.shape.row_width();
            &self.ground[label as usize * width..][..width]
        } else {
            &self.upper_links[self.upper.slots(label, level)]
        }
    }

    /// Most links of a row.
    fn capacity(&self, level: u8) -> usize {
        let shape = self.options.shape;
        if level == 0 { shape.ground_links() } else { shape.upper_width() }
    }

    fn insert(&self, label: u32, workspace: &mut Workspace<S::Query>) -> Result<()> {
        let scorer = self.scorer;
        scorer.load_row(label, &mut workspace.query)?;
        let level = self.upper.level(label);
        // A node that becomes the new entry keeps others from starting until it is linked.
        let guard = self.entry.lock();
        let entry = *guard;
        let guard = if level > entry.level {
            Some(guard)
        } else {
            drop(guard);
            None
        };
        let inserted = self.insert_below(label, level, entry, workspace);
        if let Some(mut guard) = guard {
            *guard = if inserted.is_ok() { Entry { label, level } } else { entry };
        }
        inserted
    }

    fn insert_below(
        &self,
        label: u32,
        level: u8,
        entry: Entry,
        workspace: &mut Workspace<S::Query>,
    ) -> Result<()> {
        let scorer = self.scorer;
        let Workspace { walk: scratch, query, candidates, selection, .. } = workspace;
        let score = score_one(scorer, query, entry.label)?;
        let self_score = score_one(scorer, query, label)?;
        let mut nearest = Candidate { score, label: entry.label };
        for level in (level + 1..=entry.level).rev() {
            nearest = descend(scorer, query, &GrowingLinks { builder: self, level }, nearest, scratch)?;
        }
        let mut entries = vec![nearest];
        let mut links = Vec::new();
        for level in (0..=level.min(entry.level)).rev() {
            let growing = GrowingLinks { builder: self, level };
            let (ef, cancel) = (self.options.ef_construction, self.options.cancel);
            walk(scorer, query, &growing, &entries, Reach::of_insertion(ef), scratch, cancel)?;
            candidates.clear();
            candidates.extend(scratch.nearest.iter().filter(|c| c.label != label && !self.is_dead(c.label)));
            if candidates.is_empty() {
                candidates.extend(scratch.nearest.iter().filter(|c| c.label != label));
            }
            std::mem::swap(&mut entries, &mut scratch.nearest);
            let capacity = self.capacity(level);
            candidates.truncate(CANDIDATES_PER_LINK * capacity);
            selection.select(scorer, candidates, capacity, self_score)?;
            links.push((level, selection.selected.clone()));
        }
        for (level, links) in links {
            let lock = self.stripe(label).lock();
            self.write_row(label, level, &links);
            drop(lock);
            let growing = GrowingLinks { builder: self, level };
            for link in &links {
                growing.prefetch(link.label);
            }
            for &link in &links {
                self.link_back(link, label, level, workspace)?;
            }
        }
        Ok(())
    }

    fn is_dead(&self, label: u32) -> bool {
        !self.options.dead.is_empty() && self.options.dead.contains(label)
    }

    fn stripe(&self, label: u32) -> &Mutex<()> {
        &self.stripes[label as usize % STRIPES]
    }

    /// Replaces a row. The caller holds the stripe's lock.
    fn write_row(&self, label: u32, level: u8, links: &[Candidate]) {
        let links = links.iter().map(|c| c.label).chain(std::iter::repeat(EMPTY));
        for (slot, link) in self.row(label, level).iter().zip(links) {
            slot.store(link, Ordering::Relaxed);
        }
    }

    /// Makes `label` a neighbour of `owner.label`, if it is among the best when the row is full.
    fn link_back(
        &self,
        owner: Candidate,
        label: u32,
        level: u8,
        workspace: &mut Workspace<S::Query>,
    ) -> Result<()> {
        let Workspace { owner: query, selection, candidates, row, scores, .. } = workspace;
        let capacity = self.capacity(level);
        let slots = self.row(owner.label, level);
        let _lock = self.stripe(owner.label).lock();
        row.clear();
        row.extend(slots.iter().map(|slot| slot.load(Ordering::Relaxed)).take_while(|&link| link != EMPTY));
        if row.contains(&label) {
            return Ok(());
        }
        if row.len() < capacity {
            slots[row.len()].store(label, Ordering::Relaxed);
            return Ok(());
        }
        self.scorer.load_row(owner.label, query)?;
        row.push(label);
        self.scorer.score(query, row, scores)?;
        let self_score = score_one(self.scorer, query, owner.label)?;
        candidates.clear();
        candidates.extend(row.iter().zip(&*scores).map(|(&label, &score)| Candidate { score, label }));
        candidates.sort_unstable_by(Candidate::order);
        selection.select(self.scorer, candidates, capacity, self_score)?;
        self.write_row(owner.label, level, &selection.selected);
        Ok(())
    }
}

impl<Q> Selection<Q> {
    /// Nothing selected yet; `query` is any, and `capacity` how many are likely to be.
    pub(super) fn new(query: Q, capacity: usize) -> Self {
        Selection {
            query,
            selected: Vec::with_capacity(capacity),
            covered: Vec::new(),
            open: Vec::new(),
            labels: Vec::new(),
            scores: Vec::new(),
        }
    }

    /// Chooses up to `limit` of the ascending `candidates`: one is left out if it is nearer to one already chosen than to
    /// the node itself, so that links lead in different directions. The nearest of those fill three quarters of
    /// the slots; were all filled, every further link to the node would mean a choice anew, and the build three times as long.
    pub(super) fn select<S: Scorer<Query = Q>>(
        &mut self,
        scorer: &S,
        candidates: &[Candidate],
        limit: usize,
        self_score: f32,
    ) -> Result<()> {
        self.selected.clear();
        self.covered.clear();
        self.open.clear();
        self.open.extend_from_slice(candidates);
        // Rows of one value have equal scores everywhere: if they took all slots they would be an island.
        let mut twins = limit.div_ceil(4);
        let mut begin = 0;
        while begin < self.open.len() && self.selected.len() < limit {
            let chosen = self.open[begin];
            begin += 1;
            let twin = chosen.score == self_score;
            if twin && twins == 0 {
                continue;
            }
            twins -= usize::from(twin);
            self.selected.push(chosen);
            self.leave_out_covered(scorer, chosen.label, begin)?;
            begin = 0;
        }
        // Where a few hubs lie near everything they would cover almost all others.
        let missing = (limit * 3 / 4).saturating_sub(self.selected.len());
        if missing > 0 {
            if missing < self.covered.len() {
                self.covered.select_nth_unstable_by(missing - 1, Candidate::order);
                self.covered.truncate(missing);
            }
            self.covered.sort_unstable_by(Candidate::order);
            self.selected.append(&mut self.covered);
        }
        Ok(())
    }

    /// Takes those out of the open ones, of which the first `begin` are done with, that are nearer to `chosen` than to the node.
    fn leave_out_covered<S: Scorer<Query = Q>>(
        &mut self,
        scorer: &S,
        chosen: u32,
        begin: usize,
    ) -> Result<()> {
        self.labels.clear();
        self.labels.extend(self.open[begin..].iter().map(|candidate| candidate.label));
        self.scores.resize(self.labels.len().max(self.scores.len()), 0.0);
        if !self.labels.is_empty() {
            scorer.load_row(chosen, &mut self.query)?;
            scorer.score(&self.query, &self.labels, &mut self.scores)?;
        }
        // Both are written, and the one that counts is kept: which of them it is no processor foresees.
        let (mut kept, mut covered) = (0, self.covered.len());
        self.covered.resize(covered + self.labels.len(), Candidate { score: 0.0, label: 0 });
        for (at, score) in (begin..self.open.len()).zip(&self.scores) {
            let candidate = self.open[at];
            let is_covered = *score < candidate.score;
            self.covered[covered] = candidate;
            self.open[kept] = candidate;
            covered += usize::from(is_covered);
            kept += usize::from(!is_covered);
        }
        self.covered.truncate(covered);
        self.open.truncate(kept);
        Ok(())
    }
}
