//! Locks and atomics of the [`Provider`](crate::Provider). The crate `models` compiles it with others, to try interleavings.

pub(crate) use parking_lot::{Mutex, RwLock};
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
