use ferrochrome_types::{Error, Metric, Result, VectorRows};

use crate::exact::{check_dimension, exact_search_among, fetch_and_rescore};
use crate::parameters::LAYOUT_VERSION;
use crate::quantizer::Bits;
use crate::scan::{is_sketched, labels_of_share, shared_shortlist};
use crate::shortlist::Candidate;
use crate::storage::{CodeRows, Resident, Storage};
use crate::{Hit, Parameters, Quantization, ScanOptions, SearchCounts, Share};

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

    /// A whole scan. Rescores at least `least_depth` rows.
    pub(crate) fn scan(
        &self,
        query: &[f32],
        rows: &dyn VectorRows,
        options: &ScanOptions<'_>,
        least_depth: usize,
    ) -> Result<Vec<Hit>> {
        let candidates = self.scan_share(query, rows, options, Share::WHOLE, least_depth)?;
        self.nearest_of(query, rows, options, candidates, least_depth)
    }

    /// See [`VectorIndex::scan_share`](crate::VectorIndex::scan_share).
    pub(crate) fn scan_share(
        &self,
        query: &[f32],
        rows: &dyn VectorRows,
        options: &ScanOptions<'_>,
        share: Share,
        least_depth: usize,
    ) -> Result<Vec<Candidate>> {
        self.check(query, rows)?;
        let ScanOptions { members, cancel, .. } = *options;
        let k = options.k.min(self.len);
        let labels = labels_of_share(members, self.len as u32, share);
        let Some(codes) = &self.codes else {
            let hits = exact_search_among(self.metric, query, rows, (members, labels), k, cancel)?;
            return Ok(hits
                .into_iter()
                .map(|hit| Candidate { score: hit.distance, label: hit.label })
                .collect());
        };
        let depth = self.scan_depth(k, least_depth, members.is_some());
        let unscored = |label| Candidate { score: 0.0, label };
        match members {
            None if depth >= self.len => return Ok(labels.map(unscored).collect()),
            Some(members) if depth as u64 >= members.len() => {
                return Ok(members.range(labels).map(unscored).collect());
            }
            _ => {}
        }
        let mut code_query = codes.quantizer().new_query()?;
        codes.quantizer().prepare(query, &mut code_query);
        shared_shortlist(codes, &code_query, depth, options, share)
    }

    /// See [`VectorIndex::nearest_of`](crate::VectorIndex::nearest_of). Rescores at least `least_depth` rows.
    pub(crate) fn nearest_of(
        &self,
        query: &[f32],
        rows: &dyn VectorRows,
        options: &ScanOptions<'_>,
        mut candidates: Vec<Candidate>,
        least_depth: usize,
    ) -> Result<Vec<Hit>> {
        self.check(query, rows)?;
        let k = options.k.min(self.len);
        let depth = self.scan_depth(k, least_depth, options.members.is_some());
        if candidates.len() > depth {
            candidates.sort_unstable_by(Candidate::order);
            candidates.truncate(depth);
        }
        fetch_and_rescore(self.metric, query, rows, candidates.iter().map(|candidate| candidate.label), k)
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

    /// See [`VectorIndex::scan_is_sketched`](crate::VectorIndex::scan_is_sketched).
    pub(crate) fn scan_is_sketched(&self, members: usize) -> bool {
        self.codes.as_ref().is_some_and(|codes| is_sketched(codes, members))
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
