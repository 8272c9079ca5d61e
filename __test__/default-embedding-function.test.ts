import { execFile } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { DefaultEmbeddingFunction, getEmbeddingFunction } from "../index.js";
import { temporaryFolder } from "./support/folder.js";

const root = fileURLToPath(new URL("../", import.meta.url));

test("the default function is described as Chroma's package does, and checks what it is told", async () => {
  const config = { model_name: "Xenova/all-MiniLM-L6-v2", revision: "main", dtype: "fp32", quantized: false };
  const known = (name: string, config: object) => getEmbeddingFunction({ efConfig: { type: "known", name, config } });
  for (const name of ["default", "onnx_mini_lm_l6_v2"]) {
    const fn = await known(name, {});
    expect(fn).toBeInstanceOf(DefaultEmbeddingFunction);
    expect(fn?.getConfig?.()).toEqual(config);
    expect([fn?.defaultSpace?.(), fn?.supportedSpaces?.()]).toEqual(["cosine", ["cosine", "l2", "ip"]]);
  }
  expect((await known("default", { quantized: true, model_name: "me/mine" }))?.getConfig?.()).toMatchObject({
    dtype: "uint8",
    model_name: "me/mine",
  });
  const fn = new DefaultEmbeddingFunction();
  expect(() => fn.validateConfigUpdate({ model_name: "me/mine" })).toThrow("cannot be changed after initialization");
  fn.validateConfigUpdate({});
  // What a database stores is data: it names no path.
  for (const model_name of ["../../etc", "/etc/x", "a/b/c", "..", "a/..", ""]) {
    expect(await known("default", { model_name })).toBeUndefined();
  }
  expect(() => new DefaultEmbeddingFunction({ revision: "../x" })).toThrow("Expected 'revision' to be like 'main'");
  expect(() => new DefaultEmbeddingFunction({ dtype: "f7" })).toThrow("Expected 'dtype' to be one of auto, fp32");
});

describe("the runtime", () => {
  const program = `
    import { PersistentClient } from "ferrochrome";
    const client = new PersistentClient({ path: "./db" });
    const collection = await client.createCollection({ name: "notes" });
    const before = collection.configuration.embedding_function;
    const outcome = await collection.add({ ids: ["a"], documents: ["four"] }).catch(({ name, message }) => ({ name, message }));
    const embeddings = (await collection.get({ include: ["embeddings"] })).embeddings;
    const hits = outcome ? null : (await collection.query({ queryTexts: ["x"] })).ids;
    await client.close();
    console.log(JSON.stringify({ before, outcome, embeddings, hits }));`;

  /** Runs the program where `ferrochrome` is linked from its clone, as \`npm install ../ferrochrome\` does. */
  async function run(runtime?: string): Promise<Record<string, unknown>> {
    const folder = temporaryFolder();
    mkdirSync(join(folder, "node_modules"));
    symlinkSync(root, join(folder, "node_modules/ferrochrome"), "junction");
    if (runtime !== undefined) {
      const package_ = join(folder, "node_modules/@huggingface/transformers");
      mkdirSync(package_, { recursive: true });
      writeFileSync(join(package_, "package.json"), '{ "type": "module", "exports": "./index.js" }');
      writeFileSync(join(package_, "index.js"), runtime);
    }
    writeFileSync(join(folder, "program.mjs"), program);
    const { stdout } = await promisify(execFile)(process.execPath, ["program.mjs"], { cwd: folder });
    return JSON.parse(stdout);
  }

  const before = { type: "known", name: "default", config: {} };

  test("is missed only when a text must be embedded", async () => {
    expect(await run()).toEqual({
      before,
      outcome: {
        name: "ChromaValueError",
        message: expect.stringContaining("which is not installed. Run npm install @huggingface/transformers"),
      },
      embeddings: [],
      hits: null,
    });
  });

  test("is found among the program's packages, and asked as Chroma asks it", async () => {
    const runtime = `
      export async function pipeline(task, model, options) {
        const known = task === "feature-extraction" && model === "Xenova/all-MiniLM-L6-v2" && options.dtype === "fp32";
        if (!known) throw new Error("asked for " + JSON.stringify([task, model, options]));
        return async (texts, { pooling, normalize }) => ({
          tolist: () => texts.map((text) => [text.length, Number(pooling === "mean" && normalize)]),
        });
      }`;
    expect(await run(runtime)).toEqual({ before, embeddings: [[4, 1]], hits: [["a"]] });
  });

  test("that fails to load its model says so", async () => {
    const { outcome } = await run('export const pipeline = async () => { throw new Error("no network"); };');
    expect(outcome).toMatchObject({
      name: "ChromaConnectionError",
      message: expect.stringContaining("The model Xenova/all-MiniLM-L6-v2 cannot be loaded: no network"),
    });
  });
});
