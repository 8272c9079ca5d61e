import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { PersistentClient } from "../index.js";
import { runNode, startNode } from "./support/child.js";
import { openClient, temporaryPath } from "./support/folder.js";

const OPEN_AND_REPORT = `
  const client = new ferrochrome.PersistentClient(args[0]);
  try {
    const collection = await client.getCollection({ name: "locked" });
    const { ids } = await collection.query({ queryEmbeddings: [[1]] });
    let write = "written";
    await collection.add({ ids: ["b"], embeddings: [[2]] }).catch((error) => { write = error.name; });
    console.log(JSON.stringify({ count: await collection.count(), ids, write }));
    await client.close();
  } catch (error) {
    console.log(JSON.stringify({ name: error.name, code: error.code, message: error.message }));
  }
`;

describe("a second process", () => {
  test("is told who holds the database", async () => {
    const path = temporaryPath();
    const client = openClient(path);
    await client.createCollection({ name: "locked", embeddingFunction: null });
    const { stdout } = await runNode(OPEN_AND_REPORT, [{ path }]);
    expect(JSON.parse(stdout)).toMatchObject({
      name: "DatabaseLockedError",
      code: "LOCKED",
      message: expect.stringContaining(String(process.pid)),
    });
    await client.close();
    const after = await runNode(OPEN_AND_REPORT, [{ path }]);
    expect(JSON.parse(after.stdout)).toMatchObject({ write: "written" });
  });

  test("may read meanwhile, and only read", async () => {
    const path = temporaryPath();
    const client = openClient(path, { sealRows: 1 });
    const collection = await client.createCollection({ name: "locked", embeddingFunction: null });
    await collection.add({ ids: ["a"], embeddings: [[1]] });
    await collection.compact();
    const { stdout } = await runNode(OPEN_AND_REPORT, [{ path, readOnly: true }]);
    expect(JSON.parse(stdout)).toEqual({ count: 1, ids: [["a"]], write: "ReadOnlyError" });
    expect(await collection.count()).toBe(1);
  });

  test("finds the database free when the first was killed", async () => {
    const path = temporaryPath();
    const child = startNode(
      `const client = new ferrochrome.PersistentClient({ path: args[0] });
       await client.createCollection({ name: "locked", embeddingFunction: null });
       console.log("open");
       setInterval(() => {}, 1000);`,
      [path],
    );
    await new Promise((resolve) => child.stdout?.once("data", resolve));
    await expect(new PersistentClient({ path }).heartbeat()).rejects.toMatchObject({
      name: "DatabaseLockedError",
      message: expect.stringContaining(String(child.pid)),
    });
    child.kill("SIGKILL");
    await new Promise((resolve) => child.once("close", resolve));
    const client = openClient(path);
    expect(await client.countCollections()).toBe(1);
  });
});

test("a client opens after a failure, once the reason is gone", async () => {
  const path = temporaryPath();
  const child = startNode(
    `const client = new ferrochrome.PersistentClient({ path: args[0] });
     await client.heartbeat();
     console.log("open");
     setInterval(() => {}, 1000);`,
    [path],
  );
  await new Promise((resolve) => child.stdout?.once("data", resolve));
  const client = openClient(path);
  await expect(client.heartbeat()).rejects.toMatchObject({ name: "DatabaseLockedError" });
  child.kill("SIGKILL");
  await new Promise((resolve) => child.once("close", resolve));
  expect(await client.countCollections()).toBe(0);
});

test("a read-only client of a folder without a database says so, and makes nothing", async () => {
  const path = temporaryPath();
  const client = openClient(path, { readOnly: true });
  await expect(client.heartbeat()).rejects.toMatchObject({
    name: "ChromaConnectionError",
    message: expect.stringContaining(path),
  });
  expect(existsSync(path)).toBe(false);
});
