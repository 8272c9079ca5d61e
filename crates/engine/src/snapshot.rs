//! What a reader sees: a list of parts, none of which ever changes.

use std::sync::{Arc, OnceLock};

use ferrochrome_blockstore::hash_id;
use ferrochrome_types::{Metadata, Result, ValueRef};
use roaring::RoaringBitmap;

use crate::chunk::Chunk;
use crate::id_list::IdList;
use crate::part::Part;
use crate::query_threads::QueryThreads;
use crate::segment::Segment;

/// A part as one snapshot sees it: its rows less its tombstones.
#[derive(Clone, Debug)]
pub(crate) struct PartView {
    pub part: Part,
    pub tombstones: Arc<RoaringBitmap>,
    live: OnceLock<Arc<RoaringBitmap>>,
}

impl PartView {
    pub fn new(part: Part, tombstones: Arc<RoaringBitmap>) -> Self {
        PartView { part, tombstones, live: OnceLock::new() }
    }

    pub fn live_rows(&self) -> u64 {
        self.part.rows() as u64 - self.tombstones.len()
    }

    /// Labels that are not tombstoned.
    pub fn live(&self) -> &Arc<RoaringBitmap> {
        self.live.get_or_init(|| {
            let mut live = RoaringBitmap::new();
            live.insert_range(0..self.part.rows());
            live -= self.tombstones.as_ref();
            Arc::new(live)
        })
    }

    /// Labels of the live records that have one of these ids.
    fn named(&self, ids: &IdList, threads: Option<&QueryThreads>) -> Result<Arc<RoaringBitmap>> {
        let named = self.part.named(ids, threads)?;
        let all_live = self.tombstones.is_disjoint(&named);
        Ok(if all_live { named } else { Arc::new(named.as_ref() - self.tombstones.as_ref()) })
    }
}

/// What [`Snapshot::labels_of`] found.
#[derive(Debug)]
pub(crate) struct NamedRows {
    /// Live labels in each part.
    pub by_part: Vec<Arc<RoaringBitmap>>,
    /// How many different ids a record has.
    pub found: usize,
}

/// Where a record lies in a [`Snapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowAddress {
    pub(crate) part: u32,
    pub(crate) label: u32,
}

/// One state of a collection. An id is live in at most one part.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(crate) parts: Vec<PartView>,
    pub(crate) dimension: Option<u32>,
}

impl Snapshot {
    /// The sealed segments, oldest first, and how this state sees them.
    pub(crate) fn segments(&self) -> impl Iterator<Item = (&Arc<Segment>, &PartView)> {
        self.parts.iter().filter_map(|view| match &view.part {
            Part::Segment(segment) => Some((segment, view)),
            Part::Chunk(_) => None,
        })
    }

    /// Number of records.
    pub fn count(&self) -> u64 {
        self.parts.iter().map(PartView::live_rows).sum()
    }

    /// Components of every vector; `None` before the first.
    pub fn dimension(&self) -> Option<u32> {
        self.dimension
    }

    /// Where each of the ids lies; `None` where there is no such record.
    pub(crate) fn find<T: AsRef<str>>(&self, ids: &[T]) -> Result<Vec<Option<RowAddress>>> {
        let mut found = vec![None; ids.len()];
        let mut missing: Vec<usize> = (0..ids.len()).collect();
        let mut hashes: Vec<u64> = ids.iter().map(|id| hash_id(id.as_ref())).collect();
        // Newest first: what is written again was mostly written lately. All ids in one part before the next one, whose filter then
        // stays in the processor's cache.
        for (part, view) in self.parts.iter().enumerate().rev() {
            let id = |place: usize| ids[missing[place]].as_ref();
            let mut any = false;
            view.part.find_many(&hashes, id, |place, label| {
                if !view.tombstones.contains(label) {
                    found[missing[place]] = Some(RowAddress { part: part as u32, label });
                    any = true;
                }
            })?;
            if any {
                let mut is_missing = missing.iter().map(|place| found[*place].is_none());
                hashes.retain(|_| is_missing.next().unwrap_or_default());
                missing.retain(|place| found[*place].is_none());
            }
        }
        Ok(found)
    }

    /// Live labels of these ids, per part.
    pub(crate) fn labels_of(&self, ids: &IdList, threads: Option<&QueryThreads>) -> Result<NamedRows> {
        let by_part = self.parts.iter().map(|view| view.named(ids, threads)).collect::<Result<Vec<_>>>()?;
        // An id is live in one part at most, and there in one row.
        let found = by_part.iter().map(|labels| labels.len()).sum::<u64>() as usize;
        if found == ids.len() {
            ids.know_distinct();
        }
        Ok(NamedRows { by_part, found })
    }

    /// Whether [`labels_of`](Self::labels_of) would answer from memory.
    pub(crate) fn remembers_ids(&self, ids: &IdList) -> bool {
        self.parts.iter().all(|view| view.part.remembers_ids(ids))
    }

    /// The last batch of the log that the segments may contain.
    pub(crate) fn sequence(&self) -> u64 {
        let sequence = |view: &PartView| match &view.part {
            Part::Segment(segment) => segment.reader().origin().map_or(0, |origin| origin.sequence),
            Part::Chunk(_) => 0,
        };
        self.parts.iter().map(sequence).max().unwrap_or(0)
    }

    pub(crate) fn chunks(&self) -> impl Iterator<Item = (&Arc<Chunk>, &PartView)> {
        self.parts.iter().filter_map(|view| match &view.part {
            Part::Chunk(chunk) => Some((chunk, view)),
            Part::Segment(_) => None,
        })
    }

    fn part(&self, address: RowAddress) -> &Part {
        &self.parts[address.part as usize].part
    }

    /// Gives mapped files back to the system where reading many rows has made much of them resident. They stay readable.
    pub fn bound_resident_rows(&self) {
        for view in &self.parts {
            if let Part::Segment(segment) = &view.part {
                segment.bound_resident_rows(self.parts.len());
            }
        }
    }

    /// The id of a row of this snapshot.
    pub fn id(&self, address: RowAddress) -> Result<&str> {
        self.part(address).id(address.label)
    }

    /// A hint that the ids of rows, or with `whole` their documents and metadata too, will be asked for.
    pub fn prefetch(&self, rows: impl Iterator<Item = RowAddress>, whole: bool) {
        let mut rows = rows.peekable();
        let mut labels = Vec::new();
        while let Some(first) = rows.next() {
            labels.clear();
            labels.push(first.label);
            labels.extend(
                std::iter::from_fn(|| rows.next_if(|row| row.part == first.part)).map(|row| row.label),
            );
            self.part(first).prefetch_records(&labels, whole);
        }
    }

    /// The document of a row of this snapshot.
    pub fn document(&self, address: RowAddress) -> Result<Option<&str>> {
        self.part(address).document(address.label)
    }

    /// The metadata of a row of this snapshot.
    pub fn metadata(&self, address: RowAddress) -> Result<Option<Metadata>> {
        self.part(address).metadata(address.label)
    }

    /// Calls `f` with every key of a row's metadata and its value, keys ascending; whether it has metadata.
    ///
    /// # Errors
    /// `Corrupted`, perhaps after `f` saw some entries.
    pub fn for_each_metadata_entry(
        &self,
        address: RowAddress,
        f: &mut dyn FnMut(&str, ValueRef<'_>),
    ) -> Result<bool> {
        self.part(address).for_each_metadata_entry(address.label, f)
    }

    /// The URI of a row of this snapshot.
    pub fn uri(&self, address: RowAddress) -> Result<Option<&str>> {
        self.part(address).uri(address.label)
    }

    /// The vector of a row of this snapshot.
    pub fn vector(&self, address: RowAddress) -> Result<&[f32]> {
        self.part(address).vector(address.label)
    }
}
