//! x86-64.

/// Calls `$kernel::<BLOCKS>` for rows of as many blocks as usual embeddings have, so that its loops are laid out for them, and
/// `$kernel::<ANY>` for others.
macro_rules! for_blocks {
    ($dims:expr, $kernel:ident $arguments:tt) => {
        match $dims / $crate::BLOCK_DIMS {
            1 => $kernel::<1> $arguments,
            2 => $kernel::<2> $arguments,
            3 => $kernel::<3> $arguments,
            4 => $kernel::<4> $arguments,
            6 => $kernel::<6> $arguments,
            8 => $kernel::<8> $arguments,
            12 => $kernel::<12> $arguments,
            _ => $kernel::<{ super::ANY }> $arguments,
        }
    };
}

mod avx2;
mod avx512;

use crate::BLOCK_DIMS;
use crate::kernels::{Isa, Kernels, Span};

/// Stands for any number of blocks.
const ANY: usize = 0;

/// `dims`, as a constant where the number of blocks is one. What works on rows is a function for each number of blocks too: one that all
/// share would be called, not inlined, and its sums would go through memory.
#[inline(always)]
const fn dims_of<const BLOCKS: usize>(dims: usize) -> usize {
    if BLOCKS == ANY { dims } else { BLOCKS * BLOCK_DIMS }
}

static AVX2: Kernels = Kernels {
    isa: Isa::Avx2,
    dot: avx2::sum_f32::<false, 1>,
    dot_4: avx2::sum_f32::<false, 4>,
    l2_squared: avx2::sum_f32::<true, 1>,
    l2_squared_4: avx2::sum_f32::<true, 4>,
    distance: avx2::distance,
    int4_dot: avx2::int4_dot,
    int8_dot: avx2::int8_dot,
    nibble_sums: avx2::nibble_sums,
    hadamard: avx2::hadamard,
    multiply: avx2::multiply,
    quantize: avx2::quantize,
    offer: avx2::offer,
};

static AVX512: Kernels = Kernels {
    isa: Isa::Avx512,
    dot: avx512::sum_f32::<false, 1>,
    dot_4: avx512::sum_f32::<false, 4>,
    l2_squared: avx512::sum_f32::<true, 1>,
    l2_squared_4: avx512::sum_f32::<true, 4>,
    distance: avx512::distance,
    int4_dot: avx512::int4_dot,
    int8_dot: avx512::int8_dot,
    nibble_sums: avx512::nibble_sums,
    hadamard: avx512::hadamard,
    multiply: avx512::multiply,
    quantize: avx512::quantize,
    // Miri knows no comparison of 512 bits of floats.
    offer: if cfg!(miri) { avx2::offer } else { avx512::offer },
};

/// Rows ahead of the one being scored whose codes are asked for: deep enough to hide a miss, few enough for the fill buffers.
const LOOK_AHEAD: usize = 16;

/// The levels above scalar that this CPU has, weakest first.
pub(crate) fn supported() -> Vec<&'static Kernels> {
    let mut levels = Vec::new();
    if is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("popcnt")
    {
        levels.push(&AVX2);
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
        {
            levels.push(&AVX512);
        }
    }
    levels
}

/// Runs `four` over groups of four labels and `one` over the rest, with the codes of later labels on their way.
///
/// # Safety
/// There are `known` labels and room for `count` of them, and what `four` and `one` ask of their row pointers holds for each label's row.
#[inline(always)]
unsafe fn for_each_row(
    codes: *const u8,
    stride: usize,
    labels: *const u32,
    Span { count, fetched, known }: Span,
    out: *mut i32,
    four: impl Fn([*const u8; 4]) -> [i32; 4],
    one: impl Fn([*const u8; 1]) -> [i32; 1],
) {
    // SAFETY: only called with `i < known`.
    let row = |i: usize| unsafe { codes.wrapping_add(*labels.add(i) as usize * stride) };
    for i in fetched..known.min(LOOK_AHEAD) {
        crate::prefetch_bytes(row(i), stride);
    }
    let mut i = 0;
    while i + 4 <= count {
        for ahead in i + LOOK_AHEAD..(i + LOOK_AHEAD + 4).min(known) {
            crate::prefetch_bytes(row(ahead), stride);
        }
        let sums = four([row(i), row(i + 1), row(i + 2), row(i + 3)]);
        // SAFETY: `i + 4 <= count`, the length of `out`.
        unsafe { out.add(i).cast::<[i32; 4]>().write_unaligned(sums) };
        i += 4;
    }
    while i < count {
        if i + LOOK_AHEAD < known {
            crate::prefetch_bytes(row(i + LOOK_AHEAD), stride);
        }
        let [sum] = one([row(i)]);
        // SAFETY: `i < count`.
        unsafe { out.add(i).write(sum) };
        i += 1;
    }
}
