//! Copies of the vectors that searches come back to, within a budget.
//!
//! A search rescores a few rows that lie anywhere in a file of gigabytes. Mapping them makes the 64 KiB around each resident; a
//! copy takes the row alone, so that the same memory holds many times as many of them.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

/// Labels are spread over so many independent parts, so that searches on several threads seldom meet.
const SHARDS: usize = 16;
/// Rows that memory is taken for at once.
const ROWS_PER_CHUNK: usize = 256;

/// A cache of rows by label, emptied by second chance (CLOCK).
#[derive(Debug)]
pub(crate) struct RowCache {
    dim: usize,
    shards: [RwLock<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    capacity: usize,
    /// Slot of each label of this shard plus one, or zero: pages of zeros cost nothing until they are written to.
    slots: Vec<u32>,
    /// Label in each slot.
    labels: Vec<u32>,
    /// Whether the row of a slot was asked for since the hand last passed.
    referenced: Vec<AtomicBool>,
    chunks: Vec<Box<[f32]>>,
    hand: usize,
}

impl RowCache {
    /// A cache for `rows` rows of `dim` components that takes no more than about `bytes`.
    pub fn new(rows: u32, dim: usize, bytes: u64) -> Self {
        let capacity =
            usize::try_from(bytes).unwrap_or(usize::MAX) / (dim * size_of::<f32>()).max(1) / SHARDS;
        let labels = (rows as usize).div_ceil(SHARDS);
        let shard = |_| {
            let slots = if capacity == 0 { Vec::new() } else { vec![0; labels] };
            RwLock::new(Shard { capacity: capacity.min(labels), slots, ..Shard::default() })
        };
        RowCache { dim, shards: std::array::from_fn(shard) }
    }

    /// Copies the row of `label` into `out` if it is here.
    #[inline]
    pub fn get(&self, label: u32, out: &mut [f32]) -> bool {
        let shard = self.shards[label as usize % SHARDS].read();
        let Some(slot) = shard.slot(label) else { return false };
        shard.referenced[slot].store(true, Ordering::Relaxed);
        out.copy_from_slice(shard.row(slot, self.dim));
        true
    }

    /// A hint that `label` will be asked for.
    #[inline]
    pub fn prefetch(&self, label: u32) {
        let shard = self.shards[label as usize % SHARDS].read();
        if let Some(slot) = shard.slot(label) {
            prefetch_lines(shard.row(slot, self.dim));
        }
    }

    /// Keeps a copy of `row`, in the place of one that was not asked for lately if the budget is spent.
    pub fn insert(&self, label: u32, row: &[f32]) {
        let mut shard = self.shards[label as usize % SHARDS].write();
        if shard.capacity == 0 || shard.slot(label).is_some() {
            return;
        }
        let slot = shard.take_slot(self.dim);
        shard.labels[slot] = label;
        shard.slots[label as usize / SHARDS] = slot as u32 + 1;
        shard.row_mut(slot, self.dim).copy_from_slice(row);
    }
}

impl Shard {
    #[inline]
    fn slot(&self, label: u32) -> Option<usize> {
        (*self.slots.get(label as usize / SHARDS)? as usize).checked_sub(1)
    }

    #[inline]
    fn row(&self, slot: usize, dim: usize) -> &[f32] {
        let start = slot % ROWS_PER_CHUNK * dim;
        &self.chunks[slot / ROWS_PER_CHUNK][start..start + dim]
    }

    fn row_mut(&mut self, slot: usize, dim: usize) -> &mut [f32] {
        let start = slot % ROWS_PER_CHUNK * dim;
        &mut self.chunks[slot / ROWS_PER_CHUNK][start..start + dim]
    }

    fn take_slot(&mut self, dim: usize) -> usize {
        let used = self.labels.len();
        if used < self.capacity {
            if used.is_multiple_of(ROWS_PER_CHUNK) {
                let rows = ROWS_PER_CHUNK.min(self.capacity - used);
                self.chunks.push(vec![0.0; rows * dim].into_boxed_slice());
            }
            self.labels.push(0);
            self.referenced.push(AtomicBool::new(false));
            return used;
        }
        while self.referenced[self.hand].swap(false, Ordering::Relaxed) {
            self.hand = (self.hand + 1) % used;
        }
        let slot = self.hand;
        self.hand = (self.hand + 1) % used;
        self.slots[self.labels[slot] as usize / SHARDS] = 0;
        slot
    }
}

/// Asks for the first lines of a row; the processor follows a sequential read by itself.
#[inline]
fn prefetch_lines(row: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in row.chunks(16).take(4) {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: prefetching reads nothing that the program can see, and the address is that of a live slice.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = row;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(label: u32) -> [f32; 3] {
        [label as f32, 0.5, -1.0]
    }

    #[test]
    fn rows_come_back_and_the_budget_holds() {
        let rows_that_fit = 4 * SHARDS as u32;
        let cache = RowCache::new(10_000, 3, u64::from(rows_that_fit) * 12);
        let mut out = [0.0; 3];
        for label in 0..10_000 {
            assert!(!cache.get(label, &mut out));
            cache.insert(label, &row(label));
            assert!(cache.get(label, &mut out));
            assert_eq!(out, row(label));
        }
        let kept = (0..10_000).filter(|label| cache.get(*label, &mut out)).count();
        assert_eq!(kept as u32, rows_that_fit);
    }

    #[test]
    fn what_is_asked_for_again_stays() {
        let cache = RowCache::new(1_600, 3, 4 * SHARDS as u64 * 12);
        let mut out = [0.0; 3];
        cache.insert(0, &row(0));
        for label in (16..1_600).step_by(SHARDS) {
            assert!(cache.get(0, &mut out), "evicted at {label}");
            cache.insert(label, &row(label));
        }
        assert_eq!(out, row(0));
    }

    #[test]
    fn without_a_budget_nothing_is_kept() {
        let cache = RowCache::new(100, 3, 0);
        cache.insert(5, &row(5));
        cache.prefetch(5);
        assert!(!cache.get(5, &mut [0.0; 3]));
    }
}
