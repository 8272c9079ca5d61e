//! AVX-512 F, BW, VL and VNNI: sixteen f32 or sixty-four bytes at a time.

use core::arch::x86_64::*;

use ferrochrome_types::Metric;

use super::{dims_of, for_each_row};
use crate::kernels::Span;
use crate::pool::{Block, Pool};
use crate::{BLOCK_ROWS, spaces, transform};

const LANES: usize = 16;
/// Independent sums a row: enough to hide the latency of an addition.
const SUMS: usize = 4;

/// Dot product, or with `L2` the squared distance, of `query` and each of `rows`. One order of summation whatever `ROWS`.
///
/// # Safety
/// The CPU has the features below; `query` and every row are readable for `dim` values.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
pub(super) unsafe fn sum_f32<const L2: bool, const ROWS: usize>(
    query: *const f32,
    rows: [*const f32; ROWS],
    dim: usize,
) -> [f32; ROWS] {
    let mut sums = [[_mm512_setzero_ps(); SUMS]; ROWS];
    let mut i = 0;
    // SAFETY: a whole group is left below `dim`; masked-off lanes of the last one are not read.
    unsafe {
        while i + SUMS * LANES <= dim {
            add_group::<L2, ROWS>(query, rows, i, [!0; SUMS], &mut sums);
            i += SUMS * LANES;
        }
        if i < dim {
            let masks = std::array::from_fn(|part| {
                let left = dim.saturating_sub(i + part * LANES);
                if left >= LANES { !0 } else { (1 << left) - 1 }
            });
            add_group::<L2, ROWS>(query, rows, i, masks, &mut sums);
        }
    }
    sums.map(|sum| {
        _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])))
    })
}

/// Adds the terms of `SUMS * LANES` values from `begin` on, those that the masks select.
///
/// # Safety
/// As [`sum_f32`]; selected lanes lie below its `dim`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
unsafe fn add_group<const L2: bool, const ROWS: usize>(
    query: *const f32,
    rows: [*const f32; ROWS],
    begin: usize,
    masks: [__mmask16; SUMS],
    sums: &mut [[__m512; SUMS]; ROWS],
) {
    for (part, mask) in masks.into_iter().enumerate() {
        let offset = begin + part * LANES;
        // SAFETY: the caller vouches for the selected lanes; the others are not read.
        let a = unsafe { _mm512_maskz_loadu_ps(mask, query.wrapping_add(offset)) };
        for (sum, row) in sums.iter_mut().zip(rows) {
            // SAFETY: as above.
            let b = unsafe { _mm512_maskz_loadu_ps(mask, row.wrapping_add(offset)) };
            sum[part] = if L2 {
                let difference = _mm512_sub_ps(a, b);
                _mm512_fmadd_ps(difference, difference, sum[part])
            } else {
                _mm512_fmadd_ps(a, b, sum[part])
            };
        }
    }
}

/// # Safety
/// The CPU has the features below, and as [`Kernels::int4_dot_unchecked`](crate::Kernels::int4_dot_unchecked).
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
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
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
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
            |rows| int4_rows::<BLOCKS, _>(query, rows, dims).map(|sum| _mm512_reduce_add_epi32(sum)),
        );
    }
}

/// # Safety
/// As [`int4_dot`]; `rows` are rows of the codes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
unsafe fn int4_rows<const BLOCKS: usize, const ROWS: usize>(
    query: *const i8,
    rows: [*const u8; ROWS],
    dims: usize,
) -> [__m512i; ROWS] {
    let dims = dims_of::<BLOCKS>(dims);
    let nibble = _mm512_set1_epi8(15);
    let mut sums = [_mm512_setzero_si512(); ROWS];
    let mut byte = 0;
    while byte < dims / 2 {
        // SAFETY: `dims` is a multiple of 128, so whole blocks of query and codes are left.
        unsafe {
            let query_low = _mm512_loadu_si512(query.add(2 * byte).cast());
            let query_high = _mm512_loadu_si512(query.add(2 * byte + 64).cast());
            for (sum, row) in sums.iter_mut().zip(rows) {
                let block = _mm512_loadu_si512(row.add(byte).cast());
                let low = _mm512_and_si512(block, nibble);
                let high = _mm512_and_si512(_mm512_srli_epi16::<4>(block), nibble);
                *sum = _mm512_dpbusd_epi32(*sum, low, query_low);
                *sum = _mm512_dpbusd_epi32(*sum, high, query_high);
            }
        }
        byte += 64;
    }
    sums
}

/// # Safety
/// The CPU has the features below, and as [`Kernels::int8_dot_unchecked`](crate::Kernels::int8_dot_unchecked).
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
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
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
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
        // VNNI multiplies unsigned by signed bytes: the codes get 128 added, and the query's share of it is taken off again.
        let excess = 128 * query_sum(query, dims);
        for_each_row(
            codes,
            dims,
            labels,
            span,
            out,
            |rows| reduce_4(int8_rows::<BLOCKS, _>(query, rows, dims)).map(|sum| sum - excess),
            |rows| int8_rows::<BLOCKS, _>(query, rows, dims).map(|sum| _mm512_reduce_add_epi32(sum) - excess),
        );
    }
}

/// # Safety
/// As [`int8_dot`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
unsafe fn query_sum(query: *const i8, dims: usize) -> i32 {
    let one = _mm512_set1_epi8(1);
    let mut sum = _mm512_setzero_si512();
    let mut byte = 0;
    while byte < dims {
        // SAFETY: `dims` is a multiple of 64.
        sum = _mm512_dpbusd_epi32(sum, one, unsafe { _mm512_loadu_si512(query.add(byte).cast()) });
        byte += 64;
    }
    _mm512_reduce_add_epi32(sum)
}

/// # Safety
/// As [`int8_dot`]; `rows` are rows of the codes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
unsafe fn int8_rows<const BLOCKS: usize, const ROWS: usize>(
    query: *const i8,
    rows: [*const u8; ROWS],
    dims: usize,
) -> [__m512i; ROWS] {
    let dims = dims_of::<BLOCKS>(dims);
    let sign = _mm512_set1_epi8(-128);
    let mut sums = [_mm512_setzero_si512(); ROWS];
    let mut byte = 0;
    while byte < dims {
        // SAFETY: `dims` is a multiple of 64, so whole registers of query and codes are left.
        unsafe {
            let query = _mm512_loadu_si512(query.add(byte).cast());
            for (sum, row) in sums.iter_mut().zip(rows) {
                let codes = _mm512_xor_si512(_mm512_loadu_si512(row.add(byte).cast()), sign);
                *sum = _mm512_dpbusd_epi32(*sum, codes, query);
            }
        }
        byte += 64;
    }
    sums
}

/// # Safety
/// The CPU has the features below, and as [`Kernels::nibble_sums`](crate::Kernels::nibble_sums) has checked.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
pub(super) unsafe fn nibble_sums(tables: &[[u8; 16]], blocks: &[u8], sums: &mut [u16]) {
    let (fours, _) = tables.as_chunks::<4>();
    let (registers, _) = blocks.as_chunks::<BLOCK_ROWS>();
    for (bytes, sums) in registers.chunks_exact(tables.len() / 2).zip(sums.as_chunks_mut::<BLOCK_ROWS>().0) {
        // Of every second row, from the first on with 256 times those of the next ones on top, and of the other rows alone.
        let (mut mixed, mut odd) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        for (four, two) in fours.iter().zip(bytes.as_chunks::<2>().0) {
            // Four entries of at most 63 fit eight bits.
            let four = _mm512_add_epi8(
                look_up([&four[0], &four[1]], &two[0]),
                look_up([&four[2], &four[3]], &two[1]),
            );
            mixed = _mm512_add_epi16(mixed, four);
            odd = _mm512_add_epi16(odd, _mm512_srli_epi16::<8>(four));
        }
        let even = _mm512_sub_epi16(mixed, _mm512_slli_epi16::<8>(odd));
        let (low, high) = (_mm512_unpacklo_epi16(even, odd), _mm512_unpackhi_epi16(even, odd));
        // Eight rows a quarter: 0, 16, 32 and 48 begin those of `low`.
        let first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
        let second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
        // SAFETY: 64 sums are two registers.
        unsafe {
            let sums = sums.as_mut_ptr().cast::<__m512i>();
            _mm512_storeu_si512(sums, _mm512_permutex2var_epi64(low, first, high));
            _mm512_storeu_si512(sums.add(1), _mm512_permutex2var_epi64(low, second, high));
        }
    }
}

/// For each of 64 bytes the entry of the first table for its low nibble and that of the second for its high one, together.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
fn look_up([low, high]: [&[u8; 16]; 2], bytes: &[u8; BLOCK_ROWS]) -> __m512i {
    let nibble = _mm512_set1_epi8(15);
    // SAFETY: a table is 16 bytes, a row of bytes is one register.
    unsafe {
        let low = _mm512_broadcast_i32x4(_mm_loadu_si128(low.as_ptr().cast()));
        let high = _mm512_broadcast_i32x4(_mm_loadu_si128(high.as_ptr().cast()));
        let bytes = _mm512_loadu_si512(bytes.as_ptr().cast());
        let upper = _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), nibble);
        _mm512_add_epi8(
            _mm512_shuffle_epi8(low, _mm512_and_si512(bytes, nibble)),
            _mm512_shuffle_epi8(high, upper),
        )
    }
}

/// The sums of the sixteen lanes of four registers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
fn reduce_4(sums: [__m512i; 4]) -> [i32; 4] {
    let [a, b, c, d] = sums;
    let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    let abcd = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    let half = _mm256_add_epi32(_mm512_castsi512_si256(abcd), _mm512_extracti64x4_epi64::<1>(abcd));
    let quarter = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half));
    let mut out = [0; 4];
    // SAFETY: `out` has room for the 16 bytes.
    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), quarter) };
    out
}

/// # Safety
/// The CPU has the features below.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
pub(super) unsafe fn distance(metric: Metric, a: &[f32], b: &[f32]) -> f32 {
    spaces::distance(metric, a, b)
}

/// # Safety
/// The CPU has the features below.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
pub(super) unsafe fn hadamard(values: &mut [f32]) {
    let (registers, rest) = values.as_chunks_mut::<LANES>();
    if !rest.is_empty() {
        return transform::hadamard(values);
    }
    for register in registers.iter_mut() {
        // SAFETY: a chunk is one register.
        unsafe {
            let mut v = _mm512_loadu_ps(register.as_ptr());
            v = butterfly(v, _mm512_permute_ps::<0b10_11_00_01>(v), 0xaaaa);
            v = butterfly(v, _mm512_permute_ps::<0b01_00_11_10>(v), 0xcccc);
            v = butterfly(v, _mm512_shuffle_f32x4::<0b10_11_00_01>(v, v), 0xf0f0);
            v = butterfly(v, _mm512_shuffle_f32x4::<0b01_00_11_10>(v, v), 0xff00);
            _mm512_storeu_ps(register.as_mut_ptr(), v);
        }
    }
    transform::later_stages(registers, |low, high| {
        // SAFETY: a chunk is one register.
        unsafe {
            let (a, b) = (_mm512_loadu_ps(low.as_ptr()), _mm512_loadu_ps(high.as_ptr()));
            _mm512_storeu_ps(low.as_mut_ptr(), _mm512_add_ps(a, b));
            _mm512_storeu_ps(high.as_mut_ptr(), _mm512_sub_ps(a, b));
        }
    });
}

/// The sum of each lane and its partner; where `high` has a bit, the partner less the lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
fn butterfly(values: __m512, partners: __m512, high: __mmask16) -> __m512 {
    _mm512_mask_sub_ps(_mm512_add_ps(values, partners), high, partners, values)
}

/// # Safety
/// The CPU has the features below.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
pub(super) unsafe fn multiply(values: &mut [f32], factors: &[f32]) {
    transform::multiply(values, factors);
}

/// # Safety
/// The CPU has the features below.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")]
pub(super) unsafe fn quantize(values: &[f32], inverse_step: f32, codes: &mut [i8]) -> i32 {
    transform::quantize(values, inverse_step, codes)
}

/// See [`Pool::offer`](crate::Pool::offer).
///
/// # Safety
/// The CPU has the features below.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,popcnt")]
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
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,popcnt")]
fn nearer(scores: &[f32], worst: f32) -> u64 {
    let worst = _mm512_set1_ps(worst);
    let mut bits = 0;
    for (at, scores) in scores.chunks(LANES).enumerate() {
        let lanes = !0 >> (LANES - scores.len());
        // SAFETY: only the lanes of the chunk are read.
        let scores = unsafe { _mm512_maskz_loadu_ps(lanes, scores.as_ptr()) };
        bits |= u64::from(_mm512_mask_cmp_ps_mask::<_CMP_LT_OQ>(lanes, scores, worst)) << (at * LANES);
    }
    bits
}

/// How many of `fences`, whole registers of them, are less than `score`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,popcnt")]
fn below(fences: &[f32], score: f32) -> usize {
    let score = _mm512_set1_ps(score);
    let less = fences.as_chunks::<LANES>().0.iter().map(|fences| {
        // SAFETY: a register of values.
        let fences = unsafe { _mm512_loadu_ps(fences.as_ptr()) };
        _mm512_cmp_ps_mask::<_CMP_LT_OQ>(fences, score).count_ones() as usize
    });
    less.sum()
}

/// Puts a candidate in its place: what is below stays, the rest goes up by one.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,popcnt")]
fn insert(block: &mut Block, score: f32, label: u32) -> usize {
    let (new, new_label) = (_mm512_set1_ps(score), _mm512_set1_epi32(label.cast_signed()));
    // SAFETY: a block is an aligned register of scores and one of labels.
    unsafe {
        let scores = _mm512_load_ps(block.scores.as_ptr());
        let labels = _mm512_load_si512(block.labels.as_ptr().cast());
        // Ones up to the place; the next bit is the place itself.
        let less = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(scores, new);
        let others = !less.wrapping_add(1);
        _mm512_store_ps(block.scores.as_mut_ptr(), _mm512_mask_expand_ps(new, others, scores));
        let labels = _mm512_mask_expand_epi32(new_label, others, labels);
        _mm512_store_si512(block.labels.as_mut_ptr().cast(), labels);
        less.count_ones() as usize
    }
}
