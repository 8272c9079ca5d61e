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
/// Where members are a smaller part of all rows, they are not looked for in stretches.
const SPARSE_PART: u64 = 64;
/// What passes its sketch waits until so many have: fewer than a batch, since they show the others how near is near.
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
    let end = codes.len() as u32;
    let of = |labels: Range<u32>| {
        let mut best = Best::new(codes, query, depth, cancel);
        match members {
            Some(members) if count * SPARSE_PART < u64::from(end) => {
                for_each_batch(members, labels, |batch| best.score(batch))?;
            }
            _ => {
                let mut sieve = Sieve::new(&mut best);
                for_each_stretch(members, labels, |rows, labels| sieve.take(rows, labels))?;
                sieve.score_passing()?;
            }
        }
        Ok(best.shortlist.into_sorted())
    };
    let threads = if rayon::current_thread_index().is_some() { rayon::current_num_threads() } else { 1 };
    let is_sketched = codes.has_sketches() && count * SKETCHED_PART as u64 >= u64::from(end);
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
struct Sieve<'a, 'b, C: CodeRows> {
    best: &'b mut Best<'a, C>,
    /// The query, once there was a stretch to look through.
    signs: Option<SketchQuery>,
    bounds: [f32; STRETCH as usize],
    /// What has passed and is not scored yet.
    passing: [u32; BATCH + STRETCH as usize],
    waiting: usize,
    seen: usize,
    passed: usize,
}

impl<'a, 'b, C: CodeRows> Sieve<'a, 'b, C> {
    fn new(best: &'b mut Best<'a, C>) -> Self {
        Sieve {
            best,
            signs: None,
            bounds: [0.0; STRETCH as usize],
            passing: [0; BATCH + STRETCH as usize],
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
        let is_dense = labels.len() * SKETCHED_PART >= rows.len();
        let keeps_out = self.best.shortlist.threshold() < f32::INFINITY && !lets_most_pass;
        if is_dense && keeps_out && self.best.codes.has_sketches() {
            self.look_through(rows, labels)
        } else {
            self.pass(labels)
        }
    }

    fn look_through(&mut self, rows: Range<u32>, labels: &[u32]) -> Result<()> {
        self.best.cancel.check()?;
        let Best { codes, query, shortlist, .. } = &*self.best;
        let signs = self.signs.get_or_insert_with(|| SketchQuery::new(&query.codes));
        let (begin, threshold) = (rows.start, shortlist.threshold());
        codes.bounds((query, signs), begin as usize..rows.end as usize, &mut self.bounds);
        let before = self.waiting;
        for &label in labels {
            self.passing[self.waiting] = label;
            // What is no number, as factors of a forged file may make it, passes.
            self.waiting += 1 - usize::from(self.bounds[(label - begin) as usize] > threshold);
        }
        self.seen += labels.len();
        self.passed += self.waiting - before;
        if self.waiting >= PASSING { self.score_passing() } else { Ok(()) }
    }

    fn pass(&mut self, labels: &[u32]) -> Result<()> {
        self.passing[self.waiting..][..labels.len()].copy_from_slice(labels);
        self.waiting += labels.len();
        if self.waiting >= BATCH { self.score_passing() } else { Ok(()) }
    }

    fn score_passing(&mut self) -> Result<()> {
        self.best.score(&self.passing[..self.waiting])?;
        self.best.shortlist.tighten();
        self.waiting = 0;
        Ok(())
    }
}

/// Calls `each` with up to [`BATCH`] of the members among `labels` at a time.
fn for_each_batch(
    members: &RoaringBitmap,
    labels: Range<u32>,
    mut each: impl FnMut(&[u32]) -> Result<()>,
) -> Result<()> {
    let mut batch = [0_u32; BATCH];
    let (mut count, mut outcome) = (0, Ok(()));
    // Bitmaps are faster from inside: their iterators find out with every step where they are. What follows an error is passed over.
    members.range(labels).for_each(|label| {
        batch[count] = label;
        count += 1;
        if count == BATCH {
            count = 0;
            if outcome.is_ok() {
                outcome = each(&batch);
            }
        }
    });
    outcome?;
    each(&batch[..count])
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
            let members = (!whole).then_some(&members);
            let labels = begin * STRETCH..end;
            let mut found = Vec::new();
            for_each_stretch(members, labels.clone(), |rows, labels| {
                assert!(!labels.is_empty() && rows.start % STRETCH == 0 && rows.len() <= STRETCH as usize);
                assert!(labels.iter().all(|label| rows.contains(label)));
                found.extend_from_slice(labels);
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
