// Resident memory of this process, and bytes on disk. All figures are MiB; null where the system does not tell.
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const MEBIBYTE = 1 << 20;

/** A line of /proc/self/status in MiB (Linux only). */
function statusLine(name) {
  if (!existsSync("/proc/self/status")) return null;
  const kibibytes = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  return kibibytes === undefined ? null : Number(kibibytes) / 1024;
}

/** Resident memory now: all of it, what is private to the process, and pages of mapped files. */
export const residentMemory = () => ({
  rss: process.memoryUsage.rss() / MEBIBYTE,
  anonymous: statusLine("RssAnon"),
  mapped: statusLine("RssFile"),
});

/** Lets the peak of resident memory start from now, where the system can (Linux). */
export function resetPeak() {
  try {
    writeFileSync("/proc/self/clear_refs", "5");
  } catch {
    // Elsewhere the peak is that since the start of the process.
  }
}

/** The most resident memory since {@link resetPeak}. */
export const peakMemory = () => statusLine("VmHWM") ?? process.resourceUsage().maxRSS / 1024;

function diskBytes(path) {
  if (!statSync(path).isDirectory()) return statSync(path).size;
  return readdirSync(path).reduce((sum, name) => sum + diskBytes(join(path, name)), 0);
}

/** What a file or folder takes; null when there is none, as for a server's. */
export const diskUse = (path) => (existsSync(path) ? diskBytes(path) / MEBIBYTE : null);
