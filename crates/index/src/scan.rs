//! Comparing a query with the code of every member.

use std::ops::Range;

use ferrochrome_distance::BLOCK_ROWS;
use ferrochrome_types::{CancelToken, Result};
use rayon::prelude::*;
use roaring::RoaringBitmap;

use crate::member_bits::{AT_ONCE, CONTAINER, MemberBits, WORD, put_labels};
use crate::quantizer::CodeQuery;
use crate::shortlist::{Candidate, Shortlist};
use crate::sketch::{SketchQuery, lowest_bits};
use crate::storage::CodeRows;
use crate::{ScanOptions, Share};

/// Rows compared by one call of a kernel.
const BATCH: usize = 512;
/// Rows whose sketches are looked at at a time.
const STRETCH: u32 = 4_096;
const _: () = assert!(WORD == BLOCK_ROWS, "what begins a word begins a block of sketches");

/// Sketches of rows are looked at where at least this part of them are members.
const SKETCHED_PART: usize = 4;
/// Where members are a smaller part of the rows from the first to the last of them, they are taken from their bitmap as they are listed there.
const SPARSE_PART: usize = 16;
/// What passes its sketch waits until so many have: fewer than a batch, since they show the others how near is near.
const PASSING: usize = 128;
/// Those of a batch but one, of a stretch, and what is written in vain.
const MOST_PASSING: usize = BATCH + STRETCH as usize + AT_ONCE;
/// Rows after which sketches that let more than half of them pass are not looked at any longer.
const TRIED: usize = 4 * BATCH;

/// Bytes of codes from which on several threads share a scan: to wake one up takes as long as to read a third of them.
const SHARED_SCAN_BYTES: usize = 6 << 20;
/// The same where they are awake.
const SHARED_SCAN_BYTES_AWAKE: usize = 1 << 20;
/// Through sketches a byte takes a third of the time.
const SKETCHED_SCAN_GAIN: usize = 3;
/// Shares of a scan a thread: members lie unevenly.
const SHARES_PER_THREAD: usize = 3;

/// Members in the form in which they are found fastest.
enum Members<'a> {
    Few(&'a RoaringBitmap),
    Many(MemberBits),
}

/// The `depth` best of the members by code, ascending. On a thread of a pool with several, those share what is much.
pub(crate) fn shared_shortlist<C: CodeRows>(
    codes: &C,
    query: &CodeQuery,
    depth: usize,
    &ScanOptions { members, threads_are_awake, cancel, .. }: &ScanOptions<'_>,
    share: Share,
) -> Result<Vec<Candidate>> {
    let count = members.map_or(codes.len() as u64, RoaringBitmap::len) as usize;
    let span = span(members, codes.len() as u32);
    let labels = share.of_labels(span.clone(), STRETCH);
    let members = match members {
        Some(members) if count * SPARSE_PART < span.len() => Members::Few(members),
        _ => Members::Many(MemberBits::of(members, codes.len() as u32)?),
    };
    let of = |labels: Range<u32>| {
        let mut best = Best::new(codes, query, depth, cancel);
        match &members {
            Members::Few(members) => for_each_batch(members, labels, |batch| best.score(batch))?,
            Members::Many(members) => {
                let mut sieve = Sieve::new(&mut best);
                for_each_stretch(members, labels, |rows, words| sieve.take(rows, words))?;
                sieve.score_passing()?;
            }
        }
        Ok(best.shortlist.into_sorted())
    };
    let threads = if rayon::current_thread_index().is_some() { rayon::current_num_threads() } else { 1 };
    let gain = if is_sketched(codes, count) { SKETCHED_SCAN_GAIN } else { 1 };
    let least = if threads_are_awake { SHARED_SCAN_BYTES_AWAKE } else { SHARED_SCAN_BYTES };
    if threads == 1 || count * codes.quantizer().row_bytes() < gain * least {
        return of(labels);
    }
    let share = (labels.len().div_ceil(threads * SHARES_PER_THREAD) as u32).next_multiple_of(STRETCH);
    let begins: Vec<u32> = labels.clone().step_by(share as usize).collect();
    let of_share = |begin: u32| of(begin..begin.saturating_add(share).min(labels.end));
    let best: Result<Vec<_>> = begins.into_par_iter().map(of_share).collect();
    let mut best = best?.concat();
    best.sort_unstable_by(Candidate::order);
    best.truncate(depth);
    Ok(best)
}

/// The labels below `end` that a share of a scan looks for members among.
pub(crate) fn labels_of_share(members: Option<&RoaringBitmap>, end: u32, share: Share) -> Range<u32> {
    share.of_labels(span(members, end), STRETCH)
}

/// All stretches from the first that has members to the last member below `end`.
fn span(members: Option<&RoaringBitmap>, end: u32) -> Range<u32> {
    let Some(members) = members else { return 0..end };
    match (members.min(), members.max()) {
        (Some(first), Some(last)) if first < end => {
            first / STRETCH * STRETCH..last.saturating_add(1).min(end)
        }
        _ => 0..0,
    }
}

/// Whether a scan of so many members looks at their sketches first.
pub(crate) fn is_sketched<C: CodeRows>(codes: &C, members: usize) -> bool {
    codes.has_sketches() && is_dense(members, codes.len())
}

/// Whether sketches of rows are worth being looked at, so many of which are members.
fn is_dense(members: usize, rows: usize) -> bool {
    members * SKETCHED_PART >= rows
}

/// The `depth` best of `labels` by code, ascending. Labels are below the codes' length.
pub(crate) fn shortlist<C: CodeRows>(
    codes: &C,
    query: &CodeQuery,
    labels: &[u32],
    depth: usize,
    cancel: &CancelToken,
) -> Result<Vec<Candidate>> {
    let mut best = Best::new(codes, query, depth, cancel);
    best.score(labels)?;
    Ok(best.shortlist.into_sorted())
}

/// The best by code so far.
struct Best<'a, C: CodeRows> {
    codes: &'a C,
    query: &'a CodeQuery,
    cancel: &'a CancelToken,
    shortlist: Shortlist,
    scores: [f32; BATCH],
}

impl<'a, C: CodeRows> Best<'a, C> {
    fn new(codes: &'a C, query: &'a CodeQuery, depth: usize, cancel: &'a CancelToken) -> Self {
        let shortlist = Shortlist::new(depth, codes.len());
        Best { codes, query, cancel, shortlist, scores: [0.0; BATCH] }
    }

    fn score(&mut self, labels: &[u32]) -> Result<()> {
        for labels in labels.chunks(BATCH) {
            self.cancel.check()?;
            self.codes.score(self.query, labels, &mut self.scores)?;
            for (&label, &score) in labels.iter().zip(&self.scores) {
                self.shortlist.push(score, label);
            }
        }
        Ok(())
    }
}

/// Compares by their codes only those that may be among the best by their sketches, where there are any.
struct Sieve<'a, 'b, C: CodeRows> {
    best: &'b mut Best<'a, C>,
    /// The query, once there was a stretch to look through.
    signs: Option<SketchQuery>,
    bounds: [f32; STRETCH as usize],
    passing: Passing,
    seen: usize,
    passed: usize,
}

/// What has passed and is not scored yet.
struct Passing {
    labels: [u32; MOST_PASSING],
    len: usize,
}

impl Passing {
    /// Adds the labels of a word.
    #[inline(always)]
    fn push(&mut self, word: u64, first: u32) {
        self.len += put_labels(word, first, &mut self.labels[self.len..]);
    }
}

impl<'a, 'b, C: CodeRows> Sieve<'a, 'b, C> {
    fn new(best: &'b mut Best<'a, C>) -> Self {
        Sieve {
            best,
            signs: None,
            bounds: [0.0; STRETCH as usize],
            passing: Passing { labels: [0; MOST_PASSING], len: 0 },
            seen: 0,
            passed: 0,
        }
    }

    /// Takes the members among `rows`, at most a stretch that begins a block; `words` are their bits.
    fn take(&mut self, rows: Range<u32>, words: &[u64]) -> Result<()> {
        let (mut first, mut words) = (rows.start, words);
        if self.best.shortlist.threshold() == f32::INFINITY {
            // The first members show how near is near.
            let (showing, others) = words.split_at(words_until(words, BATCH));
            self.pass(first, showing)?;
            first += (showing.len() * WORD) as u32;
            words = others;
        }
        let rows = first..rows.end;
        let lets_most_pass = self.seen >= TRIED && 2 * self.passed > self.seen;
        let keeps_out = self.best.shortlist.threshold() < f32::INFINITY && !lets_most_pass;
        let members = if keeps_out && self.best.codes.has_sketches() { count_ones(words) } else { 0 };
        if members > 0 && is_dense(members, rows.len()) {
            self.seen += members;
            self.look_through(rows, words)
        } else {
            self.pass(first, words)
        }
    }

    fn look_through(&mut self, rows: Range<u32>, words: &[u64]) -> Result<()> {
        self.best.cancel.check()?;
        let Best { codes, query, shortlist, .. } = &*self.best;
        let signs = self.signs.get_or_insert_with(|| SketchQuery::new(&query.codes));
        let (mut first, threshold) = (rows.start, shortlist.threshold());
        codes.bounds((query, signs), rows.start as usize..rows.end as usize, &mut self.bounds);
        let before = self.passing.len;
        for (&members, bounds) in words.iter().zip(self.bounds.as_chunks().0) {
            self.passing.push(members & within(bounds, threshold), first);
            first += WORD as u32;
        }
        self.passed += self.passing.len - before;
        if self.passing.len >= PASSING { self.score_passing() } else { Ok(()) }
    }

    fn pass(&mut self, mut first: u32, words: &[u64]) -> Result<()> {
        for &word in words {
            self.passing.push(word, first);
            first += WORD as u32;
        }
        if self.passing.len >= BATCH { self.score_passing() } else { Ok(()) }
    }

    fn score_passing(&mut self) -> Result<()> {
        self.best.score(&self.passing.labels[..self.passing.len])?;
        self.best.shortlist.tighten();
        self.passing.len = 0;
        Ok(())
    }
}

fn count_ones(words: &[u64]) -> usize {
    words.iter().map(|word| word.count_ones() as usize).sum()
}

/// So many words have that many bits set together, or all have fewer.
fn words_until(words: &[u64], bits: usize) -> usize {
    let mut set = 0;
    let reached = words.iter().position(|word| {
        set += word.count_ones() as usize;
        set >= bits
    });
    reached.map_or(words.len(), |at| at + 1)
}

/// A bit for each bound that is not above the threshold; for what is no number, too, as factors of a forged file may make it.
#[inline(always)]
fn within(bounds: &[f32; WORD], threshold: f32) -> u64 {
    // By way of bytes, as compilers make vectors of them.
    let flags = bounds.map(|bound| 1 - u8::from(bound > threshold));
    let mut bits = [0; 8];
    for (bits, flags) in bits.iter_mut().zip(flags.as_chunks().0) {
        *bits = lowest_bits(u64::from_le_bytes(*flags));
    }
    u64::from_le_bytes(bits)
}

/// Calls `each` with up to [`BATCH`] of the members among `labels` at a time.
fn for_each_batch(
    members: &RoaringBitmap,
    labels: Range<u32>,
    mut each: impl FnMut(&[u32]) -> Result<()>,
) -> Result<()> {
    let mut batch = [0_u32; BATCH];
    let mut count = 0;
    let mut begin = labels.start;
    while begin < labels.end {
        let end = (begin / CONTAINER as u32 + 1).saturating_mul(CONTAINER as u32).min(labels.end);
        // Release 0.12.0 of roaring counts the values of a container that is one whole run in 16 bits and finds none.
        let is_whole = members.contains_range(begin..end);
        let (mut whole, mut listed) = (begin..end, members.range(begin..end));
        loop {
            let free = &mut batch[count..];
            let found = if is_whole {
                free.iter_mut().zip(&mut whole).map(|(slot, label)| *slot = label).count()
            } else {
                listed.next_many(free).len()
            };
            if found == 0 {
                break;
            }
            count += found;
            if count == BATCH {
                each(&batch)?;
                count = 0;
            }
        }
        begin = end;
    }
    each(&batch[..count])
}

/// Calls `each` with every stretch of `labels` and the bits of its members. The first label begins a stretch.
fn for_each_stretch(
    members: &MemberBits,
    labels: Range<u32>,
    mut each: impl FnMut(Range<u32>, &[u64]) -> Result<()>,
) -> Result<()> {
    for begin in labels.clone().step_by(STRETCH as usize) {
        let rows = begin..begin.saturating_add(STRETCH).min(labels.end);
        each(rows.clone(), members.words(rows))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::member_bits::labels_of;

    proptest! {
        #[test]
        fn stretches_and_batches_have_every_member_once(
            runs in prop::collection::vec((0_u32..200_000, 1_u32..70_000), 0..4),
            singles in prop::collection::vec(0_u32..200_000, 0..50),
            whole in any::<bool>(),
            begin in 0_u32..40,
            end in 0_u32..200_000,
        ) {
            let mut members: RoaringBitmap = singles.into_iter().collect();
            for (first, len) in runs {
                members.insert_range(first..first + len);
            }
            members.optimize();
            let labels = begin * STRETCH..end;
            let members = (!whole).then_some(&members);
            let bits = MemberBits::of(members, end).unwrap();
            let mut found = Vec::new();
            for_each_stretch(&bits, labels.clone(), |rows, words| {
                assert!(rows.start % STRETCH == 0 && rows.len() <= STRETCH as usize);
                found.extend(labels_of(words, rows.start));
                Ok(())
            }).unwrap();
            let expected: Vec<u32> =
                labels.clone().filter(|&label| members.is_none_or(|m| m.contains(label))).collect();
            prop_assert_eq!(&found, &expected);
            if let Some(members) = members.filter(|_| !labels.is_empty()) {
                found.clear();
                for_each_batch(members, labels, |batch| {
                    found.extend_from_slice(batch);
                    Ok(())
                }).unwrap();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
