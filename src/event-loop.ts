/** Node's own, though a program's tests may put a clock of theirs in its place, which stands still. */
export const { setImmediate } = globalThis;

/** Longest stretch of work between two turns of the event loop, in milliseconds. */
export const SLICE_MS = 8;

/** Rows done between two looks at the clock. */
const SLICE_ROWS = 256;

/**
 * Runs `work(from, to)` over `0..rows` in slices, letting the event loop turn in between so that a large batch does not
 * hold up the rest of the program. Small batches are done at once. `work` returns where it stopped: at `to`, or earlier where
 * rows are large.
 */
export async function inSlices(rows: number, work: (from: number, to: number) => number): Promise<void> {
  let started = performance.now();
  let from = 0;
  while (from < rows) {
    if (from > 0 && performance.now() - started > SLICE_MS) {
      await new Promise((resolve) => setImmediate(resolve));
      started = performance.now();
    }
    from = work(from, Math.min(from + SLICE_ROWS, rows));
  }
}
