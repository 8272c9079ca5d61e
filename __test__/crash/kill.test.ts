import { expect, test } from "vitest";
import { PersistentClient } from "../../index.js";
import { killed, startNode } from "../support/child.js";
import { temporaryPath } from "../support/folder.js";

/** Records of a batch; batch `n` has the ids `n-0`, `n-1`, ... */
const BATCH = 20;

/** Writes batches, seals and merges as it goes, and prints the number of each batch that was acknowledged. */
const WRITER = `
  const [path, batchRows, first] = args;
  const client = new ferrochrome.PersistentClient({ path, sealRows: 60 });
  const collection = await client.getOrCreateCollection({ name: "crash", embeddingFunction: null });
  const rows = Array.from({ length: batchRows }, (_, i) => i);
  for (let batch = first; ; batch++) {
    await collection.add({
      ids: rows.map((i) => batch + "-" + i),
      embeddings: rows.map((i) => [batch, i, 1]),
      documents: rows.map((i) => "document " + batch + " " + i),
      metadatas: rows.map(() => ({ batch })),
    });
    process.stdout.write("+" + batch + "\\n");
    if (batch % 5 === 4) {
      await collection.delete({ where: { batch: batch - 2 } });
      process.stdout.write("-" + (batch - 2) + "\\n");
    }
    if (batch % 17 === 16) await collection.compact();
  }
`;

test("every acknowledged batch survives kill -9, and none is there in part", async () => {
  const path = temporaryPath();
  const added = new Set<number>();
  const deleted = new Set<number>();
  let next = 0;
  for (let round = 0; round < 12; round++) {
    const printed = await killed(startNode(WRITER, [path, BATCH, next]), 10 + round * 23);
    for (const line of printed.split("\n").filter((line) => line.length > 1)) {
      (line.startsWith("+") ? added : deleted).add(Number(line.slice(1)));
    }
    await using client = new PersistentClient({ path });
    const collection = await client.getCollection({ name: "crash" });
    const { ids, metadatas, documents } = await collection.get();
    const rows = new Map<number, number>();
    for (const [i, id] of ids.entries()) {
      const [batch, row] = id.split("-");
      expect(metadatas[i]).toEqual({ batch: Number(batch) });
      expect(documents[i]).toBe(`document ${batch} ${row}`);
      rows.set(Number(batch), (rows.get(Number(batch)) ?? 0) + 1);
    }
    for (const [batch, count] of rows) expect([batch, count]).toEqual([batch, BATCH]);
    // The last delete may have been done without having been acknowledged.
    const acknowledged = Math.max(-1, ...added);
    for (const batch of added) {
      const mayBeGone = batch % 5 === 2 && batch + 2 >= acknowledged - 1;
      // What is gone once is gone for good: the writers of later rounds never come back to this batch.
      if (mayBeGone && !rows.has(batch)) deleted.add(batch);
      if (!deleted.has(batch)) expect(rows.has(batch), `batch ${batch} is there`).toBe(true);
    }
    for (const batch of deleted) expect(rows.has(batch), `batch ${batch} is gone`).toBe(false);
    expect(await collection.count()).toBe(ids.length);
    const nearest = await collection.query({ queryEmbeddings: [[acknowledged, 1, 1]], nResults: 1 });
    expect(nearest.ids[0]).toHaveLength(1);
    next = Math.max(acknowledged, ...rows.keys()) + 1;
    next += (5 - (next % 5)) % 5;
  }
  expect(added.size).toBeGreaterThan(20);
});
