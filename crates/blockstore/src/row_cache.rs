//! Copies of the vectors that searches come back to, within a budget.
//!
//! A search rescores a few rows that lie anywhere in a file of gigabytes. Mapping them makes the 64 KiB around each resident; a
//! copy takes the row alone, so that the same memory holds many times as many of them. Most rows are wanted once and never again:
//! a row is kept when it is asked for the second time (the doorkeeper of TinyLFU, Einziger et al. 2017, section 3.4.2).

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use bytemuck::allocation::zeroed_slice_box;
use ferrochrome_types::ROWS_AT_ONCE;
use parking_lot::{MappedRwLockReadGuard, Mutex, RwLock, RwLockReadGuard};

use crate::prefetch::prefetch_address;

/// Labels are spread over so many independent parts, so that searches on several threads seldom meet.
const SHARDS: usize = 16;
/// Rows that memory is taken for at once.
const ROWS_PER_CHUNK: usize = 256;
/// Bits of a word.
const BITS: usize = u64::BITS as usize;
/// Cache lines of a row that are asked for ahead: all of those of most embeddings.
const PREFETCHED_LINES: usize = 24;
/// A cache that was used since so many requests for memory were refused, a few dozen searches' worth, is not emptied for another
/// one.
const IDLE_REFUSALS: u64 = 1_024;
/// Refusals between two looks for an idle cache.
const LOOK_STRIDE: u64 = 64;

/// The memory that the row caches of many segments share.
#[derive(Debug)]
pub struct RowCacheBudget {
    bytes: u64,
    used: AtomicU64,
    /// Counts refusals; stands in for time, which need not pass while there is memory.
    clock: AtomicU64,
    caches: Mutex<Vec<Weak<RowCache>>>,
}

impl RowCacheBudget {
    /// So many bytes for all caches together.
    pub fn new(bytes: u64) -> Arc<Self> {
        let (used, clock) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(RowCacheBudget { bytes, used, clock, caches: Mutex::default() })
    }

    /// Bytes that caches hold rows in.
    pub fn used_bytes(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// Hands `bytes` out. If none are left, the cache that was idle longest is emptied, unless all were used lately.
    ///
    /// The caller holds no lock of a cache.
    fn take(&self, bytes: u64, asking: &RowCache) -> bool {
        let enough = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.bytes);
        let try_take = || self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enough).is_ok();
        if try_take() {
            return true;
        }
        if !self.clock.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOOK_STRIDE) {
            return false;
        }
        self.longest_idle(asking).is_some_and(|idle| {
            idle.clear();
            try_take()
        })
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn longest_idle(&self, asking: &RowCache) -> Option<Arc<RowCache>> {
        let mut caches = self.caches.lock();
        caches.retain(|cache| cache.strong_count() > 0);
        let used_at = |cache: &RowCache| cache.last_used.load(Ordering::Relaxed);
        let idle = |cache: &Arc<RowCache>| {
            let since = self.now().saturating_sub(used_at(cache));
            since > IDLE_REFUSALS && cache.held.load(Ordering::Relaxed) > 0 && !std::ptr::eq(&**cache, asking)
        };
        caches.iter().filter_map(Weak::upgrade).filter(idle).min_by_key(|cache| used_at(cache))
    }
}

/// A cache of rows by label, emptied by second chance (CLOCK).
#[derive(Debug)]
pub(crate) struct RowCache {
    rows: u32,
    dim: usize,
    budget: Arc<RowCacheBudget>,
    /// Bytes of the budget that this cache has.
    held: AtomicU64,
    /// Time by the budget's clock.
    last_used: AtomicU64,
    /// Made with the first chunk.
    places: OnceLock<Places>,
    shards: [RwLock<Shard>; SHARDS],
}

/// Where rows lie. Changed under the lock of their shard, but read by hints without: a search asks for its rows at once, and a lock
/// would make each wait until the slot of the one before has arrived.
#[derive(Debug)]
struct Places {
    /// Slot of each label in its shard plus one, or zero: pages of zeros cost nothing until they are written to.
    slots: Box<[AtomicU32]>,
    /// Where each chunk of each shard begins, or zero.
    chunks: Box<[AtomicUsize]>,
}

#[derive(Debug, Default)]
struct Shard {
    capacity: usize,
    /// Labels that belong to this shard.
    label_count: usize,
    /// Bit of each label of this shard: whether it was asked for since it was last thrown out.
    wanted_before: Vec<AtomicU64>,
    /// Label in each slot.
    labels: Vec<u32>,
    /// Whether the row of a slot was asked for since the hand last passed.
    referenced: Vec<AtomicBool>,
    chunks: Vec<Box<[f32]>>,
    hand: usize,
}

impl RowCache {
    /// A cache for `rows` rows of `dim` components that takes no more than about `bytes`, and those from `budget`.
    pub fn new(rows: u32, dim: usize, bytes: u64, budget: &Arc<RowCacheBudget>) -> Arc<Self> {
        let capacity =
            usize::try_from(bytes).unwrap_or(usize::MAX) / (dim * size_of::<f32>()).max(1) / SHARDS;
        let label_count = (rows as usize).div_ceil(SHARDS);
        let shard = |_| RwLock::new(Shard::new(capacity.min(label_count), label_count));
        let cache = Arc::new(RowCache {
            rows,
            dim,
            budget: budget.clone(),
            held: AtomicU64::new(0),
            last_used: AtomicU64::new(budget.now()),
            places: OnceLock::new(),
            shards: std::array::from_fn(shard),
        });
        budget.caches.lock().push(Arc::downgrade(&cache));
        cache
    }

    /// Calls `use_rows` with the rows of `labels`, [`ROWS_AT_ONCE`] at most, if all of them are here and no other thread is changing what
    /// is near them. They stay where they are until it returns: it asks nothing of this cache.
    #[inline]
    pub fn with_rows(&self, labels: &[u32], use_rows: &mut dyn FnMut(&[&[f32]])) -> bool {
        self.is_used_now();
        let mut held: [Option<MappedRwLockReadGuard<'_, [f32]>>; ROWS_AT_ONCE] =
            [const { None }; ROWS_AT_ONCE];
        for (held, &label) in held.iter_mut().zip(labels) {
            // While rows of one shard are held, there must be no waiting for another.
            let Some(shard) = self.shard_of(label).try_read_recursive() else { return false };
            let Some(slot) = self.slot(label) else { return false };
            shard.refer_to(slot);
            *held = Some(RwLockReadGuard::map(shard, |shard| shard.row(slot, self.dim)));
        }
        let mut rows: [&[f32]; ROWS_AT_ONCE] = [&[]; ROWS_AT_ONCE];
        for (row, held) in rows.iter_mut().zip(held.iter().flatten()) {
            *row = held;
        }
        use_rows(&rows[..labels.len()]);
        true
    }

    /// Copies the row of `label` into `out` if it is here.
    pub fn get(&self, label: u32, out: &mut [f32]) -> bool {
        self.is_used_now();
        let shard = self.shard_of(label).read();
        let Some(slot) = self.slot(label) else { return false };
        shard.refer_to(slot);
        out.copy_from_slice(shard.row(slot, self.dim));
        true
    }

    fn is_used_now(&self) {
        let now = self.budget.now();
        if self.last_used.load(Ordering::Relaxed) != now {
            self.last_used.store(now, Ordering::Relaxed);
        }
    }

    fn shard_of(&self, label: u32) -> &RwLock<Shard> {
        &self.shards[label as usize % SHARDS]
    }

    /// A hint that `label` will be asked for. What another thread changes meanwhile makes it useless, not wrong.
    #[inline]
    pub fn prefetch(&self, label: u32) {
        let (Some(places), Some(slot)) = (self.places.get(), self.slot(label)) else { return };
        let chunk = places.chunks.get(chunk_index(label as usize % SHARDS, slot / ROWS_PER_CHUNK));
        let start = chunk.map_or(0, |address| address.load(Ordering::Relaxed));
        if start != 0 {
            let row_bytes = self.dim * size_of::<f32>();
            let row = start.wrapping_add(slot % ROWS_PER_CHUNK * row_bytes);
            prefetch_address(row, row_bytes, PREFETCHED_LINES);
        }
    }

    /// The slot of a label in its shard. Under the shard's lock it is right, otherwise it may be that of a moment ago.
    #[inline]
    fn slot(&self, label: u32) -> Option<usize> {
        let slot = self.places.get()?.slots.get(label as usize)?.load(Ordering::Relaxed);
        (slot as usize).checked_sub(1)
    }

    fn set_slot(&self, label: u32, slot: Option<usize>) {
        let value = slot.map_or(0, |slot| slot as u32 + 1);
        self.places().slots[label as usize].store(value, Ordering::Relaxed);
    }

    fn places(&self) -> &Places {
        self.places.get_or_init(|| {
            let chunks = (self.rows as usize).div_ceil(SHARDS).div_ceil(ROWS_PER_CHUNK) * SHARDS;
            Places { slots: zeroed_slice_box(self.rows as usize), chunks: zeroed_slice_box(chunks) }
        })
    }

    /// Keeps a copy of `row` if it was offered before, in the place of one that was not asked for lately if there is no more memory
    /// for it.
    pub fn offer(&self, label: u32, row: &[f32]) {
        let number = label as usize % SHARDS;
        let shard = &self.shards[number];
        let wanted = {
            let shard = shard.read();
            if !shard.is_wanted_again(label) {
                return;
            }
            shard.wanted_chunk()
        };
        if wanted > 0 {
            self.grow(number, wanted);
        }
        let mut shard = shard.write();
        if self.slot(label).is_some() {
            return;
        }
        let Some((slot, thrown_out)) = shard.take_slot() else { return };
        if let Some(thrown_out) = thrown_out {
            self.set_slot(thrown_out, None);
        }
        shard.labels[slot] = label;
        self.set_slot(label, Some(slot));
        shard.row_mut(slot, self.dim).copy_from_slice(row);
    }

    /// Adds room for `rows` rows to a shard, if the budget has it.
    fn grow(&self, number: usize, rows: usize) {
        let bytes = (rows * self.dim * size_of::<f32>()) as u64;
        if !self.budget.take(bytes, self) {
            return;
        }
        let mut shard = self.shards[number].write();
        // Another thread may have been faster.
        if shard.wanted_chunk() == rows {
            self.held.fetch_add(bytes, Ordering::Relaxed);
            let chunk = vec![0.0; rows * self.dim].into_boxed_slice();
            let address = &self.places().chunks[chunk_index(number, shard.chunks.len())];
            address.store(chunk.as_ptr().addr(), Ordering::Relaxed);
            shard.chunks.push(chunk);
        } else {
            self.budget.give_back(bytes);
        }
    }

    /// Forgets every row and gives the memory back.
    fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.write();
            shard.labels.iter().for_each(|label| self.set_slot(*label, None));
            let bytes = shard.chunks.iter().map(|chunk| size_of_val(&**chunk) as u64).sum();
            *shard = Shard::new(shard.capacity, shard.label_count);
            drop(shard);
            self.held.fetch_sub(bytes, Ordering::Relaxed);
            self.budget.give_back(bytes);
        }
    }
}

impl Drop for RowCache {
    fn drop(&mut self) {
        self.budget.give_back(*self.held.get_mut());
    }
}

impl Shard {
    fn new(capacity: usize, label_count: usize) -> Self {
        let words = if capacity == 0 { 0 } else { label_count.div_ceil(BITS) };
        let wanted_before = std::iter::repeat_with(AtomicU64::default).take(words).collect();
        Shard { capacity, label_count, wanted_before, ..Shard::default() }
    }

    /// Whether `label` was wanted before; from now on it was.
    fn is_wanted_again(&self, label: u32) -> bool {
        let (word, bit) = wanted_bit(label);
        self.wanted_before.get(word).is_some_and(|word| word.fetch_or(bit, Ordering::Relaxed) & bit != 0)
    }

    /// Has the row of a slot stay when the hand passes next.
    #[inline]
    fn refer_to(&self, slot: usize) {
        let referenced = &self.referenced[slot];
        // Threads that only read it share its cache line.
        if !referenced.load(Ordering::Relaxed) {
            referenced.store(true, Ordering::Relaxed);
        }
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

    /// Rows of the chunk that the next row needs; none if there is room, or the shard is as large as it may be.
    fn wanted_chunk(&self) -> usize {
        let used = self.labels.len();
        if used < self.chunks.len() * ROWS_PER_CHUNK { 0 } else { ROWS_PER_CHUNK.min(self.capacity - used) }
    }

    /// A free slot, or that of a row that was not asked for lately, with its label. `None` where there is no memory at all.
    fn take_slot(&mut self) -> Option<(usize, Option<u32>)> {
        let used = self.labels.len();
        if used < self.capacity.min(self.chunks.len() * ROWS_PER_CHUNK) {
            self.labels.push(0);
            self.referenced.push(AtomicBool::new(false));
            return Some((used, None));
        }
        if used == 0 {
            return None;
        }
        while self.referenced[self.hand].swap(false, Ordering::Relaxed) {
            self.hand = (self.hand + 1) % used;
        }
        let slot = self.hand;
        self.hand = (self.hand + 1) % used;
        let thrown_out = self.labels[slot];
        let (word, bit) = wanted_bit(thrown_out);
        *self.wanted_before[word].get_mut() &= !bit;
        Some((slot, Some(thrown_out)))
    }
}

/// Where the address of a shard's chunk is kept.
fn chunk_index(shard: usize, chunk: usize) -> usize {
    chunk * SHARDS + shard
}

/// Where a shard has the bit of a label: the word, and its bit there.
fn wanted_bit(label: u32) -> (usize, u64) {
    let at = label as usize / SHARDS;
    (at / BITS, 1 << (at % BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(rows: u32, bytes: u64) -> Arc<RowCache> {
        RowCache::new(rows, 3, bytes, &RowCacheBudget::new(u64::MAX))
    }

    fn row(label: u32) -> [f32; 3] {
        [label as f32, 0.5, -1.0]
    }

    /// Has the row kept: a row is when it is offered for the second time.
    fn keep(cache: &RowCache, label: u32) {
        cache.offer(label, &row(label));
        cache.offer(label, &row(label));
    }

    #[test]
    fn a_row_is_kept_when_it_is_wanted_again() {
        let cache = cache(1_600, 4 * SHARDS as u64 * 12);
        let mut out = [0.0; 3];
        cache.offer(32, &row(32));
        assert!(!cache.get(32, &mut out));
        cache.offer(32, &row(32));
        assert!(cache.get(32, &mut out));
        // Thrown out by others of its shard, it must be wanted twice again.
        (48..160).step_by(SHARDS).for_each(|label| keep(&cache, label));
        assert!(!cache.get(32, &mut out));
        cache.offer(32, &row(32));
        assert!(!cache.get(32, &mut out));
        cache.offer(32, &row(32));
        assert!(cache.get(32, &mut out));
        assert_eq!(out, row(32));
    }

    #[test]
    fn rows_come_back_and_the_budget_holds() {
        let rows_that_fit = 4 * SHARDS as u32;
        let cache = cache(10_000, u64::from(rows_that_fit) * 12);
        let mut out = [0.0; 3];
        for label in 0..10_000 {
            assert!(!cache.get(label, &mut out));
            keep(&cache, label);
            assert!(cache.get(label, &mut out));
            assert_eq!(out, row(label));
        }
        let kept = (0..10_000).filter(|label| cache.get(*label, &mut out)).count();
        assert_eq!(kept as u32, rows_that_fit);
    }

    #[test]
    fn what_is_asked_for_again_stays() {
        let cache = cache(1_600, 4 * SHARDS as u64 * 12);
        let mut out = [0.0; 3];
        keep(&cache, 0);
        for label in (16..1_600).step_by(SHARDS) {
            assert!(cache.get(0, &mut out), "evicted at {label}");
            keep(&cache, label);
        }
        assert_eq!(out, row(0));
    }

    #[test]
    fn without_a_budget_nothing_is_kept() {
        let cache = cache(100, 0);
        keep(&cache, 5);
        cache.prefetch(5);
        assert!(!cache.get(5, &mut [0.0; 3]));
    }

    /// The rows of `labels` as they lie in the cache, if all do.
    fn in_place(cache: &RowCache, labels: &[u32]) -> Option<Vec<[f32; 3]>> {
        let mut rows = Vec::new();
        let all = cache.with_rows(labels, &mut |found| {
            rows.extend(found.iter().map(|row| <[f32; 3]>::try_from(*row).unwrap()));
        });
        all.then_some(rows)
    }

    #[test]
    fn rows_are_handed_out_together_or_not_at_all() {
        let cache = cache(1_600, u64::MAX);
        // Two of one shard, and one label twice.
        let labels = [3, 19, 4, 3];
        assert_eq!(in_place(&cache, &labels), None);
        labels[..2].iter().for_each(|label| keep(&cache, *label));
        assert_eq!(in_place(&cache, &labels), None);
        keep(&cache, 4);
        assert_eq!(in_place(&cache, &labels), Some(labels.map(row).to_vec()));
        assert_eq!(in_place(&cache, &[]), Some(Vec::new()));
        assert_eq!(in_place(&cache, &[3, 5_000]), None);
    }

    #[test]
    fn rows_that_are_handed_out_keep_their_places_while_others_come() {
        let cache = cache(1_600, 4 * SHARDS as u64 * 12);
        let labels = [0, 16, 32, 48];
        std::thread::scope(|scope| {
            for first in [0, 64] {
                let cache = &cache;
                scope.spawn(move || {
                    for label in (0..20_000).map(|i| (first + i * 16) % 1_600) {
                        keep(cache, label);
                    }
                });
            }
            let mut found = 0;
            for _ in 0..20_000 {
                labels.iter().for_each(|label| keep(&cache, *label));
                if let Some(rows) = in_place(&cache, &labels) {
                    assert_eq!(rows, labels.map(row));
                    found += 1;
                }
            }
            assert!(found > 0);
        });
    }

    /// Reads every row through the cache. Returns how many were in it.
    fn pass(cache: &RowCache, rows: u32) -> u32 {
        let mut out = [0.0; 3];
        let read = |label| {
            assert!(in_place(cache, &[label]).is_none_or(|rows| rows == [row(label)]));
            let hit = cache.get(label, &mut out);
            assert!(!hit || out == row(label));
            if !hit {
                keep(cache, label);
            }
            u32::from(hit)
        };
        (0..rows).map(read).sum()
    }

    #[test]
    fn caches_together_stay_within_their_budget_and_the_idle_one_yields() {
        const ROWS: u32 = 1_600;
        let whole = u64::from(ROWS) * 12;
        let budget = RowCacheBudget::new(3 * whole);
        let caches: Vec<_> = (0..20).map(|_| RowCache::new(ROWS, 3, u64::MAX, &budget)).collect();
        let hot = &caches[0];
        for cache in &caches {
            pass(hot, ROWS);
            pass(cache, ROWS);
            assert!(budget.used_bytes() <= 3 * whole);
        }
        assert_eq!(pass(hot, ROWS), ROWS, "what is used all the time stays");
        let held = |cache: &Arc<RowCache>| cache.held.load(Ordering::Relaxed);
        assert_eq!(caches.iter().map(held).sum::<u64>(), budget.used_bytes());
        assert!(caches[1..10].iter().all(|cache| held(cache) == 0), "the idle ones gave their memory up");
        assert!(pass(&caches[19], ROWS) > 0);
        drop(caches);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn caches_are_used_and_emptied_from_many_threads() {
        const ROWS: u32 = 800;
        let budget = RowCacheBudget::new(2 * u64::from(ROWS) * 12);
        let caches: Vec<_> = (0..8).map(|_| RowCache::new(ROWS, 3, u64::MAX, &budget)).collect();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let caches = &caches;
                scope.spawn(move || (0..40).for_each(|round| _ = pass(&caches[(thread + round) % 8], ROWS)));
            }
        });
        assert!(budget.used_bytes() <= 2 * u64::from(ROWS) * 12);
        drop(caches);
        assert_eq!(budget.used_bytes(), 0);
    }
}
