// Opening a database in a fresh process.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** What a fresh process of `reopened.mjs` tells of the database at a folder. */
export function reopen(path, queries) {
  const script = fileURLToPath(new URL("reopened.mjs", import.meta.url));
  const { stdout, stderr, status } = spawnSync(process.execPath, [script, path, String(queries)], { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}
