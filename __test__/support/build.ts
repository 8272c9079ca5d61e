import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

/** Compiles the packages to their `dist/`, which child processes and workers of the tests load. */
export default function setup(): void {
  const root = fileURLToPath(new URL("../../", import.meta.url));
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  for (const command of [[tsc, "-p", "tsconfig.build.json"], ["scripts/build-packages.mjs"]]) {
    execFileSync(process.execPath, command, { cwd: root, stdio: "inherit" });
  }
}
