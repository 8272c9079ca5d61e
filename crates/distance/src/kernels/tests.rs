use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

fn vectors(rng: &mut StdRng, count: usize, dim: usize) -> Vec<Vec<f32>> {
    (0..count).map(|_| (0..dim).map(|_| rng.random_range(-1.0..1.0)).collect()).collect()
}

/// Dot product and squared distance in f64, with the sum of magnitudes that bounds the f32 error of each.
fn reference(a: &[f32], b: &[f32]) -> [(f64, f64); 2] {
    let pairs = || a.iter().zip(b).map(|(&a, &b)| (f64::from(a), f64::from(b)));
    let l2: f64 = pairs().map(|(a, b)| (a - b) * (a - b)).sum();
    [(pairs().map(|(a, b)| a * b).sum(), pairs().map(|(a, b)| (a * b).abs()).sum()), (l2, l2)]
}

/// Under Miri, which takes a thousand times as long, those around whole registers.
fn lengths() -> Vec<usize> {
    if cfg!(miri) {
        return vec![0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 67];
    }
    (0..=67).chain([100, 127, 128, 129, 383, 384, 385, 1536, 8191, 8192]).collect()
}

/// Miri knows no CPU: only what it is told to build for is run.
#[cfg(miri)]
#[test]
fn miri_runs_the_kernels_that_it_is_built_for() {
    let has = |isa| supported().iter().any(|kernels| kernels.isa == isa);
    assert_eq!(has(Isa::Avx2), cfg!(all(target_feature = "avx2", target_feature = "fma")));
    assert_eq!(has(Isa::Avx512), cfg!(target_feature = "avx512vnni"));
}

#[test]
fn f32_sums_keep_the_documented_bound_at_every_level_and_alignment() {
    let mut rng = StdRng::seed_from_u64(1);
    for dim in lengths() {
        let rows = vectors(&mut rng, 5, dim + 3);
        for kernels in supported() {
            for start in 0..3 {
                let query = &rows[4][start..start + dim];
                let four: [&[f32]; 4] = std::array::from_fn(|i| &rows[i][(i + start) % 4..][..dim]);
                let (dots, distances) = (kernels.dot_4(query, four), kernels.l2_squared_4(query, four));
                for i in 0..4 {
                    let [(dot, dot_bound), (l2, l2_bound)] = reference(query, four[i]);
                    let unit = (dim + 4) as f64 * f64::from(f32::EPSILON) / 2.0;
                    let name = kernels.isa.as_str();
                    assert!((f64::from(dots[i]) - dot).abs() <= unit * dot_bound, "{name} dot {dim}");
                    assert!((f64::from(distances[i]) - l2).abs() <= 3.0 * unit * l2_bound, "{name} l2 {dim}");
                    assert_eq!(
                        dots[i].to_bits(),
                        kernels.dot(query, four[i]).to_bits(),
                        "{name} dot_4 {dim}"
                    );
                    assert_eq!(
                        distances[i].to_bits(),
                        kernels.l2_squared(query, four[i]).to_bits(),
                        "{name} l2_4 {dim}"
                    );
                }
            }
        }
    }
}

#[test]
fn denormals_nan_and_infinity_pass_through() {
    for kernels in supported() {
        for dim in [1, 7, 16, 33, 100] {
            let ones = vec![1.0; dim];
            let mut row = vec![f32::from_bits(3); dim];
            assert_eq!(kernels.dot(&ones, &row), f32::from_bits(3 * dim as u32), "denormals are not flushed");
            row[dim - 1] = f32::INFINITY;
            assert_eq!(kernels.dot(&ones, &row), f32::INFINITY);
            assert_eq!(kernels.l2_squared(&ones, &row), f32::INFINITY);
            row[0] = f32::NAN;
            assert!(kernels.dot(&ones, &row).is_nan());
            assert!(kernels.l2_squared(&ones, &row).is_nan());
        }
    }
}

#[test]
fn code_sums_are_exact_at_every_level() {
    let mut rng = StdRng::seed_from_u64(2);
    let dimensions: &[usize] =
        if cfg!(miri) { &[0, 128, 384] } else { &[0, 128, 256, 384, 512, 640, 768, 1024, 1536, 1664, 8192] };
    for &dims in dimensions {
        let rows = 23;
        let codes: Vec<u8> = (0..dims * rows).map(|_| rng.random_range(-127_i8..=127) as u8).collect();
        let query: Vec<i8> = (0..dims).map(|_| rng.random_range(-127..=127)).collect();
        for count in [0, 1, 3, 4, 5, 17, 22, 40] {
            let labels: Vec<u32> = (0..count).map(|_| rng.random_range(0..rows as u32)).collect();
            let (mut expected, mut sums) = (vec![0; count], vec![0; count]);
            for kernels in supported() {
                let name = kernels.isa.as_str();
                SCALAR.int4_dot(&query, &codes, &labels, &mut expected);
                kernels.int4_dot(&query, &codes, &labels, &mut sums);
                assert_eq!(sums, expected, "{name} 4 bits {dims}");
                SCALAR.int8_dot(&query, &codes, &labels, &mut expected);
                kernels.int8_dot(&query, &codes, &labels, &mut sums);
                assert_eq!(sums, expected, "{name} 8 bits {dims}");
            }
        }
    }
}

#[test]
fn labels_that_come_next_are_not_scored() {
    const ROWS: usize = 21;
    let (query, codes) = (vec![1_i8; 128], vec![0x11_u8; 128 * ROWS]);
    let labels: Vec<u32> = (0..ROWS as u32).collect();
    for kernels in supported() {
        for (scored, fetched) in [(0, 0), (1, 16), (7, 3), (20, ROWS), (ROWS, 0)] {
            let mut sums = vec![0; scored];
            // SAFETY: the codes hold rows of 64 bytes for all labels, and there are no more sums than labels.
            unsafe { kernels.int4_dot_unchecked(&query, codes.as_ptr(), &labels, fetched, &mut sums) };
            assert_eq!(sums, vec![128; scored]);
            // SAFETY: as above, with rows of 128 bytes.
            unsafe { kernels.int8_dot_unchecked(&query, codes.as_ptr(), &labels, fetched, &mut sums) };
            assert_eq!(sums, vec![128 * 0x11; scored]);
        }
    }
}

#[test]
fn largest_codes_of_the_largest_dimension_do_not_overflow() {
    let dims = ferrochrome_types::limits::MAX_DIMENSION;
    for kernels in supported() {
        for (code, query) in [(127_i8, 127_i8), (127, -127), (-127, -127)] {
            let mut sum = [0];
            kernels.int8_dot(&vec![query; dims], &vec![code as u8; dims], &[0], &mut sum);
            assert_eq!(sum[0], dims as i32 * i32::from(code) * i32::from(query));
            kernels.int4_dot(&vec![query; dims], &vec![0xff; dims / 2], &[0], &mut sum);
            assert_eq!(sum[0], dims as i32 * 15 * i32::from(query));
        }
    }
}

#[test]
fn four_bit_layout_is_low_nibbles_then_high() {
    let mut query = vec![0_i8; 256];
    query[128 + 5] = 3;
    query[128 + 64 + 5] = 100;
    let mut codes = vec![0_u8; 128];
    codes[64 + 5] = 0x27;
    let mut sum = [0];
    for kernels in supported() {
        kernels.int4_dot(&query, &codes, &[0], &mut sum);
        assert_eq!(sum[0], 3 * 7 + 100 * 2);
    }
}

#[test]
fn nibble_sums_are_exact_at_every_level() {
    let mut rng = StdRng::seed_from_u64(4);
    let shapes = [(0, 64), (2, 64), (4, 128), (48, 192), (520, 64)];
    for &(row_bytes, rows) in if cfg!(miri) { &shapes[..3] } else { &shapes[..] } {
        let highest = crate::MAX_TABLE_ENTRY;
        let tables: Vec<[u8; 16]> =
            (0..2 * row_bytes).map(|_| std::array::from_fn(|_| rng.random_range(0..=highest))).collect();
        let blocks: Vec<u8> = (0..row_bytes * rows).map(|_| rng.random()).collect();
        let of_row = |row: usize| {
            let block = &blocks[row / BLOCK_ROWS * BLOCK_ROWS * row_bytes..];
            let bytes = (0..row_bytes).map(|b| usize::from(block[b * BLOCK_ROWS + row % BLOCK_ROWS]));
            let entries =
                bytes.enumerate().map(|(b, byte)| [tables[2 * b][byte & 15], tables[2 * b + 1][byte >> 4]]);
            entries.flatten().map(u16::from).sum::<u16>()
        };
        let expected: Vec<u16> = (0..rows).map(of_row).collect();
        for kernels in supported() {
            let mut sums = vec![0; rows];
            kernels.nibble_sums(&tables, &blocks, &mut sums);
            assert_eq!(sums, expected, "{} {row_bytes}", kernels.isa.as_str());
            let most = vec![[highest; 16]; 2 * row_bytes];
            kernels.nibble_sums(&most, &blocks, &mut sums);
            assert_eq!(
                sums,
                vec![u16::from(highest) * 2 * row_bytes as u16; rows],
                "the largest do not overflow"
            );
        }
    }
}

#[test]
fn transforms_agree_at_every_level() {
    let mut rng = StdRng::seed_from_u64(3);
    let lengths: &[usize] = if cfg!(miri) { &[1, 2, 8, 16, 64] } else { &[1, 2, 8, 16, 64, 256, 4096] };
    for &len in lengths {
        let values = vectors(&mut rng, 1, len).remove(0);
        for kernels in supported() {
            let mut once = values.clone();
            kernels.hadamard(&mut once);
            for (row, value) in once.iter().enumerate() {
                let signed =
                    |(column, v): (usize, &f32)| if (row & column).count_ones() % 2 == 0 { *v } else { -*v };
                let expected: f64 = values.iter().enumerate().map(|v| f64::from(signed(v))).sum();
                assert!((f64::from(*value) - expected).abs() < 1e-3);
            }
            kernels.multiply(&mut once, &values);
            let mut codes = vec![0; len];
            let sum = kernels.quantize(&values, 127.0, &mut codes);
            assert_eq!(sum, codes.iter().map(|&c| i32::from(c)).sum::<i32>());
            for (code, value) in codes.iter().zip(&values) {
                assert!((f32::from(*code) - value * 127.0).abs() <= 0.501);
            }
        }
    }
}

#[test]
fn a_forced_level_falls_back_to_what_the_cpu_has() {
    assert_eq!(choose(Some("scalar")).isa, Isa::Scalar);
    assert!(choose(Some("neon")).isa <= Isa::Neon);
    assert!(choose(Some("avx2")).isa <= Isa::Avx2);
    assert_eq!(choose(Some("no such level")).isa, choose(None).isa);
}

#[test]
#[should_panic(expected = "a label has no row")]
fn a_label_beyond_the_codes_is_refused() {
    SCALAR.int4_dot(&[0; 128], &[0; 128], &[2], &mut [0]);
}
