//! AVX2 with FMA: eight f32 or thirty-two bytes at a time.

use core::arch::x86_64::*;

use ferrochrome_types::Metric;

use super::{dims_of, for_each_row};
use crate::kernels::Span;
use crate::pool::{Block, Pool};
use crate::{BLOCK_ROWS, spaces, transform};

const LANES: usize = 8;

/// Dot product, or with `L2` the squared distance, of `query` and each of `rows`. One order of summation whatever `ROWS`.
///
/// # Safety
/// The CPU has the features below; `query` and every row are readable for `dim` values.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn sum_f32<const L2: bool, const ROWS: usize>(
    query: *const f32,
    rows: [*const f32; ROWS],
    dim: usize,
) -> [f32; ROWS] {
    let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
    let mut i = 0;
    while i + 2 * LANES <= dim {
        for half in 0..2 {
            // SAFETY: two registers are left below `dim`.
            let a = unsafe { _mm256_loadu_ps(query.add(i + half * LANES)) };
            for (sum, row) in sums.iter_mut().zip(rows) {
                // SAFETY: as above.
                let b = unsafe { _mm256_loadu_ps(row.add(i + half * LANES)) };
                sum[half] = add_term::<L2>(a, b, sum[half]);
            }
        }
        i += 2 * LANES;
    }
    for half in 0..2 {
        let mask = first_lanes(dim.saturating_sub(i + half * LANES));
        // SAFETY: masked-off lanes are not read, and the others lie below `dim`.
        let a = unsafe { _mm256_maskload_ps(query.wrapping_add(i + half * LANES), mask) };
        for (sum, row) in sums.iter_mut().zip(rows) {
            // SAFETY: as above.
            let b = unsafe { _mm256_maskload_ps(row.wrapping_add(i + half * LANES), mask) };
            sum[half] = add_term::<L2>(a, b, sum[half]);
        }
    }
    sums.map(|sum| {
        let lanes = _mm256_add_ps(sum[0], sum[1]);
        let half = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps::<1>(lanes));
        let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
        _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)))
    })
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_term<const L2: bool>(a: __m256, b: __m256, sum: __m256) -> __m256 {
    if L2 {
        let difference = _mm256_sub_ps(a, b);
        _mm256_fmadd_ps(difference, difference, sum)
    } else {
        _mm256_fmadd_ps(a, b, sum)
    }
}

/// A mask that selects the first `count` of eight lanes.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn first_lanes(count: usize) -> __m256i {
    let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_cmpgt_epi32(_mm256_set1_epi32(count.min(LANES) as i32), lane)
}

/// # Safety
/// The CPU has the features below, and as [`Kernels::int4_dot_unchecked`](crate::Kernels::int4_dot_unchecked).
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn int4_dot(
    query: *const i8,
    dims: usize,
    codes: *const u8,
    labels: *const u32,
    span: Span,
    out: *mut i32,
) {
    // SAFETY: passed on to the caller.
    unsafe { for_blocks!(dims, int4_dot_of(query, dims, codes, labels, span, out)) }
}

/// # Safety
/// As [`int4_dot`]; `dims` are so many blocks.
#[target_feature(enable = "avx2,fma")]
unsafe fn int4_dot_of<const BLOCKS: usize>(
    query: *const i8,
    dims: usize,
    codes: *const u8,
    labels: *const u32,
    span: Span,
    out: *mut i32,
) {
    let dims = dims_of::<BLOCKS>(dims);
    // SAFETY: passed on to the caller.
    unsafe {
        for_each_row(
            codes,
            dims / 2,
            labels,
            span,
            out,
            |rows| reduce_4(int4_rows::<BLOCKS, _>(query, rows, dims)),
            |rows| int4_rows::<BLOCKS, _>(query, rows, dims).map(|sum| reduce(sum)),
        );
    }
}

/// # Safety
/// As [`int4_dot`]; `rows` are rows of the codes.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn int4_rows<const BLOCKS: usize, const ROWS: usize>(
    query: *const i8,
    rows: [*const u8; ROWS],
    dims: usize,
) -> [__m256i; ROWS] {
    let dims = dims_of::<BLOCKS>(dims);
    let one = _mm256_set1_epi16(1);
    let mut sums = [_mm256_setzero_si256(); ROWS];
    let mut byte = 0;
    // SAFETY: `dims` is a multiple of 128, so whole blocks of query and codes are left.
    unsafe {
        while byte + 128 <= dims / 2 {
            let query = [int4_query(query.add(2 * byte)), int4_query(query.add(2 * byte + 128))];
            for (sum, row) in sums.iter_mut().zip(rows) {
                // Sixteen products of at most 15 * 127 fit 16 bits.
                let two = _mm256_add_epi16(
                    int4_block(&query[0], row.add(byte)),
                    int4_block(&query[1], row.add(byte + 64)),
                );
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(two, one));
            }
            byte += 128;
        }
        if byte < dims / 2 {
            let query = int4_query(query.add(2 * byte));
            for (sum, row) in sums.iter_mut().zip(rows) {
                let last = int4_block(&query, row.add(byte));
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(last, one));
            }
        }
    }
    sums
}

/// A block of a query.
///
/// # Safety
/// The CPU has the features below; 128 bytes are readable.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn int4_query(query: *const i8) -> [__m256i; 4] {
    // SAFETY: four registers of 32 bytes.
    std::array::from_fn(|i| unsafe { _mm256_loadu_si256(query.add(32 * i).cast()) })
}

/// Sums of eight products each of a block of a query and one of codes.
///
/// # Safety
/// The CPU has the features below; 64 bytes of codes are readable.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn int4_block(query: &[__m256i; 4], codes: *const u8) -> __m256i {
    let nibble = _mm256_set1_epi8(15);
    // SAFETY: two registers of 32 bytes.
    let (a, b) = unsafe { (_mm256_loadu_si256(codes.cast()), _mm256_loadu_si256(codes.add(32).cast())) };
    let low = _mm256_add_epi16(
        _mm256_maddubs_epi16(_mm256_and_si256(a, nibble), query[0]),
        _mm256_maddubs_epi16(_mm256_and_si256(b, nibble), query[1]),
    );
    let high = _mm256_add_epi16(
        _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16::<4>(a), nibble), query[2]),
        _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16::<4>(b), nibble), query[3]),
    );
    _mm256_add_epi16(low, high)
}

/// # Safety
/// The CPU has the features below, and as [`Kernels::int8_dot_unchecked`](crate::Kernels::int8_dot_unchecked).
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn int8_dot(
    query: *const i8,
    dims: usize,
    codes: *const u8,
    labels: *const u32,
    span: Span,
    out: *mut i32,
) {
    // SAFETY: passed on to the caller.
    unsafe { for_blocks!(dims, int8_dot_of(query, dims, codes, labels, span, out)) }
}

/// # Safety
/// As [`int8_dot`]; `dims` are so many blocks.
#[target_feature(enable = "avx2,fma")]
unsafe fn int8_dot_of<const BLOCKS: usize>(
    query: *const i8,
    dims: usize,
    codes: *const u8,
    labels: *const u32,
    span: Span,
    out: *mut i32,
) {
    let dims = dims_of::<BLOCKS>(dims);
    // SAFETY: passed on to the caller.
    unsafe {
        for_each_row(
            codes,
            dims,
            labels,
            span,
            out,
            |rows| reduce_4(int8_rows::<BLOCKS, _>(query, rows, dims)),
            |rows| int8_rows::<BLOCKS, _>(query, rows, dims).map(|sum| reduce(sum)),
        );
    }
}

/// # Safety
/// As [`int8_dot`]; `rows` are rows of the codes.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn int8_rows<const BLOCKS: usize, const ROWS: usize>(
    query: *const i8,
    rows: [*const u8; ROWS],
    dims: usize,
) -> [__m256i; ROWS] {
    let dims = dims_of::<BLOCKS>(dims);
    let one = _mm256_set1_epi16(1);
    let mut sums = [_mm256_setzero_si256(); ROWS];
    let mut byte = 0;
    while byte < dims {
        // SAFETY: `dims` is a multiple of 32, so whole registers of query and codes are left.
        unsafe {
            let query = _mm256_loadu_si256(query.add(byte).cast());
            let magnitude = _mm256_abs_epi8(query);
            for (sum, row) in sums.iter_mut().zip(rows) {
                // Unsigned by signed is all there is: the query's sign moves to the code. Two products of 127 * 127 fit 16 bits.
                let signed = _mm256_sign_epi8(_mm256_loadu_si256(row.add(byte).cast()), query);
                let pairs = _mm256_maddubs_epi16(magnitude, signed);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, one));
            }
        }
        byte += 32;
    }
    sums
}

/// # Safety
/// The CPU has the features below, and as [`Kernels::nibble_sums`](crate::Kernels::nibble_sums) has checked.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn nibble_sums(tables: &[[u8; 16]], blocks: &[u8], sums: &mut [u16]) {
    let (fours, _) = tables.as_chunks::<4>();
    let (registers, _) = blocks.as_chunks::<32>();
    let blocks = registers.chunks_exact(tables.len());
    for (bytes, sums) in blocks.zip(sums.as_chunks_mut::<BLOCK_ROWS>().0) {
        // See AVX-512's; here a block is two registers wide.
        let (mut mixed, mut odd) = ([_mm256_setzero_si256(); 2], [_mm256_setzero_si256(); 2]);
        for (four, two) in fours.iter().zip(bytes.as_chunks::<4>().0) {
            for half in 0..2 {
                let four = _mm256_add_epi8(
                    look_up([&four[0], &four[1]], &two[half]),
                    look_up([&four[2], &four[3]], &two[2 + half]),
                );
                mixed[half] = _mm256_add_epi16(mixed[half], four);
                odd[half] = _mm256_add_epi16(odd[half], _mm256_srli_epi16::<8>(four));
            }
        }
        for half in 0..2 {
            let even = _mm256_sub_epi16(mixed[half], _mm256_slli_epi16::<8>(odd[half]));
            let (low, high) =
                (_mm256_unpacklo_epi16(even, odd[half]), _mm256_unpackhi_epi16(even, odd[half]));
            // SAFETY: 64 sums are four registers.
            unsafe {
                let sums = sums.as_mut_ptr().cast::<__m256i>().add(2 * half);
                _mm256_storeu_si256(sums, _mm256_permute2x128_si256::<0x20>(low, high));
                _mm256_storeu_si256(sums.add(1), _mm256_permute2x128_si256::<0x31>(low, high));
            }
        }
    }
}

/// For each of 32 bytes the entry of the first table for its low nibble and that of the second for its high one, together.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn look_up([low, high]: [&[u8; 16]; 2], bytes: &[u8; 32]) -> __m256i {
    let nibble = _mm256_set1_epi8(15);
    // SAFETY: a table is 16 bytes, half a row of bytes is one register.
    unsafe {
        let low = _mm256_broadcastsi128_si256(_mm_loadu_si128(low.as_ptr().cast()));
        let high = _mm256_broadcastsi128_si256(_mm_loadu_si128(high.as_ptr().cast()));
        let bytes = _mm256_loadu_si256(bytes.as_ptr().cast());
        let upper = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), nibble);
        _mm256_add_epi8(
            _mm256_shuffle_epi8(low, _mm256_and_si256(bytes, nibble)),
            _mm256_shuffle_epi8(high, upper),
        )
    }
}

/// The sum of the eight lanes.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn reduce(sum: __m256i) -> i32 {
    let half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
    let pair = _mm_add_epi32(half, _mm_shuffle_epi32::<0b01_00_11_10>(half));
    _mm_cvtsi128_si32(_mm_add_epi32(pair, _mm_shuffle_epi32::<0b10_11_00_01>(pair)))
}

/// The sums of the eight lanes of four registers.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn reduce_4(sums: [__m256i; 4]) -> [i32; 4] {
    let [a, b, c, d] = sums;
    let abcd = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    let quarter = _mm_add_epi32(_mm256_castsi256_si128(abcd), _mm256_extracti128_si256::<1>(abcd));
    let mut out = [0; 4];
    // SAFETY: `out` has room for the 16 bytes.
    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), quarter) };
    out
}

/// # Safety
/// The CPU has the features below.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn distance(metric: Metric, a: &[f32], b: &[f32]) -> f32 {
    spaces::distance(metric, a, b)
}

/// # Safety
/// The CPU has the features below.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn hadamard(values: &mut [f32]) {
    let (registers, rest) = values.as_chunks_mut::<LANES>();
    if !rest.is_empty() {
        return transform::hadamard(values);
    }
    for register in registers.iter_mut() {
        // SAFETY: a chunk is one register.
        unsafe {
            let v = _mm256_loadu_ps(register.as_ptr());
            let v = butterfly::<0b1010_1010>(v, _mm256_permute_ps::<0b10_11_00_01>(v));
            let v = butterfly::<0b1100_1100>(v, _mm256_permute_ps::<0b01_00_11_10>(v));
            let v = butterfly::<0b1111_0000>(v, _mm256_permute2f128_ps::<1>(v, v));
            _mm256_storeu_ps(register.as_mut_ptr(), v);
        }
    }
    transform::later_stages(registers, |low, high| {
        // SAFETY: a chunk is one register.
        unsafe {
            let (a, b) = (_mm256_loadu_ps(low.as_ptr()), _mm256_loadu_ps(high.as_ptr()));
            _mm256_storeu_ps(low.as_mut_ptr(), _mm256_add_ps(a, b));
            _mm256_storeu_ps(high.as_mut_ptr(), _mm256_sub_ps(a, b));
        }
    });
}

/// The sum of each lane and its partner; where `HIGH` has a bit, the partner less the lane.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn butterfly<const HIGH: i32>(values: __m256, partners: __m256) -> __m256 {
    _mm256_blend_ps::<HIGH>(_mm256_add_ps(values, partners), _mm256_sub_ps(partners, values))
}

/// # Safety
/// The CPU has the features below.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn multiply(values: &mut [f32], factors: &[f32]) {
    transform::multiply(values, factors);
}

/// # Safety
/// The CPU has the features below.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn quantize(values: &[f32], inverse_step: f32, codes: &mut [i8]) -> i32 {
    transform::quantize(values, inverse_step, codes)
}

/// See [`Pool::offer`](crate::Pool::offer).
///
/// # Safety
/// The CPU has the features below.
#[target_feature(enable = "avx2,fma,popcnt")]
pub(super) unsafe fn offer(pool: &mut Pool, scores: &[f32], labels: &[u32]) {
    pool.offer_each(
        scores,
        labels,
        |scores, worst| nearer(scores, worst),
        |fences, score| below(fences, score),
        |block, score, label| insert(block, score, label),
    );
}

/// See [`pool::nearer`](crate::pool::nearer).
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn nearer(scores: &[f32], worst: f32) -> u64 {
    let worst = _mm256_set1_ps(worst);
    let less = |scores| {
        let less = _mm256_cmp_ps::<_CMP_LT_OQ>(scores, worst);
        u64::from(_mm256_movemask_ps(less).cast_unsigned())
    };
    let (whole, rest) = scores.as_chunks::<LANES>();
    let mut bits = 0;
    for (at, scores) in whole.iter().enumerate() {
        // SAFETY: a register of values.
        bits |= less(unsafe { _mm256_loadu_ps(scores.as_ptr()) }) << (at * LANES);
    }
    if rest.is_empty() {
        return bits;
    }
    // SAFETY: only the lanes of the rest are read.
    let last = less(unsafe { _mm256_maskload_ps(rest.as_ptr(), first_lanes(rest.len())) });
    // Lanes that were not read are zeros.
    bits | (last & ((1 << rest.len()) - 1)) << (whole.len() * LANES)
}

/// How many of `fences`, whole registers of them, are less than `score`.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn below(fences: &[f32], score: f32) -> usize {
    let score = _mm256_set1_ps(score);
    let less = fences.as_chunks::<LANES>().0.iter().map(|fences| {
        // SAFETY: a register of values.
        let fences = unsafe { _mm256_loadu_ps(fences.as_ptr()) };
        _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(fences, score)).count_ones() as usize
    });
    less.sum()
}

/// Puts a candidate in its place in a block with room for it, without a search: with `s` inserted in a sorted list `x`, place `i` holds
/// `min(x[i], max(x[i - 1], s))`.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn insert(block: &mut Block, score: f32, label: u32) -> usize {
    let new = _mm256_set1_ps(score);
    let new_label = _mm256_set1_epi32(label.cast_signed());
    let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    let lane_before = _mm256_setr_epi32(7, 0, 1, 2, 3, 4, 5, 6);
    let (scores, labels) = (block.scores.as_mut_ptr(), block.labels.as_mut_ptr().cast::<__m256i>());
    let mut lower = _mm256_set1_ps(f32::NEG_INFINITY);
    let mut lower_labels = _mm256_setzero_si256();
    let mut less = [0; 2];
    for (half, less) in less.iter_mut().enumerate() {
        // SAFETY: a block is two aligned registers of scores and two of labels.
        let (here, here_labels) =
            unsafe { (_mm256_load_ps(scores.add(half * LANES)), _mm256_load_si256(labels.add(half))) };
        // The last lane of the half below comes in. What was there goes to the half above; the block's own last lane is free.
        let source = _mm256_blend_ps::<0x80>(here, lower);
        let label_source =
            if half == 0 { here_labels } else { _mm256_blend_epi32::<0x80>(here_labels, lower_labels) };
        let before = _mm256_permutevar8x32_ps(source, lane_before);
        let goes_up = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_NLT_UQ>(here, new));
        let is_place =
            _mm256_and_si256(_mm256_castps_si256(_mm256_cmp_ps::<_CMP_LT_OQ>(before, new)), goes_up);
        let source_lane = _mm256_add_epi32(lane, goes_up);
        let moved = _mm256_permutevar8x32_epi32(label_source, source_lane);
        // SAFETY: as above.
        unsafe {
            _mm256_store_ps(scores.add(half * LANES), _mm256_min_ps(here, _mm256_max_ps(before, new)));
            _mm256_store_si256(labels.add(half), _mm256_blendv_epi8(moved, new_label, is_place));
        }
        *less = !_mm256_movemask_ps(_mm256_castsi256_ps(goes_up)) & 0xff;
        (lower, lower_labels) = (here, here_labels);
    }
    (less[0] | less[1] << LANES).count_ones() as usize
}
