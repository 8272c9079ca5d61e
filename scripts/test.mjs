// Runs every test: those of the Rust crates, then those of the package, building first what is missing or stale. Both run
// even when the first fails. Arguments go to vitest.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { constants, setPriority } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { PreparationError, prepare } from "./prepare.mjs";

const root = fileURLToPath(new URL("../", import.meta.url));

/** Runs a command and says whether it succeeded. */
function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (error) console.error(`${command} cannot be run: ${error.message}`);
  return status === 0;
}

/** Time of a file's last change; 0 when there is none. */
const changed = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);

const installedByHand = (folder) =>
  JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).config?.installedByHand === true;

/**
 * Installs the packages of others that tests run, each set in a folder of __test__ with a package.json of its own, but for sets
 * that are too large to come unasked. Where that fails, the tests that need them are skipped and say so.
 */
function installTestPackages() {
  for (const name of readdirSync(join(root, "__test__"))) {
    const folder = join(root, "__test__", name);
    const lock = changed(join(folder, "package-lock.json"));
    if (lock === 0 || changed(join(folder, "node_modules/.package-lock.json")) >= lock) continue;
    if (installedByHand(folder)) continue;
    console.error(`Installing the packages that __test__/${name} tests`);
    const flags = ["--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"];
    const { status } = spawnSync("npm", ["ci", "--prefix", folder, ...flags], {
      cwd: folder,
      stdio: ["ignore", 2, 2],
      shell: process.platform === "win32",
    });
    if (status !== 0) console.error(`They cannot be installed: the tests of __test__/${name} are skipped`);
  }
}

const testCrates = ["test", "--workspace", "--locked", "--no-fail-fast"];
let compiling;

/**
 * Compiles the tests of the crates while the addon is built, the end of which is one thread's work: behind the addon, so that this end
 * comes soon. Without a word: what does not compile is reported when they are run.
 */
function compileMeanwhile() {
  compiling = spawn("cargo", [...testCrates, "--no-run"], { cwd: root, stdio: "ignore" }).on("error", () => {});
  if (compiling.pid !== undefined) setPriority(compiling.pid, constants.priority.PRIORITY_LOW);
}

try {
  prepare((step) => console.error(step), compileMeanwhile);
} catch (error) {
  compiling?.kill();
  if (!(error instanceof PreparationError)) throw error;
  console.error(error.message);
  process.exit(1);
}
installTestPackages();
// Only after `prepare` is vitest there to be found.
const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
const crates = run("cargo", testCrates);
const facade = run(process.execPath, [vitest, "run", ...process.argv.slice(2)]);
process.exit(crates && facade ? 0 : 1);
