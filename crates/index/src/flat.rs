use std::any::Any;

use ferrochrome_types::{Metric, Result, VectorRows};
use roaring::RoaringBitmap;

use crate::coding::{Coding, depth_of_ef};
use crate::storage::{Resident, Storage};
use crate::{Candidate, Hit, Parameters, ScanOptions, SearchCounts, SearchOptions, Share, VectorIndex, Walk};

/// Codes without a graph: every search scores every member.
#[derive(Debug)]
pub(crate) struct Flat<S: Storage = Resident> {
    pub(crate) coding: Coding<S>,
}

impl<S: Storage> VectorIndex for Flat<S> {
    fn metric(&self) -> Metric {
        self.coding.metric
    }

    fn dim(&self) -> usize {
        self.coding.dim
    }

    fn len(&self) -> usize {
        self.coding.len
    }

    fn memory_bytes(&self) -> usize {
        self.coding.memory_bytes()
    }

    fn is_resident(&self) -> bool {
        S::RESIDENT
    }

    fn has_graph(&self) -> bool {
        false
    }

    fn search_counted(
        &self,
        query: &[f32],
        rows: &dyn VectorRows,
        options: &SearchOptions<'_>,
    ) -> Result<(Walk, SearchCounts)> {
        let SearchOptions { k, ef, filter, cancel, .. } = *options;
        let members = filter.map_or(self.coding.len as u64, RoaringBitmap::len) as usize;
        let hits = self.coding.scan(query, rows, &ScanOptions::new(k, filter, cancel), depth_of_ef(ef))?;
        Ok((Walk::Done(hits), self.coding.scan_counts(members, k, depth_of_ef(ef))))
    }

    fn scan_counts(&self, members: usize, k: usize) -> SearchCounts {
        self.coding.scan_counts(members, k, 0)
    }

    fn scan_is_sketched(&self, members: usize) -> bool {
        self.coding.scan_is_sketched(members)
    }

    fn scan_share(
        &self,
        query: &[f32],
        rows: &dyn VectorRows,
        options: &ScanOptions<'_>,
        share: Share,
    ) -> Result<Vec<Candidate>> {
        self.coding.scan_share(query, rows, options, share, 0)
    }

    fn nearest_of(
        &self,
        query: &[f32],
        rows: &dyn VectorRows,
        options: &ScanOptions<'_>,
        candidates: Vec<Candidate>,
    ) -> Result<Vec<Hit>> {
        self.coding.nearest_of(query, rows, options, candidates, 0)
    }

    fn parameters(&self) -> Parameters {
        self.coding.parameters()
    }

    fn buffers(&self) -> Result<Vec<(&'static str, &[u8])>> {
        self.coding.buffers()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
