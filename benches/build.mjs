// Loads every entry into a store, for the benches that need one that is already there.
import { batches, KEYS, readEntries } from "./dataset.mjs";
import { FILTER_KEYS, withFilterKeys } from "./filter-keys.mjs";

export const needs = {};

export async function measure({ adapter, variant, path, settings, content }) {
  const filtered = content === "filters";
  const entries = filtered ? withFilterKeys(readEntries(settings.rows)) : readEntries(settings.rows);
  const started = performance.now();
  const store = await adapter.create(path, variant, { rows: settings.rows, keys: filtered ? FILTER_KEYS : KEYS });
  for (const batch of batches(entries, settings.batch)) await store.insert(batch);
  await store.finish();
  await store.close();
  return [{ seconds: (performance.now() - started) / 1_000 }];
}
