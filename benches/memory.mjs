// Resident memory of a process that opens a store and asks 2,000 queries, and what the store takes on disk.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { readQueries } from "./dataset.mjs";
import { formats } from "./table.mjs";

const MEBIBYTE = 1 << 20;

export const needs = { builtStore: true };

export const columns = [
  { title: "store", key: "store", format: formats.text },
  { title: "variant", key: "variant", format: formats.text },
  { title: "RSS before, MiB", key: "before", format: formats.integer },
  { title: "RSS after, MiB", key: "after", format: formats.integer },
  { title: "grown by, MiB", key: "grown", format: formats.integer },
  { title: "of which mapped files", key: "mapped", format: formats.integer },
  { title: "disk, MiB", key: "disk", format: formats.integer },
];

export const legend =
  "Mapped files are pages that the operating system can drop and read again (Linux only). A server's memory is not counted.";

/** Resident pages of this process that belong to mapped files, in MiB; null where the system does not say. */
function mappedMebibytes() {
  if (!existsSync("/proc/self/status")) return null;
  return Number(/^RssFile:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) / 1024;
}

function diskBytes(path) {
  if (!existsSync(path)) return null;
  if (!statSync(path).isDirectory()) return statSync(path).size;
  return readdirSync(path).reduce((sum, name) => sum + diskBytes(join(path, name)), 0);
}

export async function measure({ adapter, variant, path, settings }) {
  const vectors = readQueries(settings.queries);
  const before = process.memoryUsage.rss() / MEBIBYTE;
  const mappedBefore = mappedMebibytes();
  const store = await adapter.open(path, variant);
  const queries = vectors.map((vector) => store.prepareQuery(vector));
  const deadline = performance.now() + settings.seconds * 1_000;
  for (const query of queries) {
    await store.query(query, { k: 10, ef: 100 });
    if (performance.now() > deadline) break;
  }
  const after = process.memoryUsage.rss() / MEBIBYTE;
  const mapped = mappedBefore === null ? null : mappedMebibytes() - mappedBefore;
  await store.close();
  const disk = diskBytes(path);
  return [{ before, after, grown: after - before, mapped, disk: disk === null ? null : disk / MEBIBYTE }];
}
