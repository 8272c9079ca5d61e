use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use ferrochrome_types::Result;
use uuid::Uuid;

use crate::VectorIndex;
use crate::available_memory::available_memory;
use crate::sync::{AtomicU32, AtomicU64, Mutex, Ordering, RwLock};

/// Requests after which an earlier one counts half.
const HALF_LIFE: u64 = 8_192;
/// The part of the budget that is kept for what was used last, however seldom: a newcomer must be able to prove itself.
const WINDOW_PART: u64 = 8;

/// How often requests look whether other programs have taken the memory.
const TRIM_EVERY_MS: u64 = 1_000;

/// A cache of open indices, shared by all who search.
///
/// Holds indices up to a budget of bytes, or half of the memory that the system could give if that is less. Beyond it, the ones
/// that are used least often are dropped, whatever their size; the most recently used, up to an eighth of the budget, come last.
/// So neither a pass over many indices nor a single use of one displaces those that searches come back to.
///
/// An index is pinned for as long as an `Arc` from [`get_or_load`](Self::get_or_load) is alive, and may then hold the cache
/// above its budget.
#[derive(Debug)]
pub struct Provider {
    configured: u64,
    /// The system's free memory, if it tells.
    available: fn() -> Option<u64>,
    slots: RwLock<HashMap<Uuid, Arc<Slot>>>,
    made: Instant,
    /// When memory was last looked at, in milliseconds since `made`.
    trimmed_ms: AtomicU64,
    /// Counts requests; stands in for time.
    clock: AtomicU64,
    /// Half-lives by which the slots' counts were aged.
    aged: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: AtomicU64,
}

/// Place of one index, from the moment that someone asks for it until it is forgotten: it outlives the index, so that use is
/// remembered.
#[derive(Debug, Default)]
struct Slot {
    /// Held by whoever loads; the others wait for the outcome.
    loading: Mutex<()>,
    index: RwLock<Option<Arc<dyn VectorIndex>>>,
    last_used: AtomicU64,
    /// Requests, earlier ones counting less.
    uses: AtomicU32,
}

impl Slot {
    fn get(&self) -> Option<Arc<dyn VectorIndex>> {
        self.index.read().clone()
    }

    fn bytes(&self) -> u64 {
        self.index.read().as_ref().map_or(0, |index| index.memory_bytes() as u64)
    }

    fn is_pinned(&self) -> bool {
        self.index.read().as_ref().is_some_and(|index| Arc::strong_count(index) > 1)
    }

    fn uses(&self) -> u32 {
        self.uses.load(Ordering::Relaxed)
    }
}

/// Counters of a [`Provider`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProviderStats {
    /// Requests that found the index open.
    pub hits: u64,
    /// Requests that had to open it.
    pub misses: u64,
    /// Indices dropped to keep the budget.
    pub evictions: u64,
    /// Memory of the open indices.
    pub bytes: u64,
    /// What `bytes` is kept below, at this moment.
    pub budget: u64,
    /// Number of open indices.
    pub indices: usize,
    /// How many of them are in memory rather than in their file.
    pub resident: usize,
}

impl Provider {
    /// A cache of at most `budget` bytes, not counting what is in use.
    pub fn new(budget: u64) -> Self {
        Self::with_available_memory(budget, available_memory)
    }

    fn with_available_memory(budget: u64, available: fn() -> Option<u64>) -> Self {
        Provider {
            configured: budget,
            available,
            slots: RwLock::default(),
            made: Instant::now(),
            trimmed_ms: AtomicU64::new(0),
            clock: AtomicU64::new(0),
            aged: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
        }
    }

    /// The index `id`, loaded by `load` if it is not open. Of several that ask at once one loads and the others wait; if
    /// it fails, the next one tries.
    ///
    /// # Errors
    /// What `load` fails with. Nothing is kept then.
    pub fn get_or_load(
        &self,
        id: Uuid,
        load: impl FnOnce() -> Result<Arc<dyn VectorIndex>>,
    ) -> Result<Arc<dyn VectorIndex>> {
        let slot = self.slot(id);
        if let Some(index) = slot.get() {
            self.hits.fetch_add(1, Ordering::Relaxed);
            self.trim_now_and_then();
            return Ok(index);
        }
        let loading = slot.loading.lock();
        if let Some(index) = slot.get() {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(index);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let index = load()?;
        *slot.index.write() = Some(index.clone());
        drop(loading);
        self.trim();
        Ok(index)
    }

    /// The index `id` if it is open. Does not count as a request.
    pub fn get(&self, id: Uuid) -> Option<Arc<dyn VectorIndex>> {
        self.slots.read().get(&id)?.get()
    }

    /// Whether an index of `bytes` has room beside those that are in use, or used no less often than `id`.
    pub fn has_room(&self, id: Uuid, bytes: u64) -> bool {
        let available = (self.available)();
        let slots = self.slots.read();
        let uses = slots.get(&id).map_or(0, |slot| slot.uses());
        let stays =
            |(other, slot): &(&Uuid, &Arc<Slot>)| **other != id && (slot.uses() >= uses || slot.is_pinned());
        let beside: u64 = slots.iter().filter(stays).map(|(_, slot)| slot.bytes()).sum();
        let held = slots.values().map(|slot| slot.bytes()).sum();
        beside.saturating_add(bytes) <= effective_budget(self.configured, held, available)
    }

    /// Keeps `index` under `id` if it [`has_room`](Self::has_room). Whether it was kept.
    pub fn offer(&self, id: Uuid, index: Arc<dyn VectorIndex>) -> bool {
        if !self.has_room(id, index.memory_bytes() as u64) {
            return false;
        }
        let slot = self.slots.write().entry(id).or_default().clone();
        *slot.index.write() = Some(index);
        self.trim();
        true
    }

    /// As [`offer`](Self::offer), but only in the place of an index that is open.
    pub fn replace(&self, id: Uuid, index: Arc<dyn VectorIndex>) -> bool {
        let has_room = self.has_room(id, index.memory_bytes() as u64);
        let replaced = has_room
            && self.slots.read().get(&id).is_some_and(|slot| {
                let mut open = slot.index.write();
                let is_open = open.is_some();
                *open = is_open.then_some(index);
                is_open
            });
        self.trim();
        replaced
    }

    /// Drops `id` from the cache; who holds it keeps it. Whether it was open.
    pub fn remove(&self, id: Uuid) -> bool {
        self.slots.write().remove(&id).is_some_and(|slot| slot.index.read().is_some())
    }

    /// Drops `id` if it is searched in its file, which may then be closed. Its use stays remembered.
    pub fn close_file(&self, id: Uuid) {
        if let Some(slot) = self.slots.read().get(&id) {
            slot.index.write().take_if(|index| !index.is_resident());
        }
    }

    /// Drops what the budget, or the system's memory, has no room for. To be called now and then, since other programs take
    /// memory, too.
    pub fn trim(&self) {
        let available = (self.available)();
        let mut slots = self.slots.write();
        self.age(&mut slots);
        let mut bytes: u64 = slots.values().map(|slot| slot.bytes()).sum();
        let budget = effective_budget(self.configured, bytes, available);
        if bytes <= budget {
            return;
        }
        for slot in eviction_order(&slots, budget / WINDOW_PART) {
            if bytes <= budget {
                break;
            }
            bytes -= slot.bytes();
            *slot.index.write() = None;
            self.evictions.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// [`trim`](Self::trim), if it was not done for a while: other programs take memory, too, and nobody watches while nothing is asked.
    fn trim_now_and_then(&self) {
        let now = self.made.elapsed().as_millis() as u64;
        let last = self.trimmed_ms.load(Ordering::Relaxed);
        let due = now.saturating_sub(last) >= TRIM_EVERY_MS;
        if due && self.trimmed_ms.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.trim();
        }
    }

    /// The counters.
    pub fn stats(&self) -> ProviderStats {
        let available = (self.available)();
        let slots = self.slots.read();
        let open: Vec<_> = slots.values().filter_map(|slot| slot.get()).collect();
        let bytes = open.iter().map(|index| index.memory_bytes() as u64).sum();
        ProviderStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            evictions: self.evictions.load(Ordering::Relaxed),
            bytes,
            budget: effective_budget(self.configured, bytes, available),
            indices: open.len(),
            resident: open.iter().filter(|index| index.is_resident()).count(),
        }
    }

    /// The slot of `id`, marked as used now.
    fn slot(&self, id: Uuid) -> Arc<Slot> {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let known = self.slots.read().get(&id).cloned();
        let slot = known.unwrap_or_else(|| Arc::clone(self.slots.write().entry(id).or_default()));
        slot.last_used.store(now, Ordering::Relaxed);
        slot.uses.fetch_add(1, Ordering::Relaxed);
        slot
    }

    /// Lets old uses count less, and forgets what is not open and was not used lately.
    fn age(&self, slots: &mut HashMap<Uuid, Arc<Slot>>) {
        let half_lives = self.clock.load(Ordering::Relaxed) / HALF_LIFE;
        let passed = half_lives - self.aged.swap(half_lives, Ordering::Relaxed).min(half_lives);
        if passed == 0 {
            return;
        }
        let aged = |uses: u32| uses.checked_shr(passed.min(32) as u32).unwrap_or(0);
        slots.retain(|_, slot| {
            // A use counted between the two is lost, which changes nothing.
            slot.uses.store(aged(slot.uses()), Ordering::Relaxed);
            // A second reference is that of someone who is about to load.
            slot.uses() > 0 || slot.index.read().is_some() || Arc::strong_count(slot) > 1
        });
    }
}

/// What may be dropped, first to go first. The most recently used ones, up to `window` bytes, come last.
fn eviction_order(slots: &HashMap<Uuid, Arc<Slot>>, window: u64) -> Vec<&Slot> {
    let last_used = |slot: &Slot| slot.last_used.load(Ordering::Relaxed);
    let mut unused: Vec<(u64, &Slot)> = slots
        .values()
        .filter(|slot| slot.index.read().is_some() && !slot.is_pinned())
        .map(|slot| (last_used(slot), &**slot))
        .collect();
    unused.sort_unstable_by_key(|(used, _)| Reverse(*used));
    let mut recent = 0;
    let mut order: Vec<_> = unused
        .into_iter()
        .map(|(used, slot)| {
            recent += slot.bytes();
            ((recent <= window, slot.uses(), used), slot)
        })
        .collect();
    order.sort_unstable_by_key(|(order, _)| *order);
    order.into_iter().map(|(_, slot)| slot).collect()
}

/// What indices may take that take `held` bytes now while the system has `available` bytes left: never more than half of what it
/// could give.
fn effective_budget(configured: u64, held: u64, available: Option<u64>) -> u64 {
    available.map_or(configured, |available| configured.min(held.saturating_add(available) / 2))
}

// The path holds wherever this file is compiled from: the crate `models` takes it in, too.
#[cfg(test)]
#[path = "provider/tests.rs"]
mod tests;
