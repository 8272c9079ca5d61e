//! The words that every Ferrochrome crate shares.
//!
//! No I/O and no unsafe code. [`Metric`] says how vectors are compared, [`Value`] and [`Metadata`] what a record
//! may carry beside its vector, [`Filter`] and [`DocumentFilter`] which records a query may return, [`Error`] what went wrong,
//! [`CancelToken`] whether anyone still waits for the answer, [`limits`] where the bounds are.
#![forbid(unsafe_code)]

mod cancel;
mod error;
mod filter;
pub mod limits;
mod metric;
mod progress;
mod record;
mod rows;
mod value;

pub use cancel::CancelToken;
pub use error::{Code, Error, Result};
pub use filter::{Comparison, DocumentFilter, Filter, Scalar, Test};
pub use metric::Metric;
pub use progress::{Progress, ProgressReport, Stage};
pub use record::Record;
pub use rows::{DocumentRows, IndexBuffers, ROWS_AT_ONCE, VectorRows, with_rows_in_place};
pub use value::{Metadata, Value, ValueKind, ValueRef, compare_int_float};
