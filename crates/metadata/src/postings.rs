//! Posting lists in memory: for rows that are not sealed, and as what `lookup.sqlite` is written from.

use std::collections::{BTreeMap, BTreeSet};

use ferrochrome_types::{CancelToken, Comparison, Metadata, Result, Scalar, Value};
use roaring::RoaringBitmap;

use crate::filter::{FilterSource, RequiredText};
use crate::ranges::{KeyRange, Relation, float_key, float_range, int_range};

/// Memory of an entry of a tree besides its key: its share of nodes that are not full.
const ENTRY_BYTES: usize = 16;

/// An inverted index over the metadata of rows, in memory.
#[derive(Clone, Debug, Default)]
pub struct Postings {
    keys: BTreeMap<String, KeyPostings>,
    bytes: usize,
}

/// What one metadata key holds: scalars, and elements of arrays.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyPostings {
    pub(crate) scalars: Column,
    pub(crate) elements: Column,
}

/// Values to labels, a list for each type.
#[derive(Clone, Debug, Default)]
pub(crate) struct Column {
    pub(crate) strings: BTreeMap<Box<str>, Labels>,
    /// By value, then label.
    pub(crate) ints: BTreeSet<(i64, u32)>,
    /// By sort key, then label.
    pub(crate) floats: BTreeSet<(i64, u32)>,
    pub(crate) bools: [RoaringBitmap; 2],
}

/// A posting list. Most strings belong to one row, and a bitmap for each would cost a hundred bytes.
#[derive(Clone, Debug)]
pub(crate) enum Labels {
    One(u32),
    Many(RoaringBitmap),
}

impl Labels {
    pub(crate) fn bitmap(&self) -> RoaringBitmap {
        match self {
            Labels::One(label) => RoaringBitmap::from_iter([*label]),
            Labels::Many(labels) => labels.clone(),
        }
    }

    fn insert(&mut self, label: u32) -> usize {
        match self {
            Labels::One(first) if *first == label => 0,
            Labels::One(first) => {
                *self = Labels::Many(RoaringBitmap::from_iter([*first, label]));
                96
            }
            Labels::Many(labels) => {
                labels.insert(label);
                2
            }
        }
    }
}

impl Postings {
    /// Postings of no rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the metadata of a row. Rows come in ascending order of their labels, each once.
    pub fn insert(&mut self, label: u32, metadata: Option<&Metadata>) {
        for (key, value) in metadata.into_iter().flatten() {
            if !self.keys.contains_key(key) {
                self.keys.insert(key.clone(), KeyPostings::default());
                self.bytes += key.len() + size_of::<String>() + size_of::<KeyPostings>() + ENTRY_BYTES;
            }
            if let Some(postings) = self.keys.get_mut(key) {
                self.bytes += postings.insert(label, value);
            }
        }
    }

    /// Bytes of memory, estimated.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.bytes
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = (&str, &KeyPostings)> {
        self.keys.iter().map(|(key, postings)| (key.as_str(), postings))
    }
}

impl KeyPostings {
    fn insert(&mut self, label: u32, value: &Value) -> usize {
        match value {
            Value::Str(v) => self.scalars.insert_str(label, v),
            Value::Int(v) => insert_number(&mut self.scalars.ints, *v, label),
            Value::Float(v) => insert_number(&mut self.scalars.floats, float_key(*v), label),
            Value::Bool(v) => self.scalars.insert_bool(label, *v),
            Value::StrArray(v) => v.iter().map(|v| self.elements.insert_str(label, v)).sum(),
            Value::IntArray(v) => v.iter().map(|v| insert_number(&mut self.elements.ints, *v, label)).sum(),
            Value::FloatArray(v) => {
                v.iter().map(|v| insert_number(&mut self.elements.floats, float_key(*v), label)).sum()
            }
            Value::BoolArray(v) => v.iter().map(|v| self.elements.insert_bool(label, *v)).sum(),
        }
    }
}

fn insert_number(numbers: &mut BTreeSet<(i64, u32)>, key: i64, label: u32) -> usize {
    if numbers.insert((key, label)) { size_of::<(i64, u32)>() + ENTRY_BYTES / 2 } else { 0 }
}

impl Column {
    fn insert_str(&mut self, label: u32, value: &str) -> usize {
        if let Some(labels) = self.strings.get_mut(value) {
            return labels.insert(label);
        }
        self.strings.insert(value.into(), Labels::One(label));
        value.len() + size_of::<Box<str>>() + size_of::<Labels>() + ENTRY_BYTES
    }

    fn insert_bool(&mut self, label: u32, value: bool) -> usize {
        if self.bools[usize::from(value)].insert(label) { 2 } else { 0 }
    }

    fn equal(&self, scalar: &Scalar) -> RoaringBitmap {
        match scalar {
            Scalar::Str(v) => self.strings.get(v.as_str()).map(Labels::bitmap).unwrap_or_default(),
            Scalar::Bool(v) => self.bools[usize::from(*v)].clone(),
            Scalar::Int(_) | Scalar::Float(_) => self.related(Relation::Equal, scalar),
        }
    }

    fn related(&self, relation: Relation, operand: &Scalar) -> RoaringBitmap {
        let mut labels = Vec::new();
        collect(&self.ints, int_range(relation, operand), &mut labels);
        collect(&self.floats, float_range(relation, operand), &mut labels);
        labels.sort_unstable();
        labels.into_iter().collect()
    }
}

fn collect(numbers: &BTreeSet<(i64, u32)>, range: Option<KeyRange>, labels: &mut Vec<u32>) {
    if let Some((low, high)) = range {
        labels.extend(numbers.range((low, 0)..=(high, u32::MAX)).map(|(_, label)| *label));
    }
}

impl FilterSource for Postings {
    fn equal(&self, key: &str, scalar: &Scalar) -> Result<RoaringBitmap> {
        Ok(self.keys.get(key).map(|postings| postings.scalars.equal(scalar)).unwrap_or_default())
    }

    fn compare(&self, key: &str, comparison: Comparison, operand: &Scalar) -> Result<RoaringBitmap> {
        let relation = Relation::Compare(comparison);
        Ok(self.keys.get(key).map(|postings| postings.scalars.related(relation, operand)).unwrap_or_default())
    }

    fn contains(&self, key: &str, element: &Scalar) -> Result<RoaringBitmap> {
        let Some(KeyPostings { elements, .. }) = self.keys.get(key) else { return Ok(RoaringBitmap::new()) };
        // Elements match by type too: 1 is not an element of [1.0].
        let mut labels = Vec::new();
        match element {
            Scalar::Int(_) => collect(&elements.ints, int_range(Relation::Equal, element), &mut labels),
            Scalar::Float(_) => collect(&elements.floats, float_range(Relation::Equal, element), &mut labels),
            Scalar::Str(_) | Scalar::Bool(_) => return Ok(elements.equal(element)),
        }
        Ok(labels.into_iter().collect())
    }

    fn documents(&self) -> Result<Option<RoaringBitmap>> {
        Ok(None)
    }

    fn document_candidates(
        &self,
        _required: &RequiredText,
        _within: u64,
        _cancel: &CancelToken,
    ) -> Result<Option<RoaringBitmap>> {
        Ok(None)
    }
}
