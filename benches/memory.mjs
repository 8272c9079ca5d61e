// Resident memory of a process that holds nothing but Node, a store and 2,000 queries, and what the store takes on disk.
import { K, readQueries } from "./dataset.mjs";
import { diskUse, residentMemory } from "./process-memory.mjs";
import { formats } from "./table.mjs";

/** The search width: Chroma's default. */
const EF = 100;

export const needs = { store: "wordnet", connectItself: true };

export const columns = [
  { title: "store", key: "store", format: formats.text },
  { title: "variant", key: "variant", format: formats.text },
  { title: "Node", key: "node", format: formats.integer },
  { title: "with queries", key: "queries", format: formats.integer },
  { title: "imported", key: "imported", format: formats.integer },
  { title: "opened", key: "opened", format: formats.integer },
  { title: "after queries", key: "after", format: formats.integer },
  { title: "anonymous", key: "anonymous", format: formats.integer },
  { title: "mapped files", key: "mapped", format: formats.integer },
  { title: "store adds", key: "added", format: formats.integer },
  { title: "disk", key: "disk", format: formats.integer },
];

export const legend =
  "Resident MiB of a fresh process, step by step: Node with the bench's few modules; with the queries in it; with the package\n" +
  `imported; with the store open; after every query was asked once, ef ${EF}. Of the last, anonymous memory is the process's own, and\n` +
  "mapped files are pages that the system can drop and read again, Node's program among them (Linux only). A server's memory is\n" +
  "not counted.";

export async function measure({ adapter, variant, path, settings }) {
  const node = residentMemory().rss;
  const vectors = readQueries(settings.queries);
  const queries = residentMemory().rss;
  await adapter.connect();
  const imported = residentMemory().rss;
  const store = await adapter.open(path, variant);
  const opened = residentMemory().rss;
  const deadline = performance.now() + settings.seconds * 1_000;
  for (const vector of vectors) {
    await store.query(store.prepareQuery(vector), { k: K, ef: EF });
    if (performance.now() > deadline) break;
  }
  const { rss: after, anonymous, mapped } = residentMemory();
  await store.close();
  const added = after - queries;
  return [{ node, queries, imported, opened, after, anonymous, mapped, added, disk: diskUse(path) }];
}
