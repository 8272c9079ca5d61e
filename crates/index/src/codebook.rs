use std::sync::Arc;

use ferrochrome_distance::ExactDistance;
use ferrochrome_types::{CancelToken, Metric, Result, VectorRows};

use crate::aligned_buffer::AlignedBuffer;
use crate::codes::Codes;
use crate::coding::{CALIBRATED_K, Coding};
use crate::flat::Flat;
use crate::hnsw::Hnsw;
use crate::quantizer::{Bits, Frame, Quantizer};
use crate::rotation::Rotation;
use crate::scan::shortlist;
use crate::scorer::Scorer;
use crate::{BuildOptions, Quantization, VectorIndex};

/// Rows that play the query when a codebook is tried on further rows, and rows that each is compared with.
const QUERIES: usize = 24;
const COMPARED_ROWS: usize = 2_048;
/// So few comparisons tell recall up to a point or two: only a codebook that misses the floor by more does not fit.
const TOLERANCE: f32 = 0.03;

/// How the rows of an index were coded, without the codes: to code further rows of a collection alike. That spares fitting and
/// calibration, which take several times as long as the coding itself.
#[derive(Debug)]
pub struct Codebook {
    metric: Metric,
    seed: u64,
    /// What the index was asked for.
    asked: Quantization,
    scale: f32,
    mean: Vec<f32>,
    bits: Bits,
    step: Option<f32>,
    rescore_depth: usize,
    recall: Option<f32>,
}

impl Codebook {
    /// The codebook of an index, `None` where it compares the vectors themselves.
    pub fn of(index: &dyn VectorIndex) -> Option<Codebook> {
        let any = index.as_any();
        let graph = any.downcast_ref::<Hnsw>().map(|index| &index.coding);
        let coding = graph.or_else(|| any.downcast_ref::<Flat>().map(|index| &index.coding))?;
        let Quantizer { frame, bits, step } = &coding.codes.as_ref()?.quantizer;
        Some(Codebook {
            metric: coding.metric,
            seed: coding.seed,
            asked: coding.asked,
            scale: frame.scale,
            mean: frame.mean.to_vec(),
            bits: *bits,
            step: *step,
            rescore_depth: coding.rescore_depth,
            recall: coding.recall,
        })
    }

    /// An index without a graph of `rows`, or `None` where [`build`](crate::build) has to find other codes: the options or the dimension are not
    /// those of the codebook, or recall on a sample is clearly below the floor.
    ///
    /// # Errors
    /// `LimitExceeded` if memory does not suffice, `Cancelled`, and whatever `rows` fails with.
    pub fn encode(
        &self,
        rows: &dyn VectorRows,
        options: &BuildOptions,
    ) -> Result<Option<Arc<dyn VectorIndex>>> {
        let same = self.metric == options.metric && self.seed == options.seed;
        if self.asked != options.quantization || !same || self.mean.len() != rows.dim() {
            return Ok(None);
        }
        let codes = Codes::encode(self.quantizer()?, (&[], &[]), 0, rows, options.threads, &options.cancel)?;
        // A codebook that was made below the floor on demand is as good as its own recall.
        let floor = options.recall_floor.min(self.recall.unwrap_or(1.0)) - TOLERANCE;
        if !codes.is_complete() || self.recall_of(&codes, rows, &options.cancel)? < floor {
            return Ok(None);
        }
        let coding: Coding = Coding {
            metric: self.metric,
            dim: rows.dim(),
            len: rows.len(),
            seed: self.seed,
            asked: self.asked,
            codes: Some(codes),
            rescore_depth: self.rescore_depth,
            recall: self.recall,
        };
        Ok(Some(Arc::new(Flat { coding })))
    }

    fn quantizer(&self) -> Result<Quantizer> {
        let frame = Frame {
            metric: self.metric,
            dim: self.mean.len(),
            scale: self.scale,
            mean: AlignedBuffer::extended(&self.mean, 0)?,
            seed: self.seed,
            rotation: Rotation::new(self.mean.len(), self.seed),
        };
        Ok(Quantizer { frame, bits: self.bits, step: self.step })
    }

    /// recall@10 of some rows among some of the others.
    fn recall_of(&self, codes: &Codes, rows: &dyn VectorRows, cancel: &CancelToken) -> Result<f32> {
        let len = rows.len() as u32;
        let mut code_query = codes.new_query()?;
        let (mut found, mut wanted) = (0, 0);
        for query in (0..len).step_by(rows.len().div_ceil(QUERIES).max(1)) {
            let step = rows.len().div_ceil(COMPARED_ROWS).max(1);
            let others: Vec<u32> = (0..len).step_by(step).filter(|&label| label != query).collect();
            let exact = ExactDistance::new(self.metric, rows.row(query)?);
            let mut distances =
                others.iter().map(|&label| Ok(exact.to(rows.row(label)?))).collect::<Result<Vec<f32>>>()?;
            let k = CALIBRATED_K.min(distances.len());
            if k == 0 {
                continue;
            }
            let (_, &mut farthest, _) = distances.select_nth_unstable_by(k - 1, f32::total_cmp);
            codes.prepare(rows.row(query)?, &mut code_query);
            let mut near = 0;
            for candidate in shortlist(codes, &code_query, &others, self.rescore_depth, cancel)? {
                near += usize::from(exact.to(rows.row(candidate.label)?) <= farthest);
            }
            // Rows as far as the last one are as good as it.
            found += near.min(k);
            wanted += k;
        }
        Ok(if wanted == 0 { 1.0 } else { found as f32 / wanted as f32 })
    }
}

#[cfg(test)]
mod tests {
    use ferrochrome_types::Code;

    use super::*;
    use crate::build;
    use crate::conformance::{clustered, recall};

    fn options(metric: Metric, quantization: Quantization) -> BuildOptions {
        BuildOptions { metric, quantization, seed: 7, ..BuildOptions::default() }
    }

    #[test]
    fn further_rows_are_coded_alike_and_found() {
        let (first, further) = (clustered(3_000, 64, 30, 1), clustered(2_500, 64, 30, 1));
        for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine] {
            for (graph, quantization) in [(true, Quantization::Auto), (false, Quantization::Int8)] {
                let options = options(metric, quantization);
                let index = build(&first, &options, graph).unwrap();
                let codebook = Codebook::of(&*index).unwrap();
                let alike = codebook.encode(&further, &options).unwrap().unwrap();
                let (expected, found) = (index.parameters(), alike.parameters());
                assert_eq!((found.len, found.graph), (2_500, None));
                assert_eq!((found.quantization, found.step), (expected.quantization, expected.step));
                let (_, scanned) = recall(&*alike, &further, &further.first(50), None);
                assert!(scanned >= 0.95, "{metric} {quantization:?}: {scanned}");
                // The codes of the same rows are the same.
                let again = codebook.encode(&first, &options).unwrap().unwrap();
                let codes = |index: &dyn VectorIndex| {
                    index
                        .buffers()
                        .unwrap()
                        .into_iter()
                        .find(|(name, _)| *name == "codes")
                        .unwrap()
                        .1
                        .to_vec()
                };
                assert!(codes(&*again) == codes(&*index));
            }
        }
    }

    #[test]
    fn rows_that_a_codebook_does_not_fit_are_left_to_a_new_one() {
        let first = clustered(2_500, 64, 30, 1);
        let auto = options(Metric::L2, Quantization::Auto);
        let index = build(&first, &auto, false).unwrap();
        let codebook = Codebook::of(&*index).unwrap();
        assert!(codebook.encode(&clustered(2_500, 60, 30, 1), &auto).unwrap().is_none(), "dimension");
        for other in [
            options(Metric::Cosine, Quantization::Auto),
            options(Metric::L2, Quantization::None),
            BuildOptions { seed: 8, ..auto.clone() },
        ] {
            assert!(codebook.encode(&first, &other).unwrap().is_none(), "{other:?}");
        }
        // Far away and close together: all have nearly the same code.
        let mut far = clustered(2_500, 64, 30, 1);
        far.values.iter_mut().for_each(|v| *v = *v * 1e-3 + 50.0);
        assert!(codebook.encode(&far, &auto).unwrap().is_none(), "other values");
        let mut outlier = clustered(2_500, 64, 30, 1);
        outlier.values[100] = 1e30;
        assert!(codebook.encode(&outlier, &auto).unwrap().is_none(), "a factor that overflows");
    }

    #[test]
    fn an_index_without_codes_has_no_codebook_and_cancelling_works() {
        let rows = clustered(2_500, 16, 30, 1);
        let uncoded = build(&rows, &options(Metric::L2, Quantization::None), true).unwrap();
        assert!(Codebook::of(&*uncoded).is_none());
        let options = options(Metric::L2, Quantization::Int4);
        let codebook = Codebook::of(&*build(&rows, &options, false).unwrap()).unwrap();
        options.cancel.cancel();
        assert_eq!(codebook.encode(&rows, &options).unwrap_err().code(), Code::Cancelled);
    }
}
