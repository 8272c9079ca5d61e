//! The head's building block: a few records in memory, immutable once published.

use std::collections::HashMap;
use std::sync::Arc;

use ferrochrome_metadata::Postings;
use ferrochrome_types::{DocumentRows, Error, Record, Result, VectorRows};
use roaring::RoaringBitmap;

use crate::id_list::IdList;
use crate::remembered::Remembered;

/// Records that were written together (or merged from such), with their vectors and posting lists.
///
/// Labels follow ordinals, so label order is insertion order.
#[derive(Debug)]
pub(crate) struct Chunk {
    dim: usize,
    records: Vec<Arc<Record>>,
    vectors: Vec<f32>,
    labels: HashMap<Box<str>, u32>,
    postings: Postings,
    bytes: usize,
    id_lists: Remembered<u64, Arc<RoaringBitmap>>,
}

/// Lists of ids for which a chunk remembers its rows, and how many bytes those may take together.
const REMEMBERED_LISTS: usize = 16;
const REMEMBERED_LIST_BYTES: usize = 64 << 10;

/// A record on its way into a chunk, with its vector.
#[derive(Clone, Debug)]
pub(crate) struct Row<'a> {
    pub record: Arc<Record>,
    pub vector: &'a [f32],
}

impl Chunk {
    /// Builds a chunk from rows in any order.
    pub fn new(dim: usize, mut rows: Vec<Row<'_>>) -> Self {
        rows.sort_by_key(|row| row.record.ordinal);
        let mut vectors = Vec::with_capacity(rows.len() * dim);
        rows.iter().for_each(|row| vectors.extend_from_slice(row.vector));
        Chunk::of_batch(dim, rows.into_iter().map(|row| row.record).collect(), vectors)
    }

    /// A chunk of records in the order of their ordinals, with their vectors, row-major `[records.len(), dim]`.
    pub fn of_batch(dim: usize, records: Vec<Arc<Record>>, vectors: Vec<f32>) -> Self {
        let mut labels = HashMap::with_capacity(records.len());
        let mut postings = Postings::new();
        let mut bytes = size_of_val(vectors.as_slice());
        for (label, record) in (0_u32..).zip(&records) {
            bytes += record_bytes(record);
            labels.insert(record.id.as_str().into(), label);
            postings.insert(label, record.metadata.as_ref());
        }
        let id_lists = Remembered::new(REMEMBERED_LISTS, REMEMBERED_LIST_BYTES);
        Chunk { dim, records, vectors, labels, postings, bytes, id_lists }
    }

    /// Bytes of user data held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn find(&self, id: &str) -> Option<u32> {
        self.labels.get(id).copied()
    }

    /// Labels of the rows that have one of these ids.
    pub fn named(&self, ids: &IdList) -> Arc<RoaringBitmap> {
        if let Some(found) = ids.number().and_then(|number| self.id_lists.recall(&number)) {
            return found;
        }
        let bitmap: RoaringBitmap = if ids.len() < self.records.len() {
            (0..ids.len()).filter_map(|place| self.find(ids.id(place))).collect()
        } else {
            let named = |(_, record): &(u32, &Arc<Record>)| ids.contains(&record.id);
            (0_u32..).zip(&self.records).filter(named).map(|(label, _)| label).collect()
        };
        let bitmap = Arc::new(bitmap);
        if let Some(number) = ids.number() {
            self.id_lists.remember(number, bitmap.serialized_size(), bitmap.clone());
        }
        bitmap
    }

    /// Whether [`named`](Self::named) would answer from memory.
    pub fn remembers_ids(&self, ids: &IdList) -> bool {
        ids.number().is_some_and(|number| self.id_lists.holds(&number))
    }

    pub fn record(&self, label: u32) -> Result<&Arc<Record>> {
        self.records.get(label as usize).ok_or_else(|| Error::internal(format!("chunk has no label {label}")))
    }

    pub fn postings(&self) -> &Postings {
        &self.postings
    }
}

/// What a record takes beside its vector.
fn record_bytes(record: &Record) -> usize {
    let metadata = record
        .metadata
        .as_ref()
        .map_or(0, |metadata| metadata.iter().map(|(key, value)| key.len() + value_bytes(value)).sum());
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    64 + record.id.len() + text(&record.document) + text(&record.uri) + metadata
}

fn value_bytes(value: &ferrochrome_types::Value) -> usize {
    use ferrochrome_types::Value;
    match value {
        Value::Str(s) => s.len(),
        Value::Int(_) | Value::Float(_) | Value::Bool(_) => 8,
        Value::StrArray(v) => v.iter().map(|s| s.len() + 24).sum(),
        Value::IntArray(v) => v.len() * 8,
        Value::FloatArray(v) => v.len() * 8,
        Value::BoolArray(v) => v.len(),
    }
}

impl VectorRows for Chunk {
    fn dim(&self) -> usize {
        self.dim
    }

    fn len(&self) -> usize {
        self.records.len()
    }

    fn row(&self, label: u32) -> Result<&[f32]> {
        let start = label as usize * self.dim;
        self.vectors
            .get(start..start + self.dim)
            .ok_or_else(|| Error::internal(format!("chunk has no vector {label}")))
    }
}

impl DocumentRows for Chunk {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn document(&self, label: u32) -> Result<Option<&str>> {
        Ok(self.record(label)?.document.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, ordinal: u64) -> Arc<Record> {
        Arc::new(Record { id: id.to_owned(), ordinal, ..Record::default() })
    }

    #[test]
    fn labels_follow_ordinals() {
        let rows = [("late", 9), ("early", 1), ("middle", 4)];
        let vectors = [[9.0, 9.5], [1.0, 1.5], [4.0, 4.5]];
        let rows = rows
            .iter()
            .zip(&vectors)
            .map(|((id, ordinal), vector)| Row { record: row(id, *ordinal), vector });
        let chunk = Chunk::new(2, rows.collect());
        assert_eq!(
            [chunk.find("early"), chunk.find("middle"), chunk.find("late")],
            [Some(0), Some(1), Some(2)]
        );
        assert_eq!(chunk.find("absent"), None);
        assert_eq!(chunk.row(2).unwrap(), [9.0, 9.5]);
        assert!(chunk.row(3).is_err());
        assert_eq!(chunk.record(0).unwrap().id, "early");
    }
}
