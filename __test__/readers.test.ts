/** Processes that read beside one that writes. */
import type { ChildProcess } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Worker } from "node:worker_threads";
import { expect, onTestFinished, test } from "vitest";
import { finish, startNode } from "./support/child.js";
import { openClient, temporaryPath } from "./support/folder.js";

/** Starts a process that is gone when the test has finished. */
function start(script: string, args: unknown[]): ChildProcess {
  const child = startNode(script, args);
  onTestFinished(() => void child.kill("SIGKILL"));
  return child;
}

/** Waits until the process prints a line. */
async function line(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error("the process has no output");
  const lines = createInterface({ input: child.stdout });
  const [text] = await new Promise<[string]>((resolve, reject) => {
    lines.once("line", (text) => resolve([text]));
    child.once("exit", (code) => reject(new Error(`the process ended with ${code}`)));
  });
  return text;
}

/**
 * Adds, replaces and deletes whole generations of 40 records, sealing and merging all the while: at any moment each generation
 * that is there is whole and of one revision, and the collection's `revision` record only grows.
 */
const WRITER = `
  const [path, rounds, announce] = args;
  const client = new ferrochrome.PersistentClient({ path, sealRows: 64 });
  const collection = await client.getOrCreateCollection({ name: "shared", embeddingFunction: null });
  const [last] = (await collection.get({ ids: ["revision"] })).metadatas;
  let revision = last?.revision ?? 0;
  const write = async (generation) => {
    revision++;
    const ids = Array.from({ length: 40 }, (_, i) => "g" + generation + "-" + i);
    await collection.upsert({
      ids: [...ids, "revision"],
      embeddings: [...ids, ""].map((_, i) => [i, generation]),
      metadatas: [...ids.map(() => ({ generation, revision })), { revision }],
    });
  };
  if (announce) console.log("open");
  for (let round = 0; rounds === null || round < rounds; round++) {
    await write(round % 9);
    if (round % 4 === 3) await collection.delete({ where: { generation: (round + 4) % 9 } });
    if (round % 10 === 9) await collection.compact();
    if (round % 7 === 6) await client.getCollection({ name: "shared" }).then((c) => c.modify({ metadata: { round } }));
  }
  await client.close();
  console.log(JSON.stringify({ revision }));
`;

/** Looks again and again until the revision `until` is there, and checks what it sees. */
const READER = `
  const [path, until] = args;
  const client = new ferrochrome.PersistentClient({ path, readOnly: true });
  let collection;
  while (collection === undefined) {
    collection = await client.getCollection({ name: "shared" }).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  let seen = 0, looks = 0, states = 0;
  const deadline = Date.now() + 25_000;
  while (seen < until && Date.now() < deadline) {
    const { ids, metadatas } = await collection.get();
    looks++;
    if (ids.length === 0) continue;
    const revision = metadatas[ids.indexOf("revision")].revision;
    if (revision < seen) throw new Error("back in time: " + revision + " after " + seen);
    if (revision > seen) states++;
    seen = revision;
    const generations = new Map();
    for (const [i, id] of ids.entries()) {
      if (id === "revision") continue;
      const { generation, revision } = metadatas[i];
      const known = generations.get(generation) ?? { count: 0, revision };
      if (known.revision !== revision) throw new Error("half a batch in generation " + generation);
      generations.set(generation, { count: known.count + 1, revision });
    }
    for (const [generation, { count }] of generations) {
      if (count !== 40) throw new Error("generation " + generation + " has " + count + " records");
    }
    if (new Set(ids).size !== ids.length) throw new Error("an id occurs twice");
    const { ids: [hits] } = await collection.query({ queryEmbeddings: [[0, 0]], nResults: 5 });
    if (hits.length !== 5) throw new Error(hits.length + " hits");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  console.log(JSON.stringify({ seen, looks, states, count: await collection.count() }));
  await client.close();
`;

test("several readers follow a writer: whole batches, never back in time, to its last word", async () => {
  const path = temporaryPath();
  await createDatabase(path);
  const ROUNDS = 60;
  // Opened before there is a collection.
  const readers = [1, 2, 3].map(() => finish(start(READER, [path, ROUNDS])));
  const writer = await finish(start(WRITER, [path, ROUNDS, false]));
  expect(writer.stderr).toBe("");
  expect(JSON.parse(writer.stdout)).toEqual({ revision: ROUNDS });
  for (const reader of await Promise.all(readers)) {
    expect(reader.stderr).toBe("");
    const { seen, states } = JSON.parse(reader.stdout);
    expect(seen).toBe(ROUNDS);
    expect(states).toBeGreaterThan(1);
  }
}, 60_000);

test("a writer that was killed loses its lock, another goes on, and readers never notice", async () => {
  const path = temporaryPath();
  await createDatabase(path);
  const reader = openClient(path, { readOnly: true });
  const child = start(WRITER, [path, null, true]);
  await line(child);
  const collection = await until(() => reader.getCollection({ name: "shared" }));
  const revision = async (): Promise<number> => {
    const { metadatas } = await collection.get<{ revision: number }>({ ids: ["revision"] });
    return metadatas[0]?.revision ?? 0;
  };
  await until(async () => expect(await revision()).toBeGreaterThan(5));
  child.kill("SIGKILL");
  await new Promise((resolve) => child.once("close", resolve));
  const before = await revision();
  expect(existsSync(join(path, "LOCK"))).toBe(true);
  // One that is opened now reads what the killed one left in its log.
  const late = await openClient(path, { readOnly: true, follow: false }).getCollection({ name: "shared" });
  expect(await late.count()).toBe(await collection.count());
  const second = await finish(start(WRITER, [path, 20, false]));
  expect(second.stderr).toBe("");
  const last = JSON.parse(second.stdout).revision;
  expect(last).toBeGreaterThanOrEqual(before + 20);
  expect(await revision()).toBe(last);
  expect(await late.count()).not.toBe(0);
}, 60_000);

/** Makes a database without collections. */
async function createDatabase(path: string): Promise<void> {
  const client = openClient(path);
  await client.heartbeat();
  await client.close();
}

/** Tries until it succeeds. */
async function until<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (tries === 1_000) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

test("what was acknowledged before a read began is in it", async () => {
  const path = temporaryPath();
  const writer = openClient(path, { sealRows: 16 });
  const written = await writer.createCollection({ name: "numbers", embeddingFunction: null, metadata: { n: 1 } });
  const reader = openClient(path, { readOnly: true });
  const fixed = openClient(path, { readOnly: true, follow: false });
  const read = await reader.getCollection({ name: "numbers" });
  const still = await fixed.getCollection({ name: "numbers" });
  expect(await still.count()).toBe(0);
  for (let i = 0; i < 100; i++) {
    await written.add({ ids: [`a${i}`], embeddings: [[i, 1]], documents: [`d${i}`], metadatas: [{ i }] });
    expect(await read.count()).toBe(i + 1);
    expect((await read.query({ queryEmbeddings: [[i, 1]], nResults: 1, where: { i } })).ids).toEqual([[`a${i}`]]);
    if (i % 30 === 29) await written.compact();
  }
  await written.update({ ids: ["a7"], embeddings: [[7, 1]], documents: ["changed"] });
  await written.delete({ ids: ["a8"] });
  expect(await read.get({ ids: ["a7", "a8"] })).toMatchObject({ ids: ["a7"], documents: ["changed"] });
  expect(await still.count()).toBe(0);

  await written.modify({ name: "renamed", metadata: { n: 2 } });
  await expect(reader.getCollection({ name: "numbers" })).rejects.toMatchObject({ name: "ChromaNotFoundError" });
  expect((await reader.getCollection({ name: "renamed" })).metadata).toEqual({ n: 2 });
  await writer.deleteCollection({ name: "renamed" });
  await expect(read.count()).rejects.toMatchObject({ name: "ChromaNotFoundError" });
  await writer.createCollection({ name: "later", embeddingFunction: null });
  expect(await reader.countCollections()).toBe(1);
});

test("a reader lets go of files that the writer removed, and never holds up the write-ahead log", async () => {
  const path = temporaryPath();
  const writer = openClient(path, { sealRows: 8 });
  const written = await writer.createCollection({ name: "numbers", embeddingFunction: null });
  const reader = openClient(path, { readOnly: true });
  const read = await reader.getCollection({ name: "numbers" });
  for (let round = 0; round < 5; round++) {
    const ids = Array.from({ length: 20 }, (_, i) => `r${round}-${i}`);
    await written.add({ ids, embeddings: ids.map((_, i) => [i, round]) });
    await written.compact();
    expect(await read.count()).toBe((round + 1) * 20);
    expect((await read.query({ queryEmbeddings: [[0, 0]], nResults: 100 })).ids[0]).toHaveLength((round + 1) * 20);
  }
  if (process.platform === "linux") {
    const maps = readFileSync("/proc/self/maps", "utf8").split("\n");
    expect(maps.filter((map) => map.includes(path) && map.includes("(deleted)"))).toEqual([]);
  }
  await writer.close();
  expect(statSync(join(path, "catalog.sqlite-wal")).size).toBe(0);
  expect(await read.count()).toBe(100);
});

test("threads of one process share one database", async () => {
  const path = temporaryPath();
  const client = openClient(path);
  const collection = await client.createCollection({ name: "numbers", embeddingFunction: null });
  const script = `
    const { parentPort, workerData } = require("node:worker_threads");
    import(workerData.index).then(async ({ PersistentClient }) => {
      const client = new PersistentClient({ path: workerData.path });
      const collection = await client.getCollection({ name: "numbers" });
      const ids = Array.from({ length: 50 }, (_, i) => workerData.name + i);
      for (const id of ids) await collection.add({ ids: [id], embeddings: [[1, 2]] });
      parentPort.postMessage(await collection.count());
      await client.close();
    });`;
  const index = new URL("../dist/index.js", import.meta.url).href;
  const counts = await Promise.all(
    ["a", "b"].map(
      (name) =>
        new Promise<number>((resolve, reject) => {
          const worker = new Worker(script, { eval: true, workerData: { index, path, name } });
          worker.once("message", resolve);
          worker.once("error", reject);
        }),
    ),
  );
  expect(Math.max(...counts)).toBe(100);
  expect(await collection.count()).toBe(100);
});
