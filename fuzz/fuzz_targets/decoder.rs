//! Every target of the crate `ferrochrome-fuzzing` in one program; the environment variable `FUZZ_TARGET` names the one to run.
#![no_main]

use std::sync::LazyLock;

use ferrochrome_fuzzing::{TARGETS, run};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<String> = LazyLock::new(|| {
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    std::env::var("FUZZ_TARGET").unwrap_or_else(|_| panic!("FUZZ_TARGET must be one of {}", names.join(", ")))
});

fuzz_target!(|bytes: &[u8]| run(&TARGET, bytes));
