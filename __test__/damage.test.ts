import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { type Metadata, PersistentClient } from "../index.js";
import { temporaryFolder } from "./support/folder.js";

/** What the sound database answers. */
interface Answers {
  ids: string[];
  documents: (string | null)[];
  metadatas: (Metadata | null)[];
  embeddings: number[][];
  filtered: string[];
  containing: string[];
  nearest: string[][];
}

async function ask(path: string): Promise<Answers> {
  const client = new PersistentClient({ path });
  try {
    const collection = await client.getCollection({ name: "damage" });
    const { ids, documents, metadatas, embeddings } = await collection.get({
      include: ["documents", "metadatas", "embeddings"],
      limit: 40,
    });
    const filtered = (await collection.get({ where: { n: { $gte: 20 } } })).ids;
    const containing = (await collection.get({ whereDocument: { $contains: "ment 1" } })).ids;
    const nearest = (await collection.query({ queryEmbeddings: [[6, 0, 1]], nResults: 3 })).ids;
    return { ids, documents, metadatas, embeddings, filtered, containing, nearest };
  } finally {
    await client.close();
  }
}

/** Enough rows for a segment to have a graph. */
const ROWS_WITH_INDEX = 5_200;

/** A database of one segment and a head. */
async function build(path: string, count: number): Promise<void> {
  await using client = new PersistentClient({ path });
  const collection = await client.createCollection({ name: "damage", embeddingFunction: null });
  const rows = Array.from({ length: count }, (_, i) => i);
  await collection.add({
    ids: rows.map((i) => `id${i}`),
    embeddings: rows.map((i) => [i, i % 3, 1]),
    documents: rows.map((i) => `document ${i}`),
    metadatas: rows.map((n) => ({ n, even: n % 2 === 0 })),
  });
  await collection.compact();
  await collection.add({ ids: ["late"], embeddings: [[50, 0, 1]], documents: ["late"] });
}

function filesOf(path: string): string[] {
  const files = readdirSync(path, { recursive: true }).map(String);
  return files.filter((file) => statSync(join(path, file)).isFile() && !file.endsWith("LOCK")).sort();
}

/** A failure must be typed and say which file; anything else must be the right answers. */
function judge(outcome: Answers | Error, sound: Answers, what: string): "right" | "refused" {
  if (outcome instanceof Error) {
    expect(outcome.name, `${what}: ${outcome.message}`).toMatch(/^(DatabaseCorruptedError|ChromaConnectionError)$/);
    expect(outcome.message, what).toMatch(/catalog\.sqlite|segments?|\.arrow|lookup\.sqlite|segment\.json/);
    return "refused";
  }
  expect(outcome, what).toEqual(sound);
  return "right";
}

/** Asks a copy of the database that `harm` was done to. */
async function afterHarm(source: string, harm: (copy: string) => void): Promise<Answers | Error> {
  const copy = join(temporaryFolder(), "copy");
  mkdirSync(copy);
  cpSync(source, copy, { recursive: true });
  try {
    harm(copy);
    return await ask(copy).catch((error: Error) => error);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

describe("a damaged database", () => {
  let folder: string;
  const sound = new Map<string, Answers>();
  const kinds = [
    "catalog.sqlite",
    "records.arrow",
    "vectors.arrow",
    "ids.arrow",
    "index.arrow",
    "lookup.sqlite",
    "segment.json",
  ];

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "ferrochrome-test-"));
    for (const [name, rows] of [["small", 32] as const, ["indexed", ROWS_WITH_INDEX] as const]) {
      const source = join(folder, name);
      await build(source, rows);
      sound.set(source, await ask(source));
    }
    return () => rmSync(folder, { recursive: true, force: true });
  });

  /** The database, its right answers, and the file of a kind in it. */
  function subject(kind: string): { source: string; right: Answers; file: string } {
    const source = join(folder, kind === "index.arrow" ? "indexed" : "small");
    const file = filesOf(source).find((name) => name.endsWith(kind));
    const right = sound.get(source);
    if (file === undefined || right === undefined) throw new Error(`the database has no ${kind}`);
    return { source, right, file };
  }

  test("answers rightly before", () => {
    const right = subject("segment.json").right;
    expect(right.ids).toHaveLength(33);
    expect(right.nearest[0]).toHaveLength(3);
    expect(right.nearest[0]?.[0]).toBe("id6");
    expect(right.filtered).toHaveLength(12);
    expect(right.containing).toHaveLength(11);
  });

  test.each(kinds)("with flipped bytes in %s answers rightly or names the file", async (kind) => {
    const { source, right, file } = subject(kind);
    const bytes = readFileSync(join(source, file));
    // A prime stride, so that every place within a structure is hit sooner or later.
    const stride = Math.max(1, Math.floor(bytes.length / 60) | 1);
    let refused = 0;
    for (let at = 0; at < bytes.length; at += stride) {
      const outcome = await afterHarm(source, (copy) => {
        const damaged = Buffer.from(bytes);
        damaged[at] = (damaged[at] ?? 0) ^ 0xff;
        writeFileSync(join(copy, file), damaged);
      });
      if (judge(outcome, right, `${file} at byte ${at}`) === "refused") refused++;
    }
    expect(refused).toBeGreaterThan(0);
  });

  test.each(kinds)("with %s cut short answers rightly or names the file", async (kind) => {
    const { source, right, file } = subject(kind);
    const { size } = statSync(join(source, file));
    for (const length of [0, 1, 7, 64, 100, size >> 1, size - 1]) {
      const outcome = await afterHarm(source, (copy) => truncateSync(join(copy, file), Math.min(length, size)));
      // SQLite takes an empty catalog for a new database; then there is no collection, which is an error as well.
      if (kind === "catalog.sqlite" && length === 0) expect(outcome).toBeInstanceOf(Error);
      else judge(outcome, right, `${file} cut to ${length} of ${size}`);
    }
  });

  test.each(kinds.slice(1))("without %s answers rightly or names the file", async (kind) => {
    const { source, right, file } = subject(kind);
    const outcome = await afterHarm(source, (copy) => rmSync(join(copy, file)));
    expect(judge(outcome, right, `${file} is missing`)).toBe("refused");
  });

  test("without its segments says so", async () => {
    const { source, right } = subject("segment.json");
    const outcome = await afterHarm(source, (copy) => rmSync(join(copy, "segments"), { recursive: true }));
    expect(judge(outcome, right, "segments are missing")).toBe("refused");
  });
});
