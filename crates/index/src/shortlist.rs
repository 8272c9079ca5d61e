use std::cmp::Ordering;

/// A row by its score: how near it is by its code.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    pub(crate) score: f32,
    pub(crate) label: u32,
}

impl Candidate {
    /// By score, then label.
    pub(crate) fn order(&self, other: &Candidate) -> Ordering {
        self.score.total_cmp(&other.score).then(self.label.cmp(&other.label))
    }
}

/// Keeps the `limit` best of a stream, in amortised constant time each whatever the limit.
pub(crate) struct Shortlist {
    limit: usize,
    /// The best so far, and some that arrived since the last cut.
    kept: Vec<Candidate>,
    /// The worst that can still get in. Infinite until `limit` have come.
    threshold: f32,
}

impl Shortlist {
    /// `expected`: how many will come at most.
    pub(crate) fn new(limit: usize, expected: usize) -> Self {
        Shortlist {
            limit,
            kept: Vec::with_capacity(Self::room(limit).min(expected)),
            threshold: f32::INFINITY,
        }
    }

    fn room(limit: usize) -> usize {
        limit.saturating_mul(2).saturating_add(64)
    }

    #[inline]
    pub(crate) fn push(&mut self, score: f32, label: u32) {
        // Equal scores pass: the smaller label wins the cut.
        if score <= self.threshold {
            self.kept.push(Candidate { score, label });
            if self.kept.len() >= Self::room(self.limit) {
                self.cut();
            }
        }
    }

    /// The worst score that can still get in. Infinite until it is known.
    pub(crate) fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Lowers the threshold to what has come so far.
    pub(crate) fn tighten(&mut self) {
        if self.kept.len() >= self.limit {
            self.cut();
        }
    }

    #[cold]
    fn cut(&mut self) {
        if self.limit == 0 {
            return self.kept.clear();
        }
        let (_, worst, _) = self.kept.select_nth_unstable_by(self.limit - 1, Candidate::order);
        self.threshold = worst.score;
        self.kept.truncate(self.limit);
    }

    /// The best, ascending by (score, label).
    pub(crate) fn into_sorted(mut self) -> Vec<Candidate> {
        self.kept.sort_unstable_by(Candidate::order);
        self.kept.truncate(self.limit);
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keeps_what_sorting_everything_would(scores in prop::collection::vec(0_u8..20, 0..600), limit in 0_usize..80) {
            let mut shortlist = Shortlist::new(limit, scores.len());
            let mut all = Vec::new();
            for (label, &score) in scores.iter().enumerate() {
                shortlist.push(f32::from(score), label as u32);
                all.push((score, label as u32));
            }
            all.sort_unstable();
            all.truncate(limit);
            let kept: Vec<_> = shortlist.into_sorted().iter().map(|c| (c.score as u8, c.label)).collect();
            prop_assert_eq!(kept, all);
        }
    }
}
