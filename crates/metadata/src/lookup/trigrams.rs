//! The lists of the full-text index: which documents contain a trigram.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use ferrochrome_types::Result;
use roaring::RoaringBitmap;
use rusqlite::{Connection, OptionalExtension, params};

use super::{bad_row, blob, sql};
use crate::checksum::RowChecksum;
use crate::filter::TRIGRAM_CHARS;

/// Bits of a character.
const CHAR_BITS: u32 = 21;
/// The bits of as many characters as a trigram has.
const TRIGRAM_MASK: u64 = (1 << (CHAR_BITS * TRIGRAM_CHARS as u32)) - 1;
/// Bytes of a block: three of them fill a page. A longer list has a block of its own.
const BLOCK_BYTES: usize = 2_600;
/// Memory of a list besides its bytes: its share of the table, and what an allocation costs.
const LIST_BYTES: usize = 112;
/// Bytes of a number of 64 bits, seven bits in each.
const MAX_VARINT_BYTES: usize = 10;

/// Three characters, the first one in the highest bits: numbers sort as the texts do.
pub(super) type Trigram = u64;

/// The trigrams of a text, in characters, in the order in which they occur.
pub(super) fn trigrams(text: &str) -> impl Iterator<Item = Trigram> + '_ {
    let mut last = 0;
    let each = text.chars().map(move |char| {
        last = ((last << CHAR_BITS) | u64::from(u32::from(char))) & TRIGRAM_MASK;
        last
    });
    each.skip(TRIGRAM_CHARS - 1)
}

/// Labels in ascending order: the first one, then for each how far it is from the one before.
#[derive(Default)]
struct List {
    documents: u32,
    last: u32,
    bytes: Vec<u8>,
}

impl List {
    /// Adds a label that is not below the last one; the last one itself is there already.
    fn push(&mut self, label: u32) {
        if self.documents > 0 && self.last == label {
            return;
        }
        write_varint(&mut self.bytes, u64::from(label - self.last));
        self.last = label;
        self.documents += 1;
    }
}

/// Gathers lists and writes them in runs, each of which fits in memory and holds documents behind those of the one before.
pub(super) struct Lists {
    lists: HashMap<Trigram, List>,
    bytes: usize,
    memory: usize,
    runs: i64,
}

impl Lists {
    /// A run is written when the lists take `memory` bytes.
    pub(super) fn new(memory: usize) -> Self {
        Lists { lists: HashMap::new(), bytes: 0, memory, runs: 0 }
    }

    /// Adds a document; labels ascend from call to call.
    pub(super) fn insert(&mut self, connection: &Connection, label: u32, document: &str) -> Result<()> {
        for trigram in trigrams(document) {
            let list = match self.lists.entry(trigram) {
                Entry::Occupied(found) => found.into_mut(),
                Entry::Vacant(place) => {
                    self.bytes += LIST_BYTES;
                    place.insert(List::default())
                }
            };
            let before = list.bytes.capacity();
            list.push(label);
            self.bytes += list.bytes.capacity() - before;
        }
        if self.bytes >= self.memory { self.write_run(connection) } else { Ok(()) }
    }

    /// Writes what has not been written yet.
    pub(super) fn write_run(&mut self, connection: &Connection) -> Result<()> {
        let mut lists: Vec<(Trigram, List)> = std::mem::take(&mut self.lists).into_iter().collect();
        lists.sort_unstable_by_key(|(trigram, _)| *trigram);
        let mut block = Block::new(self.runs);
        for (trigram, list) in lists {
            if !block.takes(&list) {
                block.write(connection)?;
                block = Block::new(self.runs);
            }
            block.push(trigram, &list);
        }
        block.write(connection)?;
        self.bytes = 0;
        self.runs += 1;
        Ok(())
    }
}

/// Lists of trigrams that follow one another: for each its distance from the one before, how many documents and how many bytes it has,
/// and these.
struct Block {
    run: i64,
    high: Trigram,
    /// The most that a list has.
    documents: u32,
    lists: Vec<u8>,
}

impl Block {
    fn new(run: i64) -> Self {
        Block { run, high: 0, documents: 0, lists: Vec::new() }
    }

    fn takes(&self, list: &List) -> bool {
        self.lists.len() + list.bytes.len() + 3 * MAX_VARINT_BYTES <= BLOCK_BYTES || self.lists.is_empty()
    }

    fn push(&mut self, trigram: Trigram, list: &List) {
        write_varint(&mut self.lists, trigram - self.high);
        write_varint(&mut self.lists, u64::from(list.documents));
        write_varint(&mut self.lists, list.bytes.len() as u64);
        self.lists.extend_from_slice(&list.bytes);
        self.high = trigram;
        self.documents = self.documents.max(list.documents);
    }

    fn write(&self, connection: &Connection) -> Result<()> {
        if self.lists.is_empty() {
            return Ok(());
        }
        let (high, documents) = (self.high.cast_signed(), i64::from(self.documents));
        let crc = checksum(self.run, high, documents, &self.lists);
        connection
            .prepare_cached(
                "INSERT INTO trigrams (run, high, documents, crc, lists) VALUES (?1, ?2, ?3, ?4, ?5)",
            )
            .map_err(sql)?
            .execute(params![self.run, high, documents, crc, self.lists])
            .map_err(sql)?;
        Ok(())
    }
}

fn checksum(run: i64, high: i64, documents: i64, lists: &[u8]) -> i64 {
    RowChecksum::new("trigrams").int(run).int(high).int(documents).bytes(lists).finish()
}

/// The blocks in which a trigram is if it is anywhere, one for each run.
pub(super) struct Found {
    trigram: Trigram,
    rows: Vec<i64>,
    /// How many documents have it, at most.
    pub(super) documents: u64,
}

/// Looks a trigram up without reading its lists.
pub(super) fn find(connection: &Connection, trigram: Trigram) -> Result<Found> {
    let mut query = connection
        .prepare_cached(
            "SELECT run, rowid, documents FROM trigrams WHERE (run, high) >= (?1, ?2) ORDER BY run, high LIMIT 1",
        )
        .map_err(sql)?;
    let mut found = Found { trigram, rows: Vec::new(), documents: 0 };
    let mut run = 0_i64;
    loop {
        let row: Option<(i64, i64, i64)> = query
            .query_row(params![run, trigram.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()
            .map_err(sql)?;
        let Some((at, row, documents)) = row else { return Ok(found) };
        if at == run {
            found.rows.push(row);
            found.documents = found.documents.saturating_add(documents.unsigned_abs());
        }
        // A row of a later run: this one has only lesser trigrams.
        let Some(next) = run.checked_add(1) else { return Ok(found) };
        run = next.max(at);
    }
}

/// The number of runs.
pub(super) fn runs(connection: &Connection) -> Result<u64> {
    let last: Option<i64> =
        connection.query_row("SELECT max(run) FROM trigrams", [], |row| row.get(0)).map_err(sql)?;
    Ok(last.map_or(0, |last| last.unsigned_abs().saturating_add(1)))
}

impl Found {
    /// The labels of the documents that have the trigram.
    pub(super) fn labels(&self, connection: &Connection) -> Result<RoaringBitmap> {
        let mut query = connection
            .prepare_cached("SELECT run, high, documents, crc, lists FROM trigrams WHERE rowid = ?1")
            .map_err(sql)?;
        let mut labels = RoaringBitmap::new();
        for row in &self.rows {
            let mut rows = query.query([row]).map_err(sql)?;
            let row = rows.next().map_err(sql)?.ok_or_else(|| bad_row("trigrams"))?;
            let [run, high, documents, crc] = [0, 1, 2, 3].map(|column| row.get::<_, i64>(column));
            let lists = blob(row, 4)?;
            if checksum(run.map_err(sql)?, high.map_err(sql)?, documents.map_err(sql)?, lists)
                != crc.map_err(sql)?
            {
                return Err(bad_row("trigrams"));
            }
            labels |= labels_in(lists, self.trigram).ok_or_else(|| bad_row("trigrams"))?;
        }
        Ok(labels)
    }
}

/// The labels of a trigram in a block, none if it is not there; `None` if the block is not one.
fn labels_in(mut block: &[u8], wanted: Trigram) -> Option<RoaringBitmap> {
    let mut trigram: Trigram = 0;
    while !block.is_empty() {
        trigram = trigram.checked_add(read_varint(&mut block)?)?;
        let documents = read_varint(&mut block)?;
        let bytes = usize::try_from(read_varint(&mut block)?).ok()?;
        let (list, rest) = block.split_at_checked(bytes)?;
        if trigram == wanted {
            return read_list(list, documents);
        }
        if trigram > wanted {
            break;
        }
        block = rest;
    }
    Some(RoaringBitmap::new())
}

fn read_list(mut list: &[u8], documents: u64) -> Option<RoaringBitmap> {
    // A label takes a byte at least, so that this is no more than what was read.
    let documents = usize::try_from(documents).ok().filter(|documents| *documents <= list.len())?;
    let mut labels = Vec::with_capacity(documents);
    let mut label = 0_u32;
    while !list.is_empty() {
        label = label.checked_add(u32::try_from(read_varint(&mut list)?).ok()?)?;
        labels.push(label);
    }
    if labels.len() == documents { RoaringBitmap::from_sorted_iter(labels).ok() } else { None }
}

/// Writes seven bits a byte, the lowest first; a byte of 128 or more is not the last.
fn write_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..MAX_VARINT_BYTES {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if *byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// Whether a block of lists can be read.
#[cfg(feature = "fuzzing")]
pub(crate) fn reads_block(bytes: &[u8]) -> bool {
    trigrams("abc").all(|trigram| labels_in(bytes, trigram).is_some())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::lookup::schema;

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        schema::create(&connection, true).unwrap();
        connection
    }

    fn labels(connection: &Connection, text: &str) -> Vec<u32> {
        let found = find(connection, trigrams(text).next().unwrap()).unwrap();
        let labels = found.labels(connection).unwrap();
        assert!(labels.len() <= found.documents);
        labels.iter().collect()
    }

    #[test]
    fn trigrams_are_of_characters_and_sort_as_texts() {
        assert_eq!(trigrams("\u{0}a").count(), 0);
        assert_eq!(trigrams("\u{10ffff}\u{e4}\u{1f600}\u{0}").count(), 2);
        let mut texts = ["abc", "abd", "ab\u{e4}", "a\u{10ffff}a", "b\u{0}\u{0}", "\u{4e2d}\u{6587}z", "ABC"];
        texts.sort_unstable();
        assert!(texts.map(|text| trigrams(text).next()).is_sorted());
    }

    #[test]
    fn a_list_that_is_long_has_a_block_of_its_own() {
        let connection = database();
        let mut lists = Lists::new(usize::MAX);
        for label in 0..100_000 {
            lists.insert(&connection, label, &format!("the {}", label % 7_000)).unwrap();
        }
        lists.write_run(&connection).unwrap();
        assert_eq!(labels(&connection, "the"), (0..100_000).collect::<Vec<u32>>());
        assert_eq!(
            labels(&connection, "699").len(),
            (0..100_000).filter(|l| (l % 7_000).to_string().contains("699")).count()
        );
        assert_eq!(labels(&connection, "xyz"), [0; 0]);
        assert_eq!(labels(&connection, "\u{0}\u{0}\u{0}"), [0; 0]);
        assert!(find(&connection, TRIGRAM_MASK).unwrap().rows.is_empty());
    }

    proptest! {
        /// Memory for a few trigrams only makes many runs.
        #[test]
        fn runs_hold_what_was_inserted(
            documents in prop::collection::vec("[a-c\u{0}\u{e4}]{0,12}", 0..60),
            gap in 1..9_000_u32,
            memory in 1..20_000_usize
        ) {
            let connection = database();
            let mut lists = Lists::new(memory);
            let mut expected: BTreeMap<Trigram, Vec<u32>> = BTreeMap::new();
            for (label, document) in (0..).step_by(gap as usize).zip(&documents) {
                lists.insert(&connection, label, document).unwrap();
                for trigram in trigrams(document) {
                    let labels = expected.entry(trigram).or_default();
                    if labels.last() != Some(&label) { labels.push(label) }
                }
            }
            lists.write_run(&connection).unwrap();
            for (trigram, expected) in expected {
                let found = find(&connection, trigram).unwrap();
                prop_assert!(found.documents >= expected.len() as u64);
                let labels: Vec<u32> = found.labels(&connection).unwrap().iter().collect();
                prop_assert_eq!(labels, expected);
            }
        }

        #[test]
        fn bytes_that_are_no_block_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for trigram in trigrams("abcd").chain([0, 1, 5]) {
                let _ = labels_in(&bytes, trigram);
            }
        }
    }
}
