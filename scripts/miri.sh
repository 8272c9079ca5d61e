#!/usr/bin/env bash
# Runs under Miri what unsafe code it can: the aligned buffers, codes and graph of the index with the scalar kernels, those kernels, and
# the verified blocks of files in memory. Needs a nightly toolchain with Miri; without one it is skipped and says so.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo +nightly miri --version >/dev/null 2>&1; then
  echo "Miri is not installed (rustup +nightly component add miri rust-src): skipped"
  exit 0
fi
# Worker threads outlive the tests, and tests may look at the clock.
export MIRIFLAGS="${MIRIFLAGS:-} -Zmiri-ignore-leaks -Zmiri-disable-isolation"
cargo +nightly miri test --locked -p ferrochrome-index --lib -- small_tests aligned_buffer
cargo +nightly miri test --locked -p ferrochrome-distance --lib -- a_zero_vector_is further_spaces_of_a_few_numbers
cargo +nightly miri test --locked -p ferrochrome-blockstore --lib -- a_file_of_another_length ids::tests
