//! Lists of ids that requests name: each id hashed once, and long lists recognised when they come again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ferrochrome_blockstore::hash_id;
use ferrochrome_types::{Error, Result};
use parking_lot::Mutex;

/// Lists of at least so many ids are recognised when they come again; shorter ones are looked up in less time than that saves.
const RECOGNISED_IDS: usize = 64;
/// Most lists that are kept to be recognised, and the bytes that they may take together.
const RECOGNISED_LISTS: usize = 256;
const RECOGNISED_BYTES: usize = 16 << 20;
/// Looking up so many ids takes longer than handing the work to another thread.
const LONG_LIST: usize = 1_500;
/// A free place in the table of different ids.
const FREE: u32 = u32::MAX;

/// Ids as a request names them. A long list that equals an earlier one, id for id, is the very same object while the earlier one
/// is kept, so that what was found for it can be remembered by its number.
///
/// Collected from ids; clones share one list.
#[derive(Clone, Debug)]
pub struct IdList(Arc<Ids>);

#[derive(Debug)]
struct Ids {
    /// Never given twice; `None` for a list that is not recognised.
    number: Option<u64>,
    digest: u64,
    /// All ids, one after the other.
    text: Box<str>,
    /// Where each id ends.
    ends: Box<[u32]>,
    hashes: Box<[u64]>,
    /// A hash table with open addressing: places of the different ids.
    table: Box<[u32]>,
    different: usize,
}

/// Lists that are recognised, the one that came last in front.
static RECENT: Mutex<VecDeque<IdList>> = Mutex::new(VecDeque::new());

/// Whether it is known, without looking at the ids, that the lists are the same.
impl PartialEq for IdList {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for IdList {}

impl<T: AsRef<str>> FromIterator<T> for IdList {
    fn from_iter<I: IntoIterator<Item = T>>(ids: I) -> Self {
        let (mut text, mut ends) = (String::new(), Vec::new());
        for id in ids {
            text.push_str(id.as_ref());
            // Requests are far smaller than 4 GiB.
            ends.push(text.len() as u32);
        }
        Self::recognised(&text, &ends).unwrap_or_else(|| Self::remember(text.into(), ends.into()))
    }
}

impl IdList {
    /// A list of the ids that lie in `text` one after the other and end at `ends`, in bytes.
    ///
    /// # Errors
    /// `InvalidArgument` if that is not text cut between characters.
    pub fn packed(text: &[u8], ends: &[u32]) -> Result<Self> {
        let bad = || Error::invalid("ids do not end where they are said to");
        let text = std::str::from_utf8(text).map_err(|_| bad())?;
        if let Some(list) = Self::recognised(text, ends) {
            return Ok(list);
        }
        let cuts = ends.is_sorted() && ends.iter().all(|end| text.is_char_boundary(*end as usize));
        if !cuts || ends.last().map_or(0, |end| *end as usize) != text.len() {
            return Err(bad());
        }
        Ok(Self::remember(text.into(), ends.into()))
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.0.ends.len()
    }

    /// Whether there are no ids.
    pub fn is_empty(&self) -> bool {
        self.0.ends.is_empty()
    }

    /// Whether no two ids are equal.
    pub fn is_distinct(&self) -> bool {
        self.0.different == self.len()
    }

    /// Whether looking the ids up takes longer than handing the work to another thread.
    pub fn is_long(&self) -> bool {
        self.len() >= LONG_LIST
    }

    pub(crate) fn number(&self) -> Option<u64> {
        self.0.number
    }

    /// Number of different ids.
    pub(crate) fn different(&self) -> usize {
        self.0.different
    }

    /// The id at `place`.
    pub(crate) fn id(&self, place: usize) -> &str {
        self.0.id(place)
    }

    /// The [`hash_id`] of each id.
    pub(crate) fn hashes(&self) -> &[u64] {
        &self.0.hashes
    }

    /// Whether the list has this id.
    pub(crate) fn contains(&self, id: &str) -> bool {
        let slot = find_slot(&self.0.table, hash_id(id), |place| self.id(place as usize) == id);
        slot.is_some_and(|slot| self.0.table[slot] != FREE)
    }

    /// The list with this text that came before, if it is still known. It is in front then.
    fn recognised(text: &str, ends: &[u32]) -> Option<Self> {
        if ends.len() < RECOGNISED_IDS {
            return None;
        }
        let digest = hash_id(text);
        // The digest finds the list; that it is the same is seen by comparing it whole.
        let is_same =
            |IdList(list): &IdList| list.digest == digest && *list.ends == *ends && *list.text == *text;
        let mut recent = RECENT.lock();
        let at = recent.iter().position(is_same)?;
        let list = recent.remove(at)?;
        recent.push_front(list.clone());
        Some(list)
    }

    fn remember(text: Box<str>, ends: Box<[u32]>) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let is_recognised = ends.len() >= RECOGNISED_IDS;
        let mut list = Ids {
            number: is_recognised.then(|| NUMBERS.fetch_add(1, Ordering::Relaxed)),
            digest: if is_recognised { hash_id(&text) } else { 0 },
            text,
            hashes: Box::default(),
            table: vec![FREE; (2 * ends.len()).next_power_of_two()].into(),
            different: 0,
            ends,
        };
        list.hashes = (0..list.ends.len()).map(|place| hash_id(list.id(place))).collect();
        list.fill_table();
        let list = IdList(Arc::new(list));
        if is_recognised && list.0.bytes() <= RECOGNISED_BYTES {
            keep(list.clone());
        }
        list
    }
}

impl Ids {
    fn id(&self, place: usize) -> &str {
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.text[start as usize..self.ends[place] as usize]
    }

    fn fill_table(&mut self) {
        let mut table = std::mem::take(&mut self.table);
        for place in 0..self.ends.len() {
            let (hash, id) = (self.hashes[place], self.id(place));
            let is_same = |other: u32| self.hashes[other as usize] == hash && self.id(other as usize) == id;
            if let Some(slot) = find_slot(&table, hash, is_same).filter(|slot| table[*slot] == FREE) {
                table[slot] = place as u32;
                self.different += 1;
            }
        }
        self.table = table;
    }

    fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.text.len()
            + size_of_val(&*self.ends)
            + size_of_val(&*self.hashes)
            + size_of_val(&*self.table)
    }
}

/// The slot of the entry for which `is_same`, or the free one where it belongs. A table is never full.
fn find_slot(table: &[u32], hash: u64, is_same: impl Fn(u32) -> bool) -> Option<usize> {
    let mask = table.len() - 1;
    let start = hash as usize;
    (0..table.len())
        .map(|step| start.wrapping_add(step) & mask)
        .find(|slot| table[*slot] == FREE || is_same(table[*slot]))
}

/// Keeps a list to be recognised, and gives up those that did not come for the longest time.
fn keep(list: IdList) {
    let mut recent = RECENT.lock();
    recent.push_front(list);
    let mut bytes: usize = recent.iter().map(|list| list.0.bytes()).sum();
    while recent.len() > RECOGNISED_LISTS || bytes > RECOGNISED_BYTES {
        let Some(oldest) = recent.pop_back() else { break };
        bytes -= oldest.0.bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(prefix: &str, count: usize) -> Vec<String> {
        (0..count).map(|i| format!("{prefix}{i}")).collect()
    }

    fn pack(ids: &[String]) -> (Vec<u8>, Vec<u32>) {
        let mut end = 0;
        let ends = ids.iter().map(|id| {
            end += id.len() as u32;
            end
        });
        (ids.concat().into_bytes(), ends.collect())
    }

    #[test]
    fn knows_its_ids() {
        for ids in [vec![], vec!["a".to_owned()], vec!["".into(), "ä".into(), "".into()], many("x", 5_000)] {
            let (text, ends) = pack(&ids);
            for list in [IdList::from_iter(&ids), IdList::packed(&text, &ends).unwrap()] {
                assert_eq!((0..list.len()).map(|i| list.id(i)).collect::<Vec<_>>(), ids);
                assert!(ids.iter().all(|id| list.contains(id)));
                assert!(!list.contains("b") && !list.contains("x"));
                assert_eq!(list.is_distinct(), ids.len() != 3);
                assert_eq!(list.is_empty(), ids.is_empty());
            }
        }
        assert_eq!(IdList::from_iter(["", "ä", ""]).different(), 2);
    }

    #[test]
    fn ids_whose_hashes_meet_in_a_slot_are_told_apart() {
        // 128 slots for 64 ids: many begin at the same one.
        let ids = many("slot", 64);
        let list = IdList::from_iter(&ids);
        assert!(list.is_distinct());
        assert!((64..10_000).all(|i| !list.contains(&format!("slot{i}"))));
    }

    #[test]
    fn a_long_list_is_recognised_and_only_that() {
        let ids = many("again", 100);
        let (text, ends) = pack(&ids);
        let list = IdList::from_iter(&ids);
        assert!(list.number().is_some());
        assert!(Arc::ptr_eq(&list.0, &IdList::from_iter(&ids).0));
        assert!(Arc::ptr_eq(&list.0, &IdList::packed(&text, &ends).unwrap().0));

        let mut other = ids.clone();
        other.swap(3, 70);
        assert_ne!(IdList::from_iter(&other).number(), list.number());
        // The same text, cut elsewhere.
        let mut cut = ends.clone();
        cut[50] -= 1;
        assert_ne!(IdList::packed(&text, &cut).unwrap().number(), list.number());
        assert_eq!(IdList::from_iter(many("few", 10)).number(), None);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let first = IdList::from_iter(many("bounded", 100));
        for i in 0..RECOGNISED_LISTS {
            IdList::from_iter(many(&format!("bounded{i}-"), 100));
        }
        assert_ne!(IdList::from_iter(many("bounded", 100)).number(), first.number());
        let long = "y".repeat(RECOGNISED_BYTES / 64);
        IdList::from_iter(many(&long, 64));
        let recent = RECENT.lock();
        assert!(recent.iter().map(|list| list.0.bytes()).sum::<usize>() <= RECOGNISED_BYTES);
    }

    #[test]
    fn refuses_cuts_that_are_none() {
        for (text, ends) in [
            ("aä".as_bytes(), &[2, 3][..]),
            (b"ab", &[1]),
            (b"ab", &[2, 1]),
            (b"ab", &[1, 3]),
            (b"ab", &[]),
            (&[0xff], &[1]),
        ] {
            assert!(IdList::packed(text, ends).is_err(), "{text:?} {ends:?}");
        }
    }
}
