/** What a program that keeps the ids of results keeps in memory with them. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { EphemeralClient, type QueryArgs } from "../index.js";

setFlagsFromString("--expose-gc");
const collectGarbage: () => void = runInNewContext("gc");

const ROWS = 400;
/** Bytes of a document: ten of them are many times as large as ten ids. */
const DOCUMENT_BYTES = 5_000;

/** Bytes that are in use for each id when the first id of each of 200 results is kept, of records whose ids are so long. */
async function bytesKept(idLength: number, query: Partial<QueryArgs>): Promise<number> {
  const client = EphemeralClient();
  const collection = await client.createCollection({ name: "records", embeddingFunction: null });
  const rows = Array.from({ length: ROWS }, (_, i) => i);
  await collection.add({
    ids: rows.map((i) => `${i}`.padStart(idLength, "0")),
    embeddings: rows.map((i) => [i, 1]),
    documents: rows.map((i) => `${i} `.padEnd(DOCUMENT_BYTES, "x")),
  });
  const ask = async (i: number): Promise<string | undefined> => {
    const { ids } = await collection.query({ queryEmbeddings: [[i, 1]], ...query });
    return ids[0]?.[0];
  };
  // Code and feedback that later queries need too.
  for (let i = 0; i < 50; i++) await ask(i);
  const kept: (string | undefined)[] = new Array(200).fill(undefined);
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < kept.length; i++) kept[i] = await ask(i);
  collectGarbage();
  const bytes = (process.memoryUsage().heapUsed - before) / kept.length;
  expect(kept.every((id) => id?.length === idLength)).toBe(true);
  await client.close();
  return bytes;
}

const MANY_QUERIES = Array.from({ length: 150 }, (_, i) => [i, 1]);

test.each([9, 12, 13, 36])("an id of %i characters keeps little but itself", async (idLength) => {
  // A short text of ids alone may be kept with an id; of documents and of many ids nothing is.
  expect(await bytesKept(idLength, {})).toBeLessThan(2_000);
  expect(await bytesKept(idLength, { include: ["distances"] })).toBeLessThan(2_000);
  expect(await bytesKept(idLength, { include: [], nResults: ROWS })).toBeLessThan(6_000);
  expect(await bytesKept(idLength, { include: [], queryEmbeddings: MANY_QUERIES })).toBeLessThan(2_000);
});
