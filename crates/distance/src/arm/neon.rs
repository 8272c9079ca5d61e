//! NEON: four f32 or sixteen bytes at a time.

use core::arch::aarch64::*;

use crate::BLOCK_ROWS;
use crate::kernels::Span;

const LANES: usize = 4;

/// Rows ahead of the one being scored whose codes are asked for.
const LOOK_AHEAD: usize = 8;

/// Dot product, or with `L2` the squared distance, of `query` and each of `rows`. One order of summation whatever `ROWS`.
///
/// # Safety
/// `query` and every row are readable for `dim` values.
pub(super) unsafe fn sum_f32<const L2: bool, const ROWS: usize>(
    query: *const f32,
    rows: [*const f32; ROWS],
    dim: usize,
) -> [f32; ROWS] {
    // SAFETY: every load lies below `dim`; NEON is part of aarch64.
    unsafe {
        let mut sums = [[vdupq_n_f32(0.0); 2]; ROWS];
        let mut i = 0;
        while i + 2 * LANES <= dim {
            for half in 0..2 {
                let a = vld1q_f32(query.add(i + half * LANES));
                for (sum, row) in sums.iter_mut().zip(rows) {
                    let b = vld1q_f32(row.add(i + half * LANES));
                    sum[half] = if L2 {
                        let difference = vsubq_f32(a, b);
                        vfmaq_f32(sum[half], difference, difference)
                    } else {
                        vfmaq_f32(sum[half], a, b)
                    };
                }
            }
            i += 2 * LANES;
        }
        let mut out = sums.map(|sum| vaddvq_f32(vaddq_f32(sum[0], sum[1])));
        for (out, row) in out.iter_mut().zip(rows) {
            for j in i..dim {
                let (a, b) = (*query.add(j), *row.add(j));
                *out += if L2 { (a - b) * (a - b) } else { a * b };
            }
        }
        out
    }
}

/// # Safety
/// As [`Kernels::int4_dot_unchecked`](crate::Kernels::int4_dot_unchecked).
pub(super) unsafe fn int4_dot(
    query: *const i8,
    dims: usize,
    codes: *const u8,
    labels: *const u32,
    span: Span,
    out: *mut i32,
) {
    let stride = dims / 2;
    for i in 0..span.count {
        // SAFETY: `labels` and `out` have `count` entries; each label's row has `stride` bytes; NEON is part of aarch64.
        unsafe {
            prefetch_ahead(codes, stride, labels, i, span);
            let row = codes.add(*labels.add(i) as usize * stride);
            let nibble = vdupq_n_u8(15);
            let mut sum = vdupq_n_s32(0);
            for byte in (0..stride).step_by(16) {
                // A block is 64 bytes of codes and 128 of the query: low nibbles first.
                let query = query.add(byte / 64 * 128 + byte % 64);
                let block = vld1q_u8(row.add(byte));
                let low = vreinterpretq_s8_u8(vandq_u8(block, nibble));
                let high = vreinterpretq_s8_u8(vshrq_n_u8::<4>(block));
                let (query_low, query_high) = (vld1q_s8(query), vld1q_s8(query.add(64)));
                // Four products of at most 15 * 127 fit 16 bits.
                let mut products = vmull_s8(vget_low_s8(low), vget_low_s8(query_low));
                products = vmlal_high_s8(products, low, query_low);
                products = vmlal_s8(products, vget_low_s8(high), vget_low_s8(query_high));
                products = vmlal_high_s8(products, high, query_high);
                sum = vpadalq_s16(sum, products);
            }
            out.add(i).write(vaddvq_s32(sum));
        }
    }
}

/// # Safety
/// As [`Kernels::int8_dot_unchecked`](crate::Kernels::int8_dot_unchecked).
pub(super) unsafe fn int8_dot(
    query: *const i8,
    dims: usize,
    codes: *const u8,
    labels: *const u32,
    span: Span,
    out: *mut i32,
) {
    for i in 0..span.count {
        // SAFETY: `labels` and `out` have `count` entries; each label's row has `dims` bytes; NEON is part of aarch64.
        unsafe {
            prefetch_ahead(codes, dims, labels, i, span);
            let row = codes.add(*labels.add(i) as usize * dims).cast::<i8>();
            let mut sum = vdupq_n_s32(0);
            for byte in (0..dims).step_by(16) {
                let (a, b) = (vld1q_s8(query.add(byte)), vld1q_s8(row.add(byte)));
                // One product of 127 * 128 per 16-bit lane: a second might overflow.
                sum = vpadalq_s16(sum, vmull_s8(vget_low_s8(a), vget_low_s8(b)));
                sum = vpadalq_s16(sum, vmull_high_s8(a, b));
            }
            out.add(i).write(vaddvq_s32(sum));
        }
    }
}

/// # Safety
/// As [`Kernels::nibble_sums`](crate::Kernels::nibble_sums) has checked.
pub(super) unsafe fn nibble_sums(tables: &[[u8; 16]], blocks: &[u8], sums: &mut [u16]) {
    let (pairs, _) = tables.as_chunks::<2>();
    let (rows, _) = blocks.as_chunks::<BLOCK_ROWS>();
    for (bytes, sums) in rows.chunks_exact(pairs.len()).zip(sums.as_chunks_mut::<BLOCK_ROWS>().0) {
        for (sixteen, sums) in sums.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            // SAFETY: a table and a quarter of a row of bytes are registers, sixteen sums are two; NEON is part of aarch64.
            unsafe {
                let (mut first, mut second) = (vdupq_n_u16(0), vdupq_n_u16(0));
                for ([low, high], bytes) in pairs.iter().zip(bytes) {
                    let bytes = vld1q_u8(bytes.as_ptr().add(16 * sixteen));
                    // Two entries of at most 63 fit eight bits.
                    let entries = vaddq_u8(
                        vqtbl1q_u8(vld1q_u8(low.as_ptr()), vandq_u8(bytes, vdupq_n_u8(15))),
                        vqtbl1q_u8(vld1q_u8(high.as_ptr()), vshrq_n_u8::<4>(bytes)),
                    );
                    first = vaddw_u8(first, vget_low_u8(entries));
                    second = vaddw_high_u8(second, entries);
                }
                vst1q_u16(sums.as_mut_ptr(), first);
                vst1q_u16(sums.as_mut_ptr().add(8), second);
            }
        }
    }
}

/// Asks for the codes that come [`LOOK_AHEAD`] after place `i`; at the first, also for those up to there.
///
/// # Safety
/// There are `span.known` labels.
#[inline(always)]
unsafe fn prefetch_ahead(codes: *const u8, stride: usize, labels: *const u32, i: usize, span: Span) {
    let begin = if i == 0 { span.fetched } else { i + LOOK_AHEAD };
    for ahead in begin..(i + LOOK_AHEAD + 1).min(span.known) {
        // SAFETY: below `known`.
        let label = unsafe { *labels.add(ahead) };
        crate::prefetch_bytes(codes.wrapping_add(label as usize * stride), stride);
    }
}
