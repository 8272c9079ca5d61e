import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  AdminClient,
  ChromaNotFoundError,
  ChromaUniqueError,
  ChromaValueError,
  DatabaseCorruptedError,
  EphemeralClient,
  type ImportProgress,
  importChroma,
  UntrustedFileError,
} from "../index.js";
import {
  chromaDirectory,
  digests,
  type ExpectedCollection,
  expectedCollections,
  files,
  VERSIONS,
} from "./support/chroma-directory.js";
import { openClient, temporaryFolder, temporaryPath } from "./support/folder.js";

/** The records of a collection by id, as Chroma gave them. */
function records(expected: ExpectedCollection): Map<string, unknown> {
  return new Map(
    expected.ids.map((id, i) => {
      const metadata = expected.metadatas[i] ?? null;
      // Chroma 1 answers {} for a record that has a URI and no metadata, and null for others.
      const kept = metadata !== null && Object.keys(metadata).length > 0 ? metadata : null;
      return [id, { document: expected.documents[i] ?? null, metadata: kept, uri: expected.uris?.[i] ?? null }];
    }),
  );
}

/** How far two vectors are from one another, relative to their length. */
function distance(a: readonly number[], b: readonly number[]): number {
  const length = (v: readonly number[]): number => Math.hypot(...v);
  return length(a.map((x, i) => Math.fround(x) - Math.fround(b[i] ?? Number.NaN))) / length(a);
}

for (const version of VERSIONS) {
  test(`a directory of Chroma ${version} arrives as that version reads it`, async () => {
    const from = await chromaDirectory(version);
    const to = temporaryPath();
    const report = await importChroma({ from, to });
    const expected = expectedCollections(version);
    expect(report.problems).toEqual([]);
    expect(report).toMatchObject({ records: report.imported, leftOut: 0, existing: 0 });
    expect(report.imported).toBe(expected.reduce((sum, { ids }) => sum + ids.length, 0));
    expect(report.collections).toHaveLength(expected.length);
    for (const collection of expected) {
      const { tenant, database, name } = collection;
      const found = await openClient(to, { tenant, database }).getCollection({ name });
      expect(found.id).toBe(collection.id);
      expect(found.metadata ?? null).toEqual(collection.metadata);
      const got = await found.get({ include: ["embeddings", "documents", "metadatas", "uris"] });
      // Chroma 0.4 answers in the order of ids, later versions in that of insertion.
      if (version === "0.4.24") expect(new Set(got.ids)).toEqual(new Set(collection.ids));
      else expect(got.ids).toEqual(collection.ids);
      const rows = got.rows();
      const asked = rows.map(({ id, document, metadata, uri }) => [id, { document, metadata, uri }] as const);
      expect(new Map(asked)).toEqual(records(collection));
      for (const { id, embedding } of rows) {
        const original = collection.embeddings[collection.ids.indexOf(id)];
        // Chroma itself rounds what it normalises.
        if (original) expect(distance(original, embedding as number[]), `${name} ${id}`).toBeLessThan(3e-7);
      }
    }
  });

  test(`configurations of Chroma ${version} arrive, from wherever they were kept`, async () => {
    const client = EphemeralClient();
    await importChroma({ from: await chromaDirectory(version), client });
    for (const space of ["cosine", "l2", "ip"]) {
      const { configuration } = await client.getCollection({ name: `flushed-${space}` });
      expect(configuration.hnsw).toMatchObject({
        space,
        max_neighbors: 8,
        ef_construction: 50,
        ef_search: 40,
        sync_threshold: 25,
      });
    }
    const { configuration } = await client.getCollection({ name: "plain" });
    expect(configuration.hnsw).toMatchObject({ space: "l2", max_neighbors: 16, ef_construction: 100 });
    if (version >= "1.") {
      const configured = await client.getCollection({ name: "configured" });
      expect(configured.configuration.hnsw).toMatchObject({
        space: "ip",
        max_neighbors: 9,
        ef_construction: 77,
        ef_search: 33,
      });
    } else {
      expect(configuration.embedding_function).toEqual({ type: "legacy" });
    }
    await client.close();
  });
}

test("a schema arrives: its switched-off indexes refuse filters", async () => {
  const client = EphemeralClient();
  await importChroma({ from: await chromaDirectory("1.5.9"), client, collections: ["with-schema"] });
  expect(await client.countCollections()).toBe(1);
  const collection = await client.getCollection({ name: "with-schema" });
  expect(collection.configuration.embedding_function).toMatchObject({ type: "known", name: "default" });
  await expect(collection.get({ where: { rank: 3 } })).rejects.toThrow("indexing is disabled");
  expect((await collection.get({ where: { name: "record 3" } })).ids).toEqual(["id-3"]);
  await client.close();
});

test("the source is not changed by a byte, nor does it get a file", async () => {
  for (const version of VERSIONS) {
    const from = await chromaDirectory(version);
    const before = digests(from);
    const client = EphemeralClient();
    await importChroma({ from, client });
    await client.close();
    expect(digests(from)).toEqual(before);
  }
});

test("progress rises to the number of records", async () => {
  const seen: ImportProgress[] = [];
  const client = EphemeralClient();
  const report = await importChroma({
    from: await chromaDirectory("1.5.9"),
    client,
    onProgress: (progress) => seen.push(progress),
  });
  await client.close();
  expect(seen.at(-1)).toMatchObject({ done: report.records, total: report.records });
  expect(seen.map(({ done }) => done)).toEqual(seen.map(({ done }) => done).sort((a, b) => a - b));
});

test("a collection that is there is refused, skipped or merged into, as asked", async () => {
  const from = await chromaDirectory("1.5.9");
  const client = EphemeralClient();
  const plain = await client.createCollection({ name: "plain", embeddingFunction: null });
  await plain.add({ ids: ["id-3", "mine"], embeddings: [new Array(8).fill(1), new Array(8).fill(2)] });
  await expect(importChroma({ from, client })).rejects.toThrow(ChromaUniqueError);
  expect(await client.countCollections()).toBe(1);

  const skipped = await importChroma({ from, client, existing: "skip" });
  expect(skipped.collections.filter((collection) => collection.skipped).map(({ name }) => name)).toEqual(["plain"]);
  expect(await plain.count()).toBe(2);

  const merged = await importChroma({
    from,
    client,
    existing: "merge",
    collections: ["plain"],
    tenant: "default_tenant",
  });
  expect(merged).toMatchObject({ records: 13, imported: 12, existing: 1, leftOut: 0 });
  expect((await plain.get({ ids: ["id-3"], include: ["embeddings"] })).embeddings[0]?.[0]).toBe(1);
  expect(await plain.count()).toBe(14);

  await client.deleteCollection({ name: "plain" });
  await client.createCollection({ name: "plain", embeddingFunction: null, configuration: { hnsw: { space: "ip" } } });
  await expect(importChroma({ from, client, existing: "merge" })).rejects.toThrow("space ip in the target and l2");
  await client.close();
});

test("an import that was aborted can be resumed", async () => {
  const from = await chromaDirectory("1.5.9");
  const to = temporaryPath();
  const controller = new AbortController();
  const stopped = importChroma({
    from,
    to,
    signal: controller.signal,
    onProgress: () => controller.abort(new Error("stop")),
  });
  await expect(stopped).rejects.toThrow("stop");
  const resumed = await importChroma({ from, to, existing: "merge" });
  expect(resumed.imported + resumed.existing).toBe(resumed.records);
  const client = openClient(to);
  expect(await client.countCollections()).toBe(8);
});

test("one tenant, one database or some collections can be chosen", async () => {
  const from = await chromaDirectory("1.5.9");
  const client = EphemeralClient();
  const report = await importChroma({ from, client, tenant: "acme" });
  expect(report.collections.map(({ tenant, database, name }) => [tenant, database, name])).toEqual([
    ["acme", "archive", "plain"],
  ]);
  const databases = await new AdminClient(client).listDatabases({ tenant: "acme" });
  expect(databases.map(({ name }) => name)).toEqual(["archive"]);
  await expect(importChroma({ from, client, collections: ["missing"] })).rejects.toThrow(ChromaNotFoundError);
  await client.close();
});

test("what is no Chroma directory is refused with the reason, and no target is made", async () => {
  const folder = temporaryFolder();
  const to = join(folder, "db");
  await expect(importChroma({ from: join(folder, "missing"), to })).rejects.toThrow(/does not exist/);
  await expect(importChroma({ from: folder, to })).rejects.toThrow(/holds no chroma.sqlite3/);
  writeFileSync(join(folder, "chroma-embeddings.parquet"), "PAR1");
  await expect(importChroma({ from: folder, to })).rejects.toThrow(/Chroma 0.3 or earlier.*chroma-migrate/);
  writeFileSync(join(folder, "chroma.sqlite3"), "no database, but longer than a header is");
  await expect(importChroma({ from: folder, to })).rejects.toThrow(DatabaseCorruptedError);
  await expect(importChroma({ from: folder, to, client: EphemeralClient() })).rejects.toThrow(ChromaValueError);
  await expect(importChroma({ from: folder })).rejects.toThrow(ChromaValueError);
  expect(existsSync(to)).toBe(false);
});

/** Folder of the vector segment of a collection, as the HNSW folders of a directory are listed. */
function hnswFolders(from: string): string[] {
  return [...files(from).keys()]
    .filter((name) => name.endsWith("index_metadata.pickle"))
    .map((name) => join(from, name, ".."));
}

test("a pickle that would run code is refused, nothing runs and nothing is imported", async () => {
  const marker = join(temporaryFolder(), "pwned");
  const command = `touch ${marker}`;
  const pickles: Record<string, Buffer> = {
    // Protocol 0: cos\nsystem\n(S'...'\ntR.
    reduce: Buffer.from(`cos\nsystem\n(S'${command}'\ntR.`),
    stackGlobal: Buffer.concat([
      Buffer.from([0x80, 4, 0x8c, 2]),
      Buffer.from("os"),
      Buffer.from([0x8c, 6]),
      Buffer.from("system"),
      Buffer.from([0x93, 0x8c, command.length]),
      Buffer.from(command),
      Buffer.from([0x85]),
      Buffer.from("R."),
    ]),
    persistent: Buffer.from("\x80\x02Q."),
  };
  for (const [name, bytes] of Object.entries(pickles)) {
    const from = await chromaDirectory("1.5.9");
    writeFileSync(join(hnswFolders(from)[2] as string, "index_metadata.pickle"), bytes);
    const client = EphemeralClient();
    await expect(importChroma({ from, client }), name).rejects.toThrow(UntrustedFileError);
    await expect(importChroma({ from, client }), name).rejects.toThrow(/nothing in it was run/);
    expect(await client.countCollections()).toBe(0);
    await client.close();
  }
  expect(existsSync(marker)).toBe(false);
});

test("an index that is missing, cut off or damaged costs only the vectors that were there alone", async () => {
  const damages: Record<string, (folder: string) => void> = {
    "no folder": (folder) => rmSync(folder, { recursive: true }),
    "no header": (folder) => rmSync(join(folder, "header.bin")),
    "a header of zeros": (folder) => writeFileSync(join(folder, "header.bin"), Buffer.alloc(100)),
    "ten elements": (folder) => {
      const size = Number(readFileSync(join(folder, "header.bin")).readBigUInt64LE(28));
      truncateSync(join(folder, "data_level0.bin"), 10 * size + 5);
    },
    "half a pickle": (folder) => {
      const path = join(folder, "index_metadata.pickle");
      truncateSync(path, readFileSync(path).length >> 1);
    },
  };
  for (const version of ["1.5.9", "0.6.3"] as const) {
    for (const [name, damage] of Object.entries(damages)) {
      const from = await chromaDirectory(version);
      for (const folder of hnswFolders(from)) damage(folder);
      const client = EphemeralClient();
      const report = await importChroma({ from, client });
      const shown = `${version}, ${name}`;
      expect(report.leftOut, shown).toBeGreaterThan(50);
      expect(report.imported + report.leftOut, shown).toBe(report.records);
      expect(report.problemCounts["missing-vector"], shown).toBe(report.leftOut);
      expect(report.problemCounts["unreadable-index"], shown).toBeGreaterThanOrEqual(3);
      const problem = report.problems.find(({ kind }) => kind === "missing-vector");
      expect(problem, shown).toMatchObject({ tenant: "default_tenant", id: expect.stringMatching(/^id-/) });
      // What was imported is right.
      for (const expected of expectedCollections(version).filter(({ tenant }) => tenant === "default_tenant")) {
        const got = await (await client.getCollection({ name: expected.name })).get({ include: ["embeddings"] });
        for (const { id, embedding } of got.rows()) {
          const original = expected.embeddings[expected.ids.indexOf(id)];
          expect(distance(original as number[], embedding as number[])).toBeLessThan(3e-7);
        }
      }
      await client.close();
    }
  }
});

test("vectors that cannot be right are left out by name", async () => {
  const from = await chromaDirectory("1.5.9");
  for (const folder of hnswFolders(from)) {
    const path = join(folder, "data_level0.bin");
    const bytes = readFileSync(path);
    const header = readFileSync(join(folder, "header.bin"));
    const size = Number(header.readBigUInt64LE(28));
    const offset = Number(header.readBigUInt64LE(44));
    bytes.writeFloatLE(Number.NaN, 20 * size + offset);
    bytes.writeFloatLE(1e6, 21 * size + offset);
    writeFileSync(path, bytes);
  }
  const client = EphemeralClient();
  const report = await importChroma({ from, client });
  const invalid = report.problems.filter(({ kind }) => kind === "invalid-vector");
  // A component of a million is possible, but not in a vector that was normalised.
  expect(invalid.map(({ collection }) => collection).sort()).toEqual([
    "flushed-cosine",
    "flushed-cosine",
    "flushed-ip",
    "flushed-l2",
  ]);
  expect(report.leftOut).toBe(4);
  await client.close();
});

test("flipped bytes in chroma.sqlite3 lead to an error or to a report, never to a crash", async () => {
  const original = readFileSync(join(await chromaDirectory("1.5.9"), "chroma.sqlite3"));
  const from = await chromaDirectory("1.5.9");
  let seed = 7;
  const random = (below: number): number => {
    seed = (seed * 48271) % 0x7fffffff;
    return seed % below;
  };
  let imported = 0;
  for (let round = 0; round < 40; round++) {
    const bytes = Buffer.from(original);
    for (let i = 0; i < 20; i++) bytes[random(bytes.length)] = random(256);
    writeFileSync(join(from, "chroma.sqlite3"), bytes);
    const client = EphemeralClient();
    const report = await importChroma({ from, client }).catch((error) => {
      expect(error.constructor.name).toMatch(/^(DatabaseCorruptedError|ChromaValueError|ChromaConnectionError)$/);
    });
    if (report) {
      imported++;
      expect(report.imported + report.leftOut).toBe(report.records);
    }
    await client.close();
  }
  expect(imported).toBeGreaterThan(0);
});

test("a truncated chroma.sqlite3 is an error", async () => {
  const from = await chromaDirectory("0.6.3");
  const path = join(from, "chroma.sqlite3");
  truncateSync(path, 40_960);
  const to = temporaryPath();
  await expect(importChroma({ from, to })).rejects.toThrow(DatabaseCorruptedError);
  expect(existsSync(to)).toBe(false);
});

/** Changes a directory with Python's SQLite, which no Node of the supported range has; undefined where there is no Python. */
function python(script: string, ...args: string[]): boolean {
  try {
    execFileSync("python3", ["-c", script, ...args]);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

const hasPython = python("import sqlite3");

test.skipIf(!hasPython)("a write-ahead log that a server left is read, and left as it is (needs python3)", async () => {
  const from = await chromaDirectory("1.5.9");
  const copy = join(temporaryFolder(), "with-log");
  mkdirSync(copy);
  // Files copied while the log is there are those that a killed server leaves.
  python(
    `import shutil, sqlite3, sys
c = sqlite3.connect(sys.argv[1] + "/chroma.sqlite3")
c.execute("pragma journal_mode=wal")
c.execute("insert into embedding_metadata (id, key, string_value) select id, 'logged', 'yes' from embeddings where embedding_id = 'id-4'")
c.commit()
shutil.copytree(sys.argv[1], sys.argv[2], dirs_exist_ok=True)`,
    from,
    copy,
  );
  const before = digests(copy);
  expect(before.map(([name]) => name)).toContain("chroma.sqlite3-wal");
  const client = EphemeralClient();
  await importChroma({ from: copy, client });
  const plain = await client.getCollection({ name: "plain" });
  expect((await plain.get({ where: { logged: "yes" } })).ids).toEqual(["id-4"]);
  await client.close();
  expect(digests(copy)).toEqual(before);
});

test.skipIf(!hasPython)("half-written and impossible rows are reported by name (needs python3)", async () => {
  const from = await chromaDirectory("1.5.9");
  python(
    `import sqlite3, sys
c = sqlite3.connect(sys.argv[1] + "/chroma.sqlite3")
topic = "'persistent://default/default/' || (select id from collections where name = 'queued')"
segment = "(select s.id from segments s join collections c on c.id = s.collection where c.name = 'queued' and scope = 'METADATA')"
row = lambda id: f"(select id from embeddings where embedding_id = '{id}' and segment_id = {segment})"
# A vector without a record, and a record without a vector.
c.execute(f"delete from embeddings where id = {row('id-9')}")
c.execute(f"delete from embeddings_queue where id = 'id-11' and topic = {topic}")
# A vector of another length, and one that is none.
c.execute(f"update embeddings_queue set vector = x'0000803f' where id = 'id-12' and topic = {topic}")
c.execute(f"update embeddings_queue set encoding = 'FLOAT64' where id = 'id-13' and topic = {topic}")
# Values that Chroma never writes.
c.execute(f"update embedding_metadata set float_value = 9e999 where key = 'weight' and id = {row('id-14')}")
c.execute(f"update embedding_metadata set key = '#reserved' where key = 'name' and id = {row('id-14')}")
# Writes that came into the log and no further: an insert, a change and a removal.
last = c.execute(f"select max(seq_id) from embeddings_queue").fetchone()[0]
rows = [(0, "new", b"\\0\\0\\x80?" * 8, '{"n": 1.0, "chroma:document": "late"}'), (1, "id-3", None, '{"rank": null, "l": [1, 2]}'), (3, "id-4", None, "{}")]
for i, (operation, id, vector, metadata) in enumerate(rows):
    c.execute(f"insert into embeddings_queue (seq_id, operation, topic, id, vector, encoding, metadata) values (?, ?, {topic}, ?, ?, 'FLOAT32', ?)", (last + 1 + i, operation, id, vector, metadata))
c.commit()`,
    from,
  );
  const client = EphemeralClient();
  const report = await importChroma({ from, client, collections: ["queued"] });
  const problems = report.problems.map(({ kind, id }) => [kind, id]);
  expect(new Set(problems.map(String))).toEqual(
    new Set(
      [
        ["missing-record", "id-9"],
        ["missing-vector", "id-11"],
        ["invalid-vector", "id-12"],
        ["invalid-vector", "id-13"],
        ["invalid-value", "id-14"],
      ].map(String),
    ),
  );
  expect(report.problemCounts["invalid-value"]).toBe(2);
  expect(report.leftOut).toBe(3);
  const queued = await client.getCollection({ name: "queued" });
  const got = new Map((await queued.get()).rows().map((row) => [row.id, row]));
  for (const id of ["id-9", "id-11", "id-12", "id-13", "id-4"]) expect(got.has(id), id).toBe(false);
  expect(got.get("id-14")?.metadata).not.toHaveProperty("weight");
  expect(got.get("id-14")?.metadata).toHaveProperty("rank");
  expect(got.get("new")).toMatchObject({ document: "late", metadata: { n: 1 } });
  expect([...got.keys()].at(-1)).toBe("new");
  expect(got.get("id-3")?.metadata).toMatchObject({ l: [1, 2] });
  expect(got.get("id-3")?.metadata).not.toHaveProperty("rank");
  await client.close();
});
