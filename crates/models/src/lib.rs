//! Concurrent code of the product, compiled over [`shuttle`], whose scheduler tries interleavings one after the other and repeats
//! the one that fails. Never a dependency of the product.
#![forbid(unsafe_code)]

/// The cache of open indices, from the crate `index`.
#[path = "../../index/src/provider.rs"]
pub mod provider;
mod sync;

pub use ferrochrome_index::VectorIndex;

mod available_memory {
    /// Models see no memory but the budget.
    pub(crate) fn available_memory() -> Option<u64> {
        None
    }
}
