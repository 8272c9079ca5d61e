/** Whether the packages of this folder's package.json are installed, which `npm test` sees to. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "vitest";

const modules = fileURLToPath(new URL("node_modules/", import.meta.url));

/** Why the tests of a package cannot run; undefined when they can. */
export function missingPackage(name: string): string | undefined {
  if (existsSync(`${modules}${name}/package.json`)) return undefined;
  return `${name} is not installed: npm ci --prefix __test__/frameworks`;
}

/** A test that needs packages of this folder; without them it is skipped, and its name says why. */
export function testWith(packages: string[], name: string, run: () => Promise<void>, timeout?: number): void {
  const missing = packages.map(missingPackage).find((reason) => reason !== undefined);
  if (missing === undefined) test(name, run, timeout);
  else test.skip(`${name} (skipped: ${missing})`, run);
}
