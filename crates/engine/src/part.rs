//! One interface to rows in memory and rows in a file.

use std::sync::Arc;

use ferrochrome_metadata::evaluate;
use ferrochrome_types::{CancelToken, Metadata, Record, Result, ValueRef, VectorRows};
use roaring::RoaringBitmap;
use uuid::Uuid;

use crate::chunk::Chunk;
use crate::id_list::IdList;
use crate::query_threads::QueryThreads;
use crate::segment::Segment;
use crate::shared_filter::SharedFilter;

/// A chunk of the head or a sealed segment.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Chunk(Arc<Chunk>),
    Segment(Arc<Segment>),
}

impl Part {
    /// The id of a segment.
    pub fn segment_id(&self) -> Option<Uuid> {
        match self {
            Part::Chunk(_) => None,
            Part::Segment(segment) => Some(segment.id()),
        }
    }

    pub fn rows(&self) -> u32 {
        match self {
            Part::Chunk(chunk) => VectorRows::len(chunk.as_ref()) as u32,
            Part::Segment(segment) => segment.rows(),
        }
    }

    /// Looks ids up: calls `found` with the place and the label of each that is here, tombstoned or not. `hashes` are the ids'
    /// [`hash_id`](ferrochrome_blockstore::hash_id)s, `id` returns an id by its place.
    pub fn find_many<'a>(
        &self,
        hashes: &[u64],
        id: impl Fn(usize) -> &'a str,
        mut found: impl FnMut(usize, u32),
    ) -> Result<()> {
        match self {
            Part::Chunk(chunk) => {
                for place in 0..hashes.len() {
                    if let Some(label) = chunk.find(id(place)) {
                        found(place, label);
                    }
                }
                Ok(())
            }
            Part::Segment(segment) => segment.reader().find_many(hashes, |place| id(place).as_bytes(), found),
        }
    }

    /// Labels of the rows that have one of these ids, tombstoned ones among them. A calling thread that is none of `threads` shares the
    /// work with it.
    pub fn named(&self, ids: &IdList, threads: Option<&QueryThreads>) -> Result<Arc<RoaringBitmap>> {
        match self {
            Part::Chunk(chunk) => Ok(chunk.named(ids)),
            Part::Segment(segment) => segment.named(ids, threads),
        }
    }

    /// Whether [`named`](Self::named) would answer from memory.
    pub fn remembers_ids(&self, ids: &IdList) -> bool {
        match self {
            Part::Chunk(chunk) => chunk.remembers_ids(ids),
            Part::Segment(segment) => segment.remembers_ids(ids),
        }
    }

    pub fn ordinal(&self, label: u32) -> Result<u64> {
        match self {
            Part::Chunk(chunk) => Ok(chunk.record(label)?.ordinal),
            Part::Segment(segment) => segment.reader().ordinal(label),
        }
    }

    pub fn id(&self, label: u32) -> Result<&str> {
        match self {
            Part::Chunk(chunk) => Ok(&chunk.record(label)?.id),
            Part::Segment(segment) => segment.reader().id(label),
        }
    }

    /// A hint that the ids of rows, or with `whole` their documents and metadata too, will be asked for.
    pub fn prefetch_records(&self, labels: &[u32], whole: bool) {
        if let Part::Segment(segment) = self {
            segment.reader().prefetch_records(labels, whole);
        }
    }

    pub fn document(&self, label: u32) -> Result<Option<&str>> {
        match self {
            Part::Chunk(chunk) => Ok(chunk.record(label)?.document.as_deref()),
            Part::Segment(segment) => segment.reader().document(label),
        }
    }

    pub fn metadata(&self, label: u32) -> Result<Option<Metadata>> {
        match self {
            Part::Chunk(chunk) => Ok(chunk.record(label)?.metadata.clone()),
            Part::Segment(segment) => segment.reader().metadata(label),
        }
    }

    /// Calls `f` with every key of a row's metadata and its value; whether it has metadata.
    pub fn for_each_metadata_entry(&self, label: u32, f: &mut dyn FnMut(&str, ValueRef<'_>)) -> Result<bool> {
        match self {
            Part::Chunk(chunk) => {
                let metadata = chunk.record(label)?.metadata.as_ref();
                metadata.into_iter().flatten().for_each(|(key, value)| f(key, value.into()));
                Ok(metadata.is_some())
            }
            Part::Segment(segment) => segment.reader().for_each_metadata_entry(label, f),
        }
    }

    pub fn uri(&self, label: u32) -> Result<Option<&str>> {
        match self {
            Part::Chunk(chunk) => Ok(chunk.record(label)?.uri.as_deref()),
            Part::Segment(segment) => segment.reader().uri(label),
        }
    }

    pub fn vector(&self, label: u32) -> Result<&[f32]> {
        self.vectors().row(label)
    }

    pub fn record(&self, label: u32) -> Result<Arc<Record>> {
        match self {
            Part::Chunk(chunk) => chunk.record(label).cloned(),
            Part::Segment(segment) => segment.reader().record(label).map(Arc::new),
        }
    }

    pub fn vectors(&self) -> &dyn VectorRows {
        match self {
            Part::Chunk(chunk) => chunk.as_ref(),
            Part::Segment(segment) => segment.reader(),
        }
    }

    /// Labels for which `filter` holds, tombstoned ones among them.
    pub fn matching(&self, filter: &SharedFilter, cancel: &CancelToken) -> Result<Arc<RoaringBitmap>> {
        match self {
            Part::Chunk(chunk) => {
                evaluate(filter, chunk.postings(), chunk.as_ref(), self.rows(), cancel).map(Arc::new)
            }
            Part::Segment(segment) => segment.matching(filter, cancel),
        }
    }

    /// Labels in insertion order; `None` where label order already is that.
    pub fn insertion_order(&self) -> Result<Option<&[u32]>> {
        match self {
            Part::Chunk(_) => Ok(None),
            Part::Segment(segment) => segment.insertion_order(),
        }
    }
}
