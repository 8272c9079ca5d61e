#!/usr/bin/env bash
# Runs under Miri what unsafe code it can: the kernels, scalar and, on x86-64, of AVX2 and AVX-512; the aligned buffers, codes and graph
# of the index, built by one thread and by two; and files in memory, sound and forged. Mapped files and C it cannot run. Needs a nightly
# toolchain with Miri; without one it is skipped and says so.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo +nightly miri --version >/dev/null 2>&1; then
  echo "Miri is not installed (rustup +nightly component add miri rust-src): skipped"
  exit 0
fi
# Worker threads outlive the tests, and tests may look at the clock.
export MIRIFLAGS="${MIRIFLAGS:-} -Zmiri-ignore-leaks -Zmiri-disable-isolation"
run() { cargo +nightly miri test --locked --lib -p "$@"; }
run ferrochrome-index -- small_tests aligned_buffer
run ferrochrome-blockstore -- a_file_of_another_length ids::tests any_one_byte
run ferrochrome-distance
if [ "$(uname -m)" = x86_64 ]; then
  RUSTFLAGS="-C target-feature=+avx2,+fma" run ferrochrome-distance
  RUSTFLAGS="-C target-feature=+avx2,+fma,+avx512f,+avx512bw,+avx512vl,+avx512vnni" run ferrochrome-distance
fi
