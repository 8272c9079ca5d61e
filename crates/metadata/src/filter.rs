//! Filters: from Chroma's JSON, and to bitmaps of labels.

#[cfg(test)]
pub(crate) mod conformance;
mod evaluate;
mod parse;
mod pattern;
mod tasks;

pub use evaluate::{FilterSource, evaluate};
pub use parse::{parse_document_filter, parse_filter};
pub(crate) use pattern::TRIGRAM_CHARS;
pub use pattern::{RequiredText, compile_regex};
pub use tasks::find_in_tasks;
