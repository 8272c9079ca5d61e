// Measures one piece of work, or one query function: speed, percentiles and the answers, by which recall is judged.

/** Seconds that `work` takes. */
export async function timed(work) {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1_000;
}

/** The value below which `share` of the ascending `sorted` lie. */
export const percentile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];

/** Turns that measurements take, so that a machine whose speed moves is the same for all of them. */
const TURNS = 5;

/** Asks `ask(i)` for i in 0..count, `inFlight` at a time (1: each is awaited before the next), over and over. */
class Measurement {
  #answers = [];
  #times = [];
  #next = 0;
  #elapsed = 0;

  constructor({ ask, count, inFlight = 1 }) {
    this.ask = ask;
    this.count = count;
    this.inFlight = inFlight;
  }

  /** Every query was asked once. */
  get isComplete() {
    return this.#next >= this.count;
  }

  /** Goes on until all its turns have taken so many milliseconds and `isEnough` holds, or until they have taken `most`. */
  async turn(milliseconds, most, isEnough) {
    const started = performance.now() - this.#elapsed;
    const askInTurn = async () => {
      while ((this.#elapsed < milliseconds || !isEnough()) && this.#elapsed <= most) {
        const query = this.#next++;
        const before = performance.now();
        const answer = await this.ask(query % this.count);
        const after = performance.now();
        this.#times.push(after - before);
        if (query < this.count) this.#answers[query] = answer;
        this.#elapsed = after - started;
      }
    };
    await Promise.all(Array.from({ length: this.inFlight }, askInTurn));
  }

  result() {
    const times = this.#times.sort((a, b) => a - b);
    return {
      count: times.length,
      qps: (times.length / this.#elapsed) * 1_000,
      least: times[0] * 1_000,
      p50: percentile(times, 0.5) * 1_000,
      p99: percentile(times, 0.99) * 1_000,
      answers: this.#answers,
    };
  }
}

/**
 * Takes the measurements (`{ ask, count, inFlight }`) in turns, each until every query was asked and `shortest` seconds have
 * passed, as a shorter sum is not worth quoting. What would take longer than `seconds` is cut short.
 *
 * Returns for each the number of queries, queries per second, least, p50 and p99 in microseconds, and the first answers.
 */
export async function timeInTurns(wanted, { seconds = 10, shortest = Math.min(1, seconds) } = {}) {
  const measurements = wanted.map((one) => new Measurement(one));
  for (let turn = 1; turn <= TURNS; turn++) {
    for (const one of measurements) {
      const isEnough = () => turn < TURNS || one.isComplete;
      await one.turn((shortest * 1_000 * turn) / TURNS, seconds * 1_000, isEnough);
    }
  }
  return measurements.map((one) => one.result());
}

/** As {@link timeInTurns}, of one measurement alone. */
export async function timeQueries(ask, count, { inFlight, ...settings } = {}) {
  const [result] = await timeInTurns([{ ask, count, inFlight }], settings);
  return result;
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
