//! Distances of the spaces beyond dot products: loops that the compiler vectorises, written once here and compiled per level.
//!
//! All are sums of terms that are never negative, so that near vectors lose no digits by cancellation.

use ferrochrome_types::Metric;

use crate::exact::SAFE_SUMS;

/// Independent partial sums: a register of the widest level.
const LANES: usize = 16;

/// The distance of two vectors of one length under one of the spaces without codes. NaN where f32 does not suffice, as it is
/// for sums that are zero or near the ends of its range: [`in_f64`] does.
#[inline(always)]
pub(crate) fn distance(metric: Metric, a: &[f32], b: &[f32]) -> f32 {
    match metric {
        Metric::L1 => sums(a, b, |a, b| [(a - b).abs()])[0],
        Metric::Hamming => sums(a, b, |a, b| [f32::from(u8::from(a != b))])[0] / a.len().max(1) as f32,
        Metric::Jaccard => {
            let [differences, largest] = sums(a, b, |a, b| [(a - b).abs(), a.max(b)]);
            if SAFE_SUMS.contains(&largest) { differences / largest } else { f32::NAN }
        }
        Metric::Hellinger => {
            let Some([of_a, of_b]) = shares(a, b) else { return f32::NAN };
            let (of_a, of_b) = (of_a.sqrt(), of_b.sqrt());
            let [squares] = sums(a, b, |a, b| {
                let difference = a.sqrt() * of_a - b.sqrt() * of_b;
                [difference * difference]
            });
            (0.5 * squares).sqrt()
        }
        Metric::JensenShannon => {
            let Some([of_a, of_b]) = shares(a, b) else { return f32::NAN };
            let [divergence] = sums(a, b, |a, b| [divergence(a * of_a, b * of_b)]);
            (0.25 * divergence).sqrt()
        }
        Metric::L2 | Metric::InnerProduct | Metric::Cosine => f32::NAN,
    }
}

/// What the components of each vector are multiplied by to add up to 1.
#[inline(always)]
fn shares(a: &[f32], b: &[f32]) -> Option<[f32; 2]> {
    let totals = sums(a, b, |a, b| [a, b]);
    let safe = SAFE_SUMS.contains(&totals[0]) && SAFE_SUMS.contains(&totals[1]);
    safe.then(|| totals.map(|total| 1.0 / total))
}

/// The sums of the terms of all pairs of components. The terms of a pair of zeros are zero.
#[inline(always)]
fn sums<const N: usize>(a: &[f32], b: &[f32], terms: impl Fn(f32, f32) -> [f32; N]) -> [f32; N] {
    let ((a_lanes, a_tail), (b_lanes, b_tail)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [[0_f32; LANES]; N];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        add(&mut sums, a, b, &terms);
    }
    if !a_tail.is_empty() {
        let (mut a, mut b) = ([0.0; LANES], [0.0; LANES]);
        a[..a_tail.len()].copy_from_slice(a_tail);
        b[..b_tail.len()].copy_from_slice(b_tail);
        add(&mut sums, &a, &b, &terms);
    }
    sums.map(|lanes| lanes.iter().sum())
}

#[inline(always)]
fn add<const N: usize>(
    sums: &mut [[f32; LANES]; N],
    a: &[f32; LANES],
    b: &[f32; LANES],
    terms: &impl Fn(f32, f32) -> [f32; N],
) {
    for lane in 0..LANES {
        let terms = terms(a[lane], b[lane]);
        for (sum, term) in sums.iter_mut().zip(terms) {
            sum[lane] += term;
        }
    }
}

/// `2 p ln(p / m) + 2 q ln(q / m)` with `m = (p + q) / 2`. With `x = (p - q) / (p + q)` that is
/// `(p + q) ((1 + x) ln(1 + x) + (1 - x) ln(1 - x))`, and for small `x` a series without cancellation.
#[inline(always)]
fn divergence(p: f32, q: f32) -> f32 {
    let sum = p + q;
    let x = (p - q) / sum.max(f32::MIN_POSITIVE);
    let (square, above, below) = (x * x, 1.0 + x, 1.0 - x);
    let series = square
        * (1.0
            + square * (1.0 / 6.0 + square * (1.0 / 15.0 + square * (1.0 / 28.0 + square * (1.0 / 45.0)))));
    let logarithms = above * ln(above) + below * ln(below);
    sum * if square < 0.0625 { series } else { logarithms }
}

/// Natural logarithm of a normal number, to two units in the last place, without branches or calls so that it is vectorised.
/// Of zero some finite number.
///
/// The mantissa is brought into `sqrt(1/2)..sqrt(2)`; the polynomial is that of Cephes' `logf`.
#[inline(always)]
fn ln(value: f32) -> f32 {
    const SQRT_HALF: u32 = 0x3f35_04f3;
    const MANTISSA: u32 = 0x007f_ffff;
    let offset = value.to_bits().wrapping_sub(SQRT_HALF);
    let exponent = (offset as i32 >> 23) as f32;
    let x = f32::from_bits((offset & MANTISSA) + SQRT_HALF) - 1.0;
    let square = x * x;
    let mut polynomial = 7.037_683_6e-2;
    for coefficient in [
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ] {
        polynomial = polynomial * x + coefficient;
    }
    // ln 2 in two parts, of which the larger has few digits: its multiples are exact.
    let small = x * square * polynomial - 2.121_944_4e-4 * exponent - 0.5 * square;
    x + small + 0.693_359_4 * exponent
}

/// As [`distance`], where f32 overflows or a vector is zero.
pub(crate) fn in_f64(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    let sum = |term: &dyn Fn(f64, f64) -> f64| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| term(a.into(), b.into())).sum()
    };
    let (of_a, of_b) = (sum(&|a, _| a), sum(&|_, b| b));
    let differences = sum(&|a, b| (a - b).abs());
    match metric {
        Metric::Hamming => sum(&|a, b| f64::from(u8::from(a != b))) / a.len().max(1) as f64,
        Metric::Jaccard | Metric::Hellinger | Metric::JensenShannon if differences == 0.0 => 0.0,
        Metric::Jaccard => differences / sum(&f64::max),
        Metric::Hellinger if of_a == 0.0 || of_b == 0.0 => 1.0,
        Metric::Hellinger => (0.5 * sum(&|a, b| ((a / of_a).sqrt() - (b / of_b).sqrt()).powi(2))).sqrt(),
        Metric::JensenShannon if of_a == 0.0 || of_b == 0.0 => std::f64::consts::LN_2.sqrt(),
        Metric::JensenShannon => {
            let part = |p: f64, m: f64| if p > 0.0 { p * (p / m).ln() } else { 0.0 };
            let divergence = sum(&|a, b| {
                let (p, q) = (a / of_a, b / of_b);
                part(p, (p + q) / 2.0) + part(q, (p + q) / 2.0)
            });
            (0.5 * divergence).max(0.0).sqrt()
        }
        Metric::L1 | Metric::L2 | Metric::InnerProduct | Metric::Cosine => differences,
    }
}
