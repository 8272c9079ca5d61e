//! Nanoseconds per row of every kernel at every level that the CPU has: `cargo bench -p ferrochrome-distance --bench kernels`.
//!
//! 64 rows that fit the cache: arithmetic, not memory.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use ferrochrome_distance::supported;
use ferrochrome_types::Metric;

const ROWS: usize = 64;
const REPEATS: usize = 2_000;

fn nanoseconds(mut run: impl FnMut()) -> f64 {
    let pass = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        for _ in 0..REPEATS {
            run();
        }
        start.elapsed().as_nanos() as f64 / (REPEATS * ROWS) as f64
    };
    (0..5).map(|_| pass(&mut run)).fold(f64::INFINITY, f64::min)
}

fn main() {
    println!(
        "{:<8}{:>6}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>16}",
        "isa",
        "dim",
        "dot",
        "dot_4",
        "l2",
        "4 bits",
        "8 bits",
        "nibbles",
        "l1",
        "hamming",
        "jaccard",
        "hellinger",
        "jensen-shannon"
    );
    for dim in [128, 384, 1_536] {
        let values: Vec<f32> = (0..ROWS * dim).map(|i| (i % 97) as f32 * 0.02 - 1.0).collect();
        let rows: Vec<&[f32]> = values.chunks_exact(dim).collect();
        let magnitudes: Vec<f32> = values.iter().map(|value| value.abs()).collect();
        let positive: Vec<&[f32]> = magnitudes.chunks_exact(dim).collect();
        let bytes: Vec<u8> = (0..ROWS * dim).map(|i| (i % 200) as u8).collect();
        let query: Vec<i8> = (0..dim).map(|i| (i % 200) as i8).collect();
        let labels: Vec<u32> = (0..ROWS as u32).collect();
        let mut sums = [0; ROWS];
        for kernels in supported() {
            let dot = nanoseconds(|| {
                for row in &rows {
                    black_box(kernels.dot(rows[0], row));
                }
            });
            let dot_4 = nanoseconds(|| {
                for four in rows.as_chunks::<4>().0 {
                    black_box(kernels.dot_4(rows[0], *four));
                }
            });
            let l2 = nanoseconds(|| {
                for row in &rows {
                    black_box(kernels.l2_squared(rows[0], row));
                }
            });
            let int4 = nanoseconds(|| kernels.int4_dot(black_box(&query), &bytes, &labels, &mut sums));
            let int8 = nanoseconds(|| kernels.int8_dot(black_box(&query), &bytes, &labels, &mut sums));
            let tables = vec![[7; 16]; dim / 4];
            let mut nibbles = [0; ROWS];
            let signs = &bytes[..ROWS * dim / 8];
            let look_up = nanoseconds(|| kernels.nibble_sums(black_box(&tables), signs, &mut nibbles));
            let isa = kernels.isa().as_str();
            print!(
                "{isa:<8}{dim:>6}{dot:>10.1}{dot_4:>10.1}{l2:>10.1}{int4:>10.1}{int8:>10.1}{look_up:>10.1}"
            );
            for metric in Metric::ALL.into_iter().filter(|metric| !metric.has_codes()) {
                let distance = nanoseconds(|| {
                    for row in &positive {
                        black_box(kernels.distance(metric, positive[0], row));
                    }
                });
                print!("{distance:>width$.1}", width = metric.as_str().len().max(8) + 2);
            }
            println!();
        }
    }
}
