//! Databases through the public interface. What looks at the whole process, its memory, threads or files, has a program of its own
//! beside this one.
#![allow(clippy::unwrap_used, reason = "a test fails where a helper does")]

#[path = "../support/mod.rs"]
mod support;

mod compaction;
mod concurrency;
mod database_copy;
mod family;
mod id_lists;
mod index_in_file;
mod model;
mod opening;
mod quantization;
mod repair;
mod spaces;
mod status;
mod wordnet;
