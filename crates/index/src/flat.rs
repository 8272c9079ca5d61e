use std::any::Any;

use ferrochrome_types::{CancelToken, Metric, Result, VectorRows};
use roaring::RoaringBitmap;

use crate::coding::{Coding, depth_of_ef};
use crate::{Hit, Parameters, SearchOptions, VectorIndex, Walk};

/// Codes without a graph: every search scores every member.
#[derive(Debug)]
pub(crate) struct Flat {
    pub(crate) coding: Coding,
}

impl VectorIndex for Flat {
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

    fn has_graph(&self) -> bool {
        false
    }

    fn search(&self, query: &[f32], rows: &dyn VectorRows, options: &SearchOptions<'_>) -> Result<Walk> {
        let SearchOptions { k, ef, filter, cancel, .. } = *options;
        self.coding.scan(query, rows, filter, k, depth_of_ef(ef), cancel).map(Walk::Done)
    }

    fn scan(
        &self,
        query: &[f32],
        rows: &dyn VectorRows,
        members: Option<&RoaringBitmap>,
        k: usize,
        cancel: &CancelToken,
    ) -> Result<Vec<Hit>> {
        self.coding.scan(query, rows, members, k, 0, cancel)
    }

    fn parameters(&self) -> Parameters {
        self.coding.parameters()
    }

    fn buffers(&self) -> Vec<(&'static str, &[u8])> {
        self.coding.buffers()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
