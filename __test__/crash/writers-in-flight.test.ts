import type { ChildProcess } from "node:child_process";
import { expect, test } from "vitest";
import { type Collection, PersistentClient } from "../../index.js";
import { killed, startNode } from "../support/child.js";
import { temporaryPath } from "../support/folder.js";

/** Writers of a process, two to a collection. */
const WRITERS = 4;
/** Calls of one writer that are under way at once. */
const IN_FLIGHT = 3;
/** Records of a batch. */
const BATCH = 6;
const ROUNDS = 10;

/**
 * Several writers work at once, each with several calls under way, while a fifth gives a collection new metadata and compacts it.
 * Prints `<writer> <call>` for each call that was acknowledged, and `m <number>` for each change of metadata.
 *
 * Of each four calls of a writer the first two add a batch, the third changes the first batch, the fourth deletes the second.
 */
const PROGRAM = `
  const [path, round, writers, inFlight, batchRows] = args;
  const client = new ferrochrome.PersistentClient({ path, sealRows: 80 });
  const open = (name) => client.getOrCreateCollection({ name, embeddingFunction: null });
  const collections = await Promise.all([open("left"), open("right")]);
  const rows = Array.from({ length: batchRows }, (_, i) => i);
  const batch = (writer, call, version) => ({
    ids: rows.map((i) => [round, writer, call, i].join("-")),
    embeddings: rows.map((i) => [call, i, version]),
    documents: rows.map((i) => "version " + version + " of " + call),
    metadatas: rows.map(() => ({ version })),
  });
  const perform = (collection, writer, call) => {
    if (call % 4 < 2) return collection.add(batch(writer, call, 1));
    if (call % 4 === 2) return collection.upsert(batch(writer, call - 2, 2));
    return collection.delete({ ids: batch(writer, call - 2, 1).ids });
  };
  const print = (line) => process.stdout.write(line + "\\n");
  const write = async (writer) => {
    const collection = collections[writer % 2];
    const running = [];
    for (let call = 0; ; call++) {
      running.push(perform(collection, writer, call).then(() => print(writer + " " + call)));
      if (running.length === inFlight) await running.shift();
    }
  };
  const change = async () => {
    const collection = collections[0];
    for (let number = 1; ; number++) {
      await collection.modify({ metadata: { round, number } });
      print("m " + number);
      if (number % 8 === 0) await collection.compact();
    }
  };
  await Promise.all([change(), ...Array.from({ length: writers }, (_, writer) => write(writer))]);
`;

/** Kills the program some time after its first acknowledgement; returns the last call that each writer had acknowledged. */
async function acknowledgedBefore(child: ChildProcess, delay: number): Promise<Map<string, number>> {
  const printed = await killed(child, delay);
  const acknowledged = new Map<string, number>();
  // The last line may have been cut.
  for (const line of printed.split("\n").slice(0, -1)) {
    const [writer, call] = line.split(" ") as [string, string];
    acknowledged.set(writer, Math.max(Number(call), acknowledged.get(writer) ?? -1));
  }
  return acknowledged;
}

/** The batches of a writer and their versions after so many calls, as text. */
function afterCalls(calls: number): string {
  const versions = new Map<number, number>();
  for (let call = 0; call < calls; call++) {
    if (call % 4 < 2) versions.set(call, 1);
    if (call % 4 === 2) versions.set(call - 2, 2);
    if (call % 4 === 3) versions.delete(call - 2);
  }
  return JSON.stringify([...versions].sort(([a], [b]) => a - b));
}

/** What a collection holds: `round-writer` to the batches and their versions, as text. Each batch is there whole. */
async function read(collection: Collection): Promise<Map<string, string>> {
  const { ids, documents, metadatas, embeddings } = await collection.get({
    include: ["documents", "metadatas", "embeddings"],
  });
  const writers = new Map<string, Map<number, { rows: number; version: number }>>();
  for (const [i, id] of ids.entries()) {
    const [round, writer, call, row] = id.split("-").map(Number) as [number, number, number, number];
    const version = Number(metadatas[i]?.version);
    expect(documents[i]).toBe(`version ${version} of ${call}`);
    expect(Array.from(embeddings?.[i] ?? [])).toEqual([call, row, version]);
    const batches = writers.get(`${round}-${writer}`) ?? new Map();
    const batch = batches.get(call) ?? { rows: 0, version };
    expect(batch.version).toBe(version);
    batches.set(call, { rows: batch.rows + 1, version });
    writers.set(`${round}-${writer}`, batches);
  }
  const found = new Map<string, string>();
  for (const [writer, batches] of writers) {
    for (const { rows } of batches.values()) expect(rows).toBe(BATCH);
    const versions = [...batches].map(([call, { version }]) => [call, version] as const);
    found.set(writer, JSON.stringify(versions.sort(([a], [b]) => a - b)));
  }
  return found;
}

test("with several writers in flight, kill -9 leaves of each what it had acknowledged, and its next calls in order", async () => {
  const path = temporaryPath();
  const kept = [new Map<string, string>(), new Map<string, string>()];
  let calls = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const child = startNode(PROGRAM, [path, round, WRITERS, IN_FLIGHT, BATCH]);
    const acknowledged = await acknowledgedBefore(child, 15 + round * 31);
    await using client = new PersistentClient({ path });
    for (const [side, name] of ["left", "right"].entries()) {
      const collection = await client.getCollection({ name });
      const found = await read(collection);
      for (let writer = side; writer < WRITERS; writer += 2) {
        const done = (acknowledged.get(String(writer)) ?? -1) + 1;
        const possible = Array.from({ length: IN_FLIGHT + 1 }, (_, more) => afterCalls(done + more));
        expect(possible, `writer ${writer} after ${done} calls in round ${round}`).toContain(
          found.get(`${round}-${writer}`) ?? "[]",
        );
        calls += done;
      }
      // What earlier rounds left has not changed since.
      for (const [writer, batches] of kept[side] as Map<string, string>) expect(found.get(writer)).toBe(batches);
      kept[side] = found;
      expect(await collection.count()).toBe((await collection.get({ include: [] })).ids.length);
    }
    const changed = acknowledged.get("m");
    if (changed !== undefined) {
      const { metadata } = await client.getCollection({ name: "left" });
      expect(metadata?.round).toBe(round);
      expect([changed, changed + 1]).toContain(metadata?.number);
    }
  }
  expect(calls).toBeGreaterThan(100);
});
