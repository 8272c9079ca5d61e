import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { testWith } from "./installed.js";

const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
const folder = fileURLToPath(new URL(".", import.meta.url));
const PACKAGES = ["chromadb-original", "@langchain/community", "@mastra/chroma", "mem0ai", "@llamaindex/chroma"];

// Compiles chromadb-types.test-d.ts, and the tests of this folder against the frameworks' own declarations: among other things
// that a client of the stand-in fits LangChain's `index`.
testWith(
  PACKAGES,
  "our types go where chromadb's and the frameworks' are expected",
  async () => {
    const { stdout } = spawnSync(process.execPath, [tsc, "-p", folder], { encoding: "utf8" });
    expect(stdout).toBe("");
  },
  60_000,
);
