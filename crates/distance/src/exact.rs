use ferrochrome_types::Metric;

use crate::{Kernels, kernels, spaces};

/// Added to each norm before division, as Chroma does.
const NORM_EPSILON: f64 = 1e-30;

/// Squared norms and other sums to divide by, where they lie outside this range, are computed again in f64: near its ends f32
/// loses digits or overflows.
pub(crate) const SAFE_SUMS: std::ops::Range<f32> = 1e-20..1e20;

/// The distance of two vectors of one dimension; see [`ExactDistance`].
///
/// # Panics
/// If the lengths differ.
pub fn distance(metric: Metric, a: &[f32], b: &[f32]) -> f32 {
    ExactDistance::new(metric, a).to(b)
}

/// Exact distances from one query, in f32.
///
/// Never NaN for finite vectors: what overflows in f32 is computed in f64 and rounded, to infinity where f32 ends.
/// NaN from non-finite vectors becomes infinity.
#[derive(Clone, Copy, Debug)]
pub struct ExactDistance<'a> {
    metric: Metric,
    query: &'a [f32],
    square: f32,
    kernels: &'static Kernels,
}

impl<'a> ExactDistance<'a> {
    /// Distances by `metric` from `query`.
    pub fn new(metric: Metric, query: &'a [f32]) -> Self {
        let mut distance = ExactDistance { metric, query, square: 0.0, kernels: kernels() };
        distance.square = distance.square_of(query);
        distance
    }

    /// The distance to `row`.
    ///
    /// # Panics
    /// If the lengths differ.
    #[inline]
    pub fn to(&self, row: &[f32]) -> f32 {
        let raw = match self.metric {
            Metric::L2 => self.kernels.l2_squared(self.query, row),
            Metric::InnerProduct | Metric::Cosine => self.kernels.dot(self.query, row),
            other => self.kernels.distance(other, self.query, row),
        };
        self.finish(raw, row, self.square_of(row))
    }

    /// The distances to four rows, bit for bit those of [`to`](Self::to).
    ///
    /// # Panics
    /// If the lengths differ.
    #[inline]
    pub fn to_4(&self, rows: [&[f32]; 4]) -> [f32; 4] {
        self.to_4_of(rows, rows.map(|row| self.square_of(row)))
    }

    /// As [`to_4`](Self::to_4), where many queries by one metric are compared with the same rows: `squares` has the
    /// [`square_of`](Self::square_of) each.
    ///
    /// # Panics
    /// If the lengths differ.
    #[inline]
    pub fn to_4_of(&self, rows: [&[f32]; 4], squares: [f32; 4]) -> [f32; 4] {
        let raw = match self.metric {
            Metric::L2 => self.kernels.l2_squared_4(self.query, rows),
            Metric::InnerProduct | Metric::Cosine => self.kernels.dot_4(self.query, rows),
            other => rows.map(|row| self.kernels.distance(other, self.query, row)),
        };
        std::array::from_fn(|i| self.finish(raw[i], rows[i], squares[i]))
    }

    /// What the metric wants to know of a row, whatever the query: for cosine its squared length, otherwise 0.
    #[inline]
    pub fn square_of(&self, row: &[f32]) -> f32 {
        if self.metric == Metric::Cosine { self.kernels.dot(row, row) } else { 0.0 }
    }

    #[inline]
    fn finish(&self, raw: f32, row: &[f32], square: f32) -> f32 {
        let distance = match self.metric {
            Metric::InnerProduct => 1.0 - raw,
            Metric::Cosine => {
                if SAFE_SUMS.contains(&square) && SAFE_SUMS.contains(&self.square) {
                    1.0 - raw / (square.sqrt() * self.square.sqrt())
                } else {
                    f32::NAN
                }
            }
            _ => raw,
        };
        if distance.is_finite() { distance } else { self.in_f64(row) }
    }

    #[cold]
    fn in_f64(&self, row: &[f32]) -> f32 {
        let (mut dot, mut query_square, mut row_square, mut l2) = (0_f64, 0_f64, 0_f64, 0_f64);
        for (&a, &b) in self.query.iter().zip(row) {
            let (a, b) = (f64::from(a), f64::from(b));
            dot += a * b;
            query_square += a * a;
            row_square += b * b;
            l2 += (a - b) * (a - b);
        }
        let distance = match self.metric {
            Metric::L2 => l2,
            Metric::InnerProduct => 1.0 - dot,
            Metric::Cosine => {
                1.0 - dot / ((query_square.sqrt() + NORM_EPSILON) * (row_square.sqrt() + NORM_EPSILON))
            }
            other => spaces::in_f64(other, self.query, row),
        };
        if distance.is_nan() { f32::INFINITY } else { distance as f32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_follow_their_definitions() {
        let (a, b) = ([1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]);
        assert_eq!(distance(Metric::L2, &a, &b), 4.0 + 2.25 + 1.0);
        assert_eq!(distance(Metric::InnerProduct, &a, &b), 1.0 - 6.0);
        let cosine = 6.0 / (14_f64.sqrt() * 5.25_f64.sqrt());
        assert!((f64::from(distance(Metric::Cosine, &a, &b)) - (1.0 - cosine)).abs() < 1e-6);
    }

    #[test]
    fn a_zero_vector_is_at_cosine_distance_one() {
        assert_eq!(distance(Metric::Cosine, &[0.0; 5], &[1.0; 5]), 1.0);
        assert_eq!(distance(Metric::Cosine, &[0.0; 5], &[0.0; 5]), 1.0);
    }

    #[test]
    fn extreme_magnitudes_give_no_nan() {
        let huge = [1e30, -1e30, 2e30, 1e30];
        let tiny = [1e-30, -1e-30, 2e-30, 1e-30];
        assert!(distance(Metric::Cosine, &huge, &huge).abs() < 1e-6);
        assert!(distance(Metric::Cosine, &huge, &[1e-25, -1e-25, 2e-25, 1e-25]).abs() < 1e-4);
        assert!(distance(Metric::Cosine, &tiny, &tiny) < 0.6);
        assert_eq!(distance(Metric::L2, &huge, &huge), 0.0);
        assert_eq!(distance(Metric::L2, &huge, &tiny), f32::INFINITY);
        // In f32 this dot product is inf - inf.
        assert_eq!(distance(Metric::InnerProduct, &[3e38, 3e38], &[3e38, -3e38]), 1.0);
        assert_eq!(distance(Metric::L2, &[f32::NAN], &[1.0]), f32::INFINITY);
    }

    /// Pairs of non-negative vectors: dense, sparse, of 0 and 1, nearly equal, disjoint.
    fn pairs(dim: usize) -> Vec<(Vec<f32>, Vec<f32>)> {
        let mut state = dim as u64 + 1;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1_u64 << 24) as f32
        };
        let mut vector = |keep: f32| -> Vec<f32> {
            (0..dim).map(|_| if random() < keep { random() + 1e-3 } else { 0.0 }).collect()
        };
        let (dense, sparse) = (vector(1.0), vector(0.1));
        let near = dense.iter().zip(vector(1.0)).map(|(a, noise)| a * (1.0 + 1e-3 * noise)).collect();
        let bits = |v: &[f32]| v.iter().map(|v| f32::from(u8::from(*v > 0.5))).collect::<Vec<_>>();
        let complement = |v: &[f32]| v.iter().map(|v| if *v > 0.5 { 0.0 } else { *v }).collect();
        let upper = dense.iter().map(|v| if *v > 0.5 { *v } else { 0.0 }).collect();
        vec![
            (dense.clone(), vector(1.0)),
            (dense.clone(), sparse.clone()),
            (sparse, vector(0.1)),
            (dense.clone(), near),
            (bits(&dense), bits(&vector(1.0))),
            (upper, complement(&dense)),
            (dense.clone(), dense),
        ]
    }

    #[test]
    fn further_spaces_follow_their_definitions_in_f64_at_every_level() {
        let dimensions: &[usize] =
            if cfg!(miri) { &[1, 15, 17, 33] } else { &[1, 2, 15, 16, 17, 33, 100, 384, 385, 8_192] };
        for &dim in dimensions {
            for (a, b) in pairs(dim) {
                for metric in Metric::ALL.into_iter().filter(|metric| !metric.has_codes()) {
                    let expected = if metric == Metric::L1 {
                        a.iter().zip(&b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).abs()).sum()
                    } else {
                        spaces::in_f64(metric, &a, &b)
                    };
                    for kernels in crate::supported() {
                        let raw = kernels.distance(metric, &a, &b);
                        // NaN: a zero vector, left to f64.
                        let found = f64::from(if raw.is_nan() { distance(metric, &a, &b) } else { raw });
                        let error = (found - expected).abs();
                        assert!(
                            error <= 1e-6 + 3e-5 * expected,
                            "{metric} {dim}: {found}, expected {expected}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn further_spaces_of_a_few_numbers() {
        let (a, b) = ([1.0, 0.0, 3.0, 0.0], [0.0, 0.0, 1.0, 1.0]);
        let near = |metric, expected: f64| {
            let found = f64::from(distance(metric, &a, &b));
            assert!((found - expected).abs() < 1e-6, "{metric}: {found}, expected {expected}");
        };
        near(Metric::L1, 4.0);
        near(Metric::Hamming, 0.75);
        near(Metric::Jaccard, 1.0 - 1.0 / 5.0);
        // Shares: 1/4, 0, 3/4, 0 and 0, 0, 1/2, 1/2.
        near(Metric::Hellinger, (1.0 - 0.375_f64.sqrt()).sqrt());
        let divergence = 0.25 * 2_f64.ln() + 0.75 * 1.2_f64.ln() + 0.5 * 0.8_f64.ln() + 0.5 * 2_f64.ln();
        near(Metric::JensenShannon, (divergence / 2.0).sqrt());
    }

    #[test]
    fn further_spaces_at_the_ends() {
        let (zero, one) = ([0.0; 20], [1.0; 20]);
        let expected = [
            (Metric::L1, 20.0),
            (Metric::Hamming, 1.0),
            (Metric::Jaccard, 1.0),
            (Metric::Hellinger, 1.0),
            (Metric::JensenShannon, std::f32::consts::LN_2.sqrt()),
        ];
        for (metric, farthest) in expected {
            assert_eq!(distance(metric, &zero, &one), farthest, "{metric}");
            assert_eq!(distance(metric, &one, &zero), farthest, "{metric}");
            for magnitude in [0.0, 1e-45, 1e-30, 1.0, 1e30, 3e38] {
                assert_eq!(distance(metric, &[magnitude; 20], &[magnitude; 20]), 0.0, "{metric} {magnitude}");
                let mut other = [magnitude; 20];
                other[3] = 0.0;
                let apart = distance(metric, &[magnitude; 20], &other);
                assert!(apart > 0.0 || magnitude == 0.0, "{metric} {magnitude}: {apart}");
            }
            assert!(!distance(metric, &[f32::NAN; 20], &one).is_nan());
            // Refused before they come here; a damaged file may bring them all the same.
            assert!(!distance(metric, &[-1.0; 20], &one).is_nan());
        }
        assert_eq!(distance(Metric::L1, &[3e38, 3e38], &[-3e38, -3e38]), f32::INFINITY);
        assert_eq!(distance(Metric::Jaccard, &[3e38, 3e38], &[3e38, 0.0]), 0.5);
    }

    #[test]
    fn four_at_once_are_bit_for_bit_the_same() {
        let rows: Vec<Vec<f32>> =
            (0..5).map(|r| (0..77).map(|i| ((i * 7 + r * 13) % 23) as f32 - 0.3).collect()).collect();
        for metric in Metric::ALL {
            let exact = ExactDistance::new(metric, &rows[4]);
            let four = exact.to_4([&rows[0], &rows[1], &rows[2], &rows[3]]);
            for i in 0..4 {
                assert_eq!(four[i].to_bits(), exact.to(&rows[i]).to_bits());
            }
        }
    }
}
