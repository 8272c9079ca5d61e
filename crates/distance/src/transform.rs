//! Loops that the compiler vectorises by itself once it may use wide registers: written once here, compiled per level there.

/// Adding then subtracting this rounds an f32 below `2^22` to an integer and leaves that integer in its low bits.
const ROUNDER: f32 = 12_582_912.0;

/// Unnormalised Walsh-Hadamard transform in place. `values.len()` is a power of two.
#[inline(always)]
pub(crate) fn hadamard(values: &mut [f32]) {
    let len = values.len();
    let mut half = 1;
    while half < len.min(16) {
        for pair in values.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            butterfly(low, high);
        }
        half *= 2;
    }
    while half < len {
        for pair in values.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (low, high) in low.as_chunks_mut::<16>().0.iter_mut().zip(high.as_chunks_mut::<16>().0) {
                butterfly(low, high);
            }
        }
        half *= 2;
    }
}

#[inline(always)]
fn butterfly(low: &mut [f32], high: &mut [f32]) {
    for (low, high) in low.iter_mut().zip(high) {
        (*low, *high) = (*low + *high, *low - *high);
    }
}

/// `values[i] *= factors[i]`.
#[inline(always)]
pub(crate) fn multiply(values: &mut [f32], factors: &[f32]) {
    for (value, factor) in values.iter_mut().zip(factors) {
        *value *= factor;
    }
}

/// Rounds `values[i] * inverse_step`, which must lie in `-127..=127`, to signed bytes. Returns their sum.
#[inline(always)]
pub(crate) fn quantize(values: &[f32], inverse_step: f32, codes: &mut [i8]) -> i32 {
    let mut sum = 0_i32;
    for (code, value) in codes.iter_mut().zip(values) {
        let rounded = (value * inverse_step + ROUNDER).to_bits() as i32 - ROUNDER.to_bits() as i32;
        sum = sum.wrapping_add(rounded);
        *code = rounded as i8;
    }
    sum
}
