//! Nearest-neighbour indices over the vectors of one segment, and the cache of open ones.
//!
//! An index holds quantised codes of the vectors and, if asked for, a graph over them (HNSW); the f32 vectors themselves stay
//! with the caller, who hands them in as [`VectorRows`](ferrochrome_types::VectorRows) whenever the best of a search are to be
//! rescored exactly. Distances that come back are always exact. Metrics without codes (see
//! [`Metric::has_codes`](ferrochrome_types::Metric::has_codes)) are compared over the vectors themselves, through graphs that the crate
//! `hnsw_rs` builds.
//!
//! - [`build`] makes an index, [`extend`] adds rows to a copy of one, [`load`] reads one back from
//!   [`VectorIndex::buffers`] and [`VectorIndex::parameters`].
//! - [`VectorIndex::search`] walks the graph, [`VectorIndex::scan`] scores every member of a set, [`exact_search`] needs no
//!   index at all.
//! - [`Provider`] shares open indices under a byte budget.
//!
//! ```
//! use ferrochrome_index::{BuildOptions, SearchOptions, Walk, build};
//! # use ferrochrome_types::{CancelToken, Error, Result, VectorRows};
//! # struct Rows(Vec<[f32; 2]>);
//! # impl VectorRows for Rows {
//! #     fn dim(&self) -> usize { 2 }
//! #     fn len(&self) -> usize { self.0.len() }
//! #     fn row(&self, label: u32) -> Result<&[f32]> {
//! #         self.0.get(label as usize).map(|r| &r[..]).ok_or_else(|| Error::corrupted("rows", "no such label"))
//! #     }
//! # }
//! let rows = Rows((0..100).map(|i| [i as f32, 1.0]).collect());
//! let index = build(&rows, &BuildOptions::default(), true)?;
//! let cancel = CancelToken::default();
//! let options = SearchOptions { k: 3, ef: 50, filter: None, visit_budget: None, cancel: &cancel };
//! let Walk::Done(hits) = index.search(&[41.2, 1.0], &rows, &options)? else { unreachable!("no budget was given") };
//! assert_eq!(hits.iter().map(|hit| hit.label).collect::<Vec<_>>(), [41, 42, 40]);
//! # Ok::<(), Error>(())
//! ```

mod aligned_buffer;
mod available_memory;
mod build;
mod calibration;
mod codebook;
mod codes;
mod coding;
mod exact;
mod flat;
mod hnsw;
mod load;
mod member_bits;
mod options;
mod parameters;
mod provider;
mod quantizer;
mod rotation;
mod scan;
mod scorer;
mod seeded_hash;
mod shortlist;
mod sketch;
mod storage;
mod sync;
mod threads;
mod true_neighbours;
mod vector_index;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod filtered_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod recall_tests;
#[cfg(test)]
mod renewal_tests;
#[cfg(test)]
mod small_tests;
#[cfg(test)]
mod wordnet;

pub use available_memory::available_memory;
pub use build::{build, extend, renew};
pub use codebook::Codebook;
pub use exact::exact_search;
pub use load::{load, open};
pub use options::{BuildOptions, Quantization, ScanOptions, SearchOptions, Share};
pub use parameters::{GraphParameters, Parameters};
pub use provider::{Provider, ProviderStats};
pub use shortlist::Candidate;
pub use vector_index::{Hit, SearchCounts, VectorIndex, Walk};

// Buffers are written as they lie in memory, and the format is little-endian.
const _: () = assert!(cfg!(target_endian = "little"), "only little-endian targets are supported");

/// Most rows of one index: the walk keeps a flag in the highest bit of a label.
pub const MAX_INDEX_ROWS: usize = (1 << 31) - 1;
