#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| ferrochrome_fuzzing::run("vectors_arrow", bytes));
