import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { type ChromaClient, EphemeralClient, PersistentClient } from "../../index.js";
import { temporaryPath } from "../support/folder.js";

const clients = new URL("../clients/", import.meta.url);
const installed = existsSync(new URL("node_modules/chromadb/package.json", clients));
if (!installed) console.warn("chromadb is not installed (npm ci --prefix __test__/clients): its tests are skipped");

const network = vi.fn<typeof fetch>(async () => new Response("from the network"));
const original = globalThis.fetch;

/** The module, loaded anew as by a program's first import of it. */
async function load(): Promise<typeof import("../../src/register.js")> {
  vi.resetModules();
  const module = await import("../../src/register.js");
  onTestFinished(() => module.unregister());
  return module;
}

beforeEach(() => {
  network.mockClear();
  globalThis.fetch = network;
});
afterEach(() => {
  globalThis.fetch = original;
  vi.unstubAllEnvs();
});

describe("the reserved host", () => {
  test("is answered in process, everything else goes to the network", async () => {
    const { register } = await load();
    register({ path: null });
    for (const at of [
      "http://ferrochrome.local",
      "https://FERROCHROME.local:8000",
      new URL("http://ferrochrome.local:1"),
    ]) {
      expect(await (await fetch(`${String(at).replace(/\/$/, "")}/api/v2/version`)).json()).toBe("1.0.0");
    }
    expect(network).not.toHaveBeenCalled();
    for (const input of ["http://localhost:8000/api/v2/version", new Request("http://ferrochrome.local.example/")]) {
      expect(await (await fetch(input)).text()).toBe("from the network");
    }
    expect(network).toHaveBeenCalledTimes(2);
  });

  test("is the folder that the environment names", async () => {
    const path = temporaryPath();
    vi.stubEnv("FERROCHROME_PATH", path);
    const { unregister } = await load();
    await fetch("http://ferrochrome.local/api/v2/tenants", {
      method: "POST",
      body: '{"name":"acme"}',
      headers: { "content-type": "application/json" },
    });
    await unregister();
    expect(globalThis.fetch).toBe(network);
    expect(await (await fetch("http://ferrochrome.local/api/v2/version")).text()).toBe("from the network");
    const client = new PersistentClient({ path, tenant: "acme" });
    await client.heartbeat();
    await client.close();
  });

  test("opens nothing before it is asked for", async () => {
    const path = temporaryPath();
    vi.stubEnv("FERROCHROME_PATH", path);
    await load();
    expect(existsSync(path)).toBe(false);
  });

  test("is one, however often the module is loaded", async () => {
    const first = await load();
    first.register({ path: null });
    const before = globalThis.fetch;
    const second = await load();
    expect(globalThis.fetch).toBe(before);
    await second.unregister();
    expect(await (await fetch("http://ferrochrome.local/")).text()).toBe("from the network");
  });

  test("rejects what its caller aborts, as fetch does", async () => {
    const { register } = await load();
    register({ path: null });
    const aborted = AbortSignal.abort();
    await expect(fetch("http://ferrochrome.local/api/v2/version", { signal: aborted })).rejects.toThrow("abort");
  });

  test("refuses a folder and a client at once", async () => {
    const { register } = await load();
    const client = EphemeralClient();
    expect(() => register({ path: "x", client: client as never })).toThrow("got both");
  });
});

test.skipIf(!installed)("the stock client works without a server", async () => {
  const { register, unregister } = await load();
  const { EphemeralClient: Ephemeral } = await import("../../index.js");
  const own = Ephemeral();
  onTestFinished(() => own.close());
  register({ client: own, allowReset: true });
  const path = createRequire(new URL("package.json", clients)).resolve("chromadb");
  const stock = (await import(pathToFileURL(path).href)) as { ChromaClient: new (args: object) => ChromaClient };
  const client = new stock.ChromaClient({ host: "ferrochrome.local" });
  const collection = await client.createCollection({ name: "notes", embeddingFunction: null });
  await collection.upsert({
    ids: ["a", "b"],
    embeddings: [
      [1, 2],
      [3, 4],
    ],
    documents: ["one", "two"],
  });
  const found = await collection.query({ queryEmbeddings: [[3, 4]], nResults: 1 });
  expect(found.rows()[0]?.[0]).toMatchObject({ id: "b", document: "two", distance: 0 });
  await expect(client.getCollection({ name: "none" })).rejects.toMatchObject({ name: "ChromaNotFoundError" });
  expect(network).not.toHaveBeenCalled();
  expect((await own.getCollection({ name: "notes" })).id).toBe(collection.id);
  await unregister();
  expect(await own.countCollections()).toBe(1);
});
