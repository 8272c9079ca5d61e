import { existsSync, renameSync, rmSync } from "node:fs";
import { expect, test } from "vitest";
import { PersistentClient } from "../../index.js";
import { openClient, temporaryPath } from "../support/folder.js";

// Windows keeps open files from being removed.
test.skipIf(process.platform === "win32").each([
  ["removed", (path: string) => rmSync(path, { recursive: true })],
  ["moved", (path: string) => renameSync(path, `${path}-moved`)],
])("a database whose folder is %s while it is open takes no more writes, and says why", async (_how, away) => {
  const path = temporaryPath();
  const client = openClient(path, { sealRows: 4 });
  const collection = await client.createCollection({ name: "notes", embeddingFunction: null });
  await collection.add({ ids: ["a", "b"], embeddings: [[1], [2]] });
  away(path);
  const refused = {
    name: "ChromaServerError",
    message: expect.stringContaining("was removed, moved or replaced while the database was open"),
  };
  const add = (): Promise<void> => collection.add({ ids: ["c", "d", "e"], embeddings: [[3], [4], [5]] });
  await expect(add()).rejects.toMatchObject(refused);
  await expect(collection.delete({ ids: ["a"] })).rejects.toMatchObject(refused);
  await expect(client.createCollection({ name: "more", embeddingFunction: null })).rejects.toMatchObject(refused);
  await expect(collection.compact()).rejects.toMatchObject({ name: "ChromaServerError" });
  // What is in memory can still be read.
  expect((await collection.get()).ids).toEqual(["a", "b"]);
  await client.close();
  expect(existsSync(path)).toBe(false);
  await using anew = new PersistentClient({ path });
  expect(await anew.listCollections()).toEqual([]);
});
