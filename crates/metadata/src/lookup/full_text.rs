//! The full-text index: which documents may contain a text.

use ferrochrome_types::{CancelToken, Error, Result};
use roaring::RoaringBitmap;
use rusqlite::Connection;

use super::LOOKUP;
use super::trigrams::{Found, Trigram, find, trigrams};
use crate::filter::RequiredText;

/// Cost of looking a trigram up in a run, in nanoseconds.
const FIND_NANOS: u64 = 5_000;
/// Cost of reading a list, besides its length, in nanoseconds.
const LIST_NANOS: u64 = 5_000;
/// Cost of one entry of a list, in nanoseconds.
const ENTRY_NANOS: u64 = 4;
/// Cost of reading one document, besides its length, in nanoseconds.
const DOCUMENT_NANOS: u64 = 30;
/// Bytes of documents searched in a nanosecond.
const BYTES_PER_NANO: u64 = 8;
/// Trigrams of a text that are looked up; of these, the rarest are read as long as that pays.
const CONSIDERED: usize = 8;

/// What the documents of a segment cost to read.
#[derive(Clone, Copy)]
pub(super) struct Costs {
    documents: u64,
    document_nanos: u64,
    /// Of the lists of trigrams.
    runs: u64,
}

impl Costs {
    /// For so many documents with so many bytes in all.
    pub(super) fn new(documents: u64, bytes: u64, runs: u64) -> Self {
        let mean = bytes / documents.max(1);
        Costs { documents, document_nanos: DOCUMENT_NANOS + mean / BYTES_PER_NANO, runs }
    }

    /// Nanoseconds to read `within` rows.
    fn scan(self, within: u64) -> u64 {
        within.min(self.documents).saturating_mul(self.document_nanos)
    }

    /// Whether `within` rows are read before the trigrams of the required text are looked up.
    pub(super) fn favour_reading(self, required: &RequiredText, within: u64) -> bool {
        let trigrams = (required.count() * CONSIDERED) as u64;
        self.scan(within) <= trigrams.saturating_mul(self.runs).saturating_mul(FIND_NANOS)
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
    let plan = Plan::of(connection, required)?;
    let reading = if required.is_trigram() { 0 } else { costs.scan(plan.proposals().min(within)) };
    if plan.nanos().saturating_add(reading) >= costs.scan(within) {
        return Ok(None);
    }
    let labels = plan.labels(&Reader { connection, costs, cancel })?;
    if labels.is_subset(documents) {
        Ok(Some(labels))
    } else {
        Err(Error::corrupted(LOOKUP, "full text proposes rows that have no document"))
    }
}

/// The lists to read, and how to join them.
enum Plan {
    List(Found),
    /// In ascending order of what they propose.
    All(Vec<Plan>),
    Any(Vec<Plan>),
}

impl Plan {
    fn of(connection: &Connection, required: &RequiredText) -> Result<Plan> {
        let each = |parts: &[RequiredText]| -> Result<Vec<Plan>> {
            parts.iter().map(|part| Plan::of(connection, part)).collect()
        };
        match required {
            RequiredText::Text(text) => {
                let found = considered(text).into_iter().map(|trigram| find(connection, trigram));
                Ok(Plan::all(found.map(|found| found.map(Plan::List)).collect::<Result<_>>()?))
            }
            RequiredText::All(parts) => Ok(Plan::all(each(parts)?)),
            RequiredText::Any(parts) => Ok(Plan::Any(each(parts)?)),
        }
    }

    fn all(mut parts: Vec<Plan>) -> Plan {
        parts.sort_by_cached_key(Plan::proposals);
        Plan::All(parts)
    }

    /// How many documents are proposed, at most.
    fn proposals(&self) -> u64 {
        match self {
            Plan::List(found) => found.documents,
            Plan::All(parts) => parts.first().map_or(0, Plan::proposals),
            Plan::Any(parts) => parts.iter().map(Plan::proposals).fold(0, u64::saturating_add),
        }
    }

    /// Nanoseconds to read what must be read. Of all parts that is the first one: the others are read where that spares more.
    fn nanos(&self) -> u64 {
        match self {
            Plan::List(found) => LIST_NANOS.saturating_add(found.documents.saturating_mul(ENTRY_NANOS)),
            Plan::All(parts) => parts.first().map_or(0, Plan::nanos),
            Plan::Any(parts) => parts.iter().map(Plan::nanos).fold(0, u64::saturating_add),
        }
    }

    fn labels(&self, reader: &Reader<'_>) -> Result<RoaringBitmap> {
        reader.cancel.check()?;
        match self {
            Plan::List(found) => found.labels(reader.connection),
            Plan::All(parts) => {
                let Some((first, others)) = parts.split_first() else { return Ok(RoaringBitmap::new()) };
                let mut labels = first.labels(reader)?;
                for part in others {
                    if reader.costs.scan(labels.len()) <= part.nanos() {
                        break;
                    }
                    labels &= part.labels(reader)?;
                }
                Ok(labels)
            }
            Plan::Any(parts) => {
                let mut labels = RoaringBitmap::new();
                for part in parts {
                    labels |= part.labels(reader)?;
                }
                Ok(labels)
            }
        }
    }
}

struct Reader<'a> {
    connection: &'a Connection,
    costs: Costs,
    cancel: &'a CancelToken,
}

/// At most [`CONSIDERED`] trigrams of a text, evenly spread over those that differ.
fn considered(text: &str) -> Vec<Trigram> {
    let mut all: Vec<Trigram> = trigrams(text).collect();
    all.sort_unstable();
    all.dedup();
    let count = CONSIDERED.min(all.len());
    (0..count).map(|i| all[i * all.len() / count]).collect()
}
