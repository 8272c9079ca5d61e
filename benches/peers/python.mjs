// The one peer that is not a package of npm: hnswlib for Python, in a virtual environment of its own.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const peers = fileURLToPath(new URL(".", import.meta.url));
const environment = fileURLToPath(new URL("../.venv/", import.meta.url));
const executable = `${environment}${process.platform === "win32" ? "Scripts/python.exe" : "bin/python"}`;

/** Makes the environment; returns why there is none, or null. Building from source compiles hnswlib for this processor. */
export function installPython() {
  const run = (command, args) => spawnSync(command, args, { stdio: "inherit" });
  if (run("python3", ["-m", "venv", environment]).status !== 0) return "hnswlib: needs python3 with venv";
  const from = ["--no-binary", "hnswlib", "--requirement", `${peers}requirements.txt`];
  if (run(executable, ["-m", "pip", "install", "--quiet", ...from]).status === 0) return null;
  return "hnswlib: pip could not build it (a C++ compiler and Python's headers are needed)";
}

/** Runs hnswlib_curve.py with a job; returns its answer, or `{ reason }` why there is none. */
export function runHnswlib(job) {
  if (!existsSync(executable)) return { reason: "not installed (npm run bench -- install-peers, with python3)" };
  const { status, stdout } = spawnSync(executable, [`${peers}hnswlib_curve.py`], {
    input: JSON.stringify(job),
    maxBuffer: 1 << 30,
    encoding: "utf8",
    stdio: ["pipe", "pipe", "inherit"],
  });
  return status === 0 ? JSON.parse(stdout) : { reason: `failed: python ended with ${status}` };
}
