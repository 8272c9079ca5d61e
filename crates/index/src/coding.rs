use std::ops::Range;

use ferrochrome_types::{CancelToken, Error, Metric, Result, VectorRows};
use rayon::prelude::*;
use roaring::RoaringBitmap;

use crate::exact::{check_dimension, fetch_and_rescore};
use crate::parameters::LAYOUT_VERSION;
use crate::quantizer::{Bits, CodeQuery};
use crate::shortlist::{Candidate, Shortlist};
use crate::storage::{CodeRows, Resident, Storage};
use crate::{Hit, Parameters, Quantization, ScanOptions, SearchCounts, exact_search};

/// Rows scored by one call of a kernel in a scan.
const SCAN_BATCH: usize = 512;

/// Bytes of codes from which on several threads share a scan: to wake one up takes as long as to read a third of them.
const SHARED_SCAN_BYTES: u64 = 6 << 20;
/// The same where they are awake.
const SHARED_SCAN_BYTES_AWAKE: u64 = 1 << 20;
/// Shares of a scan a thread: members lie unevenly.
const SHARES_PER_THREAD: usize = 3;

/// The k that recall and depth are measured for.
pub(crate) const CALIBRATED_K: usize = 10;

/// Rows to be rescored in a search with `ef`, at least: codes are not to waste what a wide walk finds.
pub(crate) fn depth_of_ef(ef: usize) -> usize {
    ef / 8
}

/// How an index compares: codes, or none, and how many of the best by code are rescored.
#[derive(Debug)]
pub(crate) struct Coding<S: Storage = Resident> {
    pub(crate) metric: Metric,
    pub(crate) dim: usize,
    pub(crate) len: usize,
    pub(crate) seed: u64,
    /// What the build was asked for.
    pub(crate) asked: Quantization,
    /// `None`: the f32 rows themselves.
    pub(crate) codes: Option<S::Codes>,
    /// Rows rescored in a search for [`CALIBRATED_K`].
    pub(crate) rescore_depth: usize,
    /// recall@10 at that depth, of some rows as queries among all.
    pub(crate) recall: Option<f32>,
}

impl<S: Storage> Coding<S> {
    /// Rows to be rescored in a search for `k`.
    pub(crate) fn depth(&self, k: usize) -> usize {
        self.rescore_depth.saturating_mul(k.max(CALIBRATED_K)).div_ceil(CALIBRATED_K)
    }

    pub(crate) fn check(&self, query: &[f32], rows: &dyn VectorRows) -> Result<()> {
        check_dimension(query, self.dim)?;
        if rows.dim() != self.dim || rows.len() < self.len {
            return Err(Error::invalid(format!(
                "the index is of {} vectors of {} components, the rows given with it are {} of {}",
                self.len,
                self.dim,
                rows.len(),
                rows.dim()
            )));
        }
        Ok(())
    }

    /// Rows to be rescored in a scan. What a filter leaves may all lie far from the query, where distances differ less and codes tell
    /// them apart worse.
    fn scan_depth(&self, k: usize, least_depth: usize, filtered: bool) -> usize {
        let depth = self.depth(k).max(least_depth);
        if filtered { 2 * depth } else { depth }
    }

    /// See [`VectorIndex::scan`](crate::VectorIndex::scan). Rescores at least `least_depth` rows.
    pub(crate) fn scan(
        &self,
        query: &[f32],
        rows: &dyn VectorRows,
        options: &ScanOptions<'_>,
        least_depth: usize,
    ) -> Result<Vec<Hit>> {
        self.check(query, rows)?;
        let ScanOptions { members, cancel, .. } = *options;
        let k = options.k.min(self.len);
        let end = self.len as u32;
        let Some(codes) = &self.codes else {
            let rows = FirstRows { rows, len: self.len };
            return exact_search(self.metric, query, &rows, members, k, cancel);
        };
        let depth = self.scan_depth(k, least_depth, members.is_some());
        match members {
            None if depth >= self.len => return fetch_and_rescore(self.metric, query, rows, 0..end, k),
            Some(members) if depth as u64 >= members.len() => {
                return fetch_and_rescore(self.metric, query, rows, members.range(..end), k);
            }
            _ => {}
        }
        let mut code_query = codes.quantizer().new_query()?;
        codes.quantizer().prepare(query, &mut code_query);
        let shortlist = shared_shortlist(codes, &code_query, depth, options)?;
        fetch_and_rescore(self.metric, query, rows, shortlist.iter().map(|c| c.label), k)
    }

    /// See [`VectorIndex::scan_counts`](crate::VectorIndex::scan_counts).
    pub(crate) fn scan_counts(&self, members: usize, k: usize, least_depth: usize) -> SearchCounts {
        let depth = self.scan_depth(k.min(self.len), least_depth, members < self.len);
        match self.codes {
            // So few members are compared in full precision at once.
            _ if depth >= members => SearchCounts { scored: 0, rescored: members },
            None => SearchCounts { scored: members, rescored: 0 },
            Some(_) => SearchCounts { scored: members, rescored: depth },
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.codes.as_ref().map_or(0, CodeRows::memory_bytes)
    }

    pub(crate) fn parameters(&self) -> Parameters {
        let quantizer = self.codes.as_ref().map(CodeRows::quantizer);
        let quantization = match quantizer.map(|q| q.bits) {
            Some(Bits::Four) => "int4",
            Some(Bits::Eight) => "int8",
            None => "none",
        };
        Parameters {
            version: LAYOUT_VERSION,
            metric: self.metric.as_str().into(),
            dim: self.dim,
            len: self.len,
            quantization: quantization.into(),
            quantization_asked: self.asked,
            factors: quantizer.is_some_and(|q| q.step.is_none()),
            step: quantizer.and_then(|q| q.step).unwrap_or(0.0),
            scale: quantizer.map_or(1.0, |q| q.frame.scale),
            seed: self.seed,
            rescore_depth: self.rescore_depth,
            recall: self.recall,
            graph: None,
        }
    }

    pub(crate) fn buffers(&self) -> Result<Vec<(&'static str, &[u8])>> {
        let Some(codes) = &self.codes else { return Ok(Vec::new()) };
        let (rows, factors) = codes.as_bytes()?;
        let mut buffers = vec![("mean", codes.quantizer().frame.mean.as_bytes()), ("codes", rows)];
        buffers.push(("factors", factors));
        buffers.retain(|(_, bytes)| !bytes.is_empty());
        Ok(buffers)
    }
}

/// The `depth` best of the members by code, ascending. On a thread of a pool with several, those share what is much.
fn shared_shortlist<C: CodeRows>(
    codes: &C,
    query: &CodeQuery,
    depth: usize,
    &ScanOptions { members, threads_are_awake, cancel, .. }: &ScanOptions<'_>,
) -> Result<Vec<Candidate>> {
    let of = |labels: Range<u32>| match members {
        None => shortlist(codes, query, labels, depth, cancel),
        Some(members) => shortlist(codes, query, members.range(labels), depth, cancel),
    };
    let end = codes.len() as u32;
    let threads = if rayon::current_thread_index().is_some() { rayon::current_num_threads() } else { 1 };
    let count = members.map_or(codes.len() as u64, RoaringBitmap::len);
    let least = if threads_are_awake { SHARED_SCAN_BYTES_AWAKE } else { SHARED_SCAN_BYTES };
    if threads == 1 || count * (codes.quantizer().row_bytes() as u64) < least {
        return of(0..end);
    }
    let labels = end.div_ceil((threads * SHARES_PER_THREAD) as u32).max(1);
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
    labels: impl Iterator<Item = u32>,
    depth: usize,
    cancel: &CancelToken,
) -> Result<Vec<Candidate>> {
    let mut shortlist = Shortlist::new(depth, codes.len());
    let mut scores = [0_f32; SCAN_BATCH];
    let mut score = |batch: &[u32]| -> Result<()> {
        cancel.check()?;
        codes.score(query, batch, &mut scores)?;
        for (&label, &score) in batch.iter().zip(&scores) {
            shortlist.push(score, label);
        }
        Ok(())
    };
    let mut batch = [0_u32; SCAN_BATCH];
    let (mut count, mut scored) = (0, Ok(()));
    // Bitmaps are faster from inside: their iterators find out with every step where they are. What follows an error is passed over.
    labels.for_each(|label| {
        batch[count] = label;
        count += 1;
        if count == SCAN_BATCH {
            count = 0;
            if scored.is_ok() {
                scored = score(&batch);
            }
        }
    });
    scored?;
    score(&batch[..count])?;
    Ok(shortlist.into_sorted())
}

/// The rows that the index was built from, where the caller holds more.
struct FirstRows<'a> {
    rows: &'a dyn VectorRows,
    len: usize,
}

impl VectorRows for FirstRows<'_> {
    fn dim(&self) -> usize {
        self.rows.dim()
    }

    fn len(&self) -> usize {
        self.len
    }

    fn row(&self, label: u32) -> Result<&[f32]> {
        self.rows.row(label)
    }

    fn prefetch(&self, label: u32) {
        self.rows.prefetch(label);
    }
}
