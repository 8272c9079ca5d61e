use ferrochrome_distance::{BLOCK_DIMS, kernels};
use ferrochrome_types::{Metric, Result, VectorRows};

use crate::aligned_buffer::AlignedBuffer;
use crate::rotation::Rotation;

/// Step of a 16-level uniform code, in standard deviations, with the least error on normally distributed components.
const INT4_STEP: f32 = 0.335;
/// Highest 4-bit code, and the value that stands for zero.
const INT4_MAX: f32 = 15.0;
pub(crate) const INT4_ZERO: f32 = 7.5;
const INT8_MAX: f32 = 127.0;
/// Rows that mean and spread are taken from.
const FIT_ROWS: usize = 65_536;
/// Beyond this a query is scaled down: products with rows, which lie near one, must stay finite.
const QUERY_MAX: f32 = 1e12;
/// Smaller vectors count as zero: their inverse would not be finite.
const SMALLEST: f32 = 1e-30;

/// Bits of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bits {
    Four,
    Eight,
}

impl Bits {
    /// Bytes of a row of `padded` dimensions.
    pub(crate) fn row_bytes(self, padded: usize) -> usize {
        match self {
            Bits::Four => padded / 2,
            Bits::Eight => padded,
        }
    }
}

/// The step and the bias of one vector, beside its code.
pub(crate) type Factors = [f32; 2];

/// Where vectors lie: what coding needs to know of a set, independent of the number of bits.
///
/// A vector is normalised (cosine) or scaled by a power of two (`l2`, `ip`: components become about one, so that no
/// magnitude overflows), then the mean is subtracted, then it is rotated.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) metric: Metric,
    pub(crate) dim: usize,
    pub(crate) scale: f32,
    pub(crate) mean: AlignedBuffer<f32>,
    pub(crate) seed: u64,
    pub(crate) rotation: Rotation,
}

/// What a set's vectors have in common, measured while fitting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    /// Root mean square of a rotated component.
    pub(crate) component: f32,
    /// Standard deviation of the squared lengths over their mean, before the mean is subtracted.
    pub(crate) length_variation: f64,
    /// Squared length of the mean over the mean squared length of what remains.
    pub(crate) mean_share: f64,
}

impl Frame {
    /// Fits a frame to an even sample of the rows.
    pub(crate) fn fit(metric: Metric, rows: &dyn VectorRows, seed: u64) -> Result<(Frame, Spread)> {
        let dim = rows.dim();
        let step = rows.len().div_ceil(FIT_ROWS).max(1);
        let labels = || (0..rows.len() as u32).step_by(step);
        let scale = if metric == Metric::Cosine { 1.0 } else { fit_scale(rows, labels())? };
        let mut frame = Frame {
            metric,
            dim,
            scale,
            mean: AlignedBuffer::zeroed(dim)?,
            seed,
            rotation: Rotation::new(dim, seed),
        };
        let mut sums = vec![0_f64; dim];
        let (mut squares, mut fourths) = (0_f64, 0_f64);
        let mut vector = vec![0_f32; dim];
        for label in labels() {
            frame.place(rows.row(label)?, &mut vector);
            let square: f64 = vector.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
            squares += square;
            fourths += square * square;
            for (sum, &value) in sums.iter_mut().zip(&vector) {
                *sum += f64::from(value);
            }
        }
        let count = labels().count().max(1) as f64;
        for (mean, sum) in frame.mean.iter_mut().zip(&sums) {
            *mean = (sum / count) as f32;
        }
        let (square, fourth) = (squares / count, fourths / count);
        let mean_square: f64 = frame.mean.iter().map(|&m| f64::from(m) * f64::from(m)).sum();
        let remaining = (square - mean_square).max(0.0);
        let spread = Spread {
            component: (remaining / frame.rotation.padded() as f64).sqrt() as f32,
            length_variation: if square > 0.0 {
                (fourth - square * square).max(0.0).sqrt() / square
            } else {
                0.0
            },
            mean_share: if remaining > 0.0 { mean_square / remaining } else { f64::INFINITY },
        };
        Ok((frame, spread))
    }

    pub(crate) fn copy(&self) -> Result<Frame> {
        let mean = AlignedBuffer::extended(&self.mean, 0)?;
        Ok(Frame { mean, rotation: Rotation::new(self.dim, self.seed), ..*self })
    }

    /// Normalises or scales `vector` into `placed`. Components that are not finite become zero.
    fn place(&self, vector: &[f32], placed: &mut [f32]) {
        let factor = if self.metric == Metric::Cosine { inverse_norm(vector) } else { self.scale.into() };
        for (placed, &value) in placed.iter_mut().zip(vector) {
            let value = (f64::from(value) * factor) as f32;
            *placed = if value.is_finite() { value } else { 0.0 };
        }
    }

    /// As [`place`](Self::place) for a query. Returns what a row's bias is worth to it, and the multiple of the mean to subtract.
    fn place_query(&self, vector: &[f32], placed: &mut [f32]) -> (f32, f32) {
        if self.metric == Metric::L2 {
            self.place(vector, placed);
            let largest = largest(placed);
            // Only the order counts: a query so far away may be brought nearer along with what it is compared with.
            let weight = if largest > QUERY_MAX { 1.0 / largest } else { 1.0 };
            if weight != 1.0 {
                placed.iter_mut().for_each(|v| *v *= weight);
            }
            return (weight, weight);
        }
        // The length of the query does not change the order.
        let largest = f64::from(largest(vector).max(f32::from_bits(1)));
        for (placed, &value) in placed.iter_mut().zip(vector) {
            let value = (f64::from(value) / largest) as f32;
            *placed = if value.is_finite() { value } else { 0.0 };
        }
        let square = kernels().dot(&self.mean, &self.mean);
        let along = if square > f32::MIN_POSITIVE { kernels().dot(placed, &self.mean) / square } else { 0.0 };
        (along, along)
    }

    /// Fills `rotated` (padded dimensions) from `vector`. Returns the bias of a row there.
    fn rotate_row(&self, vector: &[f32], rotated: &mut [f32]) -> f32 {
        let (centred, padding) = rotated.split_at_mut(self.dim);
        padding.fill(0.0);
        self.place(vector, centred);
        for (value, mean) in centred.iter_mut().zip(self.mean.iter()) {
            *value -= mean;
        }
        let bias = match self.metric {
            Metric::L2 => 0.5 * kernels().dot(centred, centred),
            _ => -kernels().dot(&self.mean, centred),
        };
        self.rotation.apply(rotated);
        bias
    }
}

/// The largest magnitude; NaN is passed over.
fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0_f32, |largest, value| largest.max(value.abs()))
}

/// `1 / (|x| + 1e-30)`, by f64 where f32 would overflow or lose digits.
fn inverse_norm(vector: &[f32]) -> f64 {
    let square = kernels().dot(vector, vector);
    let norm = if (1e-20..1e20).contains(&square) {
        f64::from(square).sqrt()
    } else {
        vector.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt()
    };
    1.0 / (norm + 1e-30)
}

/// The power of two that brings the largest component to about one.
fn fit_scale(rows: &dyn VectorRows, labels: impl Iterator<Item = u32>) -> Result<f32> {
    let mut largest = 0_f32;
    for label in labels {
        largest = rows.row(label)?.iter().filter(|v| v.is_finite()).fold(largest, |m, v| m.max(v.abs()));
    }
    if largest == 0.0 {
        return Ok(1.0);
    }
    Ok((-largest.log2().floor()).clamp(-120.0, 120.0).exp2())
}

/// Turns vectors into codes, and queries into what codes are scored against.
///
/// With `c` the mean, `v` a row less the mean and `q` the query, rows are ordered as the metric does
/// - for `l2` by `|v|^2 / 2 - (q - c) . v`,
/// - for `ip` and `cosine` by `-q . v`, which is `-a (c . v) - (q - a c) . v` for any number `a`. With `a c` the part of `q` along `c`, the
///   error of the code of `v` meets only what sets the query apart from the mean.
///
/// So a score is `weight * bias - step * (query . code)`, where the bias of a row (`|v|^2 / 2` or `-c . v`) is kept exactly. Without
/// factors the bias is left out and the step is one for all: right for `ip` and `cosine`, and for `l2` where all vectors are
/// of one length.
#[derive(Debug)]
pub(crate) struct Quantizer {
    pub(crate) frame: Frame,
    pub(crate) bits: Bits,
    /// The step of all rows, or `None` where each has its [`Factors`].
    pub(crate) step: Option<f32>,
}

/// A query against codes.
#[derive(Debug)]
pub(crate) struct CodeQuery {
    pub(crate) codes: AlignedBuffer<i8>,
    /// What one unit of `step * sum` is worth.
    pub(crate) multiplier: f32,
    /// What a row's code of all zeros would sum to.
    pub(crate) zero: f32,
    /// What a row's bias is worth.
    pub(crate) bias_weight: f32,
    /// What makes scores comparable between queries that are rows: the bias of the row. 0 for others.
    pub(crate) offset: f32,
    rotated: Vec<f32>,
}

impl CodeQuery {
    pub(crate) fn new(padded: usize) -> Result<Self> {
        Ok(CodeQuery {
            codes: AlignedBuffer::zeroed(padded)?,
            multiplier: 0.0,
            zero: 0.0,
            bias_weight: 1.0,
            offset: 0.0,
            rotated: vec![0.0; padded],
        })
    }
}

impl Quantizer {
    pub(crate) fn row_bytes(&self) -> usize {
        self.bits.row_bytes(self.frame.rotation.padded())
    }

    /// The one step for 4-bit codes of a set with this spread.
    pub(crate) fn int4_step(spread: Spread) -> f32 {
        (spread.component * INT4_STEP).max(f32::MIN_POSITIVE)
    }

    /// Codes `vector` into `code` ([`row_bytes`](Self::row_bytes) bytes). `rotated` is room for the padded dimensions.
    pub(crate) fn encode(&self, vector: &[f32], rotated: &mut [f32], code: &mut [u8]) -> Factors {
        let bias = self.frame.rotate_row(vector, rotated);
        let step = match self.bits {
            Bits::Four => encode_int4(rotated, self.step, code),
            Bits::Eight => encode_int8(rotated, bytemuck::cast_slice_mut(code)),
        };
        [step, bias]
    }

    /// Makes `query` ready from a vector of `dim` components.
    pub(crate) fn prepare(&self, vector: &[f32], query: &mut CodeQuery) {
        let (centred, padding) = query.rotated.split_at_mut(self.frame.dim);
        padding.fill(0.0);
        let (bias_weight, mean_weight) = self.frame.place_query(vector, centred);
        query.bias_weight = bias_weight;
        query.offset = 0.0;
        if self.step.is_none() {
            for (value, mean) in centred.iter_mut().zip(self.frame.mean.iter()) {
                *value -= mean * mean_weight;
            }
        }
        self.frame.rotation.apply(&mut query.rotated);
        let largest = largest(&query.rotated).max(SMALLEST);
        let sum = kernels().quantize(&query.rotated, INT8_MAX / largest, &mut query.codes);
        query.multiplier = largest / INT8_MAX;
        query.zero = self.zero(sum);
    }

    /// Makes a coded row the query.
    pub(crate) fn decode(&self, code: &[u8], factors: Option<&Factors>, query: &mut CodeQuery) {
        let step = factors.map_or(self.step.unwrap_or(1.0), |f| f[0]);
        let sum = match self.bits {
            Bits::Four => {
                query.multiplier = 0.5 * step;
                decode_int4(code, &mut query.codes)
            }
            Bits::Eight => {
                query.multiplier = step;
                query.codes.copy_from_slice(bytemuck::cast_slice(code));
                0
            }
        };
        query.zero = self.zero(sum);
        query.bias_weight = 1.0;
        query.offset = factors.map_or(0.0, |f| f[1]);
    }

    /// A query to be filled by [`prepare`](Self::prepare) or [`decode`](Self::decode).
    pub(crate) fn new_query(&self) -> Result<CodeQuery> {
        CodeQuery::new(self.frame.rotation.padded())
    }

    /// The score of a row from the sum over its code. `factors` are the row's own where there is no common step.
    pub(crate) fn score(&self, sum: i32, query: &CodeQuery, factors: Option<Factors>) -> f32 {
        let sum = sum as f32 - query.zero;
        match (self.step, factors) {
            (None, Some([step, bias])) => {
                query.offset + bias * query.bias_weight - sum * query.multiplier * step
            }
            (step, _) => sum * (-step.unwrap_or(1.0) * query.multiplier),
        }
    }

    fn zero(&self, query_sum: i32) -> f32 {
        match self.bits {
            Bits::Four => INT4_ZERO * query_sum as f32,
            Bits::Eight => 0.0,
        }
    }
}

/// Codes by `step`, or by a step of the row's own. Returns the step that makes the code's length along the row right.
fn encode_int4(rotated: &[f32], step: Option<f32>, code: &mut [u8]) -> f32 {
    let square = kernels().dot(rotated, rotated);
    let own = || (square / rotated.len() as f32).sqrt() * INT4_STEP;
    let coding_step = step.unwrap_or_else(own);
    let inverse = if coding_step > 0.0 { 1.0 / coding_step } else { 0.0 };
    // To the nearest level: within these bounds the fraction is cut off, which takes no call of a function.
    let level = |value: f32| ((value * inverse + INT4_ZERO).clamp(0.0, INT4_MAX) + 0.5) as i32 as f32;
    let mut along = 0.0;
    for (values, bytes) in rotated.chunks_exact(BLOCK_DIMS).zip(code.chunks_exact_mut(BLOCK_DIMS / 2)) {
        let (low, high) = values.split_at(BLOCK_DIMS / 2);
        for ((byte, &low), &high) in bytes.iter_mut().zip(low).zip(high) {
            let (low_level, high_level) = (level(low), level(high));
            along += (low_level - INT4_ZERO) * low + (high_level - INT4_ZERO) * high;
            *byte = low_level as u8 | (high_level as u8) << 4;
        }
    }
    if along > 0.0 { square / along } else { coding_step }
}

fn encode_int8(rotated: &[f32], code: &mut [i8]) -> f32 {
    let largest = largest(rotated);
    let inverse = if largest > SMALLEST { INT8_MAX / largest } else { 0.0 };
    kernels().quantize(rotated, inverse, code);
    largest / INT8_MAX
}

/// Odd whole numbers `-15..=15`, worth half a step each. Returns their sum.
pub(crate) fn decode_int4(code: &[u8], codes: &mut [i8]) -> i32 {
    const HALF: usize = BLOCK_DIMS / 2;
    let mut sum = 0;
    for (bytes, codes) in code.as_chunks::<HALF>().0.iter().zip(codes.as_chunks_mut::<BLOCK_DIMS>().0) {
        // Loops of one kind of operation each, over bytes: so that they become a few instructions.
        let (low, high) = codes.split_at_mut(HALF);
        for (value, byte) in low.iter_mut().zip(bytes) {
            *value = 2 * (byte & 15) as i8 - 15;
        }
        for (value, byte) in high.iter_mut().zip(bytes) {
            *value = 2 * (byte >> 4) as i8 - 15;
        }
        let block_sum: u32 = bytes.iter().map(|byte| u32::from((byte & 15) + (byte >> 4))).sum();
        sum += 2 * block_sum as i32 - 15 * BLOCK_DIMS as i32;
    }
    sum
}
