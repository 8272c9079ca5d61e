//! From filters to bitmaps of labels.

use std::collections::HashMap;

use ferrochrome_types::{
    CancelToken, Comparison, DocumentFilter, DocumentRows, Filter, Result, Scalar, Test,
};
use memchr::memmem::Finder;
use roaring::{MultiOps, RoaringBitmap};

use super::{RequiredText, compile_regex, find_in_tasks};

/// Documents read between two looks at the cancel token.
const CANCEL_EVERY: usize = 256;
/// Documents that one thread reads at a time.
const DOCUMENTS_PER_TASK: usize = 8_192;
/// Where more documents than one in so many must be read, all are searched as one text.
const ROWS_PER_READ_DOCUMENT: u64 = 3;

/// Where single tests are looked up. Labels beyond the rows of the source do not occur.
pub trait FilterSource: Send + Sync {
    /// Rows whose `key` holds a scalar equal to `scalar`; integers and floats compare by value.
    ///
    /// # Errors
    /// `Corrupted` if what is read does not match its checksum; likewise below.
    fn equal(&self, key: &str, scalar: &Scalar) -> Result<RoaringBitmap>;

    /// Rows whose `key` holds a scalar equal to any of these.
    ///
    /// # Errors
    /// As [`equal`](Self::equal).
    fn equal_any(&self, key: &str, scalars: &[Scalar]) -> Result<RoaringBitmap> {
        scalars.iter().map(|scalar| self.equal(key, scalar)).union()
    }

    /// Rows whose `key` holds a number that compares so with `operand`, a number. Other operands match nothing.
    ///
    /// # Errors
    /// As [`equal`](Self::equal).
    fn compare(&self, key: &str, comparison: Comparison, operand: &Scalar) -> Result<RoaringBitmap>;

    /// Rows whose `key` holds a number that compares so with all these operands.
    ///
    /// # Errors
    /// As [`equal`](Self::equal).
    fn compare_all(&self, key: &str, bounds: &[(Comparison, &Scalar)]) -> Result<RoaringBitmap> {
        bounds.iter().map(|(comparison, operand)| self.compare(key, *comparison, operand)).intersection()
    }

    /// Rows whose `key` holds an array with this element, of the same type.
    ///
    /// # Errors
    /// As [`equal`](Self::equal).
    fn contains(&self, key: &str, element: &Scalar) -> Result<RoaringBitmap>;

    /// Rows that have a document, or `None` if the source does not know.
    ///
    /// # Errors
    /// As [`equal`](Self::equal).
    fn documents(&self) -> Result<Option<RoaringBitmap>>;

    /// Rows whose document may contain the required text; those left out do not. If that is [one trigram](RequiredText::is_trigram), all of
    /// them contain it. `None` if the source has no index, or if reading `within` documents is quicker than asking it.
    ///
    /// # Errors
    /// As [`equal`](Self::equal); `Cancelled`.
    fn document_candidates(
        &self,
        required: &RequiredText,
        within: u64,
        cancel: &CancelToken,
    ) -> Result<Option<RoaringBitmap>>;
}

/// The labels in `0..rows` for which `filter` holds.
///
/// # Errors
/// `Corrupted` from the source or the documents, `Cancelled`, and what [`compile_regex`] returns.
pub fn evaluate(
    filter: &Filter,
    source: &dyn FilterSource,
    documents: &dyn DocumentRows,
    rows: u32,
    cancel: &CancelToken,
) -> Result<RoaringBitmap> {
    let mut all = RoaringBitmap::new();
    all.insert_range(0..rows);
    Evaluation { source, documents, cancel }.filter(filter, &all)
}

struct Evaluation<'a> {
    source: &'a dyn FilterSource,
    documents: &'a dyn DocumentRows,
    cancel: &'a CancelToken,
}

impl Evaluation<'_> {
    /// The labels of `within` for which `filter` holds.
    fn filter(&self, filter: &Filter, within: &RoaringBitmap) -> Result<RoaringBitmap> {
        self.cancel.check()?;
        match filter {
            Filter::And(parts) => {
                let mut parts = conjuncts(parts);
                parts.sort_by_key(Conjunct::cost);
                narrow(&parts, within, |part, within| match part {
                    Conjunct::Filter(filter) => self.filter(filter, within),
                    Conjunct::Bounds(key, bounds) => Ok(self.source.compare_all(key, bounds)? & within),
                })
            }
            Filter::Or(parts) => parts.iter().map(|part| self.filter(part, within)).union(),
            Filter::Key(key, test) => self.key(key, test, within),
            Filter::Document(test) => self.document(test, within),
        }
    }

    fn key(&self, key: &str, test: &Test, within: &RoaringBitmap) -> Result<RoaringBitmap> {
        let source = self.source;
        Ok(match test {
            Test::Equal(scalar) => source.equal(key, scalar)? & within,
            Test::NotEqual(scalar) => within - source.equal(key, scalar)?,
            Test::Compare(comparison, operand) => source.compare(key, *comparison, operand)? & within,
            Test::In(scalars) => source.equal_any(key, scalars)? & within,
            Test::NotIn(scalars) => within - source.equal_any(key, scalars)?,
            Test::Contains(element) => source.contains(key, element)? & within,
            Test::NotContains(element) => within - source.contains(key, element)?,
        })
    }

    fn document(&self, filter: &DocumentFilter, within: &RoaringBitmap) -> Result<RoaringBitmap> {
        self.cancel.check()?;
        match filter {
            DocumentFilter::And(parts) => {
                let mut parts: Vec<&DocumentFilter> = parts.iter().collect();
                parts.sort_by_key(|part| document_cost(part));
                narrow(&parts, within, |part, within| self.document(part, within))
            }
            DocumentFilter::Or(parts) => parts.iter().map(|part| self.document(part, within)).union(),
            DocumentFilter::Contains(needle) => self.containing(needle, within),
            DocumentFilter::NotContains(needle) => Ok(within - self.containing(needle, within)?),
            DocumentFilter::Regex(pattern) => self.matching(pattern, within),
            DocumentFilter::NotRegex(pattern) => Ok(within - self.matching(pattern, within)?),
        }
    }

    fn containing(&self, needle: &str, within: &RoaringBitmap) -> Result<RoaringBitmap> {
        let required = RequiredText::text(needle);
        let proposed = self.proposed(required.as_ref(), within)?;
        if required.is_some_and(|required| required.is_trigram())
            && let Some(found) = proposed
        {
            return Ok(found);
        }
        let candidates = self.candidates(proposed, within)?;
        if !needle.is_empty() && candidates.len() >= self.documents.len() as u64 / ROWS_PER_READ_DOCUMENT {
            return Ok(self.all_containing(needle)? & candidates);
        }
        let finder = Finder::new(needle);
        self.verify(&candidates, || |document: &str| finder.find(document.as_bytes()).is_some())
    }

    /// The labels of all documents that contain `needle`.
    fn all_containing(&self, needle: &str) -> Result<RoaringBitmap> {
        let rows = self.documents.len() as u32;
        let starts: Vec<u32> = (0..rows).step_by(DOCUMENTS_PER_TASK).collect();
        let found = find_in_tasks(&starts, |start| {
            self.cancel.check()?;
            let mut found = Vec::new();
            let end = rows.min(start.saturating_add(DOCUMENTS_PER_TASK as u32));
            self.documents.each_containing(*start..end, needle, &mut |label| found.push(label))?;
            Ok(found)
        })?;
        Ok(found.into_iter().flatten().collect())
    }

    fn matching(&self, pattern: &str, within: &RoaringBitmap) -> Result<RoaringBitmap> {
        let regex = compile_regex(pattern)?;
        let proposed = self.proposed(RequiredText::of_pattern(pattern).as_ref(), within)?;
        let candidates = self.candidates(proposed, within)?;
        self.verify(&candidates, || {
            // Threads that match with one object wait for one another.
            let regex = regex.clone();
            move |document: &str| regex.is_match(document)
        })
    }

    /// The labels of `within` that the source proposes, if it does.
    fn proposed(
        &self,
        required: Option<&RequiredText>,
        within: &RoaringBitmap,
    ) -> Result<Option<RoaringBitmap>> {
        let Some(required) = required else { return Ok(None) };
        let proposed = self.source.document_candidates(required, within.len(), self.cancel)?;
        Ok(proposed.map(|labels| labels & within))
    }

    /// The labels of `within` whose documents must be read: those proposed, or all that have one.
    fn candidates(&self, proposed: Option<RoaringBitmap>, within: &RoaringBitmap) -> Result<RoaringBitmap> {
        if let Some(proposed) = proposed {
            return Ok(proposed);
        }
        Ok(match self.source.documents()? {
            Some(documents) => documents & within,
            None => within.clone(),
        })
    }

    /// The candidates whose document passes a test, of which each task gets one.
    fn verify<T: Fn(&str) -> bool>(
        &self,
        candidates: &RoaringBitmap,
        new_test: impl Fn() -> T + Sync,
    ) -> Result<RoaringBitmap> {
        let candidates: Vec<u32> = candidates.iter().collect();
        let tasks: Vec<&[u32]> = candidates.chunks(DOCUMENTS_PER_TASK).collect();
        let found = find_in_tasks(&tasks, |labels| {
            let (test, mut found) = (new_test(), Vec::new());
            for (step, label) in labels.iter().enumerate() {
                if step % CANCEL_EVERY == 0 {
                    self.cancel.check()?;
                }
                if self.documents.document(*label)?.is_some_and(&test) {
                    found.push(*label);
                }
            }
            Ok(found)
        })?;
        Ok(found.into_iter().flatten().collect())
    }
}

/// What must hold besides others.
enum Conjunct<'a> {
    Filter(&'a Filter),
    /// All comparisons of one key, which make one range.
    Bounds(&'a str, Vec<(Comparison, &'a Scalar)>),
}

impl Conjunct<'_> {
    fn cost(&self) -> u8 {
        match self {
            Conjunct::Filter(filter) => cost(filter),
            Conjunct::Bounds(..) => 0,
        }
    }
}

/// The parts of a conjunction, with the comparisons of each key put together.
fn conjuncts(parts: &[Filter]) -> Vec<Conjunct<'_>> {
    let mut conjuncts: Vec<Conjunct<'_>> = Vec::with_capacity(parts.len());
    let mut bounds_of: HashMap<&str, usize> = HashMap::new();
    for part in parts {
        let Filter::Key(key, Test::Compare(comparison, operand)) = part else {
            conjuncts.push(Conjunct::Filter(part));
            continue;
        };
        let place = *bounds_of.entry(key).or_insert(conjuncts.len());
        match conjuncts.get_mut(place) {
            Some(Conjunct::Bounds(_, bounds)) => bounds.push((*comparison, operand)),
            _ => conjuncts.push(Conjunct::Bounds(key, vec![(*comparison, operand)])),
        }
    }
    conjuncts
}

/// Applies the parts one after the other, each to what the last left over.
fn narrow<T>(
    parts: &[T],
    within: &RoaringBitmap,
    apply: impl Fn(&T, &RoaringBitmap) -> Result<RoaringBitmap>,
) -> Result<RoaringBitmap> {
    let mut left: Option<RoaringBitmap> = None;
    for part in parts {
        let next = apply(part, left.as_ref().unwrap_or(within))?;
        if next.is_empty() {
            return Ok(next);
        }
        left = Some(next);
    }
    Ok(left.unwrap_or_else(|| within.clone()))
}

/// How dear a filter is, compared with others of the same conjunction.
fn cost(filter: &Filter) -> u8 {
    match filter {
        Filter::Key(..) => 0,
        Filter::And(parts) | Filter::Or(parts) => parts.iter().map(cost).max().unwrap_or(0),
        Filter::Document(filter) => document_cost(filter),
    }
}

fn document_cost(filter: &DocumentFilter) -> u8 {
    match filter {
        DocumentFilter::And(parts) | DocumentFilter::Or(parts) => {
            parts.iter().map(document_cost).max().unwrap_or(0)
        }
        DocumentFilter::Contains(needle) | DocumentFilter::NotContains(needle) => {
            if RequiredText::text(needle).is_some() { 1 } else { 2 }
        }
        DocumentFilter::Regex(_) | DocumentFilter::NotRegex(_) => 3,
    }
}
