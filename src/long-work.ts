/** Long work of native code: watching how far it has come, and stopping it. */

/** Who is told of progress, and what stops the work. */
export interface LongWorkOptions<Progress> {
  /** What it throws stops the work, and is what the promise rejects with. */
  onProgress?: ((progress: Progress) => void) | undefined;
  /** The promise rejects with its reason. */
  signal?: AbortSignal | undefined;
}

/** A piece of work in native code. */
export interface LongWork<Progress, Result> {
  /** How far it has come. */
  progress: () => Progress;
  /** Has it stop soon, and reject. */
  stop: () => void;
  run: () => Promise<Result>;
}

/** Milliseconds between two reports of progress. */
const REPORT_EVERY = 50;

/**
 * Runs long work: reports when it begins, twenty times a second, and when it is done. Rejects with what `onProgress` threw, with the
 * signal's reason, or with what the work itself reports, whichever came first.
 */
export async function runLongWork<Progress, Result>(
  { onProgress, signal }: LongWorkOptions<Progress>,
  { progress, stop, run }: LongWork<Progress, Result>,
): Promise<Result> {
  signal?.throwIfAborted();
  let stopped: { reason: unknown } | undefined;
  let thrown: { reason: unknown } | undefined;
  const stopFor = (reason: unknown): { reason: unknown } => {
    stopped ??= { reason };
    stop();
    return stopped;
  };
  const report = (): void => {
    if (stopped !== undefined) return;
    try {
      onProgress?.(progress());
    } catch (error) {
      thrown = stopFor(error);
    }
  };
  const onAbort = (): void => void stopFor(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  const timer = onProgress && setInterval(report, REPORT_EVERY);
  try {
    const running = run();
    report();
    const result = await running;
    report();
    // Who aborts work that is done has it; who throws is told of it.
    if (thrown === undefined) return result;
    throw thrown.reason;
  } catch (error) {
    throw stopped === undefined ? error : stopped.reason;
  } finally {
    clearInterval(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}
