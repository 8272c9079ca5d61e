import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  type ChromaClient,
  type Collection,
  type CompactionProgress,
  type DatabaseCompactionProgress,
  EphemeralClient,
  HttpClient,
} from "../index.js";
import { openClient, temporaryPath } from "./support/folder.js";

const ROWS = 20_000;
const DIMENSION = 16;

async function filled(client: ChromaClient, name: string, rows = ROWS): Promise<Collection> {
  const collection = await client.createCollection({ name, embeddingFunction: null });
  const embeddings = Float32Array.from({ length: rows * DIMENSION }, (_, i) => Math.sin(i * i));
  const ids = Array.from({ length: rows }, (_, i) => `${i}`);
  await collection.add({ ids, embeddings, dimension: DIMENSION, documents: ids.map((id) => `document ${id}`) });
  return collection;
}

/** Files of a folder, and of folders in it, that hold a text. */
function filesWith(folder: string, text: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return filesWith(path, text);
    return readFileSync(path).includes(text) ? [path] : [];
  });
}

describe("compact()", () => {
  test("tells how far it has come, stage by stage", async () => {
    const collection = await filled(openClient(temporaryPath(), { sealRows: 100_000 }), "notes");
    const seen: CompactionProgress[] = [];
    await collection.compact({ onProgress: (progress) => seen.push(progress) });
    const order = ["seal", "copy", "index", "publish", "erase"];
    const stages = seen.map(({ stage }) => order.indexOf(stage));
    expect(stages).toEqual(stages.toSorted());
    expect(seen[0]?.stage).toBe("seal");
    expect(seen.at(-1)?.stage).toBe("erase");
    for (const { done, total } of seen) expect(done).toBeLessThanOrEqual(total);
  });

  test("is stopped by a signal, whenever it comes, and nothing is lost", async () => {
    const path = temporaryPath();
    const collection = await filled(openClient(path, { sealRows: 3_000 }), "notes");
    const reason = new Error("enough");
    await expect(collection.compact({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    let stopped = 0;
    for (const delay of [0, 1, 5, 20, 60, 150]) {
      const embeddings = [Array(DIMENSION).fill(delay)];
      await collection.update({ ids: ["0"], embeddings, documents: [`after ${delay}`] });
      await collection.delete({ ids: [`${delay + 1}`] });
      const abort = new AbortController();
      setTimeout(() => abort.abort(reason), delay);
      const outcome = await collection.compact({ signal: abort.signal }).then(
        () => undefined,
        (error) => error,
      );
      if (outcome !== undefined) {
        expect(outcome).toBe(reason);
        stopped++;
      }
      expect((await collection.get({ ids: ["0", `${delay + 1}`] })).documents).toEqual([`after ${delay}`]);
    }
    expect(stopped).toBeGreaterThan(0);
    await collection.compact();
    expect(await collection.count()).toBe(ROWS - 6);
  });

  test("is stopped by what onProgress throws", async () => {
    const collection = await filled(EphemeralClient(), "notes", 3_000);
    const onProgress = (): void => {
      throw new TypeError("from the program");
    };
    await expect(collection.compact({ onProgress })).rejects.toThrow(new TypeError("from the program"));
    expect(await collection.count()).toBe(3_000);
  });

  test("with secure leaves nothing of deleted records in the folder", async () => {
    const path = temporaryPath();
    const collection = await filled(openClient(path), "notes", 100);
    const traces = ["secret-id", "a secret document", "secret_key", "secret value"];
    await collection.add({
      ids: ["secret-id"],
      embeddings: [Array(DIMENSION).fill(0.5)],
      documents: ["a secret document"],
      metadatas: [{ secret_key: "secret value" }],
    });
    await collection.compact();
    for (const trace of traces) expect(filesWith(path, trace)).not.toEqual([]);
    await collection.delete({ ids: ["secret-id"] });
    await collection.compact({ secure: true });
    for (const trace of traces) expect(filesWith(path, trace)).toEqual([]);
    expect(filesWith(path, "document 99")).not.toEqual([]);
  });

  test("without space says how much is needed and how much there is", async () => {
    const collection = await filled(
      openClient(temporaryPath(), { diskReserveBytes: Number.MAX_SAFE_INTEGER }),
      "notes",
      6_000,
    );
    await expect(collection.compact()).rejects.toMatchObject({
      name: "DiskSpaceError",
      code: "NO_SPACE",
      message: expect.stringMatching(/needs about \d+ bytes .* there are \d+/),
    });
    expect(await collection.count()).toBe(6_000);
  });

  test("refuses arguments of a wrong type before it begins", async () => {
    const collection = await filled(EphemeralClient(), "notes", 1);
    for (const wrong of [{ onProgress: 1 }, { secure: "yes" }, { signal: {} }, null]) {
      await expect(collection.compact(wrong as never)).rejects.toMatchObject({ name: "ChromaValueError" });
    }
    const remote = HttpClient({ host: "localhost", port: 1 });
    await expect(remote.compact()).rejects.toThrow(/local databases only/);
  });

  test("of a client goes through all collections", async () => {
    const client = openClient(temporaryPath(), { sealRows: 1_000 });
    const collections = await Promise.all(["one", "two", "three"].map((name) => filled(client, name, 2_500)));
    for (const collection of collections) await collection.delete({ ids: ["1", "2"] });
    const seen: DatabaseCompactionProgress[] = [];
    await client.compact({ onProgress: (progress) => seen.push(progress) });
    expect(new Set(seen.map(({ collection }) => collection))).toEqual(new Set(["one", "two", "three"]));
    expect(seen[0]).toMatchObject({ stage: "seal", collectionsDone: 0, collectionsTotal: 3 });
    expect(seen.at(-1)).toMatchObject({ stage: "erase", collectionsDone: 2, collectionsTotal: 3 });
    expect(await client.stats()).toMatchObject({ segments: 3, records: 3 * 2_498 });
    const abort = new AbortController();
    const onProgress = (): void => abort.abort(new Error("enough"));
    await expect(client.compact({ signal: abort.signal, onProgress })).rejects.toThrow("enough");
  });
});
