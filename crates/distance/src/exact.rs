use ferrochrome_types::Metric;

use crate::{Kernels, kernels};

/// Added to each norm before division, as Chroma does.
const NORM_EPSILON: f64 = 1e-30;

/// Squared norms and dot products outside this range are computed again in f64: near its ends f32 loses digits or overflows.
const SAFE_SQUARES: std::ops::Range<f32> = 1e-20..1e20;

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
        let kernels = kernels();
        ExactDistance { metric, query, square: kernels.dot(query, query), kernels }
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
        };
        self.finish(raw, row)
    }

    /// The distances to four rows, bit for bit those of [`to`](Self::to).
    ///
    /// # Panics
    /// If the lengths differ.
    #[inline]
    pub fn to_4(&self, rows: [&[f32]; 4]) -> [f32; 4] {
        let raw = match self.metric {
            Metric::L2 => self.kernels.l2_squared_4(self.query, rows),
            Metric::InnerProduct | Metric::Cosine => self.kernels.dot_4(self.query, rows),
        };
        std::array::from_fn(|i| self.finish(raw[i], rows[i]))
    }

    #[inline]
    fn finish(&self, raw: f32, row: &[f32]) -> f32 {
        let distance = match self.metric {
            Metric::L2 => raw,
            Metric::InnerProduct => 1.0 - raw,
            Metric::Cosine => {
                let square = self.kernels.dot(row, row);
                if SAFE_SQUARES.contains(&square) && SAFE_SQUARES.contains(&self.square) {
                    1.0 - raw / (square.sqrt() * self.square.sqrt())
                } else {
                    f32::NAN
                }
            }
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

    #[test]
    fn four_at_once_are_bit_for_bit_the_same() {
        let rows: Vec<Vec<f32>> =
            (0..5).map(|r| (0..77).map(|i| ((i * 7 + r * 13) % 23) as f32 - 9.3).collect()).collect();
        for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine] {
            let exact = ExactDistance::new(metric, &rows[4]);
            let four = exact.to_4([&rows[0], &rows[1], &rows[2], &rows[3]]);
            for i in 0..4 {
                assert_eq!(four[i].to_bits(), exact.to(&rows[i]).to_bits());
            }
        }
    }
}
