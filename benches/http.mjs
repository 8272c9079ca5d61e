// Queries and writes over HTTP: the stock chromadb client against Ferrochrome's server and against Chroma's own.
import { rmSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { batches, DIMENSION, K, readEntries, readQueries } from "./dataset.mjs";
import { exactNeighbors } from "./exact.mjs";
import { SERVERS, startConstant } from "./http-servers.mjs";
import { EF_CONSTRUCTION, M, NotInstalled } from "./peers/stores.mjs";
import { processorSeconds } from "./process-time.mjs";
import { formats } from "./table.mjs";
import { recall, timeQueries } from "./timing.mjs";
import { exactRows } from "./truth.mjs";

const WARM_UP = 100;
/** Queries by which recall with the filter is judged. */
const JUDGED = 200;
/** The filter admits every tenth entry. */
const FILTER = { where: { tenth: 3 } };
export const columns = [
  { title: "server", key: "server", format: formats.text },
  { title: "rows/s", key: "rowsPerSecond", format: formats.integer },
  { title: "then indexing s", key: "indexSeconds", format: formats.tenths },
  { title: "recall@10", key: "recall", format: formats.recall },
  { title: "QPS", key: "qps", format: formats.integer },
  { title: "p50 us", key: "p50", format: formats.integer },
  { title: "p99 us", key: "p99", format: formats.integer },
  { title: "server's CPU us", key: "serverMicroseconds", format: formats.integer },
  { title: "QPS, 16 in flight", key: "qpsInFlight", format: formats.integer },
  { title: "10 %: recall@10", key: "filteredRecall", format: formats.recall },
  { title: "10 %: QPS", key: "filteredQps", format: formats.integer },
  { title: "10 %: QPS, 16 in flight", key: "filteredQpsInFlight", format: formats.integer },
];

export const legend =
  "The client of npm's chromadb 3.5.0 and the server are processes of one machine. Batches of vectors, documents and metadata are\n" +
  "added one after another, each acknowledged. Then queries one after another, and 16 in flight: ids and distances, ef 100; and\n" +
  "the same with a filter on metadata that admits 10 % of the entries. The server of constant replies works on nothing: what it gets\n" +
  "is what the client itself allows. The server's CPU is per query, one after another, on all its threads.";

/** The stock client: the benches' own, or the tests'. */
function stockClient() {
  for (const place of ["package.json", "../__test__/clients/package.json"]) {
    try {
      return createRequire(new URL(place, import.meta.url))("chromadb").ChromaClient;
    } catch (error) {
      if (error.code !== "MODULE_NOT_FOUND") throw error;
    }
  }
  throw new NotInstalled("chromadb is not installed (npm run bench -- install-peers)");
}

/** Adds all entries; rows a second, without the time that it takes to make arrays of the vectors. */
async function ingest(collection, entries, size) {
  let elapsed = 0;
  for (const { ids, documents, metadatas, vectors } of batches(entries, size)) {
    const embeddings = ids.map((_, i) => Array.from(vectors.subarray(i * DIMENSION, (i + 1) * DIMENSION)));
    const started = performance.now();
    await collection.add({ ids, documents, metadatas, embeddings });
    elapsed += performance.now() - started;
  }
  return (entries.ids.length / elapsed) * 1_000;
}

/** Speed and answers of queries, and the processor time of the server's process for one of them. */
async function ask(collection, pid, queries, more, { seconds }) {
  const one = async (i) => {
    const options = { queryEmbeddings: [queries[i]], nResults: K, include: ["distances"], ...more };
    return (await collection.query(options)).ids[0];
  };
  for (let i = 0; i < Math.min(WARM_UP, queries.length); i++) await one(i);
  const before = processorSeconds(pid);
  const alone = await timeQueries(one, queries.length, { seconds });
  const worked = before === null ? null : processorSeconds(pid) - before;
  const inFlight = await timeQueries(one, queries.length, { seconds, inFlight: 16 });
  const serverMicroseconds = worked === null ? null : (worked / alone.count) * 1e6;
  return { ...alone, serverMicroseconds, qpsInFlight: inFlight.qps };
}

/** What the client gets of a server that gives the replies of another again. */
async function measureConstant(ChromaClient, port, { queries, settings }) {
  const server = await startConstant(port);
  try {
    const client = new ChromaClient({ host: "127.0.0.1", port: server.port });
    const collection = await client.getCollection({ name: "wordnet", embeddingFunction: null });
    const { qps, p50, p99, serverMicroseconds, qpsInFlight } = await ask(collection, server.pid, queries, {}, settings);
    return { server: "constant replies", qps, p50, p99, serverMicroseconds, qpsInFlight };
  } finally {
    await server.stop();
  }
}

async function measureServer(
  ChromaClient,
  { port, pid, finish },
  { entries, queries, truth, filteredTruth, settings },
) {
  const client = new ChromaClient({ host: "127.0.0.1", port });
  const hnsw = { space: "cosine", max_neighbors: M, ef_construction: EF_CONSTRUCTION, ef_search: 100 };
  const options = { name: "wordnet", configuration: { hnsw }, embeddingFunction: null };
  const collection = await client.createCollection(options);
  const rowsPerSecond = await ingest(collection, entries, settings.batch);
  const finishing = performance.now();
  await finish();
  const indexSeconds = (performance.now() - finishing) / 1_000;
  const { answers, ...plain } = await ask(collection, pid, queries, {}, settings);
  const filtered = await ask(collection, pid, queries, FILTER, settings);
  return {
    rowsPerSecond,
    indexSeconds,
    ...plain,
    recall: recall(answers, truth),
    filteredQps: filtered.qps,
    filteredQpsInFlight: filtered.qpsInFlight,
    filteredRecall: recall(filtered.answers.slice(0, JUDGED), filteredTruth),
  };
}

/** The exact answers, without and with the filter. */
function exactAnswers(entries, vectors, settings) {
  const ids = (answers) => answers.map((rows) => rows.map((row) => entries.ids[row]));
  const mask = Uint8Array.from(entries.metadatas, ({ tenth }) => Number(tenth === FILTER.where.tenth));
  const judged = vectors.slice(0, JUDGED);
  return {
    truth: ids(exactRows(settings)),
    filteredTruth: ids(exactNeighbors(entries.vectors, judged, K, [mask])[0]),
  };
}

/** How many times one server does what another does. */
function ratios(server, first, second) {
  const keys = ["rowsPerSecond", "qps", "qpsInFlight", "filteredQps", "filteredQpsInFlight"];
  const ratio = (key) => (first[key] === undefined ? null : first[key] / second[key]);
  return { server, ...Object.fromEntries(keys.map((key) => [key, ratio(key)])) };
}

export async function run({ settings, results }, { say }) {
  const ChromaClient = stockClient();
  const entries = readEntries(settings.rows);
  entries.metadatas = entries.metadatas.map((metadata, row) => ({ ...metadata, tenth: (row * 7) % 10 }));
  const vectors = readQueries(settings.queries);
  const queries = vectors.map((vector) => Array.from(vector));
  say("Computing exact answers");
  const job = { entries, queries, settings, ...exactAnswers(entries, vectors, settings) };
  const rows = [];
  const missing = [];
  let constant;
  for (const { name, start, isRepeated, missing: reason } of SERVERS) {
    const folder = join(results, "stores", `http-${name}`);
    rmSync(folder, { recursive: true, force: true });
    say(name);
    const server = await start(folder);
    if (server === null) {
      missing.push(`${name}: ${reason}`);
      continue;
    }
    try {
      rows.push({ server: name, ...(await measureServer(ChromaClient, server, job)) });
      if (isRepeated) constant = await measureConstant(ChromaClient, server.port, job);
    } finally {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  }
  const [ferrochrome, chroma] = rows;
  const compared =
    chroma === undefined
      ? []
      : [ratios("ferrochrome", ferrochrome, chroma), ratios("constant replies", constant, chroma)];
  const table = {
    title: "How many times as much as Chroma's server",
    legend: "From the same run. No server can get more through this client than the constant replies do.",
    columns: [
      { title: "server", key: "server", format: formats.text },
      { title: "rows/s", key: "rowsPerSecond", format: formats.tenths },
      { title: "QPS", key: "qps", format: formats.tenths },
      { title: "QPS, 16 in flight", key: "qpsInFlight", format: formats.tenths },
      { title: "10 %: QPS", key: "filteredQps", format: formats.tenths },
      { title: "10 %: QPS, 16 in flight", key: "filteredQpsInFlight", format: formats.tenths },
    ],
    rows: compared,
  };
  return { rows: [...rows, constant], missing, tables: compared.length > 0 ? [table] : [] };
}
