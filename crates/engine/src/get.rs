//! get and count: rows in insertion order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use ferrochrome_types::{CancelToken, DocumentFilter, Filter, Result};
use roaring::RoaringBitmap;

use crate::collection::Collection;
use crate::id_list::IdList;
use crate::shared_filter::SharedFilter;
use crate::snapshot::{PartView, RowAddress, Snapshot};

/// Which records to read.
#[derive(Clone, Debug, Default)]
pub struct GetRequest {
    /// Only these ids; unknown ones are skipped.
    pub ids: Option<IdList>,
    /// Only those for which this holds.
    pub filter: Option<SharedFilter>,
    /// Only those whose document passes.
    pub document_filter: Option<DocumentFilter>,
    /// At most this many. Default: all.
    pub limit: Option<usize>,
    /// Without the first so many. Default: 0.
    pub offset: usize,
}

/// Rows of one state of the collection, in insertion order.
#[derive(Clone, Debug)]
pub struct GetResult {
    /// The state they belong to.
    pub snapshot: Arc<Snapshot>,
    /// Their places in it.
    pub rows: Vec<RowAddress>,
}

impl Collection {
    /// Reads records in insertion order, whatever the order of the ids.
    ///
    /// # Errors
    /// `InvalidArgument` for a filter on a disabled index; `Cancelled`, `Corrupted`, `Closed`, `NotFound`.
    pub fn get(&self, request: &GetRequest, cancel: &CancelToken) -> Result<GetResult> {
        let snapshot = self.snapshot()?;
        let filter = self.combined_filter(request.filter.as_ref(), request.document_filter.as_ref())?;
        let limit = request.limit.unwrap_or(usize::MAX);
        let rows = snapshot.select(request.ids.as_ref(), filter.as_ref(), request.offset, limit, cancel)?;
        Ok(GetResult { snapshot, rows })
    }

    /// Number of records.
    ///
    /// # Errors
    /// `Closed`, `NotFound`.
    pub fn count(&self) -> Result<u64> {
        Ok(self.snapshot()?.count())
    }

    /// `where` and `where_document` as one filter, after the schema has agreed to it.
    pub(crate) fn combined_filter(
        &self,
        filter: Option<&SharedFilter>,
        document: Option<&DocumentFilter>,
    ) -> Result<Option<SharedFilter>> {
        let combined = match (filter, document) {
            (None, None) => return Ok(None),
            (Some(filter), None) => filter.clone(),
            (None, Some(document)) => Filter::Document(document.clone()).into(),
            (Some(filter), Some(document)) => {
                let parts = vec![Filter::clone(filter), Filter::Document(document.clone())];
                Filter::And(parts).into()
            }
        };
        self.settings().indexed.check(&combined)?;
        Ok(Some(combined))
    }
}

impl Snapshot {
    /// Live rows that pass, in insertion order.
    pub(crate) fn select(
        &self,
        ids: Option<&IdList>,
        filter: Option<&SharedFilter>,
        offset: usize,
        limit: usize,
        cancel: &CancelToken,
    ) -> Result<Vec<RowAddress>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut selected = Vec::with_capacity(self.parts.len());
        let named = ids.map(|ids| self.labels_of(ids, None)).transpose()?;
        for (i, view) in self.parts.iter().enumerate() {
            let named = named.as_ref().map(|named| &named.by_part[i]);
            selected.push(allowed(view, named, filter, cancel)?);
        }
        self.in_insertion_order(selected, offset, limit)
    }

    /// Merges the parts' rows by ordinal.
    fn in_insertion_order(
        &self,
        selected: Vec<Allowed>,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<RowAddress>> {
        let mut cursors = Vec::new();
        for (part, (view, allowed)) in self.parts.iter().zip(&selected).enumerate() {
            if !allowed.is_empty(view) {
                cursors.push(Cursor { part: part as u32, view, labels: allowed.labels(view)? });
            }
        }
        if let [only] = cursors.as_mut_slice() {
            let part = only.part;
            let labels = only.labels.by_ref().skip(offset).take(limit);
            return Ok(labels.map(|label| RowAddress { part, label }).collect());
        }
        let mut heads = BinaryHeap::new();
        for (at, cursor) in cursors.iter_mut().enumerate() {
            heads.extend(cursor.advance()?.map(|(ordinal, row)| Reverse((ordinal, row, at))));
        }
        let mut rows = Vec::new();
        let mut skipped = 0;
        while rows.len() < limit
            && let Some(Reverse((_, row, at))) = heads.pop()
        {
            if skipped < offset {
                skipped += 1;
            } else {
                rows.push(row);
            }
            heads.extend(cursors[at].advance()?.map(|(ordinal, row)| Reverse((ordinal, row, at))));
        }
        Ok(rows)
    }
}

struct Cursor<'a> {
    part: u32,
    view: &'a PartView,
    labels: Box<dyn Iterator<Item = u32> + 'a>,
}

impl Cursor<'_> {
    fn advance(&mut self) -> Result<Option<(u64, RowAddress)>> {
        let Some(label) = self.labels.next() else { return Ok(None) };
        Ok(Some((self.view.part.ordinal(label)?, RowAddress { part: self.part, label })))
    }
}

/// Labels of one part that a request may see.
#[derive(Clone, Debug)]
pub(crate) enum Allowed {
    /// Every row of the part; none is tombstoned.
    All,
    /// These.
    Only(Arc<RoaringBitmap>),
}

impl Allowed {
    pub fn len(&self, view: &PartView) -> u64 {
        match self {
            Allowed::All => view.part.rows() as u64,
            Allowed::Only(labels) => labels.len(),
        }
    }

    fn is_empty(&self, view: &PartView) -> bool {
        self.len(view) == 0
    }

    pub fn bitmap(&self) -> Option<&RoaringBitmap> {
        match self {
            Allowed::All => None,
            Allowed::Only(labels) => Some(labels),
        }
    }

    fn labels<'a>(&'a self, view: &'a PartView) -> Result<Box<dyn Iterator<Item = u32> + 'a>> {
        Ok(match (self, view.part.insertion_order()?) {
            (Allowed::All, None) => Box::new(0..view.part.rows()),
            (Allowed::All, Some(order)) => Box::new(order.iter().copied()),
            (Allowed::Only(labels), None) => Box::new(labels.iter()),
            (Allowed::Only(labels), Some(order)) => {
                Box::new(order.iter().copied().filter(|label| labels.contains(*label)))
            }
        })
    }
}

/// Live rows of a part that are among `named` and pass the filter.
pub(crate) fn allowed(
    view: &PartView,
    named: Option<&Arc<RoaringBitmap>>,
    filter: Option<&SharedFilter>,
    cancel: &CancelToken,
) -> Result<Allowed> {
    // `named` rows are live already.
    if named.is_some_and(|named| named.is_empty()) {
        return Ok(Allowed::Only(Arc::default()));
    }
    Ok(match (filter, named) {
        (None, None) if view.tombstones.is_empty() => Allowed::All,
        (None, None) => Allowed::Only(view.live().clone()),
        (None, Some(named)) => Allowed::Only(named.clone()),
        (Some(filter), named) => {
            let matching = view.part.matching(filter, cancel)?;
            Allowed::Only(match named {
                Some(named) => Arc::new(matching.as_ref() & named.as_ref()),
                None if view.tombstones.is_disjoint(&matching) => matching,
                None => Arc::new(matching.as_ref() - view.tombstones.as_ref()),
            })
        }
    })
}
