import { chmodSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openClient, temporaryFolder } from "./support/folder.js";

test("a path that is a file", async () => {
  const path = join(temporaryFolder(), "file");
  writeFileSync(path, "I am not a folder");
  await expect(openClient(path).heartbeat()).rejects.toMatchObject({
    name: "ChromaConnectionError",
    message: expect.stringContaining(path),
  });
});

test("a path below a file", async () => {
  const path = join(temporaryFolder(), "file");
  writeFileSync(path, "I am not a folder");
  await expect(openClient(join(path, "db")).heartbeat()).rejects.toMatchObject({
    name: "ChromaConnectionError",
    message: expect.stringContaining(path),
  });
});

test("a folder with files of another kind is left alone", async () => {
  const path = temporaryFolder();
  writeFileSync(join(path, "notes.txt"), "mine");
  await expect(openClient(path).heartbeat()).rejects.toMatchObject({
    name: "ChromaConnectionError",
    message: `${path} holds other files (notes.txt) and no Ferrochrome database; choose an empty or a new folder`,
  });
  expect(readdirSync(path)).toEqual(["notes.txt"]);
});

test("a catalog that is not one is named", async () => {
  const path = temporaryFolder();
  writeFileSync(join(path, "catalog.sqlite"), "this is no SQLite database, and never was one".repeat(100));
  await expect(openClient(path).heartbeat()).rejects.toMatchObject({
    name: "DatabaseCorruptedError",
    message: expect.stringContaining("catalog.sqlite"),
  });
});

test.skipIf(process.getuid?.() === 0 || process.platform === "win32")("a folder that must not be written", async () => {
  const path = temporaryFolder();
  mkdirSync(join(path, "db"), { mode: 0o555 });
  await expect(openClient(join(path, "db")).heartbeat()).rejects.toMatchObject({
    name: "ChromaConnectionError",
    message: expect.stringContaining(path),
  });
  chmodSync(join(path, "db"), 0o755);
});
