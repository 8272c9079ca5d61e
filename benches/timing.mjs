// Measures one query function: speed, percentiles and the answers, by which recall is judged.

/** A pass shorter than this is repeated until the sum is long enough to be worth quoting. */
const SHORTEST_MILLISECONDS = 1_000;

/** The value below which `share` of the ascending `sorted` lie. */
const percentile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];

/**
 * Asks `ask(i)` for i in 0..count, `inFlight` at a time (1: each is awaited before the next), over and over until a
 * second has passed. A pass that would take longer than `seconds` is cut short.
 *
 * Returns queries per second, p50 and p99 in microseconds, and the first pass's answers.
 */
export async function timeQueries(ask, count, { inFlight = 1, seconds = 10 } = {}) {
  const answers = [];
  const times = [];
  const started = performance.now();
  let next = 0;
  let elapsed = 0;

  async function askInTurn() {
    while (elapsed < SHORTEST_MILLISECONDS || next < count) {
      if (elapsed > seconds * 1_000) return;
      const query = next++;
      const before = performance.now();
      const answer = await ask(query % count);
      const after = performance.now();
      times.push(after - before);
      if (query < count) answers[query] = answer;
      elapsed = after - started;
    }
  }
  await Promise.all(Array.from({ length: inFlight }, askInTurn));

  times.sort((a, b) => a - b);
  return {
    qps: (times.length / elapsed) * 1_000,
    p50: percentile(times, 0.5) * 1_000,
    p99: percentile(times, 0.99) * 1_000,
    answers,
  };
}

/** The share of the exact ids that the answers hold, over the queries that were answered. */
export function recall(answers, exact) {
  let found = 0;
  let wanted = 0;
  for (const [query, ids] of answers.entries()) {
    if (!ids) continue;
    const answered = new Set(ids);
    wanted += exact[query].length;
    for (const id of exact[query]) if (answered.has(id)) found++;
  }
  return wanted === 0 ? 1 : found / wanted;
}
