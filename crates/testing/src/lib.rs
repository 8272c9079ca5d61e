//! Datasets and measures for tests and benches. Never a dependency of the product.
#![forbid(unsafe_code)]

mod recall;
mod wordnet;

pub use recall::recall;
pub use wordnet::{Entry, WordNet};
