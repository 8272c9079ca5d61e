//! What fuzzers call.

use std::hint::black_box;
use std::io::Write;

use ferrochrome_types::{
    CancelToken, Comparison, DocumentFilter, DocumentRows, Filter, Metadata, Result, Scalar, Value,
};
use roaring::RoaringBitmap;

pub use crate::catalog::fuzzing::manifest;
use crate::filter::{RequiredText, compile_regex, evaluate, parse_document_filter, parse_filter};
use crate::lookup::{read_labels, reads_block, reads_pairs};
use crate::{Catalog, Durability, FilterSource, Location, Lookup, Postings, SalvagedCatalog};

/// Longest pattern that is compiled: what a regular expression costs is bounded elsewhere.
const MAX_PATTERN: usize = 200;

struct Documents([&'static str; 4]);

impl DocumentRows for Documents {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn document(&self, label: u32) -> Result<Option<&str>> {
        Ok(self.0.get(label as usize).copied())
    }
}

const DOCUMENTS: Documents = Documents(["", "iron oxide", "a page of 3 and 4", "\u{e4}\u{1f600} abc"]);

/// A filter as JSON text, `where` and `where_document`; what is accepted is evaluated.
pub fn filter_json(bytes: &[u8]) {
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    if let Ok(filter) = parse_filter(&json) {
        run(&filter);
    }
    if let Ok(filter) = parse_document_filter(&json) {
        run(&Filter::Document(filter));
    }
}

fn run(filter: &Filter) {
    let mut postings = Postings::new();
    for label in 0..4 {
        let metadata = Metadata::from([
            ("n".to_owned(), Value::Int(i64::from(label))),
            ("f".to_owned(), Value::Float(f64::from(label) / 2.0)),
            ("tags".to_owned(), Value::StrArray(vec!["a".to_owned(), label.to_string()])),
        ]);
        postings.insert(label, Some(&metadata));
    }
    if let Ok(found) = evaluate(filter, &postings, &DOCUMENTS, 4, &CancelToken::default()) {
        assert!(found.max().is_none_or(|label| label < 4));
    }
}

/// A regular expression: the text that it is looked up by must be in every document that matches.
pub fn regex(bytes: &[u8]) {
    let Ok(pattern) = std::str::from_utf8(bytes) else { return };
    if pattern.len() > MAX_PATTERN {
        return;
    }
    let required = RequiredText::of_pattern(pattern);
    let Ok(regex) = compile_regex(pattern) else { return };
    for document in DOCUMENTS.0.iter().copied().chain([pattern]) {
        if regex.is_match(document)
            && let Some(required) = &required
        {
            assert!(is_in(required, document), "{pattern:?} matches {document:?} without its required text");
        }
    }
    run(&Filter::Document(DocumentFilter::Regex(pattern.to_owned())));
}

fn is_in(required: &RequiredText, document: &str) -> bool {
    match required {
        RequiredText::Text(text) => document.contains(text),
        RequiredText::All(parts) => parts.iter().all(|part| is_in(part, document)),
        RequiredText::Any(parts) => parts.iter().any(|part| is_in(part, document)),
    }
}

/// A posting list, a block of numbers, one of lists of trigrams, and the tombstones of a manifest: bitmaps and pairs in columns of SQLite.
pub fn postings(bytes: &[u8]) {
    if let Ok(labels) = read_labels(bytes) {
        black_box((labels.len(), labels.max(), labels.contains(7)));
    }
    if let Ok(tombstones) = RoaringBitmap::deserialize_from(bytes) {
        black_box((tombstones.len(), tombstones.max(), tombstones.serialized_size()));
    }
    black_box((reads_pairs(bytes), reads_block(bytes)));
}

/// The bytes of a `lookup.sqlite`.
pub fn lookup(bytes: &[u8]) {
    let Ok(lookup) = Lookup::open_bytes(bytes.to_vec()) else { return };
    for scalar in [Scalar::Int(1), Scalar::Float(0.5), Scalar::Str("a".to_owned()), Scalar::Bool(true)] {
        black_box(lookup.equal("n", &scalar).is_ok());
        black_box(lookup.contains("tags", &scalar).is_ok());
        black_box(lookup.compare("n", Comparison::GreaterOrEqual, &scalar).is_ok());
    }
    black_box(lookup.documents().is_ok());
    let required = RequiredText::Text("document".to_owned());
    black_box(lookup.document_candidates(&required, 1 << 20, &CancelToken::default()).is_ok());
}

/// The bytes of a `catalog.sqlite`, opened as a sound one and as a damaged one.
pub fn catalog(bytes: &[u8]) {
    let Ok(folder) = tempfile::tempdir() else { return };
    let path = folder.path().join("catalog.sqlite");
    if std::fs::File::create(&path).and_then(|mut file| file.write_all(bytes)).is_err() {
        return;
    }
    if let Ok(catalog) = Catalog::open(Location::File(path.clone()), Durability::Normal, true) {
        for id in catalog.all_collection_ids().unwrap_or_default() {
            black_box(catalog.manifest_and_log(id, &mut |_, _| Ok(())).is_ok());
        }
    }
    let Ok(mut salvaged) = SalvagedCatalog::open(&path) else { return };
    black_box((salvaged.tenants().len(), salvaged.databases().len()));
    for row in salvaged.collections() {
        black_box((salvaged.schema_keys(row.id).len(), salvaged.manifest(row.id)));
        black_box(salvaged.each_batch(row.id, 0, &mut |_, _| Ok(())).is_ok());
    }
}
