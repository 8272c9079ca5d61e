// How long a piece of work keeps the event loop from turning.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout } from "node:timers/promises";

/** Milliseconds between two looks of the probe, and so its error. */
const RESOLUTION = 1;

/** Runs `work` and returns what it returned, with the longest time in milliseconds that the event loop stood still. */
export async function watchEventLoop(work) {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION });
  delay.enable();
  // The probe sees times between two of its looks: it needs one before the work and one after it.
  await setTimeout(5 * RESOLUTION);
  const result = await work();
  await setTimeout(5 * RESOLUTION);
  delay.disable();
  return { result, longestBlock: delay.max / 1e6 - RESOLUTION };
}
