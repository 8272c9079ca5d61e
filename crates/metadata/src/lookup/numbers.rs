//! Lists of numbers, sorted and cut into blocks, so that a range is a union of whole blocks and two edges.

use std::collections::BTreeSet;

use ferrochrome_types::{Comparison, Error, Result, Scalar, ValueKind};
use roaring::{MultiOps, RoaringBitmap};
use rusqlite::{Connection, params};

use super::{ColumnId, LOOKUP, bad_row, bitmap_bytes, blob, sql};
use crate::checksum::RowChecksum;
use crate::ranges::{KeyRange, Relation, float_range, int_range, intersection, joined};

/// Numbers in a block.
const BLOCK: usize = 4096;
/// Blocks between two ranges that are passed over; if there are more, the next one is looked up.
const SKIPPED_BLOCKS: usize = 8;
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
    in_ranges(connection, column, int_range(relation, operand), float_range(relation, operand))
}

/// Rows whose number compares so with all the operands.
pub(super) fn within(
    connection: &Connection,
    column: ColumnId,
    bounds: &[(Comparison, &Scalar)],
) -> Result<RoaringBitmap> {
    let common = |range: fn(Relation, &Scalar) -> Option<KeyRange>| {
        let ranges =
            bounds.iter().map(|(comparison, operand)| range(Relation::Compare(*comparison), operand));
        ranges.reduce(|a, b| intersection(a?, b?)).flatten()
    };
    in_ranges(connection, column, common(int_range), common(float_range))
}

/// Rows whose number equals one of the operands.
pub(super) fn equal_any<'a>(
    connection: &Connection,
    column: ColumnId,
    operands: impl Iterator<Item = &'a Scalar> + Clone,
) -> Result<RoaringBitmap> {
    let ints = operands.clone().filter_map(|operand| int_range(Relation::Equal, operand));
    let floats = operands.filter_map(|operand| float_range(Relation::Equal, operand));
    in_ranges(connection, column, ints, floats)
}

/// Rows with an array that has this number of this type in it.
pub(super) fn element(connection: &Connection, column: ColumnId, operand: &Scalar) -> Result<RoaringBitmap> {
    match operand {
        Scalar::Int(_) => in_ranges(connection, column, int_range(Relation::Equal, operand), None),
        _ => in_ranges(connection, column, None, float_range(Relation::Equal, operand)),
    }
}

/// Rows whose number is an integer with a key in one of `ints` or a float with a key in one of `floats`.
fn in_ranges(
    connection: &Connection,
    column: ColumnId,
    ints: impl IntoIterator<Item = KeyRange>,
    floats: impl IntoIterator<Item = KeyRange>,
) -> Result<RoaringBitmap> {
    let mut found = Vec::new();
    let mut list = |kind, ranges: Vec<KeyRange>| -> Result<()> {
        let list = List { connection, column, kind };
        let mut ranges = joined(ranges);
        while !ranges.is_empty() {
            let done = list.read(&ranges, &mut found)?;
            ranges.drain(..done);
        }
        Ok(())
    };
    list(ValueKind::Int, ints.into_iter().collect())?;
    list(ValueKind::Float, floats.into_iter().collect())?;
    Ok(found.union())
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

/// The numbers of one type of a column.
#[derive(Clone, Copy)]
struct List<'a> {
    connection: &'a Connection,
    column: ColumnId,
    kind: ValueKind,
}

impl List<'_> {
    /// Reads blocks from the first of `ranges` on, which ascend, and adds the labels that lie in them to `found`. Returns how many
    /// ranges are done with: not all where the next one begins far behind the blocks that were read.
    fn read(self, ranges: &[KeyRange], found: &mut Vec<RoaringBitmap>) -> Result<usize> {
        let Some((least, _)) = ranges.first() else { return Ok(0) };
        // The pairs are left out: SQLite would read them for every block.
        let mut query = self
            .connection
            .prepare_cached(
                "SELECT low, high, block, labels, crc FROM numbers \
                 WHERE key = ?1 AND element = ?2 AND kind = ?3 AND high >= ?4 ORDER BY high, block",
            )
            .map_err(sql)?;
        let ColumnId { key, element } = self.column;
        let mut rows = query.query(params![key, element, self.kind.as_str(), least]).map_err(sql)?;
        let (mut done, mut skipped) = (0, 0);
        while let Some(row) = rows.next().map_err(sql)? {
            let head = Head {
                low: row.get(0).map_err(sql)?,
                high: row.get(1).map_err(sql)?,
                block: row.get(2).map_err(sql)?,
            };
            done += ranges[done..].iter().take_while(|(_, high)| *high < head.low).count();
            let Some((low, high)) = ranges.get(done) else { return Ok(done) };
            if head.high < *low {
                if done == 0 {
                    // Blocks that end before the first range were not asked for.
                    return Err(bad_row("numbers"));
                }
                skipped += 1;
                if skipped > SKIPPED_BLOCKS {
                    return Ok(done);
                }
                continue;
            }
            let labels = blob(row, 3)?;
            if head.checksum(self.column, self.kind, labels) != row.get::<_, i64>(4).map_err(sql)? {
                return Err(bad_row("numbers"));
            }
            if *low <= head.low && head.high <= *high {
                let whole = RoaringBitmap::deserialize_from(labels);
                found.push(
                    whole
                        .map_err(|error| Error::corrupted(LOOKUP, format!("a block of numbers: {error}")))?,
                );
            } else {
                found.push(self.edge(head, &ranges[done..])?);
            }
        }
        Ok(ranges.len())
    }

    /// The labels of a block that reaches beyond `ranges`, which ascend; some may begin behind it.
    fn edge(self, head: Head, ranges: &[KeyRange]) -> Result<RoaringBitmap> {
        let mut query = self
            .connection
            .prepare_cached(
                "SELECT pairs FROM numbers WHERE key = ?1 AND element = ?2 AND kind = ?3 AND high = ?4 AND block = ?5",
            )
            .map_err(sql)?;
        let ColumnId { key, element } = self.column;
        let mut rows =
            query.query(params![key, element, self.kind.as_str(), head.high, head.block]).map_err(sql)?;
        let row = rows.next().map_err(sql)?.ok_or_else(|| bad_row("numbers"))?;
        let (keys, labels) = split_pairs(blob(row, 0)?)?;
        let key = |place: usize| i64::from_le_bytes(keys[place]);
        let mut found = Vec::new();
        for (low, high) in ranges.iter().take_while(|(low, _)| *low <= head.high) {
            let first = partition(keys.len(), |place| key(place) < *low);
            let end = partition(keys.len(), |place| key(place) <= *high);
            found.extend(labels.get(first..end).unwrap_or_default().iter().map(|l| u32::from_le_bytes(*l)));
        }
        found.sort_unstable();
        Ok(found.into_iter().collect())
    }
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
