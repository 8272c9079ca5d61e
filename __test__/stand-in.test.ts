import { execFile } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "./support/folder.js";

const root = fileURLToPath(new URL("../", import.meta.url));

/** Runs a program in a folder whose node_modules have the stand-in as `chromadb`, and returns the JSON that it prints. */
async function run(program: string, options: { type: "module" | "commonjs" }): Promise<unknown> {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(root, join(folder, "node_modules/ferrochrome"), "junction");
  symlinkSync(join(root, "packages/chromadb"), join(folder, "node_modules/chromadb"), "junction");
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: options.type }));
  writeFileSync(join(folder, "program.js"), program);
  const { stdout } = await promisify(execFile)(process.execPath, ["program.js"], { cwd: folder });
  return JSON.parse(stdout);
}

/** Writes and asks, with what frameworks pass; prints what came. */
const ROUND_TRIP = `
  async function roundTrip({ ChromaClient, ChromaNotFoundError }, path) {
    const client = new ChromaClient({ path });
    const collection = await client.createCollection({ name: "notes", metadata: {}, embeddingFunction: null });
    await collection.add({ ids: ["a", "b"], embeddings: [[1, 0], [0, 1]], metadatas: [{}, { x: { y: 1 } }] });
    const { ids, metadatas } = await collection.query({ queryEmbeddings: [[0, 1]], where: {}, nResults: 1 });
    const missing = await client.getCollection({ name: "none" }).catch((error) => error instanceof ChromaNotFoundError);
    await client.close();
    return { ids, metadatas, missing };
  }`;
const FOUND = { ids: [["b"]], metadatas: [[{ "x.y": 1 }]], missing: true };

describe("a program that imports chromadb", () => {
  test("works in a folder, as ECMAScript module", async () => {
    const program = `import * as chroma from "chromadb"; ${ROUND_TRIP}
      console.log(JSON.stringify(await roundTrip(chroma, "./db")));`;
    expect(await run(program, { type: "module" })).toEqual(FOUND);
  });

  test("works in a folder, as CommonJS", async () => {
    const program = `const chroma = require("chromadb"); ${ROUND_TRIP}
      roundTrip(chroma, "./db").then((found) => console.log(JSON.stringify(found)));`;
    expect(await run(program, { type: "commonjs" })).toEqual(FOUND);
  });

  test("gets the same classes however they are loaded", async () => {
    const program = `
      const required = require("chromadb");
      const requiredOurs = require("ferrochrome");
      Promise.all([import("chromadb"), import("ferrochrome")]).then(([imported, ours]) => {
        const cloud = new required.CloudClient({ apiKey: "key" });
        console.log(JSON.stringify([
          required.ChromaClient === imported.ChromaClient,
          requiredOurs.Schema === ours.Schema && imported.Schema === ours.Schema,
          ours.EphemeralClient() instanceof required.ChromaClient,
          new required.ChromaClient({ path: null }) instanceof ours.ChromaClient,
          cloud instanceof required.ChromaClient && cloud instanceof ours.CloudClient,
          required.ChromaClient.name === "ChromaClient",
          new (class Mine extends required.ChromaClient {})({ path: null }).constructor.name === "Mine",
        ]));
      });`;
    expect(await run(program, { type: "commonjs" })).toEqual(new Array(7).fill(true));
  });

  test("refuses what Chroma refuses when it is told to", async () => {
    const program = `import { ChromaClient, PersistentClient } from "chromadb"; export {};`;
    await expect(run(program, { type: "module" })).rejects.toThrow("PersistentClient");
    const strict = `import { ChromaClient } from "chromadb";
      const client = new ChromaClient({ path: null, lenient: false });
      const collection = await client.createCollection({ name: "notes", embeddingFunction: null });
      const outcome = await collection.get({ where: {} }).catch(({ name, message }) => ({ name, message }));
      console.log(JSON.stringify(outcome));`;
    expect(await run(strict, { type: "module" })).toEqual({
      name: "ChromaValueError",
      message: "Expected 'where' to have exactly one operator, but got 0",
    });
  });

  test("without path speaks to the server that Chroma's client would", async () => {
    const program = `import { ChromaClient } from "chromadb";
      globalThis.fetch = async ({ url }) => Response.json(url);
      console.log(JSON.stringify([await new ChromaClient().version(), await new ChromaClient({ host: "x", port: 1 }).version()]));`;
    expect(await run(program, { type: "module" })).toEqual([
      "http://localhost:8000/api/v2/version",
      "http://x:1/api/v2/version",
    ]);
  });
});

test("what cannot require ECMAScript modules gets CommonJS all through", async () => {
  // Resolves as Jest does: by the condition "require" alone.
  const program = `
    const Module = require("node:module");
    const { join, dirname } = require("node:path");
    const { readFileSync } = require("node:fs");
    const resolve = Module._resolveFilename;
    Module._resolveFilename = function (request, parent, ...rest) {
      if (request !== "chromadb" && request !== "ferrochrome") return resolve.call(this, request, parent, ...rest);
      const manifest = resolve.call(this, request + "/package.json", parent, ...rest);
      return join(dirname(manifest), JSON.parse(readFileSync(manifest, "utf8")).exports["."].require.default);
    };
    const chroma = require("chromadb"); ${ROUND_TRIP}
    roundTrip(chroma, "./db").then((found) => {
      const loaded = Object.keys(require.cache).filter((file) => /dist[\\\\/]/.test(file)).map((file) => file.split(/[\\\\/]/).pop());
      console.log(JSON.stringify({ ...found, loaded }));
    });`;
  expect(await run(program, { type: "commonjs" })).toEqual({ ...FOUND, loaded: ["index.cjs", "index.cjs"] });
});
