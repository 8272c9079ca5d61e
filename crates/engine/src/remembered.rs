//! Answers that stay right for ever, because the rows that they are about never change.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use parking_lot::Mutex;
use roaring::RoaringBitmap;
use xxhash_rust::xxh3::Xxh3DefaultBuilder;

/// Bitmaps of labels by what was asked, within a number and a budget; those that were not asked for longest go first.
#[derive(Debug)]
pub(crate) struct Remembered<K> {
    most: usize,
    most_bytes: usize,
    answers: Mutex<VecDeque<Answer<K>>>,
}

#[derive(Debug)]
struct Answer<K> {
    asked: K,
    /// Of `asked`: a long list is compared only with what is most likely the same.
    hash: u64,
    bitmap: Arc<RoaringBitmap>,
    bytes: usize,
}

fn hash_of(asked: &impl Hash) -> u64 {
    Xxh3DefaultBuilder::new().hash_one(asked)
}

impl<K: PartialEq> Answer<K> {
    fn is_to(&self, asked: &K, hash: u64) -> bool {
        self.hash == hash && self.asked == *asked
    }
}

impl<K: Hash + PartialEq> Remembered<K> {
    /// At most so many answers, which take so many bytes together.
    pub fn new(most: usize, most_bytes: usize) -> Self {
        Remembered { most, most_bytes, answers: Mutex::default() }
    }

    pub fn holds(&self, asked: &K) -> bool {
        let hash = hash_of(asked);
        self.answers.lock().iter().any(|answer| answer.is_to(asked, hash))
    }

    pub fn recall(&self, asked: &K) -> Option<Arc<RoaringBitmap>> {
        let hash = hash_of(asked);
        let mut answers = self.answers.lock();
        let at = answers.iter().position(|answer| answer.is_to(asked, hash))?;
        let answer = answers.remove(at)?;
        let bitmap = answer.bitmap.clone();
        answers.push_front(answer);
        Some(bitmap)
    }

    /// Remembers an answer; `key_bytes` is the memory that `asked` has on the heap.
    pub fn remember(&self, asked: K, key_bytes: usize, bitmap: Arc<RoaringBitmap>) {
        let bytes = size_of::<Answer<K>>() + key_bytes + bitmap.serialized_size();
        let hash = hash_of(&asked);
        let mut answers = self.answers.lock();
        answers.push_front(Answer { asked, hash, bitmap, bytes });
        let mut bytes: usize = answers.iter().map(|answer| answer.bytes).sum();
        while answers.len() > self.most || bytes > self.most_bytes {
            let Some(oldest) = answers.pop_back() else { break };
            bytes -= oldest.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bitmap(label: u32) -> Arc<RoaringBitmap> {
        Arc::new(RoaringBitmap::from_iter([label]))
    }

    #[test]
    fn forgets_what_was_not_asked_for_longest() {
        let remembered = Remembered::new(2, 1 << 20);
        for number in 0..2 {
            remembered.remember(number, 0, bitmap(number));
        }
        assert_eq!(remembered.recall(&0), Some(bitmap(0)));
        remembered.remember(9, 0, bitmap(9));
        assert!(remembered.holds(&0) && remembered.holds(&9));
        assert_eq!(remembered.recall(&1), None);
    }

    #[test]
    fn keeps_within_its_bytes() {
        let remembered = Remembered::new(64, 1_000);
        remembered.remember(0, 2_000, bitmap(0));
        assert!(!remembered.holds(&0));
        for number in 0..64 {
            remembered.remember(number, 0, bitmap(0));
        }
        let held = (0..64).filter(|number| remembered.holds(number)).count();
        assert!((2..64).contains(&held), "{held}");
    }
}
