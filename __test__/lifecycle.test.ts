import { getEventListeners } from "node:events";
import { Worker } from "node:worker_threads";
import { describe, expect, test, vi } from "vitest";
import { type ChromaClient, type Collection, EphemeralClient, PersistentClient } from "../index.js";
import { runNode } from "./support/child.js";
import { openClient, temporaryPath } from "./support/folder.js";

const collectionOf = (client: ChromaClient): Promise<Collection> =>
  client.createCollection({ name: "records", embeddingFunction: null });

describe("a closed client", () => {
  test("refuses everything, also through its collections", async () => {
    const client = EphemeralClient();
    const collection = await collectionOf(client);
    await collection.add({ ids: ["a"], embeddings: [[1]] });
    await client.close();
    await client.close();
    const outcomes = await Promise.allSettled([
      client.heartbeat(),
      client.listCollections(),
      client.createCollection({ name: "new", embeddingFunction: null }),
      collection.count(),
      collection.get(),
      collection.query({ queryEmbeddings: [[1]] }),
      collection.add({ ids: ["b"], embeddings: [[1]] }),
      collection.delete({ ids: ["a"] }),
      collection.modify({ name: "new" }),
      collection.getIndexingStatus(),
      collection.compact(),
      collection.preload(),
      collection.export("never.arrow"),
    ]);
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ status: "rejected", reason: { name: "DatabaseClosedError", code: "CLOSED" } });
    }
  });

  test("may have never been opened", async () => {
    const client = new PersistentClient({ path: temporaryPath() });
    await client.close();
    await expect(client.heartbeat()).rejects.toMatchObject({ name: "DatabaseClosedError" });
  });

  test("has done what was asked for before", async () => {
    const path = temporaryPath();
    const client = new PersistentClient({ path });
    const slow = { generate: async (texts: string[]) => texts.map(() => [1]) };
    const generate = vi.spyOn(slow, "generate").mockImplementation(async (texts) => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      return texts.map(() => [1]);
    });
    const collection = await client.createCollection({ name: "records", embeddingFunction: slow });
    const ids = Array.from({ length: 3_000 }, (_, i) => `${i}`);
    const writes = [
      collection.add({ ids, embeddings: ids.map(() => [1]), documents: ids }),
      collection.add({ ids: ["embedded"], documents: ["slowly"] }),
      collection.delete({ ids: ["7"] }),
      collection.modify({ metadata: { changed: true } }),
      client.createCollection({ name: "late", embeddingFunction: null }),
      client.collection(collection.id).upsert({ ids: ["by handle"], embeddings: [[2]] }),
    ];
    await client.close();
    await Promise.all(writes);
    expect(generate).toHaveBeenCalledOnce();
    await expect(collection.add({ ids: ["after"], embeddings: [[1]] })).rejects.toMatchObject({ code: "CLOSED" });

    const again = openClient(path);
    const found = await again.getCollection({ name: "records" });
    expect(found.metadata).toEqual({ changed: true });
    expect(await found.count()).toBe(3_001);
    expect((await found.get({ ids: ["7", "embedded", "by handle"] })).ids.sort()).toEqual(["by handle", "embedded"]);
    expect(await again.countCollections()).toBe(2);
  });

  test("closes although a write before failed", async () => {
    const client = EphemeralClient();
    const collection = await collectionOf(client);
    const failing = expect(collection.add({ ids: ["a"], documents: ["no function"] })).rejects.toThrow();
    await client.close();
    await failing;
  });

  test("closes with using", async () => {
    const path = temporaryPath();
    let kept: ChromaClient;
    {
      await using client = new PersistentClient({ path });
      kept = client;
      await collectionOf(client);
    }
    await expect(kept.heartbeat()).rejects.toMatchObject({ name: "DatabaseClosedError" });
    {
      using client = openClient(path);
      kept = client;
      expect(await client.countCollections()).toBe(1);
    }
    await expect(kept.heartbeat()).rejects.toMatchObject({ name: "DatabaseClosedError" });
  });
});

describe("an AbortSignal", () => {
  const queries = (count: number): { queryEmbeddings: Float32Array; dimension: number } => ({
    queryEmbeddings: Float32Array.from({ length: count * 64 }, (_, i) => Math.sin(i)),
    dimension: 64,
  });
  const large = async (client: ChromaClient): Promise<Collection> => {
    const collection = await collectionOf(client);
    const rows = 8_000;
    const embeddings = Float32Array.from({ length: rows * 64 }, (_, i) => Math.sin(i * 1.7));
    await collection.add({ ids: Array.from({ length: rows }, (_, i) => `${i}`), embeddings, dimension: 64 });
    return collection;
  };

  test("that was aborted before stops the query before it starts", async () => {
    await using client = EphemeralClient();
    const collection = await collectionOf(client);
    const reason = new Error("no need any more");
    await expect(collection.query({ queryEmbeddings: [[1]], signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await expect(collection.query({ queryEmbeddings: [[1]], signal: AbortSignal.abort() })).rejects.toMatchObject({
      name: "AbortError",
    });
  });

  test("stops a query under way, and the collection goes on", async () => {
    await using client = EphemeralClient();
    const collection = await large(client);
    const controller = new AbortController();
    const started = performance.now();
    const query = collection.query({ ...queries(5_000), signal: controller.signal, searchParams: { exact: true } });
    const reason = new Error("enough");
    setTimeout(() => controller.abort(reason), 20);
    await expect(query).rejects.toBe(reason);
    expect(performance.now() - started).toBeLessThan(1_500);
    expect(getEventListeners(controller.signal, "abort")).toHaveLength(0);
    expect((await collection.query(queries(1))).ids[0]).toHaveLength(10);
  });

  test("that is never aborted changes nothing, and keeps no listener", async () => {
    await using client = EphemeralClient();
    const collection = await large(client);
    const { signal } = new AbortController();
    const plain = await collection.query(queries(20));
    expect(await collection.query({ ...queries(20), signal })).toEqual(plain);
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });
});

describe("programs", () => {
  test("end by themselves, closed or not", async () => {
    for (const close of ["await client.close();", ""]) {
      const { code, stderr, stdout } = await runNode(
        `const client = new ferrochrome.PersistentClient({ path: args[0] });
         const collection = await client.createCollection({ name: "records", embeddingFunction: null });
         await collection.add({ ids: ["a"], embeddings: [[1]] });
         ${close}
         console.log(await Promise.resolve("done"));`,
        [temporaryPath()],
      );
      expect({ code, stderr, stdout }).toEqual({ code: 0, stderr: "", stdout: "done\n" });
    }
  });

  test("keep what was acknowledged when they exit without closing", async () => {
    const path = temporaryPath();
    await runNode(
      `const client = new ferrochrome.PersistentClient({ path: args[0] });
       const collection = await client.createCollection({ name: "records", embeddingFunction: null });
       await collection.add({ ids: ["a"], embeddings: [[1]] });
       process.exit(0);`,
      [path],
    );
    const client = openClient(path);
    expect(await (await client.getCollection({ name: "records" })).count()).toBe(1);
  });

  test("with an unhandled operation under way still exit", async () => {
    const { code, stderr } = await runNode(
      `const client = new ferrochrome.PersistentClient({ path: args[0] });
       const collection = await client.createCollection({ name: "records", embeddingFunction: null });
       const embeddings = new Float32Array(20_000 * 16).map((_, i) => Math.sin(i));
       const ids = Array.from({ length: 20_000 }, (_, i) => String(i));
       void collection.add({ ids, embeddings, dimension: 16 }).catch(() => {});
       setTimeout(() => process.exit(0), 30);`,
      [temporaryPath()],
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  });
});

describe("workers", () => {
  const INDEX = new URL("../dist/index.js", import.meta.url).href;
  const work = (script: string, workerData: unknown): Worker =>
    new Worker(
      `const { workerData, parentPort } = require("node:worker_threads");
       import(${JSON.stringify(INDEX)}).then(async (ferrochrome) => { ${script} });`,
      { eval: true, workerData },
    );
  const answer = (worker: Worker): Promise<unknown> =>
    new Promise((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });

  test("share one database", async () => {
    const path = temporaryPath();
    const client = openClient(path);
    const collection = await collectionOf(client);
    const workers = [0, 1, 2].map((n) =>
      work(
        `const client = new ferrochrome.PersistentClient({ path: workerData.path });
         const collection = await client.getCollection({ name: "records" });
         for (let i = 0; i < 20; i++) await collection.add({ ids: [workerData.n + "-" + i], embeddings: [[i]] });
         await client.close();
         parentPort.postMessage("done");`,
        { path, n },
      ),
    );
    expect(await Promise.all(workers.map(answer))).toEqual(["done", "done", "done"]);
    await Promise.all(workers.map((worker) => worker.terminate()));
    expect(await collection.count()).toBe(60);
  });

  test("may be terminated in the middle of a query or a write", async () => {
    const path = temporaryPath();
    const client = openClient(path);
    const collection = await collectionOf(client);
    const rows = 3_000;
    const embeddings = Float32Array.from({ length: rows * 32 }, (_, i) => Math.sin(i));
    await collection.add({ ids: Array.from({ length: rows }, (_, i) => `${i}`), embeddings, dimension: 32 });
    for (let i = 0; i < 5; i++) {
      const worker = work(
        `const client = new ferrochrome.PersistentClient({ path: workerData.path });
         const collection = await client.getCollection({ name: "records" });
         const queries = new Float32Array(2000 * 32).fill(0.5);
         parentPort.postMessage("started");
         for (;;) {
           const query = collection.query({ queryEmbeddings: queries, dimension: 32, searchParams: { exact: true } });
           await collection.upsert({ ids: ["w"], embeddings: queries.subarray(0, 32), dimension: 32 });
           await query;
         }`,
        { path },
      );
      await answer(worker);
      await new Promise((resolve) => setTimeout(resolve, 10 * i));
      await worker.terminate();
    }
    expect(await collection.count()).toBeGreaterThanOrEqual(rows);
    expect((await collection.query({ queryEmbeddings: [Array(32).fill(0.5)] })).ids[0]).toHaveLength(10);
  });
});

test("a collection that another client of the folder deleted is not found, whatever is done to it", async () => {
  const path = temporaryPath();
  const collection = await collectionOf(openClient(path));
  await collection.add({ ids: ["a"], embeddings: [[1]] });
  await openClient(path).deleteCollection({ name: "records" });
  const outcomes = await Promise.allSettled([
    collection.count(),
    collection.get(),
    collection.query({ queryEmbeddings: [[1]] }),
    collection.add({ ids: ["b"], embeddings: [[1]] }),
    collection.delete({ ids: ["a"] }),
    collection.modify({ name: "new" }),
    collection.getIndexingStatus(),
    collection.compact(),
  ]);
  for (const outcome of outcomes) {
    expect(outcome).toMatchObject({ status: "rejected", reason: { name: "ChromaNotFoundError" } });
  }
});
