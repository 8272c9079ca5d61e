// Measures one variant of one store in a process of its own, so that stores neither share memory nor slow one
// another, and so that one that crashes takes nothing with it. run.mjs sends the job and is sent the outcome.
import { readFileSync } from "node:fs";
import { batches, readEntries } from "./dataset.mjs";
import { loadStore, NotInstalled } from "./peers/stores.mjs";

/** Loads every entry, for the benches that need a store that is already there. */
async function build({ adapter, variant, path, settings }) {
  const started = performance.now();
  const store = await adapter.create(path, variant, { rows: settings.rows });
  for (const batch of batches(readEntries(settings.rows, { synthetic: true }), settings.batch)) {
    await store.insert(batch);
  }
  await store.finish();
  await store.close();
  return [{ seconds: (performance.now() - started) / 1_000 }];
}

async function perform({ bench, storeName, variantName, path, settings, truthFile }) {
  const adapter = await loadStore(storeName);
  const { measure, needs } = bench === "build" ? { measure: build, needs: {} } : await import(`./${bench}.mjs`);
  if (!needs.connectItself) await adapter.connect();
  const truth = truthFile && JSON.parse(readFileSync(truthFile, "utf8"));
  return measure({ adapter, variant: adapter.variants[variantName], path, settings, truth });
}

process.once("message", async (job) => {
  try {
    process.send({ rows: await perform(job) }, () => process.exit(0));
  } catch (error) {
    if (!(error instanceof NotInstalled)) process.stderr.write(`${error.stack}\n`);
    const reason = error instanceof NotInstalled ? error.message : `failed: ${error.message}`;
    process.send({ reason }, () => process.exit(0));
  }
});
