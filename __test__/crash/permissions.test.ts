import { chmodSync, chownSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { PersistentClient } from "../../index.js";
import { runNode } from "../support/child.js";
import { temporaryFolder } from "../support/folder.js";

/** Whom no file belongs to. Root may do everything, so that a process of root cannot be the one that is refused. */
const NOBODY = 65_534;
const user = process.getuid?.() === 0 ? NOBODY : undefined;

const TRY = `
  const attempt = async (options) => {
    const client = new ferrochrome.PersistentClient({ path: args[0], ...options });
    try {
      const collection = await client.getOrCreateCollection({ name: "kept", embeddingFunction: null });
      return { count: await collection.count() };
    } catch (error) {
      return { name: error.name, message: error.message };
    } finally {
      await client.close();
    }
  };
  console.log(JSON.stringify({ write: await attempt({}), read: await attempt({ readOnly: true }) }));
`;

interface Attempt {
  count?: number;
  name?: string;
  message?: string;
}

async function attempt(path: string): Promise<{ write: Attempt; read: Attempt }> {
  const { stdout, stderr } = await runNode(TRY, [path], user);
  expect(stderr).toBe("");
  return JSON.parse(stdout);
}

/** A database with a record, closed, in a folder that the other user may enter. */
async function closedDatabase(): Promise<string> {
  const folder = temporaryFolder();
  chmodSync(folder, 0o755);
  const path = join(folder, "db");
  await using client = new PersistentClient({ path });
  const collection = await client.createCollection({ name: "kept", embeddingFunction: null });
  await collection.add({ ids: ["a"], embeddings: [[1, 2]] });
  return path;
}

/** Sets the permissions of a folder and of everything in it. */
function setPermissions(path: string, folders: number, files: number): void {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) setPermissions(join(path, entry.name), folders, files);
    else chmodSync(join(path, entry.name), files);
  }
  chmodSync(path, folders);
}

/** Whether a process of the other user can load the package at all: its folder may be closed to others. */
const { code } = process.platform === "win32" ? { code: 1 } : await runNode("", [], user);

test.skipIf(code !== 0)(
  "a folder that may not be written to: it is read, and writing is refused with the reason",
  async () => {
    const path = await closedDatabase();
    setPermissions(path, 0o555, 0o444);
    const { write, read } = await attempt(path);
    expect(write.name).toBe("ChromaConnectionError");
    expect(write.message).toContain(path);
    expect(write.message).toContain("Permission denied");
    expect(read).toEqual({ count: 1 });
    setPermissions(path, 0o755, 0o644);
  },
);

test.skipIf(code !== 0)("a catalog that may only be read is not opened to fail at the first write", async () => {
  const path = await closedDatabase();
  setPermissions(path, 0o777, 0o666);
  chmodSync(join(path, "catalog.sqlite"), 0o444);
  const { write, read } = await attempt(path);
  expect(write.name).toBe("ChromaConnectionError");
  expect(write.message).toContain("catalog.sqlite: it cannot be opened for writing");
  expect(write.message).toContain("Permission denied");
  expect(read).toEqual({ count: 1 });
});

test.skipIf(code !== 0)(
  "a database that may not be read says so, and so does a folder in which none can be made",
  async () => {
    const path = await closedDatabase();
    setPermissions(path, 0o700, 0o000);
    for (const refused of Object.values(await attempt(path))) {
      expect(refused.name).toBe("ChromaConnectionError");
      expect(refused.message).toContain("Permission denied");
    }
    setPermissions(path, 0o755, 0o644);
    const folder = join(temporaryFolder(), "closed");
    mkdirSync(folder, { mode: 0o555 });
    if (user !== undefined) chownSync(folder, 0, 0);
    const { write } = await attempt(join(folder, "db"));
    expect(write.name).toBe("ChromaConnectionError");
    expect(write.message).toContain(folder);
  },
);
