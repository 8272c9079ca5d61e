use std::slice::{from_raw_parts, from_raw_parts_mut};

use crate::kernels;

/// Entries that are shifted together: one wide register, or a few.
pub(crate) const LANES: usize = 16;

/// A cache line of entries, so that what one instruction stores the next can load.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Group<T>(pub(crate) [T; LANES]);

/// The nearest candidates of a walk, at most a number of them, ascending by score.
///
/// Scores and labels lie apart, in whole groups, so that vector instructions shift them. Of equal scores the one that came last is
/// first; a full pool takes only what is nearer than its worst. A NaN is never taken, and negative infinity
/// as the least finite score.
#[derive(Debug)]
pub struct Pool {
    /// Negative infinities; then the scores; infinities up to the end of a group, or what fell out of the pool.
    scores: Vec<Group<f32>>,
    /// As `scores`.
    labels: Vec<Group<u32>>,
    len: usize,
    capacity: usize,
}

/// The buffers of a pool, for a kernel.
pub(crate) struct Parts<'a> {
    pub(crate) scores: &'a mut [Group<f32>],
    pub(crate) labels: &'a mut [Group<u32>],
    pub(crate) len: usize,
    pub(crate) capacity: usize,
}

impl Parts<'_> {
    /// As [`Pool::worst`].
    #[inline(always)]
    pub(crate) fn worst(&self) -> f32 {
        last_score(self.scores, self.capacity)
    }

    /// What is put in for a score: more than the negative infinity that stands before all of them.
    #[inline(always)]
    pub(crate) fn finite(score: f32) -> f32 {
        score.max(f32::MIN)
    }

    /// The register of `lanes` entries, counted from the beginning of the buffers, with the last place that an insertion may change.
    #[inline(always)]
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn last_register(&self, lanes: usize) -> usize {
        (LANES + self.len.min(self.capacity - 1)) / lanes
    }
}

impl Default for Pool {
    /// A pool for one candidate.
    fn default() -> Self {
        let mut pool = Pool { scores: Vec::new(), labels: Vec::new(), len: 0, capacity: 0 };
        pool.begin(1);
        pool
    }
}

impl Pool {
    /// Empties the pool; from now on it holds `capacity` candidates, one at least.
    pub fn begin(&mut self, capacity: usize) {
        self.capacity = capacity.max(1);
        self.len = 0;
        let groups = 1 + self.capacity.div_ceil(LANES);
        self.scores.clear();
        self.scores.push(Group([f32::NEG_INFINITY; LANES]));
        self.scores.resize(groups, Group([f32::INFINITY; LANES]));
        self.labels.resize(groups, Group([0; LANES]));
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
        last_score(&self.scores, self.capacity)
    }

    /// Labels, nearest first.
    #[inline]
    pub fn labels(&self) -> &[u32] {
        entries(&self.labels, self.len)
    }

    /// Scores, ascending, and their labels, for marks in bits that the caller does not use.
    #[inline]
    pub fn scores_and_labels_mut(&mut self) -> (&[f32], &mut [u32]) {
        (entries(&self.scores, self.len), entries_mut(&mut self.labels, self.len))
    }

    /// Scores, ascending.
    #[inline]
    pub fn scores(&self) -> &[f32] {
        entries(&self.scores, self.len)
    }

    /// Takes in whatever is nearer than the worst. Returns the first place that changed, or the capacity if none did.
    ///
    /// # Panics
    /// If there are not as many labels as scores.
    #[inline]
    pub fn offer(&mut self, scores: &[f32], labels: &[u32]) -> usize {
        assert_eq!(scores.len(), labels.len(), "one label a score");
        let Pool { scores: pool_scores, labels: pool_labels, len, capacity } = self;
        let mut parts = Parts { scores: pool_scores, labels: pool_labels, len: *len, capacity: *capacity };
        let first = kernels().offer(&mut parts, scores, labels);
        *len = parts.len;
        first
    }
}

/// The score in the last place of a pool: infinite until it is full.
#[inline(always)]
fn last_score(scores: &[Group<f32>], capacity: usize) -> f32 {
    let last = capacity - 1;
    scores[1 + last / LANES].0[last % LANES]
}

/// The first `len` entries after the first group.
#[inline(always)]
fn entries<T>(groups: &[Group<T>], len: usize) -> &[T] {
    assert!(len <= groups.len().saturating_sub(1) * LANES, "a pool has room for its entries");
    // SAFETY: groups are arrays without padding, and those after the first hold `len` entries.
    unsafe { from_raw_parts(groups.as_ptr().wrapping_add(1).cast(), len) }
}

/// As [`entries`].
#[inline(always)]
fn entries_mut<T>(groups: &mut [Group<T>], len: usize) -> &mut [T] {
    assert!(len <= groups.len().saturating_sub(1) * LANES, "a pool has room for its entries");
    // SAFETY: as in `entries`.
    unsafe { from_raw_parts_mut(groups.as_mut_ptr().wrapping_add(1).cast(), len) }
}

/// [`Pool::offer`], one candidate after another: `insert` puts in one that is nearer than the worst and returns its place.
#[inline(always)]
pub(crate) fn offer_each(
    pool: &mut Parts<'_>,
    scores: &[f32],
    labels: &[u32],
    insert: impl Fn(&mut Parts<'_>, f32, u32) -> usize,
) -> usize {
    let mut first = pool.capacity;
    let mut worst = pool.worst();
    for (&score, &label) in scores.iter().zip(labels) {
        if score < worst {
            first = first.min(insert(pool, score, label));
            worst = pool.worst();
        }
    }
    first
}

/// Puts a candidate in its place by a search and a move.
pub(crate) fn insert(pool: &mut Parts<'_>, score: f32, label: u32) -> usize {
    let score = Parts::finite(score);
    let last = pool.len.min(pool.capacity - 1);
    pool.len = last + 1;
    let scores = entries_mut(pool.scores, last + 1);
    let place = scores[..last].partition_point(|other| *other < score);
    scores.copy_within(place..last, place + 1);
    scores[place] = score;
    let labels = entries_mut(pool.labels, last + 1);
    labels.copy_within(place..last, place + 1);
    labels[place] = label;
    place
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::supported;

    /// What a pool does, one candidate after another in a plain list.
    fn offer_to_model(model: &mut Vec<(f32, u32)>, capacity: usize, scores: &[f32], labels: &[u32]) -> usize {
        let mut first = capacity;
        for (&score, &label) in scores.iter().zip(labels) {
            let worst = if model.len() < capacity { f32::INFINITY } else { model[capacity - 1].0 };
            if score < worst {
                let score = score.max(f32::MIN);
                let place = model.partition_point(|(other, _)| *other < score);
                model.insert(place, (score, label));
                model.truncate(capacity);
                first = first.min(place);
            }
        }
        first
    }

    fn parts(pool: &mut Pool) -> Parts<'_> {
        let Pool { scores, labels, len, capacity } = pool;
        Parts { scores, labels, len: *len, capacity: *capacity }
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
            capacity in 1_usize..70,
            batches in prop::collection::vec(prop::collection::vec(score(), 0..60), 1..6),
        ) {
            for kernels in supported() {
                let (mut pool, mut model, mut label) = (Pool::default(), Vec::new(), 0);
                pool.begin(capacity);
                for scores in &batches {
                    let labels: Vec<u32> = (label..).take(scores.len()).collect();
                    label += scores.len() as u32;
                    let mut parts = parts(&mut pool);
                    let first = kernels.offer(&mut parts, scores, &labels);
                    pool.len = parts.len;
                    let worst = pool.worst();
                    prop_assert_eq!(first, offer_to_model(&mut model, capacity, scores, &labels));
                    let held: Vec<_> = pool.scores().iter().copied().zip(pool.labels().iter().copied()).collect();
                    prop_assert_eq!(&held, &model);
                    let full = model.len() == capacity;
                    prop_assert_eq!(worst, if full { model[capacity - 1].0 } else { f32::INFINITY });
                }
            }
        }
    }

    #[test]
    fn a_pool_is_used_again_for_another_number() {
        let mut pool = Pool::default();
        assert!(pool.is_empty() && pool.labels().is_empty());
        for (capacity, nearest) in [(40, 0.0), (1, -1.0), (17, 5.0)] {
            pool.begin(capacity);
            assert!(pool.is_empty());
            let scores: Vec<f32> = (0..50).map(|i| nearest + (i % 25) as f32).collect();
            let labels: Vec<u32> = (0..50).collect();
            assert_eq!(pool.offer(&scores, &labels), 0);
            assert_eq!(pool.len(), capacity);
            assert_eq!(pool.scores()[0], nearest);
            pool.scores_and_labels_mut().1[0] |= 1 << 31;
            assert_eq!(pool.labels()[0] >> 31, 1);
        }
    }
}
