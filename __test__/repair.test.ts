import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import {
  type ChromaClient,
  ChromaNotFoundError,
  ChromaValueError,
  checkDatabase,
  DatabaseCorruptedError,
  DatabaseLockedError,
  EphemeralClient,
  HttpClient,
  repairDatabase,
} from "../index.js";
import { type Finished, finish } from "./support/child.js";
import { openClient, temporaryFolder, temporaryPath } from "./support/folder.js";

const MAIN = fileURLToPath(new URL("../dist/src/cli/main.js", import.meta.url));
const ROWS = 3_000;

/** A database with one segment and a head of one record. */
async function build(path: string): Promise<ChromaClient> {
  const client = openClient(path);
  const notes = await client.createCollection({ name: "notes", embeddingFunction: null, metadata: { kind: "sample" } });
  const rows = Array.from({ length: ROWS }, (_, i) => i);
  await notes.add({
    ids: rows.map((i) => `id${i}`),
    embeddings: rows.map((i) => [Math.cos(i), Math.sin(i), i / ROWS]),
    documents: rows.map((i) => `document ${i}`),
    metadatas: rows.map((n) => ({ n })),
  });
  await notes.compact();
  await notes.upsert({ ids: ["late"], embeddings: [[9, 9, 9]], documents: ["late"] });
  return client;
}

function run(args: string[]): Promise<Finished> {
  return finish(spawn(process.execPath, [MAIN, ...args], { stdio: ["ignore", "pipe", "pipe"] }));
}

/** The file of a kind in the only segment. */
function fileOf(path: string, kind: string): string {
  const folder = join(path, "segments", readdirSync(join(path, "segments"))[0] as string);
  return join(folder, kind);
}

function flip(file: string, at = statSync(file).size >> 1): void {
  const bytes = readFileSync(file);
  bytes[at] = (bytes[at] ?? 0) ^ 0x20;
  writeFileSync(file, bytes);
}

test("a sound database is found sound, open or not, and there is nothing to repair", async () => {
  const path = temporaryPath();
  const client = await build(path);
  const reported: number[] = [];
  const report = await client.check({ onProgress: ({ rows, total }) => reported.push(rows / total) });
  expect(report).toMatchObject({
    ok: true,
    catalog: [],
    garbage: [],
    collections: [{ name: "notes", logBatches: 1, segments: [{ rows: ROWS, tombstones: 0, findings: [] }] }],
  });
  expect(reported.at(-1)).toBe(1);
  await expect(client.repair()).resolves.toMatchObject({ damaged: false, quarantine: null, collections: [] });
  // What the collection object holds of the database was closed and is there again.
  const notes = await client.getCollection({ name: "notes" });
  expect(await notes.count()).toBe(ROWS + 1);
  await client.close();
  expect(await checkDatabase(path)).toMatchObject({ ok: true });
});

test("damage is reported with the way on, found by a check, and repaired under the same client", async () => {
  const path = temporaryPath();
  await (await build(path)).close();
  flip(fileOf(path, "index.arrow"));
  flip(fileOf(path, "vectors.arrow"), 20_000);
  const client = openClient(path);
  const notes = await client.getCollection({ name: "notes" });
  const query = { queryEmbeddings: [[1, 0, 0]], nResults: 5 };
  const failure: Error = await notes.query(query).then(
    () => new Error("the query succeeded"),
    (error) => error,
  );
  expect(failure).toBeInstanceOf(DatabaseCorruptedError);
  expect(failure.message).toMatch(/\.arrow is damaged.*ferrochrome check.*ferrochrome repair/);

  const { ok, collections } = await client.check();
  expect(ok).toBe(false);
  const findings = collections[0]?.segments[0]?.findings ?? [];
  expect(findings.map(({ file, derived }) => [file.split("/")[1], derived])).toEqual([
    ["vectors.arrow", false],
    ["index.arrow", true],
  ]);

  const plan = await client.repair({ dryRun: true });
  expect(plan).toMatchObject({ dryRun: true, damaged: true, quarantine: null });
  const report = await client.repair();
  const segment = report.collections[0]?.segments[0];
  expect(segment?.lost).toBeGreaterThan(0);
  expect(segment?.lost).toBeLessThan(350);
  expect(segment?.lostIds).toHaveLength(segment?.lost ?? -1);
  expect(plan.collections[0]?.segments[0]?.lostIds).toEqual(segment?.lostIds);
  expect(existsSync(join(report.quarantine as string, segment?.id as string, "vectors.arrow"))).toBe(true);
  expect(JSON.parse(readFileSync(join(report.quarantine as string, "report.json"), "utf8"))).toMatchObject({
    damaged: true,
  });

  expect((await client.check()).ok).toBe(true);
  expect(await notes.count()).toBe(ROWS + 1 - (segment?.lost ?? 0));
  expect((await notes.query(query)).ids[0]?.[0]).toBe("id0");
  const gone = await notes.get({ ids: segment?.lostIds ?? [] });
  expect(gone.ids).toEqual([]);
  // It is an ordinary database again.
  await notes.upsert({ ids: ["new"], embeddings: [[7, 7, 7]] });
  await notes.compact();
  expect((await client.check()).ok).toBe(true);
});

test("a lost catalog is made of the segments, with the collection's name and metadata", async () => {
  const path = temporaryPath();
  await (await build(path)).close();
  rmSync(join(path, "catalog.sqlite"));
  const client = openClient(path);
  await expect(client.listCollections()).rejects.toThrow(DatabaseCorruptedError);
  expect(await client.check()).toMatchObject({ ok: false, collections: [], segments: [{ rows: ROWS, findings: [] }] });
  expect(await client.repair()).toMatchObject({ damaged: true, collections: [{ name: "notes", adopted: true }] });
  const notes = await client.getCollection({ name: "notes" });
  expect(notes.metadata).toEqual({ kind: "sample" });
  expect(await notes.count()).toBe(ROWS);
});

test("a repair needs the database for itself", async () => {
  const path = temporaryPath();
  const client = await build(path);
  await expect(repairDatabase(path)).rejects.toThrow(DatabaseLockedError);
  const other = openClient(path);
  await other.heartbeat();
  await expect(client.repair()).rejects.toThrow(DatabaseLockedError);
  await other.close();
  // The failed attempt took nothing away.
  const notes = await client.getCollection({ name: "notes" });
  expect(await notes.count()).toBe(ROWS + 1);
});

test("what cannot be checked or repaired is refused with a reason", async () => {
  await expect(checkDatabase(temporaryFolder())).rejects.toThrow(ChromaNotFoundError);
  await expect(repairDatabase(temporaryFolder())).rejects.toThrow(ChromaNotFoundError);
  const memory = EphemeralClient();
  await memory.createCollection({ name: "notes", embeddingFunction: null });
  expect(await memory.check()).toMatchObject({ ok: true, collections: [{ name: "notes" }] });
  await expect(memory.repair()).rejects.toThrow(ChromaValueError);
  await memory.close();
  await expect(HttpClient({ port: 1 }).check()).rejects.toThrow(/local database/);
  await expect(repairDatabase("x", { threads: 0 })).rejects.toThrow(/threads/);
});

test("a check is ended by its signal, and by a callback that fails", async () => {
  const path = temporaryPath();
  await (await build(path)).close();
  const reason = new Error("enough");
  await expect(checkDatabase(path, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  const failing = () => {
    throw reason;
  };
  await expect(checkDatabase(path, { onProgress: failing })).rejects.toBe(reason);
});

test("the commands check and repair tell by their exit codes what they found and did", async () => {
  const path = temporaryPath();
  await (await build(path)).close();
  flip(fileOf(path, "ids.arrow"));
  const check = () => run(["check", "--path", path]);
  const found = await check();
  expect(found.code).toBe(5);
  expect(found.stdout).toMatch(/notes: DAMAGED[\s\S]*ids\.arrow/);
  const plan = await run(["repair", "--path", path, "--dry-run"]);
  expect(plan).toMatchObject({ code: 0, stdout: expect.stringContaining("Nothing was changed") });
  expect((await check()).code).toBe(5);
  const done = await run(["repair", "--path", path, "--json"]);
  expect(done.code).toBe(0);
  expect(JSON.parse(done.stdout)).toMatchObject({
    damaged: true,
    collections: [{ name: "notes", segments: [{ kept: ROWS, lost: 0 }] }],
  });
  expect(await check()).toMatchObject({ code: 0, stdout: expect.stringMatching(/^notes: ok/) });
});
