//! Lists of ids that requests name: each id hashed once, and long lists recognised when they come again.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use ferrochrome_blockstore::hash_id;
use ferrochrome_types::{Error, Result};

use crate::remembered::Remembered;

/// Lists of at least so many ids are recognised when they come again; shorter ones are looked up in less time than that saves.
const RECOGNISED_IDS: usize = 64;
/// Most lists that are known, and the bytes that they may take together.
const KNOWN_LISTS: usize = 1_024;
const KNOWN_BYTES: usize = 16 << 20;
/// Most buckets that hashes are sorted into, as a power of two: their counts stay in the processor's cache.
const MOST_BUCKET_BITS: u32 = 16;
/// Hashes that are sorted in place in a bucket. Only ids that were chosen so, or lists of far more ids than there are buckets, have
/// larger ones.
const SMALL_BUCKET: u32 = 32;
/// Ids that are hashed and looked up together, by one thread.
const TOGETHER: usize = 2_048;
/// Looking up so many ids takes longer than handing the work to another thread.
const LONG_LIST: usize = 1_500;
/// Looking up so many ids, with the help of another thread, holds the calling one up for too long.
const VERY_LONG_LIST: usize = 16_384;

/// Ids as a request names them. A long list that comes again is kept, and from then on one that equals it, id for id, is the very
/// same object, so that what was found for it can be remembered by its number.
///
/// Collected from ids; clones share one list.
#[derive(Clone, Debug)]
pub struct IdList(Arc<Ids>);

#[derive(Debug)]
struct Ids {
    /// Never given twice; `None` for a list that is not recognised.
    number: Option<u64>,
    /// All ids, one after the other.
    text: Box<str>,
    /// Where each id ends.
    ends: Box<[u32]>,
    /// Of each [`TOGETHER`] ids.
    hashes: Box<[OnceLock<Box<[u64]>>]>,
    sorted: OnceLock<HashedPlaces>,
    different: OnceLock<usize>,
}

/// The [`hash_id`]s of ids in ascending order, and the place of the id that each belongs to: equal ids are neighbours.
#[derive(Debug)]
struct HashedPlaces {
    hashes: Box<[u64]>,
    places: Box<[u32]>,
}

/// Lists that came before, by their digests: `None` for one that came once, and is not kept for that.
static KNOWN: LazyLock<Remembered<u64, Option<IdList>>> =
    LazyLock::new(|| Remembered::new(KNOWN_LISTS, KNOWN_BYTES));

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
        let digest = digest(&text, &ends);
        Self::recognised(&text, &ends, digest).unwrap_or_else(|| Self::new(text.into(), ends.into(), digest))
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
        let digest = digest(text, ends);
        if let Some(list) = Self::recognised(text, ends, digest) {
            return Ok(list);
        }
        let cuts = text.is_ascii() || ends.iter().all(|end| text.is_char_boundary(*end as usize));
        if !cuts || !ends.is_sorted() || ends.last().map_or(0, |end| *end as usize) != text.len() {
            return Err(bad());
        }
        Ok(Self::new(text.into(), ends.into(), digest))
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.0.ends.len()
    }

    /// Whether there are no ids.
    pub fn is_empty(&self) -> bool {
        self.0.ends.is_empty()
    }

    /// Whether no two ids are equal. Known at once where all were [found](Self::know_distinct), else their hashes are sorted.
    pub fn is_distinct(&self) -> bool {
        self.different() == self.len()
    }

    /// Says that no two ids are equal, as who looks them up sees where he finds each.
    pub(crate) fn know_distinct(&self) {
        // A second call finds what the first one said.
        _ = self.0.different.set(self.len());
    }

    /// Whether looking the ids up takes longer than handing the work to another thread.
    pub fn is_long(&self) -> bool {
        self.len() >= LONG_LIST
    }

    /// Whether looking the ids up takes long even where the threads of a pool help.
    pub fn is_very_long(&self) -> bool {
        self.len() >= VERY_LONG_LIST
    }

    pub(crate) fn number(&self) -> Option<u64> {
        self.0.number
    }

    /// Number of different ids.
    pub(crate) fn different(&self) -> usize {
        *self.0.different.get_or_init(|| self.0.count_different())
    }

    /// The id at `place`.
    pub(crate) fn id(&self, place: usize) -> &str {
        self.0.id(place)
    }

    /// The UTF-8 of the id at `place`.
    pub(crate) fn bytes_of(&self, place: usize) -> &[u8] {
        self.0.bytes_of(place)
    }

    /// The ids in groups, by the place of the first of each, so that several threads can look them up.
    pub(crate) fn groups(&self) -> impl Iterator<Item = usize> {
        (0..self.len()).step_by(TOGETHER)
    }

    /// The [`hash_id`]s of the ids of a group.
    pub(crate) fn hashes_from(&self, group: usize) -> &[u64] {
        self.0.hashes_from(group)
    }

    /// Whether the list has this id.
    pub(crate) fn contains(&self, id: &str) -> bool {
        let (hash, HashedPlaces { hashes, places }) = (hash_id(id), self.0.sorted());
        let first = hashes.partition_point(|other| *other < hash);
        let equal = hashes[first..].iter().zip(&places[first..]).take_while(|(other, _)| **other == hash);
        equal.into_iter().any(|(_, place)| self.id(*place as usize) == id)
    }

    /// The list with this text that came before, if it is kept.
    fn recognised(text: &str, ends: &[u32], digest: Option<u64>) -> Option<Self> {
        // The digest finds the list; that it is the same is seen by comparing it whole.
        let is_same = |IdList(list): &IdList| *list.ends == *ends && *list.text == *text;
        KNOWN.recall(&digest?).flatten().filter(is_same)
    }

    fn new(text: Box<str>, ends: Box<[u32]>, digest: Option<u64>) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let again = digest.filter(|digest| KNOWN.holds(digest));
        let number = again.map(|_| NUMBERS.fetch_add(1, Ordering::Relaxed));
        let hashes = vec![OnceLock::new(); ends.len().div_ceil(TOGETHER)].into();
        let (sorted, different) = (OnceLock::new(), OnceLock::new());
        let list = IdList(Arc::new(Ids { number, text, ends, hashes, sorted, different }));
        if let Some(digest) = digest {
            let bytes = if again.is_some() { list.0.bytes() } else { 0 };
            KNOWN.remember(digest, bytes, again.map(|_| list.clone()));
        }
        list
    }
}

impl Ids {
    fn id(&self, place: usize) -> &str {
        &self.text[self.span(place)]
    }

    /// Other than [`id`](Self::id) it reads none of them, so that who asks for many ids does not wait for each.
    fn bytes_of(&self, place: usize) -> &[u8] {
        &self.text.as_bytes()[self.span(place)]
    }

    fn span(&self, place: usize) -> Range<usize> {
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        start as usize..self.ends[place] as usize
    }

    fn hashes_from(&self, group: usize) -> &[u64] {
        self.hashes[group / TOGETHER].get_or_init(|| {
            let places = group..self.ends.len().min(group + TOGETHER);
            places.map(|place| hash_id(self.id(place))).collect()
        })
    }

    fn sorted(&self) -> &HashedPlaces {
        let groups = || (0..self.ends.len()).step_by(TOGETHER);
        let hashes = || groups().flat_map(|group| self.hashes_from(group)).copied().collect::<Vec<_>>();
        self.sorted.get_or_init(|| HashedPlaces::of(&hashes()))
    }

    fn count_different(&self) -> usize {
        let HashedPlaces { hashes, places } = self.sorted();
        let mut different = 0;
        let mut first = 0;
        for (at, hash) in hashes.iter().enumerate() {
            if *hash != hashes[first] {
                first = at;
            }
            // Ids that differ may have one hash.
            let is_same = |other: &u32| self.id(*other as usize) == self.id(places[at] as usize);
            different += usize::from(!places[first..at].iter().any(is_same));
        }
        different
    }

    /// With what is found out about the ids later.
    fn bytes(&self) -> usize {
        const OF_AN_ID: usize = size_of::<u32>() + size_of::<u64>() + size_of::<(u64, u32)>();
        size_of::<Self>() + self.text.len() + self.ends.len() * OF_AN_ID
    }
}

impl HashedPlaces {
    /// Sorts the hashes of ids, by their upper bits into buckets of one or two, as hashes are spread evenly, and then the little that
    /// is left.
    fn of(unsorted: &[u64]) -> Self {
        let len = unsorted.len();
        let bits = len.max(2).ilog2().min(MOST_BUCKET_BITS);
        let bucket = |hash: u64| (hash >> (u64::BITS - bits)) as usize;
        let mut ends = vec![0_u32; 1 << bits];
        for hash in unsorted {
            ends[bucket(*hash)] += 1;
        }
        let most = ends.iter().copied().max().unwrap_or_default();
        let mut end = 0;
        for count in &mut ends {
            end += std::mem::replace(count, end);
        }
        let mut sorted = HashedPlaces { hashes: vec![0; len].into(), places: vec![0; len].into() };
        for (place, hash) in (0_u32..).zip(unsorted) {
            let end = &mut ends[bucket(*hash)];
            sorted.hashes[*end as usize] = *hash;
            sorted.places[*end as usize] = place;
            *end += 1;
        }
        if most > SMALL_BUCKET {
            sorted.sort()
        } else {
            sorted.insertion_sort()
        }
        sorted
    }

    fn sort(&mut self) {
        let mut sorted: Vec<(u64, u32)> =
            self.hashes.iter().copied().zip(self.places.iter().copied()).collect();
        sorted.sort_unstable();
        for ((hash, place), sorted) in self.hashes.iter_mut().zip(&mut self.places).zip(sorted) {
            (*hash, *place) = sorted;
        }
    }

    /// Sorts what is nearly sorted, and has equal hashes in the order of their places.
    fn insertion_sort(&mut self) {
        let HashedPlaces { hashes, places } = self;
        for at in 1..hashes.len() {
            let (hash, place) = (hashes[at], places[at]);
            let mut hole = at;
            while hole > 0 && hash < hashes[hole - 1] {
                hashes[hole] = hashes[hole - 1];
                places[hole] = places[hole - 1];
                hole -= 1;
            }
            hashes[hole] = hash;
            places[hole] = place;
        }
    }
}

/// What a list is recognised by, if it is long enough for that.
fn digest(text: &str, ends: &[u32]) -> Option<u64> {
    (ends.len() >= RECOGNISED_IDS).then(|| hash_id(text))
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    /// Held by tests of what is kept, of which one makes room for its own.
    static KEEPING: Mutex<()> = Mutex::new(());

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
    fn hashes_are_sorted_however_they_are_spread() {
        let spread = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let near = |i: u64| spread(i) >> 40;
        let few = |i: u64| spread(i) % 7;
        for count in [0, 1, 2, 100, 5_000] {
            for hash in [&spread as &dyn Fn(u64) -> u64, &near, &few, &|_| u64::MAX] {
                let unsorted: Vec<u64> = (0..count).map(hash).collect();
                let mut expected: Vec<(u64, u32)> = unsorted.iter().copied().zip(0..).collect();
                expected.sort_unstable();
                let HashedPlaces { hashes, places } = HashedPlaces::of(&unsorted);
                assert!(hashes.into_iter().zip(places).eq(expected), "{count}");
            }
        }
    }

    #[test]
    fn equal_ids_are_counted_once_wherever_they_are() {
        let mut ids = many("x", 500);
        ids.extend(many("x", 300));
        ids.push("x7".to_owned());
        let list = IdList::from_iter(&ids);
        assert_eq!((list.len(), list.different(), list.is_distinct()), (801, 500, false));
    }

    #[test]
    fn a_long_list_is_recognised_and_only_that() {
        let _keeping = KEEPING.lock();
        let ids = many("again", 100);
        let (text, ends) = pack(&ids);
        let once = IdList::from_iter(&ids);
        let list = IdList::from_iter(&ids);
        assert!(once.number().is_none() && list.number().is_some());
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
    fn a_list_that_comes_again_stays_known_however_many_come_once() {
        let _keeping = KEEPING.lock();
        let again = || IdList::from_iter(many("stays", 100)).number();
        assert_eq!(again(), None);
        let number = again();
        assert!(number.is_some());
        for i in 0..KNOWN_LISTS * 2 {
            IdList::from_iter(many(&format!("once{i}-"), 64));
            assert_eq!(again(), number);
        }
        let lists: Vec<IdList> =
            (0..KNOWN_LISTS * 2).map(|i| IdList::from_iter(many(&format!("many{i}-"), 64))).collect();
        let known = lists.iter().filter(|list| KNOWN.holds(&hash_id(&list.0.text))).count();
        assert!((1..=KNOWN_LISTS).contains(&known), "{known}");
        let too_large = many(&"y".repeat(KNOWN_BYTES / 64), 64);
        let numbers = [(); 3].map(|()| IdList::from_iter(&too_large).number());
        assert!(numbers[1] != numbers[2]);
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
