import { execFile } from "node:child_process";
import { existsSync, mkdirSync, symlinkSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { temporaryPath } from "../support/folder.js";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = fileURLToPath(new URL("../../", import.meta.url));
const models = fileURLToPath(new URL("../../../shared/models/", import.meta.url));
const wordnet = fileURLToPath(new URL("../../../shared/data/wordnet", import.meta.url));

const missing = [
  [`${here}node_modules/@huggingface/transformers`, "npm ci --prefix __test__/default-embedding"],
  [`${models}all-MiniLM-L6-v2`, "the model all-MiniLM-L6-v2 in ../shared/models"],
  [wordnet, "the WordNet data set in ../shared/data/wordnet"],
].find(([path = ""]) => !existsSync(path))?.[1];

const name = "the default embedding function embeds as the model that it names";

// The model at hand has int8 weights and the known vectors come from fp32, which are a cosine of about .96 apart; so a text's
// vector must also be nearer to its own known vector than to any other.
test.skipIf(missing !== undefined)(
  missing === undefined ? name : `${name} (skipped: it needs ${missing})`,
  async () => {
    const link = `${here}node_modules/ferrochrome`;
    if (!existsSync(link)) {
      mkdirSync(`${here}node_modules`, { recursive: true });
      symlinkSync(root, link, "junction");
    }
    // Without resolving the link, the package looks for its optional peer where a program's packages are.
    const options = ["--preserve-symlinks", "--preserve-symlinks-main", `${here}program.mjs`];
    const { stdout } = await promisify(execFile)(process.execPath, [...options, models, wordnet, temporaryPath()]);
    const measured = JSON.parse(stdout);
    expect(measured).toMatchObject({ space: "cosine", nearest: 64, found: 20 });
    expect(measured.least).toBeGreaterThan(0.9);
    expect(measured.mean).toBeGreaterThan(0.95);
    expect(measured.short).toMatchObject({ hits: [["a"]], dimensions: [128, 128] });
    expect(measured.short.norm).toBeCloseTo(1, 5);
    expect(measured.failure).toMatchObject({
      name: "ChromaConnectionError",
      message: expect.stringContaining("The model no-such-model cannot be loaded"),
    });
  },
  120_000,
);
