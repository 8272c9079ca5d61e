//! Comparing `lookup.sqlite` with the records that it was made from.

use ferrochrome_types::{CancelToken, DocumentRows, Error, Result};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, MAIN_DB, Rows};

use super::trigrams::{find, trigrams};
use super::write::write_lookup;
use super::{LOOKUP, Lookup, sql};
use crate::Postings;

/// The tables that metadata and documents determine to the last byte, with their order.
const TABLES: [(&str, &str); 4] = [
    ("facts", "SELECT * FROM facts ORDER BY name"),
    ("keys", "SELECT * FROM keys ORDER BY name"),
    ("postings", "SELECT * FROM postings ORDER BY key, element, value"),
    ("numbers", "SELECT * FROM numbers ORDER BY key, element, kind, high, block"),
];
/// Documents that are looked up in the full-text index: it takes long to build, so that only a sample is compared.
const SAMPLED_DOCUMENTS: usize = 64;

/// Compares a lookup file with what [`write_lookup`] makes of the same rows: facts, keys and posting lists whole, and of the
/// full-text index whether it proposes some documents for what they contain. Takes the memory of the posting lists once more.
///
/// # Errors
/// `Corrupted` naming the first difference, `Cancelled`, and what `documents` returns.
pub fn check_lookup(
    lookup: &Lookup,
    postings: &Postings,
    documents: &dyn DocumentRows,
    cancel: &CancelToken,
) -> Result<()> {
    let expected = write_lookup(None, postings, documents, false, cancel)?.unwrap_or_default();
    let mut rebuilt = Connection::open_in_memory().map_err(sql)?;
    rebuilt.deserialize_read_exact(MAIN_DB, expected.as_slice(), expected.len(), true).map_err(sql)?;
    lookup.with(|connection| {
        for (table, query) in TABLES {
            cancel.check()?;
            let mut found = connection.prepare(query).map_err(sql)?;
            let mut expected = rebuilt.prepare(query).map_err(sql)?;
            if !are_equal(found.query([]).map_err(sql)?, expected.query([]).map_err(sql)?)? {
                return Err(Error::corrupted(LOOKUP, format!("table {table} is not what the records say")));
            }
        }
        if lookup.full_text.is_some() { check_full_text(connection, documents, cancel) } else { Ok(()) }
    })
}

fn are_equal(mut found: Rows<'_>, mut expected: Rows<'_>) -> Result<bool> {
    loop {
        let (found, expected) = match (found.next().map_err(sql)?, expected.next().map_err(sql)?) {
            (None, None) => return Ok(true),
            (Some(found), Some(expected)) => (found, expected),
            _ => return Ok(false),
        };
        let columns = expected.as_ref().column_count();
        for column in 0..columns {
            let pair: (ValueRef<'_>, ValueRef<'_>) =
                (found.get_ref(column).map_err(sql)?, expected.get_ref(column).map_err(sql)?);
            if pair.0 != pair.1 {
                return Ok(false);
            }
        }
    }
}

fn check_full_text(
    connection: &Connection,
    documents: &dyn DocumentRows,
    cancel: &CancelToken,
) -> Result<()> {
    let rows = documents.len();
    let step = rows.div_ceil(SAMPLED_DOCUMENTS).max(1);
    for label in (0..rows).step_by(step) {
        cancel.check()?;
        let Some(document) = documents.document(label as u32)? else { continue };
        let all: Vec<_> = trigrams(document).collect();
        let Some(trigram) = all.get(all.len() / 2) else { continue };
        if !find(connection, *trigram)?.labels(connection)?.contains(label as u32) {
            return Err(Error::corrupted(LOOKUP, format!("the full text does not know document {label}")));
        }
    }
    Ok(())
}
