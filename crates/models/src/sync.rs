//! What the product's files take their locks and atomics from, here over shuttle.

pub(crate) use ferrochrome_shuttle_locks::{Mutex, RwLock};
pub(crate) use shuttle::sync::atomic::{AtomicU32, AtomicU64, Ordering};
