//! What was found for what was asked before, where that stays right for ever.

use std::fmt;
use std::hash::Hash;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{Equivalent, OptionsBuilder, Weighter};
use xxhash_rust::xxh3::Xxh3DefaultBuilder;

/// The part of the budget that what was asked for again and again may fill; the rest is for what comes for the first time.
const HOT_PART: f64 = 0.75;

/// Answers by what was asked, within a number and a budget of bytes. What is asked for again and again stays, however much comes once.
pub struct Remembered<K, V>(Cache<K, Answer<V>, Weights, Xxh3DefaultBuilder>);

#[derive(Clone)]
struct Answer<V> {
    value: V,
    bytes: u64,
}

/// An answer weighs at least so much that the number of them is bounded by the budget too.
#[derive(Clone)]
struct Weights {
    least: u64,
}

impl<K, V> Weighter<K, Answer<V>> for Weights {
    fn weight(&self, _asked: &K, answer: &Answer<V>) -> u64 {
        answer.bytes.max(self.least)
    }
}

impl<K: Hash + Eq, V: Clone> Remembered<K, V> {
    /// At most so many answers, which take `most_bytes` together.
    pub fn new(most: usize, most_bytes: usize) -> Self {
        let (most, most_bytes) = (most.max(1), most_bytes as u64);
        let mut options = OptionsBuilder::new();
        options.shards(1).estimated_items_capacity(most).weight_capacity(most_bytes).hot_allocation(HOT_PART);
        let options = options.build().expect("all that has no default is given");
        let weights = Weights { least: most_bytes.div_ceil(most as u64) };
        let hashes = Xxh3DefaultBuilder::new();
        Remembered(Cache::with_options(options, weights, hashes, DefaultLifecycle::default()))
    }

    /// Whether the answer is known.
    pub fn holds(&self, asked: &K) -> bool {
        self.0.contains_key(asked)
    }

    /// The answer, if it is known.
    pub fn recall<Q: Hash + Equivalent<K> + ?Sized>(&self, asked: &Q) -> Option<V> {
        self.0.get(asked).map(|answer| answer.value)
    }

    /// Remembers an answer that takes so many bytes with what was asked, unless that is more than the budget allows for one.
    pub fn remember(&self, asked: K, bytes: usize, value: V) {
        self.0.insert(asked, Answer { value, bytes: bytes as u64 });
    }
}

impl<K, V> fmt::Debug for Remembered<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembered").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_again_stays_however_much_comes_once() {
        let remembered = Remembered::new(8, 8_000);
        remembered.remember("again".to_owned(), 10, 7);
        for number in 0..1_000 {
            assert_eq!(remembered.recall("again"), Some(7));
            remembered.remember(format!("once {number}"), 10, number);
            assert!(remembered.holds(&format!("once {number}")));
        }
        let held = (0..1_000).filter(|number| remembered.holds(&format!("once {number}"))).count();
        assert!((1..8).contains(&held), "{held}");
    }

    #[test]
    fn keeps_within_its_bytes() {
        let remembered = Remembered::new(64, 1_000);
        remembered.remember(0, 2_000, ());
        assert!(!remembered.holds(&0));
        for number in 0..64 {
            remembered.remember(number, 100, ());
        }
        let held = (0..64).filter(|number| remembered.holds(number)).count();
        assert!((2..=10).contains(&held), "{held}");
    }
}
