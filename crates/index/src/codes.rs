use std::ops::Range;

use ferrochrome_distance::{Kernels, kernels};
use ferrochrome_types::{CancelToken, Result, VectorRows};
use roaring::RoaringBitmap;

use crate::aligned_buffer::AlignedBuffer;
use crate::quantizer::{Bits, CodeQuery, Factors, Quantizer};
use crate::scorer::Scorer;
use crate::sketch::{SketchQuery, Sketches};
use crate::storage::CodeRows;
use crate::threads::join_all;

/// Rows between two looks at the cancel token.
const CANCEL_STRIDE: usize = 1024;

/// The codes of all rows.
#[derive(Debug)]
pub(crate) struct Codes {
    pub(crate) quantizer: Quantizer,
    pub(crate) len: usize,
    /// `len` rows of `quantizer.row_bytes()`.
    pub(crate) rows: AlignedBuffer<u8>,
    /// One entry a row where the quantizer has no common step; otherwise empty.
    pub(crate) factors: AlignedBuffer<Factors>,
    /// Of rows in 4 bits, where they are many.
    sketches: Option<Sketches>,
    kernels: &'static Kernels,
}

impl Codes {
    /// Puts together what was encoded before. The lengths fit one another.
    pub(crate) fn from_parts(
        quantizer: Quantizer,
        len: usize,
        rows: AlignedBuffer<u8>,
        factors: AlignedBuffer<Factors>,
    ) -> Result<Self> {
        debug_assert_eq!(rows.len(), len * quantizer.row_bytes());
        debug_assert_eq!(factors.len(), if quantizer.step.is_none() { len } else { 0 });
        let sketches = match quantizer.bits {
            Bits::Four => Sketches::of_int4(&rows, len, &quantizer.frame)?,
            Bits::Eight => None,
        };
        Ok(Codes { quantizer, len, rows, factors, sketches, kernels: kernels() })
    }

    /// Whether every vector could be coded: the factors of one that is much larger than those that the quantizer was fitted to
    /// leave the range of f32.
    pub(crate) fn is_complete(&self) -> bool {
        self.factors.iter().flatten().all(|factor| factor.is_finite())
    }

    /// Encodes `rows`, those from `begin` on; what lies before it is taken from `rows_before` and `factors_before`.
    pub(crate) fn encode(
        quantizer: Quantizer,
        (rows_before, factors_before): (&[u8], &[Factors]),
        begin: usize,
        vectors: &dyn VectorRows,
        threads: usize,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let len = vectors.len();
        let row_bytes = quantizer.row_bytes();
        let mut rows = AlignedBuffer::extended(rows_before, len * row_bytes)?;
        let factor_count = if quantizer.step.is_none() { len } else { 0 };
        let mut factors = AlignedBuffer::extended(factors_before, factor_count)?;
        let encode = |first: usize, rows: &mut [u8], factors: &mut [Factors]| -> Result<()> {
            let mut rotated = vec![0.0; quantizer.frame.rotation.padded()];
            for (at, code) in rows.chunks_exact_mut(row_bytes).enumerate() {
                if at % CANCEL_STRIDE == 0 {
                    cancel.check()?;
                }
                let row_factors = quantizer.encode(vectors.row((first + at) as u32)?, &mut rotated, code);
                if let Some(factors) = factors.get_mut(at) {
                    *factors = row_factors;
                }
            }
            Ok(())
        };
        let part = (len - begin).div_ceil(threads.max(1)).max(CANCEL_STRIDE);
        let parts = rows[begin * row_bytes..].chunks_mut(part * row_bytes);
        let mut rest = factors.get_mut(begin..).unwrap_or_default();
        // Factors are as many as rows, or none.
        std::thread::scope(|scope| {
            let mut workers = Vec::new();
            for (at, rows) in parts.enumerate() {
                let (factors, after) = rest.split_at_mut(part.min(rest.len()));
                rest = after;
                let encode = &encode;
                workers.push(scope.spawn(move || encode(begin + at * part, rows, factors)));
            }
            join_all(workers)
        })?;
        Codes::from_parts(quantizer, len, rows, factors)
    }

    /// A copy of the codes of the rows that are not in `gone`, in their order.
    pub(crate) fn without(&self, gone: &RoaringBitmap) -> Result<Self> {
        let stay: Vec<u32> = (0..self.len as u32).filter(|label| !gone.contains(*label)).collect();
        let row_bytes = self.quantizer.row_bytes();
        let mut rows = AlignedBuffer::zeroed(stay.len() * row_bytes)?;
        for (row, &label) in rows.chunks_exact_mut(row_bytes).zip(&stay) {
            row.copy_from_slice(self.code(label));
        }
        let with_factors = if self.quantizer.step.is_none() { stay.len() } else { 0 };
        let mut factors = AlignedBuffer::zeroed(with_factors)?;
        for (factor, &label) in factors.iter_mut().zip(&stay) {
            *factor = self.factors[label as usize];
        }
        let quantizer = Quantizer { frame: self.quantizer.frame.copy()?, ..self.quantizer };
        Codes::from_parts(quantizer, stay.len(), rows, factors)
    }

    fn code(&self, label: u32) -> &[u8] {
        let row_bytes = self.quantizer.row_bytes();
        &self.rows[label as usize * row_bytes..][..row_bytes]
    }
}

impl CodeRows for Codes {
    fn quantizer(&self) -> &Quantizer {
        &self.quantizer
    }

    fn as_bytes(&self) -> Result<(&[u8], &[u8])> {
        Ok((&self.rows, self.factors.as_bytes()))
    }

    fn memory_bytes(&self) -> usize {
        self.rows.len()
            + self.factors.as_bytes().len()
            + self.quantizer.frame.mean.as_bytes().len()
            + self.sketches.as_ref().map_or(0, Sketches::memory_bytes)
    }

    fn has_sketches(&self) -> bool {
        self.sketches.is_some()
    }

    fn bounds(&self, query: (&CodeQuery, &SketchQuery), rows: Range<usize>, bounds: &mut [f32]) {
        if let Some(sketches) = &self.sketches {
            sketches.bounds(&self.quantizer, &self.factors, query, rows, bounds);
        }
    }
}

/// Whether all labels are below `len`.
fn are_below(labels: &[u32], len: usize) -> bool {
    let Ok(len) = i32::try_from(len) else { return labels.iter().all(|&label| (label as usize) < len) };
    // Looks at signs, of the label and of what it leaves: the baseline's instructions have no maximum of 32 bits.
    let signs = labels
        .iter()
        .map(|&label| label.cast_signed())
        .fold(0, |signs, label| signs | label | (len - 1).wrapping_sub(label));
    signs >= 0
}

impl Scorer for Codes {
    type Query = CodeQuery;

    fn len(&self) -> usize {
        self.len
    }

    fn new_query(&self) -> Result<CodeQuery> {
        self.quantizer.new_query()
    }

    fn prepare(&self, vector: &[f32], query: &mut CodeQuery) {
        self.quantizer.prepare(vector, query);
    }

    fn load_row(&self, label: u32, query: &mut CodeQuery) -> Result<()> {
        self.quantizer.decode(self.code(label), self.factors.get(label as usize), query);
        Ok(())
    }

    #[inline]
    fn score_ahead(
        &self,
        query: &CodeQuery,
        labels: &[u32],
        fetched: usize,
        scores: &mut [f32],
    ) -> Result<()> {
        assert!(scores.len() <= labels.len(), "a label for each score");
        let sums: &mut [i32] = bytemuck::cast_slice_mut(scores);
        assert!(are_below(labels, self.len), "a label is not below {}", self.len);
        assert_eq!(query.codes.len(), self.quantizer.frame.rotation.padded(), "a query of another index");
        // SAFETY: the rows hold a code for every label below `len`, the query has their number of dimensions, whole blocks,
        // and there is a label for each sum.
        unsafe {
            match self.quantizer.bits {
                Bits::Four => {
                    self.kernels.int4_dot_unchecked(&query.codes, self.rows.as_ptr(), labels, fetched, sums)
                }
                Bits::Eight => {
                    self.kernels.int8_dot_unchecked(&query.codes, self.rows.as_ptr(), labels, fetched, sums)
                }
            }
        }
        if let Some(step) = self.quantizer.step {
            let (scale, zero) = (-step * query.multiplier, query.zero);
            for score in scores {
                *score = (score.to_bits() as i32 as f32 - zero) * scale;
            }
        } else {
            for (score, &label) in scores.iter_mut().zip(labels) {
                let [step, bias] = self.factors[label as usize];
                let sum = score.to_bits() as i32 as f32 - query.zero;
                *score = query.offset + bias * query.bias_weight - sum * query.multiplier * step;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_are_not_below_the_length_are_noticed() {
        let most = i32::MAX as usize;
        assert!(are_below(&[], 0) && !are_below(&[0], 0));
        for len in [1, 2, 100, most, most + 1, u32::MAX as usize] {
            let last = len as u32 - 1;
            assert!(are_below(&[0, last, last / 2, 0, last], len), "{len}");
            for wrong in [len as u32, len as u32 | 1 << 31, u32::MAX] {
                for place in 0..9 {
                    let mut labels = [0; 9];
                    labels[place] = wrong;
                    assert!(!are_below(&labels, len), "{wrong} of {len}");
                }
            }
        }
    }
}
