// The index alone, without a database around it, beside hnswlib's C++: Ferrochrome's is measured by its Rust bench, hnswlib by
// peers/hnswlib_curve.py, one thread each, over the same vectors and queries, judged by the same exact neighbours. More rows than
// WordNet has are its entries again and again, with noise (scale-data.mjs).
import { spawnSync } from "node:child_process";
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { compareAtRecall } from "./curve.mjs";
import { ALL_ROWS, DIMENSION, K, readQueries } from "./dataset.mjs";
import { runHnswlib } from "./peers/python.mjs";
import { EF_CONSTRUCTION, M } from "./peers/stores.mjs";
import { describeSource, vectorBlocks } from "./scale-data.mjs";
import { formats } from "./table.mjs";
import { recall } from "./timing.mjs";
import { exactRows } from "./truth.mjs";

/** Passes over all queries at each width, in turn; the best one counts. */
const PASSES = 3;
const BUILD_THREADS = 2;
/** Candidates while building: what peers are measured with, and Ferrochrome's default. */
const EF_CONSTRUCTIONS = [EF_CONSTRUCTION, 100];
const HNSWLIB_EFS = [16, 24, 32, 48, 64, 80, 100, 140, 200, 300, 400];
/** Recalls at which speeds are compared. */
export const TARGETS = [0.95, 0.98, 0.99];

export const columns = [
  { title: "index", key: "store", format: formats.text },
  { title: "ef_construction", key: "efConstruction", format: formats.integer },
  { title: "ef", key: "ef", format: formats.integer },
  { title: "recall@10", key: "recall", format: formats.recall },
  { title: "QPS", key: "qps", format: formats.integer },
];

export const legend = `M ${M}, cosine, one thread, no language boundary per query; the best of ${PASSES} passes over all queries, in which the widths take turns.`;

/** The million's report stands beside the other. */
export const reportName = ({ rows }) => (rows > ALL_ROWS ? `index-alone-${rows}` : "index-alone");

const root = fileURLToPath(new URL("..", import.meta.url));

/** Writes what both programs read into a folder: rows and queries, row-major. */
function writeVectors(folder, { rows, queries }) {
  const [vectorFile, queryFile] = [join(folder, "vectors.f32"), join(folder, "queries.f32")];
  for (const { vectors } of vectorBlocks(rows)) appendFileSync(vectorFile, vectors);
  for (const query of readQueries(queries)) appendFileSync(queryFile, query);
}

/** Builds and searches Ferrochrome's index of the vectors in `folder`: `{ seconds, points }`, or `{ reason }`. */
function runFerrochrome(efConstruction, folder) {
  const report = join(folder, `report-${efConstruction}.json`);
  const env = { EF_CONSTRUCTION: efConstruction, THREADS: BUILD_THREADS, VECTORS: folder, REPORT: report };
  const args = ["bench", "--quiet", "--locked", "-p", "ferrochrome-index", "--bench", "index"];
  const stdio = ["ignore", "ignore", "inherit"];
  const { status, error } = spawnSync("cargo", args, { cwd: root, stdio, env: { ...process.env, ...env } });
  if (existsSync(report)) return JSON.parse(readFileSync(report, "utf8"));
  return { reason: error ? "needs cargo" : `failed: cargo ended with ${status}` };
}

function measureBoth(folder, say) {
  const builds = [];
  const missing = [];
  for (const efConstruction of EF_CONSTRUCTIONS) {
    say(`ferrochrome's index (ef_construction ${efConstruction})`);
    const { reason, ...build } = runFerrochrome(efConstruction, folder);
    if (reason) missing.push(`ferrochrome's index: ${reason}`);
    else builds.push({ store: "ferrochrome", efConstruction, ...build });
  }
  say("hnswlib");
  const job = { folder, k: K, m: M, efs: HNSWLIB_EFS, passes: PASSES, threads: BUILD_THREADS };
  const { reason, builds: theirs = [] } = runHnswlib({ ...job, ef_constructions: EF_CONSTRUCTIONS });
  if (reason) missing.push(`hnswlib: ${reason}`);
  for (const { ef_construction, ...build } of theirs) {
    builds.push({ store: "hnswlib", efConstruction: ef_construction, ...build });
  }
  return { builds, missing };
}

/** Recall at a width between those measured, linear in log(ef). Null outside of them. */
function recallAtEf(points, ef) {
  const above = points.find((point) => point.ef >= ef);
  const below = points.findLast((point) => point.ef <= ef);
  if (!above || !below) return null;
  if (above.ef === below.ef) return above.recall;
  const share = Math.log(ef / below.ef) / Math.log(above.ef / below.ef);
  return below.recall + share * (above.recall - below.recall);
}

/** Speeds at the target recalls: each of Ferrochrome's builds beside hnswlib with ef_construction 200. */
function speedTable(builds) {
  const theirs = builds.find((build) => build.store === "hnswlib" && build.efConstruction === EF_CONSTRUCTION);
  const rows = builds
    .filter(({ store }) => store === "ferrochrome")
    .flatMap(({ efConstruction, points }) =>
      TARGETS.map((target) => ({ efConstruction, ...compareAtRecall(points, theirs?.points ?? [], target) })),
    );
  return {
    title: "Index alone, ours / hnswlib",
    legend:
      `QPS at equal recall, hnswlib with ef_construction ${EF_CONSTRUCTION}: log(QPS) interpolated linearly over recall between the two\n` +
      "widths measured around it.",
    columns: [
      { title: "our ef_construction", key: "efConstruction", format: formats.integer },
      { title: "recall@10", key: "recall", format: formats.recall },
      { title: "ours QPS", key: "ours", format: formats.integer },
      { title: "hnswlib QPS", key: "theirs", format: formats.integer },
      { title: "ratio", key: "ratio", format: formats.tenths },
    ],
    rows,
  };
}

/** Build times at equal ef_construction, and the recall of both graphs at equal ef. */
function buildTable(builds) {
  const find = (store, efConstruction) =>
    builds.find((build) => build.store === store && build.efConstruction === efConstruction);
  const rows = EF_CONSTRUCTIONS.map((efConstruction) => {
    const [ours, theirs] = [find("ferrochrome", efConstruction), find("hnswlib", efConstruction)];
    const differences = (ours?.points ?? [])
      .map(({ ef, recall }) => recall - (recallAtEf(theirs?.points ?? [], ef) ?? Number.NaN))
      .filter((difference) => !Number.isNaN(difference));
    return {
      efConstruction,
      ours: ours?.seconds,
      peer: theirs?.seconds,
      ratio: ours && theirs && theirs.seconds / ours.seconds,
      least: differences.length > 0 ? Math.min(...differences) * 100 : null,
      most: differences.length > 0 ? Math.max(...differences) * 100 : null,
    };
  });
  return {
    title: `Build, ${BUILD_THREADS} threads`,
    legend:
      "The difference is our recall less hnswlib's at the same ef, in points, over all widths: the least and the most.",
    columns: [
      { title: "ef_construction", key: "efConstruction", format: formats.integer },
      { title: "ours s", key: "ours", format: formats.tenths },
      { title: "hnswlib s", key: "peer", format: formats.tenths },
      { title: "times faster", key: "ratio", format: formats.tenths },
      { title: "least difference", key: "least", format: formats.hundredths },
      { title: "most", key: "most", format: formats.hundredths },
    ],
    rows: rows.filter(({ ours, peer }) => ours != null || peer != null),
  };
}

/** One call with all queries beside the index alone, from the search bench of the same run where there is one. */
function batchTable(builds, search) {
  const batches = (search?.rows ?? [])
    .filter(({ store, qpsBestBatch }) => store === "ferrochrome" && qpsBestBatch != null)
    .map(({ variant, recall, qpsBestBatch }) => ({ variant, recall, qps: qpsBestBatch }));
  const rows = [...new Set(batches.map(({ variant }) => variant))].flatMap((variant) => {
    // The default variant has Ferrochrome's default ef_construction, the other is named after its own.
    const efConstruction = Number(/\d+/.exec(variant)?.[0] ?? 100);
    const alone = builds.find((build) => build.store === "ferrochrome" && build.efConstruction === efConstruction);
    const curve = batches.filter((row) => row.variant === variant);
    return TARGETS.map((target) => ({ variant, ...compareAtRecall(curve, alone?.points ?? [], target) }));
  });
  return {
    title: "One call with all queries / the index alone on one thread",
    legend: "The best call, as the index's is the best pass; interpolated as above.",
    columns: [
      { title: "variant", key: "variant", format: formats.text },
      { title: "recall@10", key: "recall", format: formats.recall },
      { title: "one call QPS", key: "ours", format: formats.integer },
      { title: "index QPS", key: "theirs", format: formats.integer },
      { title: "ratio", key: "ratio", format: formats.hundredths },
    ],
    rows,
  };
}

/** Measures both; `search` is the report of the search bench that ran before, if one did. */
export function run({ settings, results }, { say, search }) {
  const folder = mkdtempSync(join(results, "index-alone-"));
  let measured;
  try {
    writeVectors(folder, settings);
    measured = measureBoth(folder, say);
  } finally {
    rmSync(folder, { recursive: true });
  }
  const { builds, missing } = measured;
  if (builds.length === 0) return { rows: [], missing, tables: [] };
  const exact = exactRows(settings);
  for (const build of builds) {
    build.points = build.points.map(({ labels, ...point }) => ({ ...point, recall: recall(labels, exact) }));
  }
  const rows = builds.flatMap(({ store, efConstruction, points }) =>
    points.map((point) => ({ store, efConstruction, ...point })),
  );
  const tables = [speedTable(builds), buildTable(builds), batchTable(builds, search)];
  const data = settings.rows > ALL_ROWS ? describeSource({ ...settings, dimension: DIMENSION }) : undefined;
  return { rows, missing, tables, data };
}
