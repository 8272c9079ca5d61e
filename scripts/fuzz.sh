#!/usr/bin/env bash
# Fuzzes: `scripts/fuzz.sh [SECONDS [TARGET...]]`, 600 seconds of each target by default. Needs a nightly toolchain and cargo-fuzz.
# What is new goes to fuzz/grown, what fails to fuzz/artifacts; coverage and executions of each
# target are printed.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
seconds=${1:-600}
shift || true
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then mapfile -t targets < <(cargo +nightly fuzz list); fi
cargo +nightly fuzz build
failed=()
for target in "${targets[@]}"; do
  mkdir -p "grown/$target"
  echo "$target:"
  cargo +nightly fuzz run "$target" "grown/$target" "corpus/$target" -- \
    -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 2>"grown/$target.log" || failed+=("$target")
  { grep 'cov: ' "grown/$target.log" | tail -n 1; grep -E 'number_of_executed_units|ERROR|panicked' "grown/$target.log"; } || true
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "failed: ${failed[*]}; see fuzz/grown/TARGET.log"
  exit 1
fi
