// What a report says beside its figures: where, with what and by which command they were measured.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { tableLines } from "./table.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

/** What the machine is, so that a figure can be judged. */
export const machine = () => ({
  cpu: cpus()[0].model,
  cores: cpus().length,
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  system: `${process.platform}-${process.arch}`,
  node: process.version,
  // Forces an instruction level of Ferrochrome's kernels.
  isa: process.env.FERROCHROME_ISA ?? "best",
});

const readJson = (file) => JSON.parse(readFileSync(file, "utf8"));

/** The commit that was measured, with a `+` when files were changed after it; null outside a git clone. */
function commit() {
  const git = (...args) => spawnSync("git", args, { cwd: root, encoding: "utf8" });
  const { status, stdout } = git("rev-parse", "--short=12", "HEAD");
  if (status !== 0) return null;
  const changed = git("status", "--porcelain", "--untracked-files=no").stdout.trim() !== "";
  return stdout.trim() + (changed ? "+" : "");
}

/** Versions of Ferrochrome and of the peers, as they are pinned. */
function versions() {
  const fromPyPI = /^(hnswlib)==(.+)$/m.exec(readFileSync(`${root}benches/peers/requirements.txt`, "utf8"));
  return {
    ferrochrome: readJson(`${root}package.json`).version,
    ...readJson(`${root}benches/package.json`).dependencies,
    [`${fromPyPI[1]} (PyPI)`]: fromPyPI[2],
  };
}

/** Everything that identifies a run. */
export const provenance = () => ({
  date: new Date().toISOString(),
  commit: commit(),
  command: `npm run bench -- ${process.argv.slice(2).join(" ")}`,
  machine: machine(),
  versions: versions(),
});

/** Prints a report's tables and what could not be measured. */
export function printReport(report) {
  const { cpu, cores, node, isa } = report.machine;
  const { rows, dimension } = report.settings;
  const kernels = isa === "best" ? "" : `, ${isa} kernels`;
  console.log(
    `\n${report.bench}: ${rows} rows of ${dimension} dimensions, cosine; ${cores} x ${cpu}, Node ${node}${kernels}`,
  );
  for (const { title, legend, columns, rows } of [report, ...report.tables]) {
    if (rows.length === 0) continue;
    console.log(["", title, legend].filter((line) => line != null).join("\n"));
    console.log("");
    for (const line of tableLines(columns, rows)) console.log(line);
  }
  if (report.missing.length > 0) console.log(["\nNot measured:", ...report.missing].join("\n  "));
}
