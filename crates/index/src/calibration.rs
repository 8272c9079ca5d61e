use ferrochrome_distance::ExactDistance;
use ferrochrome_types::{CancelToken, Metric, Result, VectorRows};

use crate::codes::Codes;
use crate::coding::{CALIBRATED_K, Coding, shortlist};
use crate::quantizer::{Bits, Frame, Quantizer, Spread};
use crate::scorer::Scorer;
use crate::{BuildOptions, Quantization};

/// Rows of the sample that play the query.
const QUERIES: usize = 100;
/// Most rows of the sample.
const SAMPLE_ROWS: usize = 20_000;
/// Components compared at most, so that a calibration takes well under a second: fewer rows where vectors are long.
const SAMPLE_COMPONENTS: usize = 1_000_000_000;
/// Depths of rescoring that are tried, for a search for ten.
const INT4_DEPTHS: [usize; 4] = [16, 24, 50, 100];
const INT8_DEPTHS: [usize; 3] = [16, 24, 50];
/// Vectors whose squared lengths vary by less than this count as of one length.
const EQUAL_LENGTHS: f64 = 0.02;
/// A mean whose squared length is a smaller part than this of the rest does not disturb scores without biases.
const SMALL_MEAN: f64 = 0.25;

/// Chooses how to code `rows`: the cheapest that reaches the recall floor on a sample, or what the options insist on. Encodes all.
pub(crate) fn code(rows: &dyn VectorRows, options: &BuildOptions) -> Result<Coding> {
    let uncoded = |recall| Coding {
        metric: options.metric,
        dim: rows.dim(),
        len: rows.len(),
        seed: options.seed,
        codes: None,
        rescore_depth: 2 * CALIBRATED_K,
        recall,
    };
    if options.quantization == Quantization::None || !options.metric.has_codes() || rows.is_empty() {
        return Ok(uncoded(None));
    }
    let (mut frame, spread) = Frame::fit(options.metric, rows, options.seed)?;
    let sample = Sample::take(rows, options.metric, &options.cancel)?;
    let mut best: Option<Choice> = None;
    for candidate in candidates(options.quantization, spread) {
        let quantizer = Quantizer { frame, bits: candidate.bits, step: candidate.step };
        let (recalls, codes) = sample.recalls(quantizer, candidate.depths, &options.cancel)?;
        frame = codes.quantizer.frame;
        let reached = recalls.iter().position(|&recall| recall >= options.recall_floor);
        let place = reached.unwrap_or(recalls.len() - 1);
        let choice = Choice { candidate, depth: candidate.depths[place], recall: recalls[place] };
        if reached.is_some() {
            let codes = encode(rows, options, frame, choice)?;
            if codes.is_complete() {
                return Ok(coded(rows, options, codes, choice));
            }
            // No other codes would reach as far as this vector either.
            return Ok(uncoded(Some(1.0)));
        }
        if best.as_ref().is_none_or(|best| best.recall < choice.recall) {
            best = Some(choice);
        }
    }
    match best {
        Some(choice) if options.quantization != Quantization::Auto => {
            let codes = encode(rows, options, frame, choice)?;
            Ok(if codes.is_complete() { coded(rows, options, codes, choice) } else { uncoded(Some(1.0)) })
        }
        _ => Ok(uncoded(Some(1.0))),
    }
}

/// A way to code, to be measured.
#[derive(Clone, Copy)]
struct Coded {
    bits: Bits,
    step: Option<f32>,
    depths: &'static [usize],
}

#[derive(Clone, Copy)]
struct Choice {
    candidate: Coded,
    depth: usize,
    recall: f32,
}

/// What is worth a try, cheapest first.
fn candidates(quantization: Quantization, spread: Spread) -> Vec<Coded> {
    let mut candidates = Vec::new();
    if matches!(quantization, Quantization::Auto | Quantization::Int4) {
        if spread.length_variation < EQUAL_LENGTHS && spread.mean_share < SMALL_MEAN {
            let step = Some(Quantizer::int4_step(spread));
            candidates.push(Coded { bits: Bits::Four, step, depths: &INT4_DEPTHS[..1] });
        }
        candidates.push(Coded { bits: Bits::Four, step: None, depths: &INT4_DEPTHS });
    }
    if matches!(quantization, Quantization::Auto | Quantization::Int8) {
        candidates.push(Coded { bits: Bits::Eight, step: None, depths: &INT8_DEPTHS });
    }
    candidates
}

fn encode(rows: &dyn VectorRows, options: &BuildOptions, frame: Frame, choice: Choice) -> Result<Codes> {
    let quantizer = Quantizer { frame, bits: choice.candidate.bits, step: choice.candidate.step };
    Codes::encode(quantizer, (&[], &[]), 0, rows, &options.cancel)
}

fn coded(rows: &dyn VectorRows, options: &BuildOptions, codes: Codes, choice: Choice) -> Coding {
    Coding {
        metric: options.metric,
        dim: rows.dim(),
        len: rows.len(),
        seed: options.seed,
        codes: Some(codes),
        rescore_depth: choice.depth,
        recall: Some(choice.recall),
    }
}

/// Measures again how well a quantizer that was fitted to other rows serves these. Gives the quantizer back.
pub(crate) fn measure(
    quantizer: Quantizer,
    depth: usize,
    rows: &dyn VectorRows,
    cancel: &CancelToken,
) -> Result<(f32, Quantizer)> {
    let sample = Sample::take(rows, quantizer.frame.metric, cancel)?;
    let (recalls, codes) = sample.recalls(quantizer, &[depth], cancel)?;
    Ok((recalls[0], codes.quantizer))
}

/// Some of the rows, and their exact distances from some of them.
struct Sample<'a> {
    rows: SampleRows<'a>,
    /// Which rows of the sample play the query.
    queries: Vec<u32>,
    /// Per query, the distance of every row of the sample.
    distances: Vec<Vec<f32>>,
}

impl<'a> Sample<'a> {
    fn take(rows: &'a dyn VectorRows, metric: Metric, cancel: &CancelToken) -> Result<Self> {
        let limit = (SAMPLE_COMPONENTS / (QUERIES * rows.dim().max(1))).clamp(1_000, SAMPLE_ROWS);
        let rows = SampleRows { rows, step: rows.len().div_ceil(limit).max(1) };
        let query_step = rows.len().div_ceil(QUERIES).max(1);
        let queries: Vec<u32> = (0..rows.len() as u32).step_by(query_step).collect();
        let exact = |&query| Ok(ExactDistance::new(metric, rows.row(query)?));
        let exact = queries.iter().map(exact).collect::<Result<Vec<_>>>()?;
        let mut distances = vec![Vec::with_capacity(rows.len()); queries.len()];
        // Row by row: all queries stay in the cache, all rows would not.
        for label in 0..rows.len() as u32 {
            cancel.check()?;
            let row = rows.row(label)?;
            for (distances, exact) in distances.iter_mut().zip(&exact) {
                distances.push(exact.to(row));
            }
        }
        Ok(Sample { rows, queries, distances })
    }

    /// recall@10 after rescoring to each of the `depths`, and the codes it was measured with.
    fn recalls(
        &self,
        quantizer: Quantizer,
        depths: &[usize],
        cancel: &CancelToken,
    ) -> Result<(Vec<f32>, Codes)> {
        let codes = Codes::encode(quantizer, (&[], &[]), 0, &self.rows, cancel)?;
        let mut code_query = codes.new_query()?;
        let deepest = depths.iter().copied().max().unwrap_or(0);
        let (mut found, mut wanted) = (vec![0_usize; depths.len()], 0);
        for (&query, distances) in self.queries.iter().zip(&self.distances) {
            codes.prepare(self.rows.row(query)?, &mut code_query);
            let others = (0..self.rows.len() as u32).filter(|&label| label != query);
            let shortlist = shortlist(&codes, &code_query, others, deepest, cancel)?;
            let others = distances.iter().enumerate().filter(|&(label, _)| label != query as usize);
            let mut others: Vec<f32> = others.map(|(_, &distance)| distance).collect();
            let k = CALIBRATED_K.min(others.len());
            if k == 0 {
                continue;
            }
            let (_, &mut farthest, _) = others.select_nth_unstable_by(k - 1, f32::total_cmp);
            wanted += k;
            for (found, &depth) in found.iter_mut().zip(depths) {
                let near = shortlist.iter().take(depth).filter(|c| distances[c.label as usize] <= farthest);
                // Rows as far as the last one are as good as it.
                *found += near.count().min(k);
            }
        }
        let recall = |found: usize| if wanted == 0 { 1.0 } else { found as f32 / wanted as f32 };
        Ok((found.into_iter().map(recall).collect(), codes))
    }
}

/// Every so many of the rows.
struct SampleRows<'a> {
    rows: &'a dyn VectorRows,
    step: usize,
}

impl VectorRows for SampleRows<'_> {
    fn dim(&self) -> usize {
        self.rows.dim()
    }

    fn len(&self) -> usize {
        self.rows.len().div_ceil(self.step)
    }

    fn row(&self, label: u32) -> Result<&[f32]> {
        self.rows.row((label as usize * self.step) as u32)
    }
}
