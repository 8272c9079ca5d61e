// Brings a fresh or changed clone to the point where `dist/index.js` can be imported: dependencies installed,
// the native addon and the TypeScript compiled. Does only what is missing or older than its sources.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));

/** A step that cannot succeed before the user has done something; its message says what. */
export class PreparationError extends Error {}

/** Time of the newest file among `paths` (folders are searched) whose name passes `accept`; 0 when there is none. */
function newest(paths, accept = () => true) {
  let time = 0;
  for (const path of paths) {
    const full = join(root, path);
    if (!existsSync(full)) continue;
    const stat = statSync(full);
    if (stat.isDirectory()) {
      time = Math.max(
        time,
        newest(
          readdirSync(full).map((name) => join(path, name)),
          accept,
        ),
      );
    } else if (accept(path)) {
      time = Math.max(time, stat.mtimeMs);
    }
  }
  return time;
}

/** Runs npm with its output on stderr, so that stdout carries nothing but the caller's own results. */
function npmSucceeds(args) {
  const npmScript = process.env.npm_execpath;
  const direct = npmScript?.endsWith(".js");
  const { status } = spawnSync(direct ? process.execPath : "npm", direct ? [npmScript, ...args] : args, {
    cwd: root,
    stdio: ["ignore", 2, 2],
    shell: process.platform === "win32" && !direct,
  });
  return status === 0;
}

function npm(args, failure) {
  if (!npmSucceeds(args)) throw new PreparationError(failure);
}

const answers = (command) => spawnSync(command, ["--version"], { stdio: "ignore" }).status === 0;

function requireCompilers() {
  if (!answers("cargo")) {
    throw new PreparationError(
      "Rust is missing: building the native addon needs cargo 1.95 or newer.\n" +
        "Install it from https://rustup.rs, open a new shell, and run the same command again.",
    );
  }
  if (process.platform !== "win32" && !answers(process.env.CC ?? "cc")) {
    throw new PreparationError(
      "A C compiler is missing: the bundled SQLite is compiled from C.\n" +
        "Install gcc or clang (Debian: apt-get install build-essential; macOS: xcode-select --install), then run the same command again.",
    );
  }
}

/**
 * Installs and builds what is missing or stale; `report` is told each step before it starts. `beforeAddon` is called before the addon is
 * built, should that be necessary.
 */
export function prepare(report, beforeAddon = () => {}) {
  if (newest(["node_modules/.package-lock.json"]) < newest(["package-lock.json"])) {
    report("Installing the development tools (npm ci)");
    // `npm ci` insists on the optional packages of every platform, and not every registry has them all.
    const installed = npmSucceeds(["ci", "--no-audit", "--no-fund"]);
    if (!installed)
      npm(["install", "--no-save", "--no-audit", "--no-fund"], "npm install failed; its output says why.");
  }
  const sources = newest(["crates", "Cargo.toml", "Cargo.lock"], (path) => /\.(rs|toml|lock|sql)$/.test(path));
  if (newest(["binding"], (path) => path.endsWith(".node")) < sources) {
    requireCompilers();
    report("Building the native addon (some minutes the first time)");
    beforeAddon();
    npm(["run", "build:native"], "The native addon did not build; the compiler's output above says why.");
  }
  const compiled = Math.min(newest(["dist"]), newest(["packages/chromadb/dist"]));
  const typeScript = ["index.ts", "src", "packages/chromadb/src", "tsconfig.json", "tsconfig.build.json"];
  if (compiled < newest([...typeScript, "scripts/build-packages.mjs"])) {
    report("Compiling the TypeScript");
    npm(["run", "build:ts"], "The TypeScript did not compile; the compiler's output above says why.");
  }
}
