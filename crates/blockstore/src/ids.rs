//! `ids.arrow`: hashes of the ids in ascending order, each with its label.

use std::sync::Arc;

use arrow_array::{RecordBatch, UInt32Array, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use ferrochrome_types::Result;
use xxhash_rust::xxh3::xxh3_64;

use crate::arrow_file::{ArrowFile, ArrowWriter, write_error};
use crate::column::{ColumnBuffer, ColumnCursor};
use crate::{Blob, BlobStore};

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("hash", DataType::UInt64, false),
        Field::new("label", DataType::UInt32, false),
    ])
}

/// The hash under which an id is filed: XXH3, 64 bits, seed 0.
pub(crate) fn hash_id(id: &str) -> u64 {
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
        Ok(IdsFile { blob, rows: layout.rows, hashes, labels })
    }

    pub(crate) fn blob(&self) -> &Blob {
        &self.blob
    }

    /// The first label with this hash that `is_it` confirms; hashes may collide.
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> Result<bool>) -> Result<Option<u32>> {
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
