use std::ops::Range;

use ferrochrome_distance::{BLOCK_DIMS, BLOCK_ROWS, Kernels, MAX_TABLE_ENTRY, kernels};
use ferrochrome_types::Result;

use crate::aligned_buffer::AlignedBuffer;
use crate::quantizer::{CodeQuery, Factors, Frame, INT4_ZERO, Quantizer, decode_int4};

/// Rows from which on an index keeps sketches.
const LEAST_SKETCHED: usize = 4_096;
/// Rows of fewer components have none: what their signs leave out is not random enough.
const MIN_COMPONENTS: usize = 32;
/// Nor have rows of more: there would be too few levels in a table.
const MAX_COMPONENTS: usize = 16_384;
/// Components of a nibble, and bits of a byte.
const NIBBLE: usize = 4;
/// Bytes of a block of 4-bit codes.
const CODE_BYTES: usize = BLOCK_DIMS / 2;

/// The margin is measured with so many rows as queries, compared with those of so many blocks.
const SAMPLED_QUERIES: usize = 32;
const SAMPLED_BLOCKS: usize = 32;
/// Of these the nearest: what is far is kept out however wrong its sketch is.
const NEAREST: usize = 64;
/// One row of so many may be nearer than its sketch says: few of the best lie so close to the last that is rescored.
const ONE_OF: usize = 200;

/// The signs of the components of all rows, taken from their 4-bit codes: for a first look at many rows, a quarter of the bytes in a
/// tenth of the time.
///
/// With `s` the signs of a row `v` in a randomly rotated frame, `q . v` is estimated by `|v|^2 / (s . v) * (q . s)`, whose error does not
/// depend on how near the two are (Gao and Long, RaBitQ, SIGMOD 2024, 3.2). How large it is, is measured.
#[derive(Debug)]
pub(crate) struct Sketches {
    /// A bit a component, in blocks of rows as [`Kernels::nibble_sums`] takes them.
    blocks: AlignedBuffer<u8>,
    /// What the signs of a row are worth, in levels of the 4-bit code: `|v|^2 / (s . v)`.
    worths: AlignedBuffer<f32>,
    /// What `q . s` is too low by at most, as good as always, for a query of length one.
    margin: f32,
    kernels: &'static Kernels,
}

/// A query against sketches.
#[derive(Debug)]
pub(crate) struct SketchQuery {
    /// For each nibble of a row what it adds to `q . s`, in steps from the least that it can add.
    tables: Vec<[u8; 16]>,
    /// `q . s` of a row is `sum * step + least`, give or take half a step a nibble.
    step: f32,
    least: f32,
    length: f32,
}

impl SketchQuery {
    pub(crate) fn new(codes: &[i8]) -> Self {
        let (nibbles, _) = codes.as_chunks::<NIBBLE>();
        let magnitude =
            |values: &[i8; NIBBLE]| values.iter().map(|v| i32::from(v.unsigned_abs())).sum::<i32>();
        let largest = nibbles.iter().map(magnitude).max().unwrap_or(0).max(1);
        let highest = usize::from(MAX_TABLE_ENTRY).min(usize::from(u16::MAX) / nibbles.len().max(1));
        // A nibble adds from minus its magnitude to its magnitude.
        let step = (2 * largest) as f32 / highest as f32;
        // Each entry is that without its highest bit and twice the value of that.
        let table = |values: &[i8; NIBBLE]| {
            let mut sums = [magnitude(values) - values.iter().map(|&v| i32::from(v)).sum::<i32>(); 16];
            for bits in 1..16_usize {
                let bit = bits.ilog2();
                sums[bits] = sums[bits - (1 << bit)] + 2 * i32::from(values[bit as usize]);
            }
            sums.map(|sum| (sum as f32 / step + 0.5) as u8)
        };
        let mut square = [0];
        kernels().int8_dot(codes, bytemuck::cast_slice(codes), &[0], &mut square);
        SketchQuery {
            tables: nibbles.iter().map(table).collect(),
            step,
            least: -nibbles.iter().map(magnitude).sum::<i32>() as f32,
            length: (square[0] as f32).sqrt(),
        }
    }
}

impl Sketches {
    /// Of `len` rows in 4 bits. `None` where they are too few, or of too few or too many components.
    pub(crate) fn of_int4(codes: &[u8], len: usize, frame: &Frame) -> Result<Option<Self>> {
        let padded = frame.rotation.padded();
        if len < LEAST_SKETCHED || frame.dim < MIN_COMPONENTS || padded > MAX_COMPONENTS {
            return Ok(None);
        }
        let row_bytes = padded / 8;
        let mut blocks = AlignedBuffer::zeroed(len.next_multiple_of(BLOCK_ROWS) * row_bytes)?;
        let mut worths = AlignedBuffer::zeroed(len)?;
        let rows = codes.chunks(BLOCK_ROWS * padded / 2).zip(worths.chunks_mut(BLOCK_ROWS));
        for (block, (codes, worths)) in blocks.chunks_exact_mut(BLOCK_ROWS * row_bytes).zip(rows) {
            for (row, (code, worth)) in codes.chunks_exact(padded / 2).zip(worths).enumerate() {
                *worth = worth_of(code);
                let signs = code.as_chunks().0.iter().flat_map(signs_of);
                for (byte, signs) in signs.enumerate() {
                    block[byte * BLOCK_ROWS + row] = signs;
                }
            }
        }
        let mut sketches = Sketches { blocks, worths, margin: 0.0, kernels: kernels() };
        sketches.margin = sketches.measured_margin(codes, padded)?;
        Ok(Some(sketches))
    }

    fn measured_margin(&self, codes: &[u8], padded: usize) -> Result<f32> {
        let code_bytes = padded / 2;
        let whole_blocks = self.worths.len() / BLOCK_ROWS;
        let firsts =
            (0..whole_blocks).step_by(whole_blocks.div_ceil(SAMPLED_BLOCKS)).map(|block| block * BLOCK_ROWS);
        let labels: Vec<u32> =
            firsts.clone().flat_map(|first| first as u32..(first + BLOCK_ROWS) as u32).collect();
        let mut query = CodeQuery::new(padded)?;
        let (mut exact, mut estimated) = (vec![0; labels.len()], vec![0.0; labels.len()]);
        let mut found = Vec::with_capacity(SAMPLED_QUERIES * NEAREST);
        for &label in labels.iter().step_by(labels.len().div_ceil(SAMPLED_QUERIES)) {
            let code = &codes[label as usize * code_bytes..][..code_bytes];
            let code_sum = decode_int4(code, &mut query.codes);
            self.kernels.int4_dot(&query.codes, codes, &labels, &mut exact);
            let signs = SketchQuery::new(&query.codes);
            for (first, estimated) in firsts.clone().zip(estimated.chunks_exact_mut(BLOCK_ROWS)) {
                self.dot_signs(&signs, first..first + BLOCK_ROWS, estimated);
            }
            let mut errors: Vec<(f32, f32)> = (labels.iter().zip(&exact).zip(&estimated))
                .map(|((&label, &exact), &estimated)| {
                    let exact = exact as f32 - INT4_ZERO * code_sum as f32;
                    (exact, (exact / self.worths[label as usize] - estimated) / signs.length)
                })
                .collect();
            errors.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
            // The first is the row itself.
            found.extend(errors.into_iter().skip(1).take(NEAREST).map(|(_, error)| error));
        }
        found.sort_unstable_by(|a, b| b.total_cmp(a));
        Ok(found.get(found.len() / ONE_OF).copied().unwrap_or(0.0).max(0.0))
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.blocks.len() + self.worths.as_bytes().len()
    }

    /// `estimated[i]` = `q . s` of row `rows.start + i`. The first row begins a block; what lies behind the last is zero.
    fn dot_signs(&self, query: &SketchQuery, rows: Range<usize>, estimated: &mut [f32]) {
        let mut sums = [0_u16; BLOCK_ROWS];
        let block_bytes = query.tables.len() / 2 * BLOCK_ROWS;
        let blocks = self.blocks[rows.start / BLOCK_ROWS * block_bytes..].chunks_exact(block_bytes);
        for (block, estimated) in blocks.zip(estimated[..rows.len()].chunks_mut(BLOCK_ROWS)) {
            self.kernels.nibble_sums(&query.tables, block, &mut sums);
            for (estimated, &sum) in estimated.iter_mut().zip(&sums) {
                *estimated = f32::from(sum) * query.step + query.least;
            }
        }
    }

    /// `bounds[i]` = what the score of row `rows.start + i` is at least, as good as always. The first row begins a block.
    ///
    /// # Panics
    /// If there are not so many rows, or bounds.
    pub(crate) fn bounds(
        &self,
        quantizer: &Quantizer,
        factors: &[Factors],
        (query, signs): (&CodeQuery, &SketchQuery),
        rows: Range<usize>,
        bounds: &mut [f32],
    ) {
        let bounds = &mut bounds[..rows.len()];
        self.dot_signs(signs, rows.clone(), bounds);
        let most = self.margin * signs.length;
        let worths = &self.worths[rows.clone()];
        match quantizer.step {
            Some(step) => {
                let scale = -step * query.multiplier;
                for (bound, &worth) in bounds.iter_mut().zip(worths) {
                    *bound = (*bound + most) * worth * scale;
                }
            }
            None => {
                for ((bound, &worth), [step, bias]) in bounds.iter_mut().zip(worths).zip(&factors[rows]) {
                    let sum = (*bound + most) * worth;
                    *bound = query.offset + bias * query.bias_weight - sum * query.multiplier * step;
                }
            }
        }
    }
}

/// `|v|^2 / (s . v)` of a row in levels.
fn worth_of(code: &[u8]) -> f32 {
    let (mut squares, mut magnitudes) = (0_u32, 0_u32);
    for byte in code {
        for level in [byte & 15, byte >> 4] {
            // In half levels.
            let odd = (2 * i32::from(level) - 15).unsigned_abs();
            squares += odd * odd;
            magnitudes += odd;
        }
    }
    0.5 * squares as f32 / magnitudes as f32
}

/// The highest bits of the low nibbles of a block of codes and then of its high ones, that is of its components in their order.
fn signs_of(block: &[u8; CODE_BYTES]) -> [u8; BLOCK_DIMS / 8] {
    const HIGHEST: u64 = 0x8080_8080_8080_8080;
    let gather = |word: u64| lowest_bits((word & HIGHEST) >> 7);
    let mut signs = [0; BLOCK_DIMS / 8];
    for (i, bytes) in block.as_chunks::<8>().0.iter().enumerate() {
        let word = u64::from_le_bytes(*bytes);
        signs[i] = gather(word << 4);
        signs[8 + i] = gather(word);
    }
    signs
}

/// The lowest bits of eight bytes whose other bits are zero, that of the first byte lowest.
#[inline(always)]
pub(crate) fn lowest_bits(bytes: u64) -> u8 {
    (bytes.wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
}

#[cfg(test)]
mod tests {
    use ferrochrome_types::{Metric, VectorRows};

    use super::*;
    use crate::conformance::clustered;
    use crate::flat::Flat;
    use crate::scorer::Scorer;
    use crate::storage::CodeRows;
    use crate::{BuildOptions, Quantization, build};

    #[test]
    fn signs_come_in_the_order_of_components() {
        let mut block = [0x77; CODE_BYTES];
        // Components 0, 63, 64 and 127.
        (block[0], block[63]) = (0x88, 0x88);
        let mut expected = [0; 16];
        (expected[0], expected[7], expected[8], expected[15]) = (1, 0x80, 1, 0x80);
        assert_eq!(signs_of(&block), expected);
    }

    #[test]
    fn tables_hold_the_sums_of_signed_values() {
        let codes: Vec<i8> = (0..128).map(|i| (i * 37 % 255 - 127) as i8).collect();
        let query = SketchQuery::new(&codes);
        for (nibble, (values, table)) in codes.as_chunks::<NIBBLE>().0.iter().zip(&query.tables).enumerate() {
            let least: i32 = values.iter().map(|v| -i32::from(v.unsigned_abs())).sum();
            for (bits, &entry) in table.iter().enumerate() {
                let signed =
                    |(bit, &v): (usize, &i8)| if bits >> bit & 1 == 1 { i32::from(v) } else { -i32::from(v) };
                let sum: i32 = values.iter().enumerate().map(signed).sum();
                let error = f32::from(entry) * query.step + least as f32 - sum as f32;
                assert!(error.abs() <= 0.51 * query.step, "nibble {nibble}, bits {bits}: {error}");
            }
        }
    }

    /// Of the rows near a query, few score less than their bound, and most of the others have bounds that keep them out.
    #[test]
    fn bounds_hold_and_keep_most_rows_out() {
        for (metric, spread) in
            [(Metric::Cosine, 1.0), (Metric::L2, 1.0), (Metric::L2, 9.0), (Metric::InnerProduct, 9.0)]
        {
            let mut rows = clustered(LEAST_SKETCHED + 40, 200, 300, 31);
            for (i, row) in rows.values.chunks_exact_mut(200).enumerate() {
                row.iter_mut().for_each(|value| *value *= 1.0 + spread * (i % 7) as f32 / 7.0);
            }
            let options =
                BuildOptions { metric, quantization: Quantization::Int4, ..BuildOptions::default() };
            let index = build(&rows, &options, false).unwrap();
            assert!(index.scan_is_sketched(rows.len() / 3) && !index.scan_is_sketched(rows.len() / 9));
            let codes = index.as_any().downcast_ref::<Flat>().unwrap().coding.codes.as_ref().unwrap();
            let (mut wrong, mut kept_out, mut near) = (0, 0, 0);
            let labels: Vec<u32> = (0..rows.len() as u32).collect();
            let (mut scores, mut bounds) = (vec![0.0; rows.len()], vec![0.0; rows.len()]);
            let mut query = codes.new_query().unwrap();
            for label in (0..rows.len() as u32).step_by(100) {
                codes.prepare(rows.row(label).unwrap(), &mut query);
                let signs = SketchQuery::new(&query.codes);
                codes.score(&query, &labels, &mut scores).unwrap();
                codes.bounds((&query, &signs), 0..64, &mut bounds);
                codes.bounds((&query, &signs), 64..rows.len(), &mut bounds[64..]);
                let mut sorted = scores.clone();
                sorted.sort_by(f32::total_cmp);
                for (&score, &bound) in scores.iter().zip(&bounds) {
                    near += usize::from(score <= sorted[32]);
                    wrong += usize::from(score <= sorted[32] && bound > sorted[32]);
                    kept_out += usize::from(bound > sorted[32]);
                }
            }
            let all = rows.len() * rows.len().div_ceil(100);
            assert!(wrong * 100 <= near, "{metric}: {wrong} of {near} kept out");
            assert!(kept_out * 2 > all, "{metric}: {kept_out} of {all} kept out");
        }
    }
}
