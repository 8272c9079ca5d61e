//! Requests: what TypeScript hands over, bodies over HTTP, lines of files of records.

use std::hint::black_box;

use ferrochrome_engine::WriteKind;
use ferrochrome_wire::{
    BodyLimits, CollectionPatch, CreateBody, CreateCollection, Operation, Records, UpdateBody, check_body,
    parse_delete, parse_delete_body, parse_get, parse_get_body, parse_name_body, parse_query,
    parse_query_body, parse_record_lines, parse_server_page, parse_write_body, server_collections,
};

const LIMITS: BodyLimits = BodyLimits { rows: 1_000, results: 10_000, reply_bytes: 1 << 20 };

pub(crate) fn requests(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(records) = Records::parse(text) {
        black_box(records.into_batch(Some(vec![0.5; 4]), 2).is_ok());
    }
    black_box((parse_delete(text, None).is_ok(), parse_get(text, None).is_ok()));
    black_box(parse_query(text, vec![0.5, 1.0], 2, None).is_ok());
    if let Ok(collection) = CreateCollection::parse(text) {
        black_box(collection.into_row().is_ok());
    }
    if let Ok(patch) = CollectionPatch::parse(text) {
        black_box(patch.into_change().is_ok());
    }
}

pub(crate) fn http_bodies(bytes: &[u8]) {
    for kind in [WriteKind::Add, WriteKind::Update, WriteKind::Upsert] {
        black_box(parse_write_body(kind, bytes, &LIMITS).is_ok());
    }
    black_box((parse_get_body(bytes, &LIMITS).is_ok(), parse_query_body(bytes, &LIMITS).is_ok()));
    black_box((parse_delete_body(bytes, &LIMITS).is_ok(), parse_name_body(bytes).is_ok()));
    for operation in [Operation::Get, Operation::Query, Operation::Delete, Operation::Write(WriteKind::Add)] {
        black_box(check_body(operation, bytes).is_ok());
    }
    if let Ok(body) = CreateBody::parse(bytes) {
        black_box((body.get_or_create(), body.outline()));
    }
    if let Ok(body) = UpdateBody::parse(bytes) {
        black_box((body.outline(), body.into_change("").is_ok()));
    }
}

pub(crate) fn record_lines(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    black_box((parse_record_lines(text, 1).is_ok(), parse_server_page(text).is_ok()));
    black_box(server_collections(text).is_ok());
}
