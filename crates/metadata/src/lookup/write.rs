//! Writing `lookup.sqlite`.

use std::fs::File;
use std::path::Path;

use ferrochrome_durable::sync_file;
use ferrochrome_types::{CancelToken, DocumentRows, Error, Result, ValueKind};
use roaring::RoaringBitmap;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, MAIN_DB, OpenFlags, params};

use super::trigrams::Lists;
use super::{ColumnId, bitmap_bytes, numbers, postings_checksum, schema, sql};
use crate::postings::{Column, KeyPostings, Labels, Postings};
use crate::sqlite::sqlite_error;

/// Large enough that the lists of a block of numbers do not take a long chain of pages.
const PAGE_BYTES: i64 = 8192;
/// Memory of the full-text index's lists that are gathered before a run of them is written.
const FULL_TEXT_MEMORY_BYTES: usize = 64 << 20;
/// Documents between two looks at the cancel token.
const CANCEL_EVERY: u32 = 256;

/// Writes the postings of a segment and, if `full_text`, an index over its documents: to `path`, where there must not be a
/// file yet and which is synced, or (`None`) to memory, returning the bytes.
///
/// # Errors
/// `Io` if the file cannot be written, `Cancelled`, and what `documents` returns. A file is gone after an error.
pub fn write_lookup(
    path: Option<&Path>,
    postings: &Postings,
    documents: &dyn DocumentRows,
    full_text: bool,
    cancel: &CancelToken,
) -> Result<Option<Vec<u8>>> {
    let Some(path) = path else {
        let mut connection = Connection::open_in_memory().map_err(sql)?;
        fill(&mut connection, postings, documents, full_text, cancel)?;
        return Ok(Some(connection.serialize(MAIN_DB).map_err(sql)?.to_vec()));
    };
    let io = |error| Error::io(path.display(), error);
    File::create_new(path).map_err(io)?;
    let written = write_file(path, postings, documents, full_text, cancel).and_then(|()| sync_file(path));
    if written.is_err() {
        // The error at hand says more than one about this.
        let _ = std::fs::remove_file(path);
    }
    written.map(|()| None)
}

fn write_file(
    path: &Path,
    postings: &Postings,
    documents: &dyn DocumentRows,
    full_text: bool,
    cancel: &CancelToken,
) -> Result<()> {
    let at_path = |error| sqlite_error(&path.display().to_string(), error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(at_path)?;
    // A file that is not complete is thrown away: nothing needs a journal, and one sync at the end is enough.
    connection
        .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE")
        .map_err(at_path)?;
    fill(&mut connection, postings, documents, full_text, cancel)?;
    connection.close().map_err(|(_, error)| at_path(error))
}

fn fill(
    connection: &mut Connection,
    postings: &Postings,
    documents: &dyn DocumentRows,
    full_text: bool,
    cancel: &CancelToken,
) -> Result<()> {
    connection.pragma_update(None, "page_size", PAGE_BYTES).map_err(sql)?;
    let tx = connection.transaction().map_err(sql)?;
    schema::create(&tx, full_text)?;
    for (id, (name, key)) in (1_i64..).zip(postings.keys()) {
        cancel.check()?;
        tx.prepare_cached("INSERT INTO keys (name, id, crc) VALUES (?1, ?2, ?3)")
            .map_err(sql)?
            .execute(params![name, id, schema::key_checksum(name, id)])
            .map_err(sql)?;
        write_key(&tx, id, key)?;
    }
    write_documents(&tx, documents, full_text, cancel)?;
    tx.commit().map_err(sql)
}

fn write_key(connection: &Connection, key: i64, postings: &KeyPostings) -> Result<()> {
    for (element, values) in [(false, &postings.scalars), (true, &postings.elements)] {
        let column = ColumnId { key, element };
        write_postings(connection, column, values)?;
        numbers::write(connection, column, ValueKind::Int, &values.ints)?;
        numbers::write(connection, column, ValueKind::Float, &values.floats)?;
    }
    Ok(())
}

fn write_postings(connection: &Connection, column: ColumnId, values: &Column) -> Result<()> {
    let mut insert = connection
        .prepare_cached("INSERT INTO postings (key, element, value, crc, labels) VALUES (?1, ?2, ?3, ?4, ?5)")
        .map_err(sql)?;
    let mut bytes = Vec::new();
    for (value, labels) in [0, 1].into_iter().zip(&values.bools) {
        if labels.is_empty() {
            continue;
        }
        write_labels(&Labels::Many(labels.clone()), &mut bytes)?;
        let crc = postings_checksum(column, ValueRef::Integer(value), &bytes);
        insert.execute(params![column.key, column.element, value, crc, bytes]).map_err(sql)?;
    }
    for (value, labels) in &values.strings {
        write_labels(labels, &mut bytes)?;
        let crc = postings_checksum(column, ValueRef::Text(value.as_bytes()), &bytes);
        insert.execute(params![column.key, column.element, value, crc, bytes]).map_err(sql)?;
    }
    Ok(())
}

fn write_labels(labels: &Labels, bytes: &mut Vec<u8>) -> Result<()> {
    match labels {
        Labels::One(label) => {
            bytes.clear();
            bytes.extend(label.to_le_bytes());
            Ok(())
        }
        Labels::Many(labels) => {
            let mut labels = labels.clone();
            labels.optimize();
            bitmap_bytes(&labels, bytes)
        }
    }
}

fn write_documents(
    connection: &Connection,
    documents: &dyn DocumentRows,
    full_text: bool,
    cancel: &CancelToken,
) -> Result<()> {
    let mut lists = full_text.then(|| Lists::new(FULL_TEXT_MEMORY_BYTES));
    let rows = u32::try_from(documents.len())
        .map_err(|_| Error::invalid("a segment has at most 2^32 - 1 records"))?;
    let mut with_document = RoaringBitmap::new();
    let mut bytes = 0_i64;
    for label in 0..rows {
        if label % CANCEL_EVERY == 0 {
            cancel.check()?;
        }
        let Some(document) = documents.document(label)? else { continue };
        with_document.insert(label);
        bytes += document.len() as i64;
        if let Some(lists) = &mut lists {
            lists.insert(connection, label, document)?;
        }
    }
    if let Some(mut lists) = lists {
        lists.write_run(connection)?;
    }
    let mut blob = Vec::new();
    bitmap_bytes(&with_document, &mut blob)?;
    schema::put_fact(connection, schema::DOCUMENTS, Value::Blob(blob))?;
    schema::put_fact(connection, schema::DOCUMENT_BYTES, Value::Integer(bytes))
}
