use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::Value;

/// Components of every vector.
const DIM: usize = 384;
/// Neighbours given for every query.
const NEIGHBORS: usize = 100;

/// 117,659 dictionary entries with real embeddings, and 2,000 queries that are not among them.
///
/// The files lie in `../shared/data/wordnet` beside the project; its README describes them.
#[derive(Debug)]
pub struct WordNet {
    folder: PathBuf,
}

/// One dictionary entry.
#[derive(Debug)]
pub struct Entry {
    /// Id of the entry.
    pub id: String,
    /// "words: definition".
    pub document: String,
    /// Keys `pos`, `domain`, `words`, `links`.
    pub metadata: Value,
}

impl WordNet {
    /// Components of every vector.
    pub const DIM: usize = DIM;

    /// The dataset, or `None` with a message on standard error where it is absent. A test then has nothing to do.
    #[expect(clippy::print_stderr, reason = "whoever runs the tests must learn that one did not run")]
    pub fn find() -> Option<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/wordnet");
        if folder.join("vectors.f16").is_file() {
            return Some(WordNet { folder });
        }
        eprintln!(
            "skipped: the WordNet dataset is missing (looked for ../shared/data/wordnet beside the project)"
        );
        None
    }

    fn read(&self, name: &str) -> Vec<u8> {
        let path = self.folder.join(name);
        fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// The first `rows` vectors, row-major `[rows, 384]`.
    pub fn vectors(&self, rows: usize) -> Vec<f32> {
        halves(&self.read("vectors.f16"), rows * DIM)
    }

    /// The first `n` query vectors, row-major `[n, 384]`.
    pub fn queries(&self, n: usize) -> Vec<f32> {
        halves(&self.read("queries.f16"), n * DIM)
    }

    /// The `k` exact nearest rows (of all 117,659, by cosine distance) of the first `n` queries.
    pub fn neighbors(&self, n: usize, k: usize) -> Vec<Vec<u32>> {
        let bytes = self.read("neighbors_cosine_100.u32");
        let labels: Vec<u32> = bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
        labels.chunks_exact(NEIGHBORS).take(n).map(|row| row[..k].to_vec()).collect()
    }

    /// The first `rows` entries.
    pub fn entries(&self, rows: usize) -> Vec<Entry> {
        let path = self.folder.join("records.jsonl.gz");
        let file = fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let lines = BufReader::new(GzDecoder::new(file)).lines().take(rows);
        lines.map(|line| entry(&line.unwrap_or_else(|e| panic!("{}: {e}", path.display())))).collect()
    }
}

fn entry(line: &str) -> Entry {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("a record is not JSON: {e}"));
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    Entry { id: text("id"), document: text("document"), metadata: value["metadata"].clone() }
}

/// The first `n` IEEE half-precision numbers.
fn halves(bytes: &[u8], n: usize) -> Vec<f32> {
    let halves = bytes.as_chunks::<2>().0;
    assert!(halves.len() >= n, "the file holds {} numbers, {n} were asked for", halves.len());
    halves[..n].iter().map(|b| widen(u16::from_le_bytes(*b))).collect()
}

/// Widens a finite IEEE half to a float.
fn widen(half: u16) -> f32 {
    let sign = if half >> 15 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from(half >> 10 & 0x1f);
    let fraction = f32::from(half & 0x3ff) / 1024.0;
    let magnitude = if exponent == 0 {
        fraction * 2.0_f32.powi(-14)
    } else {
        (1.0 + fraction) * 2.0_f32.powi(exponent - 15)
    };
    sign * magnitude
}

#[cfg(test)]
mod tests {
    use super::widen;

    #[test]
    fn halves_widen() {
        let pairs = [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x0001, 5.960_464_5e-8),
            (0x7bff, 65504.0),
        ];
        for (half, float) in pairs {
            assert_eq!(widen(half), float);
        }
    }
}
