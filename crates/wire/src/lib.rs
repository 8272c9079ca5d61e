//! Chroma's JSON: request text to engine calls, engine results to reply text.
//!
//! Numbers never pass through a JavaScript number here, so integers and floats stay apart and an `f32` is printed as its
//! shortest decimal.
#![forbid(unsafe_code)]

mod collections;
mod explanations;
mod requests;
mod results;
mod transfer;
mod values;

pub use collections::{CollectionPatch, CreateCollection, collection_json, database_json};
pub use explanations::explanation_json;
pub use requests::{Include, Records, parse_delete, parse_get, parse_query};
pub use results::{Reply, get_reply, query_reply};
pub use transfer::{
    ServerPage, batch_report, parse_record_lines, parse_server_page, record_lines, server_collections,
    source_json, write_batch,
};
