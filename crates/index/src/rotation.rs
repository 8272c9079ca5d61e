use ferrochrome_distance::{BLOCK_DIMS, kernels};

use crate::seeded_hash::hash;

/// Rounds of signs and transform. Four mix every dimension with every other even where two windows must overlap.
const ROUNDS: usize = 4;

/// A seeded random rotation: spreads each vector evenly over all dimensions, so that one step fits them all.
///
/// The input is padded with zeros to whole blocks of dimensions. A round flips random signs and applies a Hadamard transform to a
/// window of the largest power of two that fits, alternately at the beginning and at the end.
#[derive(Debug)]
pub(crate) struct Rotation {
    padded: usize,
    window: usize,
    /// Per round and dimension: the sign, times the transform's normalisation inside its window.
    factors: Vec<f32>,
}

impl Rotation {
    pub(crate) fn new(dim: usize, seed: u64) -> Self {
        let padded = padded_dim(dim);
        let window = 1 << padded.ilog2();
        let normalisation = 1.0 / (window as f32).sqrt();
        let factor = |i: usize| {
            let (round, dimension) = (i / padded, i % padded);
            let begin = begin(round, padded, window);
            let inside = (begin..begin + window).contains(&dimension);
            let sign = if hash(seed, i as u64) & 1 == 0 { 1.0 } else { -1.0 };
            sign * if inside { normalisation } else { 1.0 }
        };
        Rotation { padded, window, factors: (0..ROUNDS * padded).map(factor).collect() }
    }

    /// Dimensions of the result.
    pub(crate) fn padded(&self) -> usize {
        self.padded
    }

    /// Rotates in place. `vector` has [`padded`](Self::padded) components, zeros beyond the original ones.
    pub(crate) fn apply(&self, vector: &mut [f32]) {
        let kernels = kernels();
        for (round, factors) in self.factors.chunks_exact(self.padded).enumerate() {
            kernels.multiply(vector, factors);
            let begin = begin(round, self.padded, self.window);
            kernels.hadamard(&mut vector[begin..begin + self.window]);
        }
    }
}

/// `dim` in whole blocks of codes.
pub(crate) fn padded_dim(dim: usize) -> usize {
    dim.max(1).next_multiple_of(BLOCK_DIMS)
}

fn begin(round: usize, padded: usize, window: usize) -> usize {
    if round.is_multiple_of(2) { 0 } else { padded - window }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_keeps_lengths_and_angles_and_spreads_one_dimension() {
        for dim in [1, 3, 128, 130, 384, 640, 1536, 8192] {
            let rotation = Rotation::new(dim, 9);
            let padded = rotation.padded();
            let mut a = vec![0.0; padded];
            let mut b = vec![0.0; padded];
            a[dim - 1] = 3.0;
            for (i, value) in b[..dim].iter_mut().enumerate() {
                *value = (i % 7) as f32 - 2.5;
            }
            let (norm, dot) = (kernels().norm(&b), kernels().dot(&a, &b));
            rotation.apply(&mut a);
            rotation.apply(&mut b);
            assert!((kernels().norm(&a) - 3.0).abs() < 1e-4);
            assert!((kernels().norm(&b) - norm).abs() < 1e-4 * norm);
            assert!((kernels().dot(&a, &b) - dot).abs() < 1e-3 * norm);
            let largest = a.iter().fold(0_f32, |m, v| m.max(v.abs()));
            assert!(
                largest < 3.0 * 8.0 / (padded as f32).sqrt(),
                "dimension {dim} stays concentrated: {largest}"
            );
        }
    }

    #[test]
    fn equal_seeds_rotate_equally() {
        let rotate = |seed| {
            let mut v: Vec<f32> = (0..128).map(|i| i as f32).collect();
            Rotation::new(128, seed).apply(&mut v);
            v
        };
        assert_eq!(rotate(1), rotate(1));
        assert_ne!(rotate(1), rotate(2));
    }
}
