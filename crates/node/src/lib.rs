//! The Node addon: conversions only.
//!
//! A failure that a caller may expect crosses as an `Error` whose message is `!` and the JSON
//! `{"code", "message"}`; `src/native.ts` makes Chroma's error classes of it. Work that takes longer than a short query runs
//! on threads of our own, never on libuv's; a panic becomes a rejected promise.

mod background;
mod chroma;
mod collection;
mod compaction;
mod database;
mod database_copy;
mod failure;
mod http;
mod id_list;
mod inspection;
mod repair;
mod together;
mod transfer;
mod versions;

pub use chroma::{NativeChromaReader, NativeChromaSource, read_server_collections};
pub use collection::{NativeBatch, NativeCancel, NativeCollection, PackedReply};
pub use compaction::NativeProgress;
pub use database::NativeDatabase;
pub use database_copy::NativeDatabaseCopy;
pub use http::{NativeBody, NativeBodyLimits};
pub use id_list::NativeIds;
pub use repair::NativeCheckProgress;
pub use transfer::NativeExport;

/// What this binary is, as JSON: `{"version", "target", "isa", "debug"}`.
#[napi_derive::napi(catch_unwind)]
pub fn build_info() -> String {
    serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "target": format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        "isa": ferrochrome_engine::isa(),
        "debug": cfg!(debug_assertions),
    })
    .to_string()
}
