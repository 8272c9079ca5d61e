// Measures one piece of work, or one query function: speed, percentiles and the answers, by which recall is judged.

/** Seconds that `work` takes. */
export async function timed(work) {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1_000;
}

/** The value below which `share` of the ascending `sorted` lie. */
export const percentile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];

/**
 * Asks `ask(i)` for i in 0..count, `inFlight` at a time (1: each is awaited before the next), over and over until
 * `shortest` seconds have passed, as a shorter sum is not worth quoting. A pass that would take longer than `seconds` is
 * cut short.
 *
 * Returns their number, queries per second, p50 and p99 in microseconds, and the first pass's answers.
 */
export async function timeQueries(ask, count, { inFlight = 1, seconds = 10, shortest = Math.min(1, seconds) } = {}) {
  const answers = [];
  const times = [];
  const started = performance.now();
  let next = 0;
  let elapsed = 0;

  async function askInTurn() {
    while (elapsed < shortest * 1_000 || next < count) {
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
    count: times.length,
    qps: (times.length / elapsed) * 1_000,
    p50: percentile(times, 0.5) * 1_000,
    p99: percentile(times, 0.99) * 1_000,
    answers,
  };
}

/** How many of the exact ids the answers hold, over the queries that were answered, and how many there are. */
export function recallCounts(answers, exact) {
  let found = 0;
  let wanted = 0;
  for (const [query, ids] of answers.entries()) {
    if (!ids) continue;
    const answered = new Set(ids);
    wanted += exact[query].length;
    for (const id of exact[query]) if (answered.has(id)) found++;
  }
  return { found, wanted };
}

/** The share of the exact ids that the answers hold. */
export function recall(answers, exact) {
  const { found, wanted } = recallCounts(answers, exact);
  return wanted === 0 ? 1 : found / wanted;
}
