//! A short run of every fuzz target: the committed corpus, and seeded mutations of it. `FUZZ_ROUNDS=1000` makes it that many times as
//! long, with other mutations each time; `FUZZ_ONLY=regex` runs one target.
#![allow(clippy::unwrap_used, reason = "a test fails where a helper does")]

use std::fs;
use std::path::PathBuf;

use ferrochrome_fuzzing::{TARGETS, run};
use ferrochrome_metadata::{Catalog, Durability, Location};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Mutations of the corpus of a target; fewer where it writes files.
const MUTATIONS: usize = 600;
const SLOW_MUTATIONS: usize = 40;
const SLOW: [&str; 5] = ["catalog", "lookup", "hnsw_folder", "arrow_file", "parquet_file"];

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Flips, sets, cuts, doubles and joins, as a fuzzer does, a few at a time.
fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut StdRng) {
    for _ in 0..random.random_range(1..5) {
        let at = if bytes.is_empty() { 0 } else { random.random_range(0..bytes.len()) };
        match random.random_range(0..7) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.random_range(0..8),
            1 if !bytes.is_empty() => bytes[at] = random.random(),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, random.random()),
            4 if bytes.len() >= at + 4 => {
                let interesting = [0_u32, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, u32::MAX];
                let value = interesting[random.random_range(0..interesting.len())];
                bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            }
            5 => {
                let end = (at + random.random_range(0..64)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let other = &others[random.random_range(0..others.len())];
                let from = other.len().min(at);
                bytes.splice(at.., other[from..].iter().copied());
            }
        }
    }
}

#[test]
fn the_corpus_and_mutations_of_it_are_read_or_refused() {
    let rounds = std::env::var("FUZZ_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap());
    let only = std::env::var("FUZZ_ONLY").ok();
    for (seed, (target, _)) in (1..).zip(TARGETS) {
        if only.as_ref().is_some_and(|only| only != target) {
            continue;
        }
        let corpus = corpus(target);
        assert!(!corpus.is_empty(), "{target} has no corpus");
        let mutations = if SLOW.contains(target) { SLOW_MUTATIONS } else { MUTATIONS };
        let of_each = mutations.div_ceil(corpus.len());
        for round in 0..rounds {
            let mut random = StdRng::seed_from_u64(seed + round * 1_000);
            for bytes in &corpus {
                run(target, bytes);
                for _ in 0..of_each {
                    let mut mutated = bytes.clone();
                    mutate(&mut mutated, &corpus, &mut random);
                    run(target, &mutated);
                }
            }
        }
    }
}

#[test]
fn cargo_fuzz_has_a_program_for_each_target() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for (target, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{target}\"")), "fuzz/Cargo.toml has no {target}");
        let program = fs::read_to_string(folder.join(format!("fuzz_targets/{target}.rs"))).unwrap();
        assert!(program.contains(&format!("run(\"{target}\", bytes)")), "{program}");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
}

/// What a seed is refused for at its first bytes, no mutation of it gets past either.
#[test]
fn the_catalog_of_the_corpus_is_one_of_today() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    let seed = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/catalog/one-collection");
    fs::copy(seed, &path).unwrap();
    let catalog = Catalog::open(Location::File(path), Durability::Normal, true).unwrap();
    assert_eq!(catalog.all_collection_ids().unwrap().len(), 1);
}
