//! Comparing a query with the code of every member.

use std::ops::Range;

use ferrochrome_types::{CancelToken, Result};
use rayon::prelude::*;
use roaring::RoaringBitmap;

use crate::ScanOptions;
use crate::quantizer::CodeQuery;
use crate::shortlist::{Candidate, Shortlist};
use crate::sketch::SketchQuery;
use crate::storage::CodeRows;

/// Rows compared by one call of a kernel.
const BATCH: usize = 512;
/// Labels among which members are looked for at a time: a container of a bitmap is a multiple.
const STRETCH: u32 = 4_096;

/// Sketches of a stretch are looked at where at least this part of its rows are members.
const SKETCHED_PART: usize = 4;
/// What passes its sketch waits until so many have: together they are fetched faster, soon they show how near is near.
const PASSING: usize = 128;
/// Rows after which sketches that let more than half of them pass are not looked at any longer.
const TRIED: usize = 4 * BATCH;

/// Bytes of codes from which on several threads share a scan: to wake one up takes as long as to read a third of them.
const SHARED_SCAN_BYTES: u64 = 6 << 20;
/// The same where they are awake.
const SHARED_SCAN_BYTES_AWAKE: u64 = 1 << 20;
/// Through sketches a byte takes a third of the time.
const SKETCHED_SCAN_GAIN: u64 = 3;
/// Shares of a scan a thread: members lie unevenly.
const SHARES_PER_THREAD: usize = 3;

/// The `depth` best of the members by code, ascending. On a thread of a pool with several, those share what is much.
pub(crate) fn shared_shortlist<C: CodeRows>(
    codes: &C,
    query: &CodeQuery,
    depth: usize,
    &ScanOptions { members, threads_are_awake, cancel, .. }: &ScanOptions<'_>,
) -> Result<Vec<Candidate>> {
    let count = members.map_or(codes.len() as u64, RoaringBitmap::len);
    let signs = codes.sketch_query(query);
    let of = |labels: Range<u32>| {
        let mut sieve = Sieve::new(Best::new(codes, query, depth, cancel), signs.as_ref());
        for_each_stretch(members, labels, |rows, labels| sieve.take(rows, labels))?;
        sieve.finish()
    };
    let end = codes.len() as u32;
    let threads = if rayon::current_thread_index().is_some() { rayon::current_num_threads() } else { 1 };
    let is_sketched = signs.is_some() && count * SKETCHED_PART as u64 >= u64::from(end);
    let gain = if is_sketched { SKETCHED_SCAN_GAIN } else { 1 };
    let least = if threads_are_awake { SHARED_SCAN_BYTES_AWAKE } else { SHARED_SCAN_BYTES };
    if threads == 1 || count * (codes.quantizer().row_bytes() as u64) < gain * least {
        return of(0..end);
    }
    let labels = end.div_ceil((threads * SHARES_PER_THREAD) as u32).next_multiple_of(STRETCH);
    let shares: Vec<u32> = (0..end).step_by(labels as usize).collect();
    let best: Result<Vec<_>> =
        shares.into_par_iter().map(|begin| of(begin..begin.saturating_add(labels).min(end))).collect();
    let mut best = best?.concat();
    best.sort_unstable_by(Candidate::order);
    best.truncate(depth);
    Ok(best)
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
struct Sieve<'a, C: CodeRows> {
    best: Best<'a, C>,
    signs: Option<&'a SketchQuery>,
    bounds: [f32; STRETCH as usize],
    /// What has passed and is not scored yet.
    passing: [u32; PASSING + STRETCH as usize],
    waiting: usize,
    seen: usize,
    passed: usize,
}

impl<'a, C: CodeRows> Sieve<'a, C> {
    fn new(best: Best<'a, C>, signs: Option<&'a SketchQuery>) -> Self {
        Sieve {
            best,
            signs,
            bounds: [0.0; STRETCH as usize],
            passing: [0; PASSING + STRETCH as usize],
            waiting: 0,
            seen: 0,
            passed: 0,
        }
    }

    /// Takes the members `labels` among `rows`.
    fn take(&mut self, rows: Range<u32>, labels: &[u32]) -> Result<()> {
        let mut labels = labels;
        if self.best.shortlist.threshold() == f32::INFINITY {
            // The first rows show how near is near.
            let (first, others) = labels.split_at(labels.len().min(BATCH));
            self.pass(first)?;
            labels = others;
        }
        let lets_most_pass = self.seen >= TRIED && 2 * self.passed > self.seen;
        match self.signs {
            Some(signs) if labels.len() * SKETCHED_PART >= rows.len() && !lets_most_pass => {
                self.look_through(signs, rows, labels)
            }
            _ => self.pass(labels),
        }
    }

    fn look_through(&mut self, signs: &SketchQuery, rows: Range<u32>, labels: &[u32]) -> Result<()> {
        self.best.cancel.check()?;
        let (begin, threshold) = (rows.start, self.best.shortlist.threshold());
        self.best.codes.bounds((self.best.query, signs), begin as usize..rows.end as usize, &mut self.bounds);
        let before = self.waiting;
        for &label in labels {
            self.passing[self.waiting] = label;
            self.waiting += usize::from(self.bounds[(label - begin) as usize] <= threshold);
        }
        self.seen += labels.len();
        self.passed += self.waiting - before;
        self.pass(&[])
    }

    fn pass(&mut self, labels: &[u32]) -> Result<()> {
        self.passing[self.waiting..][..labels.len()].copy_from_slice(labels);
        self.waiting += labels.len();
        if self.waiting >= PASSING { self.score_passing() } else { Ok(()) }
    }

    fn score_passing(&mut self) -> Result<()> {
        self.best.score(&self.passing[..self.waiting])?;
        self.best.shortlist.tighten();
        self.waiting = 0;
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Candidate>> {
        self.score_passing()?;
        Ok(self.best.shortlist.into_sorted())
    }
}

/// Calls `each` with every stretch of `labels` that has members, and with these. The first label begins a block of rows.
fn for_each_stretch(
    members: Option<&RoaringBitmap>,
    labels: Range<u32>,
    mut each: impl FnMut(Range<u32>, &[u32]) -> Result<()>,
) -> Result<()> {
    let mut found = [0_u32; STRETCH as usize];
    let mut begin = labels.start;
    while begin < labels.end {
        let end = (begin / STRETCH + 1).saturating_mul(STRETCH).min(labels.end);
        let count = match members {
            // Release 0.12.0 of roaring counts the values of a container that is one whole run in 16 bits and finds none.
            Some(members) if !members.contains_range(begin..end) => {
                let mut members = members.range(begin..end);
                let mut count = 0;
                // An answer may end with a container.
                loop {
                    match members.next_many(&mut found[count..]).len() {
                        0 => break count,
                        more => count += more,
                    }
                }
            }
            _ => {
                found.iter_mut().zip(begin..end).for_each(|(slot, label)| *slot = label);
                (end - begin) as usize
            }
        };
        if count > 0 {
            each(begin..end, &found[..count])?;
        }
        begin = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn stretches_have_every_member_once(
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
            let members = (!whole).then_some(&members);
            let labels = begin * STRETCH..end;
            let mut found = Vec::new();
            for_each_stretch(members, labels.clone(), |rows, labels| {
                assert!(!labels.is_empty() && rows.start % STRETCH == 0 && rows.len() <= STRETCH as usize);
                assert!(labels.iter().all(|label| rows.contains(label)));
                found.extend_from_slice(labels);
                Ok(())
            }).unwrap();
            let expected: Vec<u32> = labels.filter(|&label| members.is_none_or(|m| m.contains(label))).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
