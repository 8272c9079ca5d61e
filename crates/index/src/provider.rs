use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use ferrochrome_types::Result;
use parking_lot::{Mutex, RwLock};
use uuid::Uuid;

use crate::VectorIndex;

/// A cache of open indices, shared by all who search.
///
/// Holds indices up to a budget of bytes; beyond it, the least recently used one that nobody holds is dropped. An index is pinned for
/// as long as an `Arc` from [`get_or_load`](Self::get_or_load) is alive, and may then hold the cache above its budget.
#[derive(Debug)]
pub struct Provider {
    budget: u64,
    slots: RwLock<HashMap<Uuid, Arc<Slot>>>,
    /// Counts uses; stands in for time.
    clock: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: AtomicU64,
}

/// Place of one index, from the moment that someone asks for it.
#[derive(Debug, Default)]
struct Slot {
    /// Held by whoever loads; the others wait for the outcome.
    loading: Mutex<()>,
    index: OnceLock<Arc<dyn VectorIndex>>,
    last_used: AtomicU64,
}

/// Counters of a [`Provider`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProviderStats {
    /// Requests that found the index open.
    pub hits: u64,
    /// Requests that had to load it.
    pub misses: u64,
    /// Indices dropped to keep the budget.
    pub evictions: u64,
    /// Memory of the open indices.
    pub bytes: u64,
    /// Number of open indices.
    pub indices: usize,
}

impl Provider {
    /// A cache of at most `budget` bytes, not counting what is in use.
    pub fn new(budget: u64) -> Self {
        Provider {
            budget,
            slots: RwLock::default(),
            clock: AtomicU64::new(0),
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
        if let Some(index) = slot.index.get() {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(Arc::clone(index));
        }
        let loading = slot.loading.lock();
        if let Some(index) = slot.index.get() {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(Arc::clone(index));
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let index = match load() {
            Ok(index) => index,
            Err(error) => {
                drop(loading);
                self.forget_if_empty(id, &slot);
                return Err(error);
            }
        };
        let index = Arc::clone(slot.index.get_or_init(|| index));
        drop(loading);
        self.evict();
        Ok(index)
    }

    /// The index `id` if it is open. Does not count as a request.
    pub fn get(&self, id: Uuid) -> Option<Arc<dyn VectorIndex>> {
        self.slots.read().get(&id)?.index.get().cloned()
    }

    /// Drops `id` from the cache; who holds it keeps it. Whether it was open.
    pub fn remove(&self, id: Uuid) -> bool {
        self.slots.write().remove(&id).is_some_and(|slot| slot.index.get().is_some())
    }

    /// The counters.
    pub fn stats(&self) -> ProviderStats {
        let slots = self.slots.read();
        let open = || slots.values().filter_map(|slot| slot.index.get());
        ProviderStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            evictions: self.evictions.load(Ordering::Relaxed),
            bytes: open().map(|index| index.memory_bytes() as u64).sum(),
            indices: open().count(),
        }
    }

    /// The slot of `id`, marked as used now.
    fn slot(&self, id: Uuid) -> Arc<Slot> {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let known = self.slots.read().get(&id).cloned();
        let slot = known.unwrap_or_else(|| Arc::clone(self.slots.write().entry(id).or_default()));
        slot.last_used.store(now, Ordering::Relaxed);
        slot
    }

    fn forget_if_empty(&self, id: Uuid, slot: &Arc<Slot>) {
        let mut slots = self.slots.write();
        // Two references are the map's and the caller's: a third one is about to load.
        let idle = |kept: &Arc<Slot>| {
            Arc::ptr_eq(kept, slot) && slot.index.get().is_none() && Arc::strong_count(kept) == 2
        };
        if slots.get(&id).is_some_and(idle) {
            slots.remove(&id);
        }
    }

    /// Drops unused indices, least recently used first, until the budget is kept.
    fn evict(&self) {
        let mut slots = self.slots.write();
        let size = |slot: &Slot| slot.index.get().map_or(0, |index| index.memory_bytes() as u64);
        let mut bytes: u64 = slots.values().map(|slot| size(slot)).sum();
        if bytes <= self.budget {
            return;
        }
        let unused = |slot: &Slot| slot.index.get().is_some_and(|index| Arc::strong_count(index) == 1);
        let used_at = |slot: &Slot| slot.last_used.load(Ordering::Relaxed);
        let mut candidates: Vec<(u64, Uuid)> =
            slots.iter().filter(|(_, slot)| unused(slot)).map(|(&id, slot)| (used_at(slot), id)).collect();
        candidates.sort_unstable();
        for (_, id) in candidates {
            if bytes <= self.budget {
                break;
            }
            if let Some(slot) = slots.remove(&id) {
                bytes -= size(&slot);
                self.evictions.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests;
