// Processor time of another process.
import { existsSync, readFileSync } from "node:fs";

/** What Linux counts in a second. */
const TICKS = 100;

/** Seconds that a process has worked, on all its threads; null where the system does not tell (Linux only). */
export function processorSeconds(pid) {
  const path = `/proc/${pid}/stat`;
  if (!existsSync(path)) return null;
  // The program's name comes before, in brackets, and may hold anything.
  const fields = readFileSync(path, "utf8").split(") ").at(-1).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}
