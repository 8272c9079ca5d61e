// Runs a bench on every store and variant, each in a process of its own.
//
// A bench is a module of this folder. One that measures stores side by side exports
//
//   needs                     what must be there before: `store`, the content of the store that it opens ("wordnet", or
//                             "filters" with the keys of filter-keys.mjs; absent: `path` is free), `truth`, the exact answers
//                             that it is judged by, `records`, documents and metadata, `connectItself`, the import is measured
//   measure(job)              in the child: { adapter, variant, path, settings, truth } to rows of the table
//   columns, legend, order?   how the rows are shown
//   sizes?(rows)              numbers of rows to measure at, where not only at the one asked for
//   repeats?, median?(rows)   processes a variant is measured in, and the row that stands for all of them
//   stores?, defaultsOnly?    the only stores that it is about; whether only the first variant of each is measured
//   fixedSettings?            settings that it does not take from the command
//   reportName?(settings)     the name of its report where that is not the bench's
//   followedBy?               the bench that is run after it
//   moreTables?(settings, rows)  further tables: { title, legend, columns, rows }
//
// and one that needs another course exports `run(options, tools)` to { rows, missing, tables } instead of `measure`.
import { fork } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadStore } from "./peers/stores.mjs";
import { ensureTruth } from "./truth.mjs";

const folder = fileURLToPath(new URL(".", import.meta.url));

/** Tells what goes on; standard output is for tables. */
export const say = (line) => process.stderr.write(`${line}\n`);

/** Runs a job in a process of its own: `{ rows }`, or `{ reason }` why there are none. */
export function runChild(job) {
  return new Promise((resolve) => {
    const child = fork(`${folder}child.mjs`, { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    let outcome = null;
    child.on("message", (message) => {
      outcome = message;
    });
    child.on("exit", (code, signal) =>
      resolve(outcome ?? { reason: `failed: the process ended with ${signal ?? code}` }),
    );
    child.send(job);
  });
}

const slug = (text) => text.replaceAll(/[^a-zA-Z0-9]+/g, "-");

/** The folder of a variant's store with some content, in the folder of results. */
export const storePath = (results, storeName, variantName, content) =>
  join(results, "stores", `${slug(`${storeName} ${variantName}`)}-${content}`);

/** Makes sure that a store holds all rows at `path`; says why not when it cannot. */
async function ensureBuilt(job, fresh) {
  const marker = `${job.path}.json`;
  if (!fresh && existsSync(marker)) return null;
  rmSync(job.path, { recursive: true, force: true });
  rmSync(marker, { force: true });
  say(`  building (${job.settings.rows} rows)`);
  const { rows, reason } = await runChild({ ...job, bench: "build" });
  if (reason) return reason;
  writeFileSync(marker, JSON.stringify(rows[0]));
  return null;
}

/** Measures one variant, as often as the bench asks. */
async function measureVariant(bench, module, { storeName, variantName, settings, truthFile, fresh, results }) {
  const content = module.needs.store;
  const path = storePath(results, storeName, variantName, `${content ?? bench}-${settings.rows}`);
  const job = { bench, storeName, variantName, path, settings, truthFile, content };
  if (content) {
    const reason = await ensureBuilt(job, fresh);
    if (reason) return { reason };
  } else {
    rmSync(path, { recursive: true, force: true });
  }
  const outcomes = [];
  for (let i = 0; i < (module.repeats ?? 1); i++) {
    const outcome = await runChild(job);
    if (outcome.reason) return outcome;
    outcomes.push(...outcome.rows);
  }
  if (!content) rmSync(path, { recursive: true, force: true });
  return { rows: module.median ? [module.median(outcomes)] : outcomes };
}

/** The variants of the stores that can be measured, and why others cannot. */
export async function variantsOf(module, stores) {
  const variants = [];
  const missing = [];
  for (const storeName of stores.filter((name) => module.stores?.includes(name) ?? true)) {
    const adapter = await loadStore(storeName);
    if (module.needs.records && !adapter.storesRecords) missing.push(`${storeName}: stores no metadata`);
    else {
      const names = Object.keys(adapter.variants);
      for (const variantName of module.defaultsOnly ? names.slice(0, 1) : names)
        variants.push({ storeName, variantName });
    }
  }
  return { variants, missing };
}

/** The middle value of several; of two, the smaller. */
const middle = (values) => values.toSorted((a, b) => a - b)[(values.length - 1) >> 1];

/** The row that stands for the same row of several rounds: the middle one of each number. */
function medianRow(rows) {
  const of = (key) =>
    rows.every((row) => typeof row[key] === "number") ? middle(rows.map((row) => row[key])) : rows[0][key];
  return Object.fromEntries(Object.keys(rows[0]).map((key) => [key, of(key)]));
}

/**
 * Measures variants in turns, as many rounds as wanted, so that a machine whose speed moves is the same for all of them: the rows
 * of each, and why others have none.
 */
async function measureInTurns(bench, module, variants, { rounds, fresh, ...options }) {
  const measured = variants.map((variant) => ({
    ...variant,
    name: `${variant.storeName} (${variant.variantName})`,
    rounds: [],
  }));
  for (let round = 1; round <= rounds; round++) {
    for (const variant of measured.filter(({ reason }) => !reason)) {
      say(rounds > 1 ? `${variant.name}, round ${round} of ${rounds}` : variant.name);
      const { storeName, variantName } = variant;
      const job = { ...options, storeName, variantName, fresh: fresh && round === 1 };
      const { reason, rows } = await measureVariant(bench, module, job);
      if (reason) variant.reason = reason;
      else variant.rounds.push(rows);
    }
  }
  return measured.map(({ rounds: all, ...variant }) => ({
    ...variant,
    rows: all[0]?.map((_, i) => medianRow(all.map((rows) => rows[i]))) ?? [],
  }));
}

/** Runs a bench on all stores: `{ rows, missing, tables }`. */
export async function measureStores(bench, module, { stores, settings, fresh, results }) {
  const { rounds, ...asked } = settings;
  const { variants, missing } = await variantsOf(module, stores);
  const rows = [];
  for (const count of module.sizes?.(asked.rows) ?? [asked.rows]) {
    const sized = { ...asked, rows: count };
    const truthFile = module.needs.truth && ensureTruth(module.needs.truth, sized, results, say);
    const options = { settings: sized, truthFile, rounds, fresh, results };
    for (const variant of await measureInTurns(bench, module, variants, options)) {
      const { storeName, variantName, name, reason, rows: own } = variant;
      if (reason) missing.push(`${name}: ${reason}`);
      else rows.push(...own.map((row) => ({ store: storeName, variant: variantName, ...row })));
    }
  }
  const tables = (await module.moreTables?.(asked, rows)) ?? [];
  return { rows: module.order ? rows.sort(module.order) : rows, missing: [...new Set(missing)], tables };
}
