//! Loops that the compiler vectorises by itself once it may use wide registers: written once here, compiled per level there.

/// Adding then subtracting this rounds an f32 below `2^22` to an integer and leaves that integer in its low bits.
const ROUNDER: f32 = 12_582_912.0;

/// Values that the first stages of a transform combine, a vector register or a few.
const GROUP: usize = 16;

/// Unnormalised Walsh-Hadamard transform in place. `values.len()` is a power of two.
#[inline(always)]
pub(crate) fn hadamard(values: &mut [f32]) {
    let len = values.len();
    let (groups, rest) = values.as_chunks_mut::<GROUP>();
    for group in groups {
        *group = stage::<8>(stage::<4>(stage::<2>(stage::<1>(*group))));
    }
    // A shorter transform is the beginning of one whose other values are zero.
    if !rest.is_empty() {
        let mut group = [0.0; GROUP];
        group[..len].copy_from_slice(rest);
        rest.copy_from_slice(&stage::<8>(stage::<4>(stage::<2>(stage::<1>(group))))[..len]);
    }
    later_stages(values.as_chunks_mut::<GROUP>().0, |low, high| {
        for (low, high) in low.iter_mut().zip(high) {
            (*low, *high) = (*low + *high, *low - *high);
        }
    });
}

/// The stages of a transform that combine whole groups: `butterfly` puts sum and difference of two in their places.
#[inline(always)]
pub(crate) fn later_stages<const LANES: usize>(
    groups: &mut [[f32; LANES]],
    butterfly: impl Fn(&mut [f32; LANES], &mut [f32; LANES]),
) {
    let mut half = 1;
    while half < groups.len() {
        for pair in groups.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            low.iter_mut().zip(high).for_each(|(low, high)| butterfly(low, high));
        }
        half *= 2;
    }
}

/// Sum and difference of values that lie `HALF` apart, written as the instructions on whole registers that it comes down to.
#[inline(always)]
fn stage<const HALF: usize>(values: [f32; GROUP]) -> [f32; GROUP] {
    let partner: [f32; GROUP] = std::array::from_fn(|i| values[i ^ HALF]);
    let sum: [f32; GROUP] = std::array::from_fn(|i| values[i] + partner[i]);
    let difference: [f32; GROUP] = std::array::from_fn(|i| partner[i] - values[i]);
    std::array::from_fn(|i| if i & HALF == 0 { sum[i] } else { difference[i] })
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
