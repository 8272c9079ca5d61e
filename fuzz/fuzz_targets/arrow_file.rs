#![no_main]

use libfuzzer_sys::fuzz_target;

// The decoders of others panic, which the reader turns into an error; a panic that it lets through still aborts.
fuzz_target!(
    init: std::panic::set_hook(Box::new(|_| {})),
    |bytes: &[u8]| ferrochrome_fuzzing::run("arrow_file", bytes)
);
