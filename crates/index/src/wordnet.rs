//! The WordNet data set, for tests and benches.

use std::path::{Path, PathBuf};

use ferrochrome_types::{Error, Result, VectorRows};

/// Rows of the whole set.
#[allow(dead_code)]
pub(crate) const ROWS: usize = 117_659;
/// Components of every vector.
pub(crate) const DIM: usize = 384;

/// Where the data set lies.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/wordnet")
}

/// Vectors in memory.
pub(crate) struct Vectors {
    pub(crate) dim: usize,
    pub(crate) values: Vec<f32>,
}

impl Vectors {
    /// The first `count`.
    pub(crate) fn first(&self, count: usize) -> Vectors {
        Vectors { dim: self.dim, values: self.values[..count.min(self.len()) * self.dim].to_vec() }
    }
}

impl VectorRows for Vectors {
    fn dim(&self) -> usize {
        self.dim
    }

    fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// The whole row, as a segment does for those that it keeps.
    fn prefetch(&self, label: u32) {
        let row = self.values.as_ptr().wrapping_add(label as usize * self.dim);
        ferrochrome_distance::prefetch_lines(row.cast(), self.dim * 4, usize::MAX);
    }

    fn row(&self, label: u32) -> Result<&[f32]> {
        let begin = label as usize * self.dim;
        self.values.get(begin..begin + self.dim).ok_or_else(|| Error::corrupted("vectors", "no such label"))
    }
}

/// The first `rows` vectors and all queries, or `None` where the data set is absent.
pub(crate) fn load(rows: usize) -> Option<(Vectors, Vectors)> {
    let read = |name: &str| std::fs::read(folder().join(name)).ok();
    let vectors = |bytes: Vec<u8>, rows: usize| {
        let halves = bytes.as_chunks::<2>().0.iter().take(rows.saturating_mul(DIM));
        Vectors { dim: DIM, values: halves.map(|half| widen(u16::from_le_bytes(*half))).collect() }
    };
    Some((vectors(read("vectors.f16")?, rows), vectors(read("queries.f16")?, usize::MAX)))
}

/// The value of an IEEE half.
fn widen(half: u16) -> f32 {
    let (exponent, fraction) = (u32::from(half >> 10 & 31), u32::from(half & 1023));
    let magnitude = match exponent {
        0 => fraction as f32 * (1.0 / 16_777_216.0),
        31 => f32::from_bits(0x7f80_0000 | fraction << 13),
        _ => f32::from_bits((exponent + 112) << 23 | fraction << 13),
    };
    if half >> 15 == 0 { magnitude } else { -magnitude }
}
