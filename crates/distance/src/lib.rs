//! Distance kernels over f32 vectors and quantised codes.
//!
//! [`kernels`] picks, once per process, the widest instruction set that the CPU has and returns a table of functions; every
//! kernel exists for every level. Environment variable `FERROCHROME_ISA` (`scalar`, `neon`, `avx2`, `avx512`) forces a lower
//! level; a level that the CPU lacks falls back to the best one below it.
//!
//! Two code layouts, the same bytes on every CPU:
//! - **4-bit**: 128 dimensions are a block of 64 bytes; byte `j` holds dimension `j` in its low and dimension `64 + j` in its
//!   high nibble. A nibble `u` stands for `(u - 7.5) * step`; kernels return `sum(u * query)`.
//! - **8-bit**: one signed byte per dimension, in `-127..=127`.
//!
//! The query of both is signed bytes in `-127..=127`. Sums are exact: 8,192 dimensions stay below `2^31`.
//!
//! f32 sums are taken in f32 over at least eight lanes: the error of `dot` is at most `dim * 2^-24 * sum(|a_i * b_i|)`, in
//! practice far less, and that of `l2_squared` accordingly.

mod exact;
mod kernels;
mod pool;
mod prefetch;
mod scalar;
mod spaces;
mod transform;

#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use exact::{ExactDistance, distance};
pub use kernels::{Isa, Kernels, isa, kernels, supported};
pub use pool::Pool;
pub use prefetch::{prefetch_bytes, prefetch_lines, prefetch_row};

/// Dimensions in a block of codes. Both code layouts hold whole blocks; pad with zeros.
pub const BLOCK_DIMS: usize = 128;

/// Rows in a block that is looked up in tables.
pub const BLOCK_ROWS: usize = 64;

/// The largest entry of such a table: four of them fit a byte.
pub const MAX_TABLE_ENTRY: u8 = 63;
