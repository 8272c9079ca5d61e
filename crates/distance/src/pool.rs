use crate::kernels;

/// Entries of a block: one wide register, or a few.
pub(crate) const LANES: usize = 16;
/// What a full block leaves behind when it is split.
const HALF: usize = LANES / 2;
/// Candidates that are compared with the worst of a pool before the first of them is taken in: a branch for each would be foreseen badly.
pub(crate) const MASK_LANES: usize = u64::BITS as usize;

/// Neighbouring candidates, ascending by score. What comes after the last one is infinite, or scores as much as one that the pool
/// has given up, so that nothing that is taken in belongs behind it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Block {
    pub(crate) scores: [f32; LANES],
    pub(crate) labels: [u32; LANES],
}

impl Block {
    const EMPTY: Block = Block { scores: [f32::INFINITY; LANES], labels: [0; LANES] };
}

/// What is known of the entries of a block.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// How many there are.
    count: u32,
    /// One bit for each: whether it was not taken yet.
    open: u32,
}

impl State {
    fn insert(&mut self, place: usize) {
        let below = (1 << place) - 1;
        self.open = (self.open & below) | (1 << place) | ((self.open & !below) << 1);
        self.count += 1;
    }

    fn drop_last(&mut self) {
        self.count -= 1;
        self.open &= (1 << self.count) - 1;
    }

    /// Leaves the lower half to this block. Returns the upper one.
    fn split(&mut self) -> State {
        let upper = State { count: self.count - HALF as u32, open: self.open >> HALF };
        *self = State { count: HALF as u32, open: self.open & ((1 << HALF) - 1) };
        upper
    }
}

/// The nearest candidates of a walk, at most a number of them, ascending by score.
///
/// They lie in blocks between fences, so that one that is taken in moves the few of its block, whatever the size of the pool: a list of two
/// levels. Of equal scores the one that came last is first; a full pool takes only what is nearer than its worst. A NaN is never taken, and
/// negative infinity as the least finite score.
#[derive(Debug)]
pub struct Pool {
    blocks: Vec<Block>,
    /// Of each block.
    states: Vec<State>,
    /// The blocks in the order of their scores, then those that are free.
    order: Vec<u32>,
    /// In the same order, what candidates of a block score at most. Infinite from the last block on that is used.
    fences: Vec<f32>,
    used: usize,
    /// All blocks before this one have nothing but candidates that were taken.
    first_open: usize,
    len: usize,
    capacity: usize,
    worst: f32,
}

impl Default for Pool {
    /// A pool for one candidate.
    fn default() -> Self {
        let mut pool = Pool {
            blocks: Vec::new(),
            states: Vec::new(),
            order: Vec::new(),
            fences: Vec::new(),
            used: 0,
            first_open: 0,
            len: 0,
            capacity: 0,
            worst: f32::INFINITY,
        };
        pool.begin(1);
        pool
    }
}

impl Pool {
    /// Empties the pool; from now on it holds `capacity` candidates, one at least.
    pub fn begin(&mut self, capacity: usize) {
        self.fences[..self.used].fill(f32::INFINITY);
        self.capacity = capacity.max(1);
        // Every block but the last is half full at least, and one candidate more than fit is there for a moment.
        let most = (self.capacity + 1) / HALF + 2;
        if self.blocks.len() < most {
            self.order.extend(self.blocks.len() as u32..most as u32);
            self.blocks.resize(most, Block::EMPTY);
            self.states.resize(most, State::default());
            self.fences.resize(most.next_multiple_of(LANES), f32::INFINITY);
        }
        let first = self.order[0] as usize;
        self.blocks[first] = Block::EMPTY;
        self.states[first] = State::default();
        (self.used, self.first_open, self.len, self.worst) = (1, 0, 0, f32::INFINITY);
    }

    /// How many are in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What a score must be below to get in. Infinite until the pool is full.
    #[inline]
    pub fn worst(&self) -> f32 {
        self.worst
    }

    /// Takes in whatever is nearer than the worst.
    ///
    /// # Panics
    /// If there are not as many labels as scores.
    #[inline]
    pub fn offer(&mut self, scores: &[f32], labels: &[u32]) {
        assert_eq!(scores.len(), labels.len(), "one label a score");
        kernels().offer(self, scores, labels);
    }

    /// The label of the nearest candidate that was not taken before, if it is one of the `sure` nearest or scores `limit` at most. It stays
    /// in the pool.
    #[inline]
    pub fn take(&mut self, sure: usize, limit: f32) -> Option<u32> {
        while self.first_open < self.used {
            let slot = self.order[self.first_open] as usize;
            let open = self.states[slot].open;
            if open != 0 {
                let lane = open.trailing_zeros() as usize;
                if self.blocks[slot].scores[lane] > limit && self.before(self.first_open) + lane >= sure {
                    return None;
                }
                self.states[slot].open &= open - 1;
                return Some(self.blocks[slot].labels[lane]);
            }
            self.first_open += 1;
        }
        None
    }

    /// How many candidates lie in the blocks before the `at`-th.
    fn before(&self, at: usize) -> usize {
        self.order[..at].iter().map(|&slot| self.states[slot as usize].count as usize).sum()
    }

    /// The score of the candidate of this rank, from 0 on.
    #[inline]
    pub fn score(&self, rank: usize) -> Option<f32> {
        let mut rank = rank;
        for &slot in &self.order[..self.used] {
            let count = self.states[slot as usize].count as usize;
            if rank < count {
                return Some(self.blocks[slot as usize].scores[rank]);
            }
            rank -= count;
        }
        None
    }

    /// Scores and labels, nearest first.
    pub fn candidates(&self) -> impl Iterator<Item = (f32, u32)> + '_ {
        self.order[..self.used].iter().flat_map(|&slot| {
            let (block, count) = (&self.blocks[slot as usize], self.states[slot as usize].count as usize);
            block.scores[..count].iter().copied().zip(block.labels[..count].iter().copied())
        })
    }

    /// [`offer`](Self::offer), in the instructions of a level: `nearer` sets the bits of those of up to [`MASK_LANES`] scores that are less than the
    /// worst; `below` counts how many of ascending fences, whole registers of them, are less than a score; `insert` puts a candidate in its
    /// place in a block with room for it and returns the place.
    #[inline(always)]
    pub(crate) fn offer_each(
        &mut self,
        scores: &[f32],
        labels: &[u32],
        nearer: impl Fn(&[f32], f32) -> u64,
        below: impl Fn(&[f32], f32) -> usize,
        insert: impl Fn(&mut Block, f32, u32) -> usize,
    ) {
        let mut worst = self.worst;
        for (scores, labels) in scores.chunks(MASK_LANES).zip(labels.chunks(MASK_LANES)) {
            let mut passing = nearer(scores, worst);
            while passing != 0 {
                let lane = passing.trailing_zeros() as usize;
                passing &= passing - 1;
                let (score, label) = (scores[lane], labels[lane]);
                // An earlier one may have moved the bound.
                if score < worst {
                    // More than the negative infinity that stands before all of them.
                    let score = score.max(f32::MIN);
                    let mut at = below(&self.fences[..self.used.next_multiple_of(LANES)], score);
                    if self.states[self.order[at] as usize].count as usize == LANES {
                        self.split(at);
                        at += usize::from(self.fences[at] < score);
                    }
                    let slot = self.order[at] as usize;
                    let place = insert(&mut self.blocks[slot], score, label);
                    self.states[slot].insert(place);
                    self.first_open = self.first_open.min(at);
                    self.len += 1;
                    if self.len >= self.capacity {
                        worst = self.cut();
                    }
                }
            }
        }
        self.worst = worst;
    }

    /// Gives up the last candidate if there is one too many. Returns the worst score.
    #[inline(always)]
    fn cut(&mut self) -> f32 {
        let mut slot = self.order[self.used - 1] as usize;
        if self.len > self.capacity {
            self.len -= 1;
            self.states[slot].drop_last();
            if self.states[slot].count == 0 {
                self.used -= 1;
                self.fences[self.used - 1] = f32::INFINITY;
                slot = self.order[self.used - 1] as usize;
            }
        }
        self.blocks[slot].scores[self.states[slot].count as usize - 1]
    }

    /// Moves the upper half of the `at`-th block, which is full, to a block of its own behind it.
    #[cold]
    #[inline(never)]
    fn split(&mut self, at: usize) {
        let (slot, free) = (self.order[at] as usize, self.order[self.used]);
        let block = &mut self.blocks[slot];
        let mut upper = Block::EMPTY;
        upper.scores[..HALF].copy_from_slice(&block.scores[HALF..]);
        upper.labels[..HALF].copy_from_slice(&block.labels[HALF..]);
        block.scores[HALF..].fill(f32::INFINITY);
        let highest = block.scores[HALF - 1];
        self.blocks[free as usize] = upper;
        self.states[free as usize] = self.states[slot].split();
        self.order.copy_within(at + 1..self.used, at + 2);
        self.order[at + 1] = free;
        self.fences.copy_within(at..self.used, at + 1);
        self.fences[at] = highest;
        self.used += 1;
    }
}

/// Sets the bits of those of up to [`MASK_LANES`] `scores` that are less than `worst`.
pub(crate) fn nearer(scores: &[f32], worst: f32) -> u64 {
    scores.iter().enumerate().fold(0, |bits, (lane, score)| bits | u64::from(*score < worst) << lane)
}

/// How many of the ascending `fences` are less than `score`.
pub(crate) fn below(fences: &[f32], score: f32) -> usize {
    fences.partition_point(|fence| *fence < score)
}

/// Puts a candidate in its place in a block by a search and a move. Returns the place.
pub(crate) fn insert(block: &mut Block, score: f32, label: u32) -> usize {
    let place = below(&block.scores[..LANES - 1], score);
    block.scores.copy_within(place..LANES - 1, place + 1);
    block.scores[place] = score;
    block.labels.copy_within(place..LANES - 1, place + 1);
    block.labels[place] = label;
    place
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::supported;

    struct Entry {
        score: f32,
        label: u32,
        taken: bool,
    }

    /// What a pool does, one candidate after another in a plain list.
    fn offer_to_model(model: &mut Vec<Entry>, capacity: usize, scores: &[f32], labels: &[u32]) {
        for (&score, &label) in scores.iter().zip(labels) {
            let worst = if model.len() < capacity { f32::INFINITY } else { model[capacity - 1].score };
            if score < worst {
                let score = score.max(f32::MIN);
                let place = model.partition_point(|entry| entry.score < score);
                model.insert(place, Entry { score, label, taken: false });
                model.truncate(capacity);
            }
        }
    }

    fn take_from_model(model: &mut [Entry], sure: usize, limit: f32) -> Option<u32> {
        let (rank, entry) = model.iter_mut().enumerate().find(|(_, entry)| !entry.taken)?;
        if rank >= sure && entry.score > limit {
            return None;
        }
        entry.taken = true;
        Some(entry.label)
    }

    fn score() -> impl Strategy<Value = f32> {
        prop_oneof![
            30 => (-9_i8..9).prop_map(f32::from),
            10 => -1.0_f32..1.0,
            1 => Just(f32::NAN),
            1 => Just(f32::NEG_INFINITY),
            1 => Just(f32::MAX),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 512 }))]
        #[test]
        fn holds_what_a_sorted_list_would_at_every_level(
            capacity in 1_usize..150,
            batches in prop::collection::vec((prop::collection::vec(score(), 0..60), 0_usize..30, 0_usize..20), 1..12),
        ) {
            for kernels in supported() {
                let (mut pool, mut model, mut label) = (Pool::default(), Vec::new(), 0);
                pool.begin(capacity);
                for (scores, takes, sure) in &batches {
                    let labels: Vec<u32> = (label..).take(scores.len()).collect();
                    label += scores.len() as u32;
                    kernels.offer(&mut pool, scores, &labels);
                    offer_to_model(&mut model, capacity, scores, &labels);
                    let limit = pool.score(*sure).unwrap_or(0.0);
                    for _ in 0..*takes {
                        prop_assert_eq!(pool.take(*sure, limit), take_from_model(&mut model, *sure, limit));
                    }
                    let held: Vec<_> = pool.candidates().collect();
                    let expected: Vec<_> = model.iter().map(|entry| (entry.score, entry.label)).collect();
                    prop_assert_eq!(&held, &expected);
                    prop_assert_eq!(pool.len(), model.len());
                    let full = model.len() == capacity;
                    prop_assert_eq!(pool.worst(), if full { model[capacity - 1].score } else { f32::INFINITY });
                    let ranked: Vec<_> = (0..=capacity).map_while(|rank| pool.score(rank)).collect();
                    prop_assert_eq!(ranked, model.iter().map(|entry| entry.score).collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn a_pool_is_used_again_for_another_number() {
        let mut pool = Pool::default();
        assert!(pool.is_empty() && pool.take(1, 0.0).is_none());
        for (capacity, nearest) in [(40, 0.0), (1, -1.0), (17, 5.0), (300, 2.0), (40, 3.0)] {
            pool.begin(capacity);
            assert!(pool.is_empty() && pool.candidates().next().is_none());
            let scores: Vec<f32> = (0_u16..500).map(|i| nearest + f32::from(i)).collect();
            let labels: Vec<u32> = (0..500).collect();
            pool.offer(&scores, &labels);
            assert_eq!(pool.len(), capacity);
            assert_eq!(pool.score(0), Some(nearest));
            assert_eq!(pool.take(1, 0.0), Some(0));
            assert_eq!(pool.take(1, nearest), None);
        }
    }
}
