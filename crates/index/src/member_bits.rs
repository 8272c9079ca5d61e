use std::ops::Range;

use ferrochrome_types::{Error, Result};
use roaring::RoaringBitmap;

/// Labels in a word.
pub(crate) const WORD: usize = 64;
/// Labels of a container of a bitmap.
pub(crate) const CONTAINER: usize = 1 << 16;
/// Most labels that a container lists.
const MOST_LISTED: usize = 4_096;
/// The first two bytes of a bitmap that has containers of runs, and of one that has none.
const WITH_RUNS: u16 = 12_347;
const WITHOUT_RUNS: u16 = 12_346;
/// A bitmap with runs says where containers begin if it has so many.
const WITH_OFFSETS: usize = 4;

/// Members of a bitmap as one bit a label.
///
/// A bitmap gives its members one by one; its standard form in bytes (RoaringFormatSpec) is the only one in which it gives away whole
/// containers, in a hundredth of the time.
#[derive(Debug)]
pub(crate) struct MemberBits {
    words: Vec<u64>,
}

impl MemberBits {
    /// The members below `end`; `None`: all labels are members.
    pub(crate) fn of(members: Option<&RoaringBitmap>, end: u32) -> Result<Self> {
        let mut words = match members {
            Some(members) => Self::words_of(members, end)?,
            None => vec![u64::MAX; (end as usize).div_ceil(WORD)],
        };
        if let Some(last) = words.last_mut() {
            *last &= u64::MAX >> (end.next_multiple_of(WORD as u32) - end);
        }
        Ok(MemberBits { words })
    }

    fn words_of(members: &RoaringBitmap, end: u32) -> Result<Vec<u64>> {
        let mut bytes = Vec::with_capacity(members.serialized_size());
        let unreadable = || Error::internal("a bitmap of members has no standard form");
        members.serialize_into(&mut bytes).map_err(|e| unreadable().with_source(e))?;
        let mut words = vec![0; (end as usize).div_ceil(WORD)];
        fill(&mut words, &bytes).ok_or_else(unreadable)?;
        Ok(words)
    }

    /// The words of `labels`, of which the first begins a word, and the last ends one or is the last of all.
    pub(crate) fn words(&self, labels: Range<u32>) -> &[u64] {
        &self.words[labels.start as usize / WORD..(labels.end as usize).div_ceil(WORD)]
    }
}

/// Labels that are written at a time, wanted or not: cheaper than a branch after each that nobody can foresee.
pub(crate) const AT_ONCE: usize = 8;

/// Writes the labels of a word to the first slots, and anything behind them; `first` is that of its lowest bit. Returns how many there are.
///
/// The slots are at least a word's and [`AT_ONCE`].
#[inline(always)]
pub(crate) fn put_labels(word: u64, first: u32, slots: &mut [u32]) -> usize {
    let mut rest = word;
    for slots in slots.as_chunks_mut::<AT_ONCE>().0 {
        if rest == 0 {
            break;
        }
        for slot in slots {
            *slot = first + rest.trailing_zeros();
            rest &= rest.wrapping_sub(1);
        }
    }
    word.count_ones() as usize
}

/// Sets the bits of a serialised bitmap. `None` if the bytes are none.
fn fill(words: &mut [u64], bytes: &[u8]) -> Option<()> {
    let mut bytes = bytes;
    let cookie = take_u16(&mut bytes)?;
    let high = usize::from(take_u16(&mut bytes)?);
    let (containers, runs) = match cookie {
        WITH_RUNS => (high + 1, bytes.split_off(..(high + 1).div_ceil(8))?),
        WITHOUT_RUNS => {
            (usize::from(take_u16(&mut bytes)?) | usize::from(take_u16(&mut bytes)?) << 16, &[][..])
        }
        _ => return None,
    };
    let mut headers = bytes.split_off(..4 * containers)?;
    if runs.is_empty() || containers >= WITH_OFFSETS {
        bytes.split_off(..4 * containers)?;
    }
    for container in 0..containers {
        let first = usize::from(take_u16(&mut headers)?) * CONTAINER / WORD;
        let labels = usize::from(take_u16(&mut headers)?) + 1;
        let end = (first + CONTAINER / WORD).min(words.len());
        let words = words.get_mut(first..end).unwrap_or_default();
        let is_run = runs.get(container / 8).is_some_and(|flags| flags >> (container % 8) & 1 == 1);
        if is_run {
            for _ in 0..take_u16(&mut bytes)? {
                let (begin, more) = (usize::from(take_u16(&mut bytes)?), usize::from(take_u16(&mut bytes)?));
                set_range(words, begin..begin + more + 1);
            }
        } else if labels > MOST_LISTED {
            let (stored, _) = bytes.split_off(..CONTAINER / 8)?.as_chunks::<8>();
            words.iter_mut().zip(stored).for_each(|(word, bytes)| *word = u64::from_le_bytes(*bytes));
        } else {
            for label in bytes.split_off(..2 * labels)?.as_chunks().0 {
                let label = usize::from(u16::from_le_bytes(*label));
                if let Some(word) = words.get_mut(label / WORD) {
                    *word |= 1 << (label % WORD);
                }
            }
        }
    }
    Some(())
}

fn set_range(words: &mut [u64], labels: Range<usize>) {
    for (at, word) in words.iter_mut().enumerate().take(labels.end.div_ceil(WORD)).skip(labels.start / WORD) {
        let from = labels.start.saturating_sub(at * WORD);
        let behind = (WORD * (at + 1)).saturating_sub(labels.end);
        *word |= (u64::MAX << from) & (u64::MAX >> behind);
    }
}

fn take_u16(bytes: &mut &[u8]) -> Option<u16> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u16::from_le_bytes(*taken))
}

/// The labels of words, to look at; `first` is that of the lowest bit of all.
#[cfg(test)]
pub(crate) fn labels_of(words: &[u64], first: u32) -> Vec<u32> {
    let mut labels = Vec::new();
    let mut slots = [0; WORD + AT_ONCE];
    for (at, &word) in words.iter().enumerate() {
        let count = put_labels(word, first + (at * WORD) as u32, &mut slots);
        labels.extend_from_slice(&slots[..count]);
    }
    labels
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn has_every_member_below_the_end(
            runs in prop::collection::vec((0_u32..400_000, 1_u32..140_000), 0..6),
            singles in prop::collection::vec(0_u32..400_000, 0..50),
            halves in prop::collection::vec(0_u32..6, 0..3),
            optimized in any::<bool>(),
            end in 0_u32..400_000,
        ) {
            let mut members: RoaringBitmap = singles.into_iter().collect();
            for (first, len) in runs {
                members.insert_range(first..first + len);
            }
            for half in halves {
                members.extend((half * 65_536..(half + 1) * 65_536).step_by(2));
            }
            if optimized {
                members.optimize();
            }
            let labels = |members| labels_of(MemberBits::of(members, end).unwrap().words(0..end), 0);
            let expected: Vec<u32> = members.iter().take_while(|&label| label < end).collect();
            prop_assert!(labels(Some(&members)) == expected);
            prop_assert!(labels(None).into_iter().eq(0..end));
        }
    }

    #[test]
    fn bytes_that_end_too_early_are_refused() {
        let mut members: RoaringBitmap = (0..9_000).step_by(2).chain([70_000]).collect();
        members.insert_range(140_000..150_000);
        members.optimize();
        let mut bytes = Vec::new();
        members.serialize_into(&mut bytes).unwrap();
        assert!(fill(&mut [0; 3_000], &bytes).is_some());
        for len in 0..bytes.len() {
            assert!(fill(&mut [0; 3_000], &bytes[..len]).is_none(), "{len}");
        }
    }
}
