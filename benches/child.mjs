// Measures one variant of one store in a process of its own, so that stores neither share memory nor slow one
// another, and so that one that crashes takes nothing with it. side-by-side.mjs sends the job and is sent the outcome.
import { readFileSync } from "node:fs";
import { loadStore, NotInstalled } from "./peers/stores.mjs";

async function perform(job) {
  const adapter = await loadStore(job.storeName);
  const { measure, needs } = await import(`./${job.bench}.mjs`);
  if (!needs.connectItself) await adapter.connect();
  const truth = job.truthFile && JSON.parse(readFileSync(job.truthFile, "utf8"));
  return measure({ ...job, adapter, variant: adapter.variants[job.variantName], truth });
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
