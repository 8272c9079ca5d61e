//! The reference: plain Rust, what every other level is tested against.

use ferrochrome_types::Metric;

use crate::kernels::Span;
use crate::pool::{self, Pool};
use crate::{BLOCK_DIMS, BLOCK_ROWS, spaces, transform};

/// Independent partial sums, so that the compiler can use whatever vector registers the target has.
const LANES: usize = 8;

/// Dot product, or with `L2` the squared distance, of `query` and each of `rows`.
///
/// # Safety
/// `query` and every row are readable for `dim` values.
pub(crate) unsafe fn sum_f32<const L2: bool, const ROWS: usize>(
    query: *const f32,
    rows: [*const f32; ROWS],
    dim: usize,
) -> [f32; ROWS] {
    // SAFETY: the caller vouches for `dim` values.
    let query = unsafe { std::slice::from_raw_parts(query, dim) };
    rows.map(|row| {
        // SAFETY: as above.
        let row = unsafe { std::slice::from_raw_parts(row, dim) };
        let term = |a: f32, b: f32| if L2 { (a - b) * (a - b) } else { a * b };
        let (query_lanes, query_tail) = query.as_chunks::<LANES>();
        let (row_lanes, row_tail) = row.as_chunks::<LANES>();
        let mut sums = [0_f32; LANES];
        for (a, b) in query_lanes.iter().zip(row_lanes) {
            for lane in 0..LANES {
                sums[lane] += term(a[lane], b[lane]);
            }
        }
        let tail: f32 = query_tail.iter().zip(row_tail).map(|(&a, &b)| term(a, b)).sum();
        sums.iter().sum::<f32>() + tail
    })
}

/// # Safety
/// None needed; the type is that of the table.
pub(crate) unsafe fn distance(metric: Metric, a: &[f32], b: &[f32]) -> f32 {
    spaces::distance(metric, a, b)
}

/// `out[i] = sum(u * query)` over the 4-bit codes of `labels[i]`.
///
/// # Safety
/// As [`Kernels::int4_dot_unchecked`](crate::Kernels::int4_dot_unchecked).
pub(crate) unsafe fn int4_dot(
    query: *const i8,
    dims: usize,
    codes: *const u8,
    labels: *const u32,
    span: Span,
    out: *mut i32,
) {
    let stride = dims / 2;
    // SAFETY: the caller vouches for the query's `dims` bytes.
    let query = unsafe { std::slice::from_raw_parts(query, dims) };
    for i in 0..span.count {
        // SAFETY: `labels` and `out` have `count` entries, and the codes hold a row for every label.
        unsafe {
            let row = std::slice::from_raw_parts(codes.add(*labels.add(i) as usize * stride), stride);
            let blocks =
                query.as_chunks::<BLOCK_DIMS>().0.iter().zip(row.as_chunks::<{ BLOCK_DIMS / 2 }>().0);
            let sum: i32 = blocks.map(|(query, codes)| int4_block(query, codes)).sum();
            out.add(i).write(sum);
        }
    }
}

fn int4_block(query: &[i8; BLOCK_DIMS], codes: &[u8; BLOCK_DIMS / 2]) -> i32 {
    let (low, high) = query.split_at(BLOCK_DIMS / 2);
    let terms = codes.iter().zip(low.iter().zip(high));
    terms
        .map(|(&code, (&low, &high))| {
            i32::from(code & 15) * i32::from(low) + i32::from(code >> 4) * i32::from(high)
        })
        .sum()
}

/// `out[i] = sum(c * query)` over the 8-bit codes of `labels[i]`.
///
/// # Safety
/// As [`Kernels::int8_dot_unchecked`](crate::Kernels::int8_dot_unchecked).
pub(crate) unsafe fn int8_dot(
    query: *const i8,
    dims: usize,
    codes: *const u8,
    labels: *const u32,
    span: Span,
    out: *mut i32,
) {
    // SAFETY: the caller vouches for the query's `dims` bytes.
    let query = unsafe { std::slice::from_raw_parts(query, dims) };
    for i in 0..span.count {
        // SAFETY: `labels` and `out` have `count` entries, and the codes hold a row for every label.
        unsafe {
            let row = std::slice::from_raw_parts(codes.add(*labels.add(i) as usize * dims), dims);
            out.add(i).write(query.iter().zip(row).map(|(&q, &c)| i32::from(q) * i32::from(c as i8)).sum());
        }
    }
}

/// # Safety
/// As [`Kernels::nibble_sums`](crate::Kernels::nibble_sums) has checked.
pub(crate) unsafe fn nibble_sums(tables: &[[u8; 16]], blocks: &[u8], sums: &mut [u16]) {
    let (pairs, _) = tables.as_chunks::<2>();
    let (blocks, _) = blocks.as_chunks::<BLOCK_ROWS>();
    for (bytes, sums) in blocks.chunks_exact(pairs.len()).zip(sums.as_chunks_mut::<BLOCK_ROWS>().0) {
        sums.fill(0);
        for ([low, high], bytes) in pairs.iter().zip(bytes) {
            for (sum, &byte) in sums.iter_mut().zip(bytes) {
                *sum += u16::from(low[usize::from(byte & 15)]) + u16::from(high[usize::from(byte >> 4)]);
            }
        }
    }
}

/// # Safety
/// None needed; the type is that of the table.
pub(crate) unsafe fn hadamard(values: &mut [f32]) {
    transform::hadamard(values);
}

/// # Safety
/// None needed; the type is that of the table.
pub(crate) unsafe fn multiply(values: &mut [f32], factors: &[f32]) {
    transform::multiply(values, factors);
}

/// # Safety
/// None needed; the type is that of the table.
pub(crate) unsafe fn quantize(values: &[f32], inverse_step: f32, codes: &mut [i8]) -> i32 {
    transform::quantize(values, inverse_step, codes)
}

/// # Safety
/// None needed; the type is that of the table.
pub(crate) unsafe fn offer(pool: &mut Pool, scores: &[f32], labels: &[u32]) {
    pool.offer_each(scores, labels, pool::nearer, pool::below, pool::insert);
}
