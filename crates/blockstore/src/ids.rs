//! `ids.arrow`: hashes of the ids in ascending order, each with its label.

use std::sync::{Arc, OnceLock};

use arrow_array::{RecordBatch, UInt32Array, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use ferrochrome_types::Result;
use xxhash_rust::xxh3::xxh3_64;

use crate::arrow_file::{ArrowFile, ArrowWriter, write_error};
use crate::column::{ColumnBuffer, ColumnCursor};
use crate::segment_rows::open_once;
use crate::{Blob, BlobStore, prefetch};

/// Segments of at most so many rows get a filter: those that were sealed and not merged yet. There may be a hundred of them, and
/// every new id is looked up in each; the few that are larger are searched.
const FILTERED_ROWS: usize = 32_768;
/// Ids that are looked up together: what each step reads for one of them arrives while it works on the others.
const LOOKED_UP_TOGETHER: usize = 64;
/// Rows for each id that is looked up at once up to which a [`Directory`] is made: it takes a pass over all hashes.
const ROWS_PER_LOOK_UP: usize = 1_024;
/// Entries that are compared together.
const WINDOW: usize = 8;
/// Entries that are looked through one after the other.
const SHORT_RANGE: usize = 64;

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("hash", DataType::UInt64, false),
        Field::new("label", DataType::UInt32, false),
    ])
}

/// The hash under which an id is filed: XXH3, 64 bits, seed 0.
pub fn hash_id(id: &str) -> u64 {
    xxh3_64(id.as_bytes())
}

/// Writes the hashes of ids, `hashes[label]`, as `ids.arrow`.
pub(crate) fn write_ids(store: &dyn BlobStore, name: String, hashes: &[u64]) -> Result<()> {
    let mut labels: Vec<u32> = (0..hashes.len() as u32).collect();
    labels.sort_unstable_by_key(|label| (hashes[*label as usize], *label));
    let schema = Arc::new(schema());
    let mut writer = ArrowWriter::create(store, name.clone(), &schema, None)?;
    let sorted: UInt64Array = labels.iter().map(|label| hashes[*label as usize]).collect::<Vec<_>>().into();
    let batch = RecordBatch::try_new(schema, vec![Arc::new(sorted), Arc::new(UInt32Array::from(labels))])
        .map_err(|e| write_error(&name, e))?;
    writer.write(&batch)?;
    writer.finish()
}

/// `ids.arrow`, open.
#[derive(Debug)]
pub(crate) struct IdsFile {
    blob: Blob,
    rows: usize,
    hashes: ColumnBuffer,
    labels: ColumnBuffer,
    filter: OnceLock<HashFilter>,
    directory: OnceLock<Directory>,
}

/// The columns of `ids.arrow`, verified as a whole.
#[derive(Clone, Copy)]
struct Columns<'a> {
    hashes: &'a [[u8; 8]],
    labels: &'a [[u8; 4]],
}

impl IdsFile {
    /// Opens the file, which must hold `rows` entries.
    pub(crate) fn open(blob: Blob, rows: u32) -> Result<Self> {
        let file = ArrowFile::open(blob)?;
        file.expect_fields(&schema())?;
        let layout = file.batch(0)?;
        let blob = file.blob().clone();
        if file.batch_count() != 1 || layout.rows != rows as usize || layout.codec.is_some() {
            return Err(blob.damaged(format!("it does not hold {rows} ids in one plain batch")));
        }
        let mut cursor = ColumnCursor::new(&layout, &blob);
        let (hashes, labels) = (cursor.number_column()?, cursor.number_column()?);
        let (filter, directory) = (OnceLock::new(), OnceLock::new());
        Ok(IdsFile { blob, rows: layout.rows, hashes, labels, filter, directory })
    }

    pub(crate) fn blob(&self) -> &Blob {
        &self.blob
    }

    /// The first label with this hash that `is_it` confirms; hashes may collide.
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> Result<bool>) -> Result<Option<u32>> {
        if self.rows <= FILTERED_ROWS && !self.filter()?.may_hold(hash) {
            return Ok(None);
        }
        let mut at = self.lower_bound(hash)?;
        while at < self.rows && self.hash(at)? == hash {
            let label = u32::from_le_bytes(self.labels.array(&self.blob, at * 4)?);
            if is_it(label)? {
                return Ok(Some(label));
            }
            at += 1;
        }
        Ok(None)
    }

    /// Calls `candidate` with the place of each of `hashes` and every label that is filed under it. Those of hashes that are near one
    /// another come near one another, and for all hashes of a group of [`LOOKED_UP_TOGETHER`] before those of the next.
    pub(crate) fn find_many(&self, hashes: &[u64], mut candidate: impl FnMut(usize, u32)) -> Result<()> {
        let filter = if self.rows <= FILTERED_ROWS { Some(self.filter()?) } else { None };
        let may_hold = |hash: u64| filter.is_none_or(|filter| filter.may_hold(hash));
        if self.directory.get().is_none() && self.rows / ROWS_PER_LOOK_UP > hashes.len() {
            for (place, hash) in hashes.iter().enumerate().filter(|(_, hash)| may_hold(**hash)) {
                self.each_label(*hash, |label| candidate(place, label))?;
            }
            return Ok(());
        }
        let columns = self.columns()?;
        let directory = open_once(&self.directory, || Directory::new(columns, &self.blob))?;
        let mut ranges = [(0, 0); LOOKED_UP_TOGETHER];
        for (group, hashes) in hashes.chunks(LOOKED_UP_TOGETHER).enumerate() {
            for (range, hash) in ranges.iter_mut().zip(hashes) {
                *range = if may_hold(*hash) { directory.range(*hash) } else { (0, 0) };
                columns.prefetch(*range);
            }
            for (i, (range, hash)) in ranges.iter().zip(hashes).enumerate() {
                columns.each_label(*range, *hash, |label| candidate(group * LOOKED_UP_TOGETHER + i, label));
            }
        }
        Ok(())
    }

    fn each_label(&self, hash: u64, mut found: impl FnMut(u32)) -> Result<()> {
        let mut at = self.lower_bound(hash)?;
        while at < self.rows && self.hash(at)? == hash {
            found(self.entry(at)?.1);
            at += 1;
        }
        Ok(())
    }

    fn columns(&self) -> Result<Columns<'_>> {
        let hashes = self.hashes.bytes(&self.blob, 0..self.rows * 8)?.as_chunks().0;
        Ok(Columns { hashes, labels: self.labels.bytes(&self.blob, 0..self.rows * 4)?.as_chunks().0 })
    }

    /// The entry at `at`: a hash and a label.
    pub(crate) fn entry(&self, at: usize) -> Result<(u64, u32)> {
        Ok((self.hash(at)?, u32::from_le_bytes(self.labels.array(&self.blob, at * 4)?)))
    }

    fn filter(&self) -> Result<&HashFilter> {
        open_once(&self.filter, || {
            let mut filter = HashFilter::new(self.rows);
            for at in 0..self.rows {
                filter.insert(self.hash(at)?);
            }
            Ok(filter)
        })
    }

    fn hash(&self, at: usize) -> Result<u64> {
        Ok(u64::from_le_bytes(self.hashes.array(&self.blob, at * 8)?))
    }

    /// The first entry whose hash is not below `hash`. Hashes are spread evenly, so its place is known up to about the square
    /// root of the number of rows; the bracket around that place is widened until it holds, then halved.
    fn lower_bound(&self, hash: u64) -> Result<usize> {
        let guess = ((u128::from(hash) * self.rows as u128) >> 64) as usize;
        let step = self.rows.isqrt() / 2 + 1;
        let mut reach = step;
        let mut low = guess.saturating_sub(reach);
        while low > 0 && self.hash(low)? >= hash {
            reach *= 2;
            low = low.saturating_sub(reach);
        }
        reach = step;
        let mut high = self.rows.min(guess + reach);
        while high < self.rows && self.hash(high)? < hash {
            reach *= 2;
            high = self.rows.min(high + reach);
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if self.hash(middle)? < hash {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}

impl Columns<'_> {
    /// The labels of the entries in `range` whose hash is `hash`.
    #[inline]
    fn each_label(self, (start, end): (u32, u32), hash: u64, mut found: impl FnMut(u32)) {
        let (mut start, mut end) = (start as usize, end as usize);
        if let Some(window) = self.hashes[start..].first_chunk::<WINDOW>()
            && (1..=WINDOW).contains(&(end - start))
        {
            // How many entries a range has no processor foresees: all of the window are compared. Those behind the range have other hashes.
            let mut equal = 0_u32;
            for (i, entry) in window.iter().enumerate() {
                equal |= u32::from(*entry == hash.to_le_bytes()) << i;
            }
            while equal != 0 {
                found(u32::from_le_bytes(self.labels[start + equal.trailing_zeros() as usize]));
                equal &= equal - 1;
            }
            return;
        }
        if end - start > SHORT_RANGE {
            // Hashes that are spread evenly never come here; ids may be chosen so that theirs are not.
            let hashes = &self.hashes[start..end];
            let first = hashes.partition_point(|entry| u64::from_le_bytes(*entry) < hash);
            end = start + hashes.partition_point(|entry| u64::from_le_bytes(*entry) <= hash);
            start += first;
        }
        for (entry, label) in self.hashes[start..end].iter().zip(&self.labels[start..end]) {
            if *entry == hash.to_le_bytes() {
                found(u32::from_le_bytes(*label));
            }
        }
    }

    #[inline]
    fn prefetch(self, (start, end): (u32, u32)) {
        let (start, end) = (start as usize, end as usize);
        prefetch::prefetch(self.hashes[start..end].as_flattened(), 1);
        prefetch::prefetch(self.labels[start..end].as_flattened(), 1);
    }
}

/// Where the hashes begin that share their upper bits: two to four each, so that a row takes a byte or two of memory.
#[derive(Debug)]
struct Directory {
    starts: Vec<u32>,
    shift: u32,
}

impl Directory {
    fn new(columns: Columns<'_>, blob: &Blob) -> Result<Self> {
        let bits = columns.hashes.len().max(4).ilog2() - 1;
        let shift = u64::BITS - bits;
        let mut starts = Vec::with_capacity((1 << bits) + 1);
        let mut last = 0;
        for (at, hash) in (0_u32..).zip(columns.hashes) {
            let hash = u64::from_le_bytes(*hash);
            if hash < last {
                return Err(blob.damaged("its hashes are not in ascending order"));
            }
            last = hash;
            while starts.len() as u64 <= hash >> shift {
                starts.push(at);
            }
        }
        starts.resize((1 << bits) + 1, columns.hashes.len() as u32);
        Ok(Directory { starts, shift })
    }

    /// The places of the entries among which those with this hash are.
    #[inline]
    fn range(&self, hash: u64) -> (u32, u32) {
        let bucket = (hash >> self.shift) as usize;
        (self.starts[bucket], self.starts[bucket + 1])
    }
}

/// A Bloom filter: 16 bits a row, of which each hash sets two in one word. It holds all that was inserted, and about two of a hundred
/// that were not.
#[derive(Debug)]
struct HashFilter {
    words: Vec<u64>,
}

impl HashFilter {
    fn new(rows: usize) -> Self {
        HashFilter { words: vec![0; rows.div_ceil(4).max(1)] }
    }

    fn insert(&mut self, hash: u64) {
        let (word, bits) = self.place(hash);
        self.words[word] |= bits;
    }

    fn may_hold(&self, hash: u64) -> bool {
        let (word, bits) = self.place(hash);
        self.words[word] & bits == bits
    }

    fn place(&self, hash: u64) -> (usize, u64) {
        // The word by the upper half of the hash, the bits by its lowest.
        let word = ((hash >> 32) * self.words.len() as u64) >> 32;
        (word as usize, 1 << (hash & 63) | 1 << ((hash >> 6) & 63))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_holds_what_was_inserted_and_little_else() {
        let many = if cfg!(miri) { 200 } else { 10_000 };
        for rows in [0, 1, 5, many] {
            let mut filter = HashFilter::new(rows);
            let hash = |i: usize| hash_id(&format!("id {i}"));
            (0..rows).for_each(|i| filter.insert(hash(i)));
            assert!((0..rows).all(|i| filter.may_hold(hash(i))));
            let wrong = (rows..rows + many).filter(|i| filter.may_hold(hash(*i))).count();
            assert!(wrong < many / 20, "{wrong} of {many} with {rows} rows");
        }
    }
}
