// Runs every test: those of the Rust crates, then those of the package, building first what is missing or stale. Both run
// even when the first fails. Arguments go to vitest.
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { PreparationError, prepare, prepareClients } from "./prepare.mjs";

const root = fileURLToPath(new URL("../", import.meta.url));

/** Runs a command and says whether it succeeded. */
function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (error) console.error(`${command} cannot be run: ${error.message}`);
  return status === 0;
}

try {
  prepare((step) => console.error(step));
  prepareClients((step) => console.error(step));
} catch (error) {
  if (!(error instanceof PreparationError)) throw error;
  console.error(error.message);
  process.exit(1);
}
// Only after `prepare` is vitest there to be found.
const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
const crates = run("cargo", ["test", "--workspace", "--locked"]);
const facade = run(process.execPath, [vitest, "run", ...process.argv.slice(2)]);
process.exit(crates && facade ? 0 : 1);
