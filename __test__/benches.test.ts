import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../", import.meta.url));
const dataset = join(root, "../shared/data/wordnet/vectors.f16");

/** A module of the benches, which are plain JavaScript. */
const load = (name: string) => import(new URL(`../benches/${name}.mjs`, import.meta.url).href);

test("the speed at a recall lies on the curve's upper edge", async () => {
  const { speedAtRecall } = await load("curve");
  const points = [
    { recall: 0.85, qps: 9_000 },
    { recall: 0.9, qps: 10_000 },
    { recall: 0.95, qps: 2_000 },
    { recall: 0.96, qps: 4_000 },
    { recall: 0.98, qps: 1_000 },
  ];
  expect(speedAtRecall(points, 0.9)).toBe(10_000);
  expect(speedAtRecall(points, 0.97)).toBeCloseTo(2_000, 6);
  expect(speedAtRecall(points, 0.93)).toBeCloseTo(Math.sqrt(10_000 * 4_000), 6);
  expect(speedAtRecall(points, 0.99)).toBeNull();
  expect(speedAtRecall(points, 0.87)).toBe(10_000);
  expect(speedAtRecall(points, 0.8)).toBeNull();
  expect(speedAtRecall([], 0.8)).toBeNull();
});

test("the brute force finds what sorting finds, block by block and under masks", async () => {
  const { exactNeighbors } = await load("exact");
  const rows = 2_500;
  const vectors = Float32Array.from({ length: rows * 5 }, (_, i) => Math.sin(i * i + 1));
  const queries = [vectors.slice(35, 40), Float32Array.of(1, 0, -1, 2, 0.5)];
  const odd = Uint8Array.from({ length: rows }, (_, row) => row % 2);
  const found = exactNeighbors(vectors, queries, 7, [null, odd]);

  const cosine = (row: number, query: Float32Array) => {
    const vector = vectors.subarray(row * 5, row * 5 + 5);
    const norm = Math.hypot(...vector);
    return vector.reduce((sum, value, i) => sum + value * (query[i] as number), 0) / norm;
  };
  for (const [i, query] of queries.entries()) {
    const sorted = Array.from({ length: rows }, (_, row) => row).sort((a, b) => cosine(b, query) - cosine(a, query));
    expect(found[0][i]).toEqual(sorted.slice(0, 7));
    expect(found[1][i]).toEqual(sorted.filter((row) => row % 2 === 1).slice(0, 7));
  }
});

test("the probe sees a block wherever it falls", async () => {
  const { watchEventLoop } = await load("event-loop");
  const block = () => {
    const end = performance.now() + 60;
    while (performance.now() < end);
  };
  const turn = () => new Promise((resolve) => setTimeout(resolve, 5));
  for (const work of [
    async () => block(),
    async () => {
      await turn();
      block();
      await turn();
    },
    async () => {
      await turn();
      block();
    },
  ]) {
    expect((await watchEventLoop(work)).longestBlock).toBeGreaterThan(50);
  }
});

describe.skipIf(!existsSync(dataset))("every bench, on a few rows and without peers", { timeout: 120_000 }, () => {
  let results: string;

  const bench = (...args: string[]) => {
    const small = ["--rows", "2000", "--queries", "40", "--seconds", "0.01", "--stores", "ferrochrome"];
    const run = spawnSync(process.execPath, ["benches/run.mjs", ...args, ...small, "--results", results], {
      cwd: root,
      encoding: "utf8",
    });
    expect(run.stderr).not.toMatch(/error|failed/i);
    expect(run.status).toBe(0);
    return run.stdout;
  };
  const report = (name: string) => {
    const { missing, rows, ...rest } = JSON.parse(readFileSync(join(results, `${name}.json`), "utf8"));
    expect(missing).toEqual([]);
    return { rows, ...rest };
  };

  beforeAll(() => {
    results = mkdtempSync(join(tmpdir(), "ferrochrome-test-"));
  });
  afterAll(() => rmSync(results, { recursive: true, force: true }));

  test("search finds the exact neighbours, in one call too", () => {
    expect(bench("search")).toContain("recall@10");
    const { rows } = report("search");
    expect(rows.length).toBeGreaterThan(6);
    for (const row of rows) {
      expect(row.recall).toBeGreaterThan(0.95);
      expect(row.recallBatch).toBeGreaterThan(0.95);
      expect(row.qps).toBeGreaterThan(0);
    }
  });

  test("filters reach every cell, and no query misses a row", () => {
    bench("filters");
    const { rows } = report("filters");
    const kinds = new Set(rows.map(({ kind }: { kind: string }) => kind));
    expect(kinds).toContain("anti-correlated, two keys");
    for (const row of rows) expect([row.filter, row.recall, row.wrongCounts]).toEqual([row.filter, 1, 0]);
    const share = (kind: string) =>
      rows.filter((row: { kind: string }) => row.kind === kind).map((row: { share: number }) => row.share);
    for (const kind of ["random, one key", "correlated, one key", "anti-correlated, one key", "range"]) {
      expect(Math.max(...share(kind))).toBeCloseTo(0.5, 1);
      expect(Math.min(...share(kind))).toBeLessThan(0.001);
    }
  });

  test.each(["ingest", "open", "memory", "ffi"])("%s measures every variant", (name) => {
    bench(name);
    const { rows, machine, settings, command } = report(name);
    expect(rows.length).toBeGreaterThan(1);
    expect(machine.cores).toBeGreaterThan(0);
    expect(settings.queries).toBe(40);
    expect(command).toContain(name);
  });

  test("segments lays the rows out as it says", () => {
    bench("segments");
    const { rows } = report("segments");
    expect(rows.map((row: { segments: number }) => row.segments)).toEqual([1, 10, 100]);
  });

  test("dimensions shows what shortening costs", () => {
    bench("dimensions");
    const { rows } = report("dimensions");
    expect(rows.map((row: { dimensions: number }) => row.dimensions)).toEqual([384, 256, 192, 128]);
    expect(rows[0].recall).toBeGreaterThan(0.95);
    expect(rows[3].recall).toBeLessThan(rows[0].recall);
    expect(rows[3].recall).toBeGreaterThan(0.3);
  });

  test.each([
    ["384", "scale-2000x384"],
    ["96", "scale-2000x96"],
  ])("scale with %s dimensions agrees with the brute force", (dimension, name) => {
    bench("scale", "--dim", dimension);
    const { rows, tables } = report(name);
    expect(rows[0].exactAgrees).toBe(1);
    const [sweep, filters] = tables;
    expect(sweep.rows.at(-1).recall).toBeGreaterThan(0.95);
    expect(filters.rows.length).toBeGreaterThan(1);
  });

  test("the page shows all of them and needs nothing from elsewhere", () => {
    bench("all", "--report-only");
    const page = readFileSync(join(results, "report.html"), "utf8");
    for (const name of readdirSync(results).filter((file) => file.endsWith(".json") && !file.startsWith("exact-"))) {
      expect(page).toContain(`<h2>${JSON.parse(readFileSync(join(results, name), "utf8")).bench}</h2>`);
    }
    expect(page).toContain("<polyline");
    expect(page).not.toMatch(/https?:|<script|<link|NaN|undefined/);
  });
});
