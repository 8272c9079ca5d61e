import { describe, expect, onTestFinished, test } from "vitest";
import { type ChromaClient, type Collection, EphemeralClient } from "../index.js";

const ROWS = 2_000;
const all = Array.from({ length: ROWS }, (_, row) => `id ${row}`);

async function filled(ids = all): Promise<{ client: ChromaClient; collection: Collection }> {
  const client = EphemeralClient();
  onTestFinished(() => client.close());
  const collection = await client.createCollection({
    name: "listed",
    embeddingFunction: null,
    configuration: { hnsw: { space: "l2" } },
  });
  await collection.add({ ids, embeddings: ids.map((_, row) => [row, 1]) });
  return { client, collection };
}

const nearestTo = async (collection: Collection, row: number, ids: string[]): Promise<string | undefined> =>
  (await collection.query({ queryEmbeddings: [[row, 1]], nResults: 1, ids })).ids[0]?.[0];

describe("many ids", () => {
  test("an array that changes between calls is read anew each time", async () => {
    const { collection } = await filled();
    const ids = all.slice(0, 1_800);
    expect(await nearestTo(collection, 700, ids)).toBe("id 700");
    ids[700] = "id 1900";
    expect(await nearestTo(collection, 700, ids)).toBe("id 699");
    expect(await nearestTo(collection, 1_900, ids)).toBe("id 1900");
    ids.length = 500;
    expect(await nearestTo(collection, 700, ids)).toBe("id 499");
    expect(await nearestTo(collection, 700, [...ids, "id 710"])).toBe("id 710");
    // Started before the array changes, and answered afterwards.
    const [before, after] = [nearestTo(collection, 400, ids), nearestTo(collection, 401, [...ids])];
    ids[400] = "id 1000";
    expect(await Promise.all([before, after])).toEqual(["id 400", "id 401"]);
  });

  test("the same list sees every change of the records", async () => {
    const { collection } = await filled();
    const ids = all.filter((_, row) => row % 2 === 0);
    const count = async (): Promise<number> => (await collection.get({ ids, include: [] })).ids.length;
    expect(await nearestTo(collection, 800, ids)).toBe("id 800");
    await collection.update({ ids: ["id 800"], embeddings: [[5_000, 1]] });
    expect(await nearestTo(collection, 800, ids)).toBe("id 798");
    expect(await nearestTo(collection, 5_000, ids)).toBe("id 800");
    await collection.compact();
    expect(await nearestTo(collection, 800, ids)).toBe("id 798");
    await collection.delete({ ids: ["id 798", "id 1"] });
    expect(await count()).toBe(999);
    // As in Chroma, where an unknown id is an error of a query.
    await expect(nearestTo(collection, 798, ids)).rejects.toThrow("Error finding id");
    await collection.add({ ids: ["id 798"], embeddings: [[9_000, 1]] });
    expect(await nearestTo(collection, 9_000, ids)).toBe("id 798");
    expect(await collection.delete({ ids })).toEqual({ deleted: 1_000 });
    expect(await count()).toBe(0);
    expect(await collection.count()).toBe(999);
  });

  test("queries in flight with lists of their own", async () => {
    const { collection } = await filled();
    const lists = [0, 1, 2].map((rest) => all.filter((_, row) => row % 3 === rest));
    const asked = Array.from({ length: 30 }, (_, i) => nearestTo(collection, i, lists[i % 3] as string[]));
    expect(await Promise.all(asked)).toEqual(all.slice(0, 30));
  });

  test("equal ids fail the query that names them, and none beside it", async () => {
    const { collection } = await filled();
    await collection.compact();
    const twice = [...all.slice(0, 1_800), "id 900"];
    const message = "Expected IDs to be unique, but found duplicates of id 900";
    const asked = [all.slice(0, 500), twice, [...twice, "none"], all.slice(300)].map((ids) =>
      nearestTo(collection, 400, ids),
    );
    const wrong = { status: "rejected", reason: { name: "ChromaValueError", message } };
    const right = { status: "fulfilled", value: "id 400" };
    expect(await Promise.allSettled(asked)).toMatchObject([right, wrong, wrong, right]);
    // Where some are found nowhere: what is wrong with the list comes first.
    for (const where of [{ missing: 1 }, undefined]) {
      const query = collection.query({ queryEmbeddings: [[1, 1]], ids: [...twice, "none"], where });
      await expect(query).rejects.toMatchObject(wrong.reason);
    }
  });

  test("ids of any characters", async () => {
    const odd = ["ß", "日本", "😀", "a\nb", "\0", '"', "\u{10ffff}", "é".repeat(300), "\x7f", "\x80"];
    const ids = [...all.slice(0, 90), ...odd];
    const { collection } = await filled(ids);
    expect((await collection.get({ ids: ids.toReversed(), include: [] })).ids).toEqual(ids);
    for (const [i, id] of odd.entries()) expect(await nearestTo(collection, 90 + i, ids)).toBe(id);
    // The same text, cut into other ids.
    expect((await collection.get({ ids: [...all.slice(0, 90), "a", "\nb"] })).ids).toEqual(all.slice(0, 90));
    await expect(collection.get({ ids: [...all.slice(0, 90), "\ud800"] })).rejects.toMatchObject({
      name: "ChromaClientError",
    });
  });

  test.each([
    [
      [...all.slice(0, 99), "id 7", "id 7", "id 3"],
      "Expected IDs to be unique, but found duplicates of id 7, id 7, id 3",
    ],
    [
      [...all.slice(0, 64), ...all.slice(0, 64)],
      "Expected IDs to be unique, but found duplicates of id 0, id 1, id 2, id 3, id 4, ..., id 59, id 60, id 61, id 62, id 63",
    ],
    [[...all.slice(0, 99), 7, "id 7", null], "Found non-string IDs at 99, 101"],
    [[...all, ...Array(2)], "Found non-string IDs at 2000, 2001"],
  ])("what is wrong with them is told as of few: %#", async (bad, message) => {
    const { collection } = await filled(all.slice(0, 100));
    const ids = bad as string[];
    const calls = [
      () => collection.get({ ids, where: {} }),
      () => collection.delete({ ids }),
      () => collection.query({ ids, queryEmbeddings: [[1, 2]] }),
      () => collection.explain({ ids, queryEmbeddings: [[1, 2]] }),
    ];
    for (const call of calls) await expect(call()).rejects.toMatchObject({ name: "ChromaValueError", message });
    expect(await collection.count()).toBe(100);
  });
});
