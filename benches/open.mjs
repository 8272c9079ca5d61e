// From a fresh process to the first answer, at several sizes; and what the package itself takes to load.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { K, readQueries } from "./dataset.mjs";
import { formats } from "./table.mjs";

/** The search width: Chroma's default. */
const EF = 100;

export const needs = { store: "wordnet", connectItself: true };

/** Fresh processes measured; the table shows the one with the median total. */
export const repeats = 5;

/** A hundredth, a tenth and all of the rows. */
export const sizes = (rows) => [...new Set([Math.ceil(rows / 100), Math.ceil(rows / 10), rows])];

export const columns = [
  { title: "rows", key: "rows", format: formats.integer },
  { title: "store", key: "store", format: formats.text },
  { title: "variant", key: "variant", format: formats.text },
  { title: "import ms", key: "importTime", format: formats.tenths },
  { title: "open ms", key: "openTime", format: formats.tenths },
  { title: "first query ms", key: "queryTime", format: formats.tenths },
  { title: "open and query ms", key: "openQueryTime", format: formats.tenths },
  { title: "all ms", key: "allTime", format: formats.tenths },
];

export const legend =
  "A fresh process each; files are in the operating system's cache. The median of five. The import reads JavaScript; packages\n" +
  "load their native part when they please.";

const middle = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

export const median = (rows) => rows.sort((a, b) => a.allTime - b.allTime)[Math.floor(rows.length / 2)];

export async function measure({ adapter, variant, path, settings }) {
  const [vector] = readQueries(1);
  const started = performance.now();
  await adapter.connect();
  const imported = performance.now();
  const store = await adapter.open(path, variant);
  const opened = performance.now();
  await store.query(store.prepareQuery(vector), { k: K, ef: EF });
  const answered = performance.now();
  await store.close();
  return [
    {
      rows: settings.rows,
      importTime: imported - started,
      openTime: opened - imported,
      queryTime: answered - opened,
      openQueryTime: answered - imported,
      allTime: answered - started,
    },
  ];
}

const root = fileURLToPath(new URL("..", import.meta.url));

/** Milliseconds that a fresh process takes for a statement. */
function loadTime(statement) {
  const script = `const started = performance.now(); ${statement}; console.log(performance.now() - started);`;
  const run = () => spawnSync(process.execPath, ["--input-type=module", "--eval", script], { cwd: root });
  return middle(Array.from({ length: repeats }, () => Number(run().stdout)));
}

/** Bytes of the addon as it is and without its symbols, in MB; null where there is no `strip`. */
function addonSizes(file) {
  const folder = mkdtempSync(join(tmpdir(), "ferrochrome-bench-"));
  const copy = join(folder, "addon.node");
  copyFileSync(file, copy);
  const stripped = spawnSync("strip", [copy]).status === 0 ? statSync(copy).size / 1e6 : null;
  rmSync(folder, { recursive: true, force: true });
  return { size: statSync(file).size / 1e6, stripped };
}

/** The package: time to import it, to load the addon, and the addon's size. */
export function moreTables() {
  const name = readdirSync(`${root}binding`).find((file) => file.endsWith(".node"));
  if (!name || !existsSync(`${root}dist/index.js`)) return [];
  const row = {
    addon: name,
    importTime: loadTime(`await import("./dist/index.js")`),
    requireTime: loadTime(`process.getBuiltinModule("module").createRequire(import.meta.url)("./dist/index.js")`),
    addonTime: loadTime(`process.getBuiltinModule("module").createRequire(import.meta.url)("./binding/native.cjs")`),
    ...addonSizes(`${root}binding/${name}`),
  };
  return [
    {
      title: "The package",
      legend: "Fresh processes, the median of five. The addon is loaded when the first database is opened.",
      columns: [
        { title: "addon", key: "addon", format: formats.text },
        { title: "import ms", key: "importTime", format: formats.tenths },
        { title: "require ms", key: "requireTime", format: formats.tenths },
        { title: "addon ms", key: "addonTime", format: formats.tenths },
        { title: "addon MB", key: "size", format: formats.tenths },
        { title: "stripped MB", key: "stripped", format: formats.tenths },
      ],
      rows: [row],
    },
  ];
}
