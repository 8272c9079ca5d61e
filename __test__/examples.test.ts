import { execFile } from "node:child_process";
import { readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const folder = fileURLToPath(new URL("../examples/", import.meta.url));
const examples = (await readdir(folder)).filter((name) => name.endsWith(".mjs"));

/** What each example prints, in part. */
const expected: Record<string, string> = {
  "embedding-function.mjs": "chromium",
  "filters.mjs": "deleted 1, 3 left",
  "quickstart.mjs": "chromium (Cr) at 0: shines and does not rust",
};

test.each(examples)("examples/%s runs", async (name) => {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [name], { cwd: folder });
  expect(expected).toHaveProperty([name]);
  expect(stdout).toContain(expected[name]);
  expect(stderr).toBe("");
});
