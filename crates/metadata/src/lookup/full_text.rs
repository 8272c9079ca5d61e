//! The full-text index: which documents may contain a text.

use std::collections::BTreeSet;

use ferrochrome_types::{CancelToken, Error, Result};
use roaring::RoaringBitmap;
use rusqlite::{Connection, OptionalExtension};

use super::{LOOKUP, sql};
use crate::filter::RequiredText;

/// A trigram that is in more than one of this many documents is common: a needle is looked up by its others, if it has any.
pub(super) const COMMON_SHARE: u64 = 64;
/// Cost of a query without results, in nanoseconds.
pub(super) const QUERY_NANOS: u64 = 40_000;
/// Cost of one proposed document, in nanoseconds.
const PROPOSAL_NANOS: u64 = 150;
/// Cost of one entry of a trigram's list, in nanoseconds.
const ENTRY_NANOS: u64 = 50;
/// Cost of reading one document, besides its length, in nanoseconds.
const DOCUMENT_NANOS: u64 = 30;
/// Bytes of documents searched in a nanosecond.
const BYTES_PER_NANO: u64 = 8;
/// Trigrams of a needle that are considered.
const CONSIDERED: usize = 64;
/// Trigrams of a needle that are asked for.
const ASKED: usize = 8;
/// Trigrams that are asked for if all are common: each has a long list to read.
const ASKED_COMMON: usize = 2;
/// Proposals between two looks at the cancel token.
const CANCEL_EVERY: usize = 4096;
/// What stands for NUL, which ends a text for FTS5. The documents themselves tell the two apart.
const NUL_STAND_IN: char = '\u{1}';

/// What the documents of a segment cost to read.
#[derive(Clone, Copy)]
pub(super) struct Costs {
    documents: u64,
    document_nanos: u64,
}

impl Costs {
    /// For so many documents with so many bytes in all.
    pub(super) fn new(documents: u64, bytes: u64) -> Self {
        let mean = bytes / documents.max(1);
        Costs { documents, document_nanos: DOCUMENT_NANOS + mean / BYTES_PER_NANO }
    }

    /// Nanoseconds to read `within` rows.
    pub(super) fn scan(self, within: u64) -> u64 {
        within.min(self.documents).saturating_mul(self.document_nanos)
    }

    /// Nanoseconds to ask and to read those of `within` that are proposed.
    fn query(self, query: &Expression, within: u64) -> u64 {
        let proposing = query.proposals.saturating_mul(PROPOSAL_NANOS);
        let reading = self.scan(query.proposals.min(within));
        [query.entries.saturating_mul(ENTRY_NANOS), proposing, reading]
            .into_iter()
            .fold(QUERY_NANOS, u64::saturating_add)
    }
}

/// `text` as it is indexed and asked for.
pub(super) fn indexed_text(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') {
        text.replace('\0', NUL_STAND_IN.encode_utf8(&mut [0; 4])).into()
    } else {
        text.into()
    }
}

/// The labels of documents that may contain the required text, or `None` if reading `within` documents is quicker.
pub(super) fn candidates(
    connection: &Connection,
    required: &RequiredText,
    within: u64,
    costs: Costs,
    documents: &RoaringBitmap,
    cancel: &CancelToken,
) -> Result<Option<RoaringBitmap>> {
    let query = expression(connection, required, costs)?;
    if costs.query(&query, within) >= costs.scan(within) {
        return Ok(None);
    }
    let mut statement =
        connection.prepare_cached("SELECT rowid FROM full_text WHERE full_text MATCH ?1").map_err(sql)?;
    let mut rows = statement.query([&query.text]).map_err(sql)?;
    let mut labels = Vec::new();
    while let Some(row) = rows.next().map_err(sql)? {
        if labels.len() % CANCEL_EVERY == 0 {
            cancel.check()?;
        }
        let rowid: i64 = row.get(0).map_err(sql)?;
        let label = rowid
            .checked_sub(1)
            .and_then(|label| u32::try_from(label).ok())
            .filter(|label| documents.contains(*label));
        labels
            .push(label.ok_or_else(|| Error::corrupted(LOOKUP, format!("full text proposes row {rowid}")))?);
    }
    labels.sort_unstable();
    Ok(Some(labels.into_iter().collect()))
}

/// A query in FTS5's language.
struct Expression {
    text: String,
    /// How many documents it is expected to propose, at most.
    proposals: u64,
    /// How many entries of lists it is expected to read, at most.
    entries: u64,
}

impl Expression {
    /// Joins the parts; `proposals` says how many documents all of them propose.
    fn join(parts: &[Expression], operator: &str, proposals: u64) -> Expression {
        let text = parts.iter().map(|part| format!("({})", part.text)).collect::<Vec<_>>().join(operator);
        let entries = parts.iter().map(|part| part.entries).fold(0, u64::saturating_add);
        Expression { text, proposals, entries }
    }
}

fn expression(connection: &Connection, required: &RequiredText, costs: Costs) -> Result<Expression> {
    let each = |parts: &[RequiredText]| -> Result<Vec<Expression>> {
        parts.iter().map(|part| expression(connection, part, costs)).collect()
    };
    match required {
        RequiredText::Text(text) => text_expression(connection, text, costs),
        RequiredText::All(parts) => {
            let parts = each(parts)?;
            let proposals = parts.iter().map(|part| part.proposals).min().unwrap_or(costs.documents);
            Ok(Expression::join(&parts, " AND ", proposals))
        }
        RequiredText::Any(parts) => {
            let parts = each(parts)?;
            let proposals = parts.iter().map(|part| part.proposals).fold(0, u64::saturating_add);
            Ok(Expression::join(&parts, " OR ", proposals))
        }
    }
}

fn text_expression(connection: &Connection, text: &str, costs: Costs) -> Result<Expression> {
    let mut common_ones = Vec::new();
    let mut rare = Vec::new();
    for trigram in spread(&distinct_trigrams(&indexed_text(text)), CONSIDERED) {
        match common(connection, &trigram)? {
            Some(documents) => common_ones.push((documents, trigram)),
            None => rare.push((costs.documents / COMMON_SHARE, trigram)),
        }
    }
    let asked = if rare.is_empty() {
        common_ones.sort();
        common_ones.truncate(ASKED_COMMON);
        common_ones
    } else {
        spread(&rare, ASKED)
    };
    let quoted: Vec<_> =
        asked.iter().map(|(_, trigram)| format!("\"{}\"", trigram.replace('"', "\"\""))).collect();
    let proposals = asked.iter().map(|(documents, _)| *documents).min().unwrap_or(costs.documents);
    // Of rare trigrams only the bound is known, and it is a loose one: most are far below it.
    let entries = if rare.is_empty() {
        asked.iter().map(|(documents, _)| *documents).fold(0, u64::saturating_add)
    } else {
        proposals
    };
    Ok(Expression { text: quoted.join(" AND "), proposals, entries })
}

/// The trigrams of a text, in characters, each once, in the order in which they occur.
fn distinct_trigrams(text: &str) -> Vec<String> {
    let starts: Vec<usize> = text.char_indices().map(|(start, _)| start).chain([text.len()]).collect();
    let mut seen = BTreeSet::new();
    starts
        .windows(4)
        .map(|window| &text[window[0]..window[3]])
        .filter(|trigram| seen.insert(*trigram))
        .map(String::from)
        .collect()
}

/// At most `count` of the items, evenly spread over them.
fn spread<T: Clone>(items: &[T], count: usize) -> Vec<T> {
    let count = count.min(items.len());
    (0..count).map(|i| items[i * items.len() / count].clone()).collect()
}

/// In how many documents the trigram is, if it is a common one.
fn common(connection: &Connection, trigram: &str) -> Result<Option<u64>> {
    let documents: Option<i64> = connection
        .prepare_cached("SELECT documents FROM common_trigrams WHERE trigram = ?1")
        .map_err(sql)?
        .query_row([trigram], |r| r.get(0))
        .optional()
        .map_err(sql)?;
    Ok(documents.map(i64::unsigned_abs))
}
