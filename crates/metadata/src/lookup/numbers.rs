//! Lists of numbers, sorted and cut into blocks, so that a range is a union of whole blocks and two edges.

use std::collections::BTreeSet;

use ferrochrome_types::{Error, Result, Scalar, ValueKind};
use roaring::{MultiOps, RoaringBitmap};
use rusqlite::{Connection, params};

use super::{ColumnId, LOOKUP, bad_row, bitmap_bytes, blob, sql};
use crate::checksum::RowChecksum;
use crate::ranges::{KeyRange, Relation, float_range, int_range};

/// Numbers in a block.
const BLOCK: usize = 4096;
/// Bytes of a sort key and its label.
const PAIR_BYTES: usize = 12;
/// Bytes of the checksum behind the pairs.
const CRC_BYTES: usize = 4;

/// Writes the list of one column and type.
pub(super) fn write(
    connection: &Connection,
    column: ColumnId,
    kind: ValueKind,
    numbers: &BTreeSet<(i64, u32)>,
) -> Result<()> {
    let mut insert = connection
        .prepare_cached(
            "INSERT INTO numbers (key, element, kind, high, block, low, crc, labels, pairs) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )
        .map_err(sql)?;
    let pairs: Vec<(i64, u32)> = numbers.iter().copied().collect();
    let mut labels = Vec::new();
    for (number, block) in (0_i64..).zip(pairs.chunks(BLOCK)) {
        let head = Head { low: block[0].0, high: block[block.len() - 1].0, block: number };
        bitmap_bytes(&block.iter().map(|(_, label)| *label).collect(), &mut labels)?;
        let crc = head.checksum(column, kind, &labels);
        insert
            .execute(params![
                column.key,
                column.element,
                kind.as_str(),
                head.high,
                head.block,
                head.low,
                crc,
                labels,
                pair_bytes(block)
            ])
            .map_err(sql)?;
    }
    Ok(())
}

/// Rows whose number stands in `relation` to `operand`, integers and floats alike.
pub(super) fn related(
    connection: &Connection,
    column: ColumnId,
    relation: Relation,
    operand: &Scalar,
) -> Result<RoaringBitmap> {
    let ints = in_range(connection, column, ValueKind::Int, int_range(relation, operand))?;
    let floats = in_range(connection, column, ValueKind::Float, float_range(relation, operand))?;
    Ok(ints | floats)
}

/// Rows with an array that has this number of this type in it.
pub(super) fn element(connection: &Connection, column: ColumnId, operand: &Scalar) -> Result<RoaringBitmap> {
    match operand {
        Scalar::Int(_) => in_range(connection, column, ValueKind::Int, int_range(Relation::Equal, operand)),
        _ => in_range(connection, column, ValueKind::Float, float_range(Relation::Equal, operand)),
    }
}

/// The columns of a block before its lists.
#[derive(Clone, Copy)]
struct Head {
    low: i64,
    high: i64,
    block: i64,
}

impl Head {
    fn checksum(self, column: ColumnId, kind: ValueKind, labels: &[u8]) -> i64 {
        RowChecksum::new("numbers")
            .int(column.key)
            .int(i64::from(column.element))
            .text(kind.as_str())
            .int(self.high)
            .int(self.block)
            .int(self.low)
            .bytes(labels)
            .finish()
    }
}

fn in_range(
    connection: &Connection,
    column: ColumnId,
    kind: ValueKind,
    range: Option<KeyRange>,
) -> Result<RoaringBitmap> {
    let Some((low, high)) = range else { return Ok(RoaringBitmap::new()) };
    // The pairs are left out: SQLite would read them for every block.
    let mut query = connection
        .prepare_cached(
            "SELECT low, high, block, labels, crc FROM numbers \
             WHERE key = ?1 AND element = ?2 AND kind = ?3 AND high >= ?4 ORDER BY high, block",
        )
        .map_err(sql)?;
    let mut rows = query.query(params![column.key, column.element, kind.as_str(), low]).map_err(sql)?;
    let mut parts = Vec::new();
    while let Some(row) = rows.next().map_err(sql)? {
        let head = Head {
            low: row.get(0).map_err(sql)?,
            high: row.get(1).map_err(sql)?,
            block: row.get(2).map_err(sql)?,
        };
        let labels = blob(row, 3)?;
        if head.checksum(column, kind, labels) != row.get::<_, i64>(4).map_err(sql)? {
            return Err(bad_row("numbers"));
        }
        if head.low > high {
            break;
        }
        if low <= head.low && head.high <= high {
            let whole = RoaringBitmap::deserialize_from(labels);
            parts.push(
                whole.map_err(|error| Error::corrupted(LOOKUP, format!("a block of numbers: {error}")))?,
            );
        } else {
            parts.push(edge(connection, column, kind, head, (low, high))?);
        }
    }
    Ok(parts.union())
}

/// The labels of a block that reaches beyond the range.
fn edge(
    connection: &Connection,
    column: ColumnId,
    kind: ValueKind,
    head: Head,
    (low, high): KeyRange,
) -> Result<RoaringBitmap> {
    let mut query = connection
        .prepare_cached(
            "SELECT pairs FROM numbers WHERE key = ?1 AND element = ?2 AND kind = ?3 AND high = ?4 AND block = ?5",
        )
        .map_err(sql)?;
    let mut rows = query
        .query(params![column.key, column.element, kind.as_str(), head.high, head.block])
        .map_err(sql)?;
    let row = rows.next().map_err(sql)?.ok_or_else(|| bad_row("numbers"))?;
    let (keys, labels) = split_pairs(blob(row, 0)?)?;
    let key = |place: usize| i64::from_le_bytes(keys[place]);
    let first = partition(keys.len(), |place| key(place) < low);
    let end = partition(keys.len(), |place| key(place) <= high);
    let mut found: Vec<u32> =
        labels.get(first..end).unwrap_or_default().iter().map(|l| u32::from_le_bytes(*l)).collect();
    found.sort_unstable();
    Ok(found.into_iter().collect())
}

/// The first place for which `before` does not hold.
fn partition(len: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low.midpoint(high);
        if before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

fn pair_bytes(block: &[(i64, u32)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(block.len() * PAIR_BYTES + CRC_BYTES);
    bytes.extend(block.iter().flat_map(|(key, _)| key.to_le_bytes()));
    bytes.extend(block.iter().flat_map(|(_, label)| label.to_le_bytes()));
    let crc = crc32fast::hash(&bytes);
    bytes.extend(crc.to_le_bytes());
    bytes
}

/// The keys of a block and, in the same places, the labels; little-endian.
type Pairs<'a> = (&'a [[u8; 8]], &'a [[u8; 4]]);

/// Checks the pairs of a block and takes them apart.
fn split_pairs(bytes: &[u8]) -> Result<Pairs<'_>> {
    let (pairs, crc) = bytes.split_last_chunk::<CRC_BYTES>().ok_or_else(|| bad_row("numbers"))?;
    if !pairs.len().is_multiple_of(PAIR_BYTES) || crc32fast::hash(pairs).to_le_bytes() != *crc {
        return Err(bad_row("numbers"));
    }
    let (keys, labels) = pairs.split_at(pairs.len() / PAIR_BYTES * 8);
    Ok((keys.as_chunks().0, labels.as_chunks().0))
}

/// Whether the pairs of a block can be read, with their checksum made to match.
#[cfg(feature = "fuzzing")]
pub(crate) fn reads_pairs(bytes: &[u8]) -> bool {
    let signed = [bytes, &crc32fast::hash(bytes).to_le_bytes()].concat();
    split_pairs(&signed).is_ok_and(|(keys, labels)| keys.len() == labels.len())
}
