//! Chroma's JSON: request text to engine calls, engine results to reply text.
//!
//! Numbers never pass through a JavaScript number here, so integers and floats stay apart and an `f32` is printed as its
//! shortest decimal.
#![forbid(unsafe_code)]

mod collections;
mod explanations;
mod http_collections;
mod http_replies;
mod http_requests;
mod recent_filters;
mod requests;
mod results;
mod schema;
mod shortest_double;
mod transfer;
mod values;
mod vectors;
mod versions;

pub use collections::{
    CollectionChange, CollectionPatch, ConfigurationChange, CreateCollection, collection_json, database_json,
};
pub use explanations::explanation_json;
pub use http_collections::{CreateBody, UpdateBody, parse_name_body};
pub use http_replies::{get_http_reply, query_http_reply};
pub use http_requests::{
    BodyLimits, IncludeList, Operation, check_body, parse_delete_body, parse_get_body, parse_query_body,
    parse_write_body,
};
pub use requests::{Include, Records, parse_delete, parse_get, parse_query};
pub use results::{Reply, get_reply, query_reply};
pub use transfer::{
    RecordLines, ServerPage, batch_report, metadata_text, parse_metadata, parse_record_lines,
    parse_server_page, record_lines, server_collections, source_json, write_batch, write_record_line,
};
pub use versions::version_json;
