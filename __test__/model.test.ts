import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  type Collection,
  type CollectionMetadata,
  type GetArgs,
  type Metadata,
  PersistentClient,
  type Where,
  type WhereDocument,
} from "../index.js";
import { type Columns, Model, PATTERNS, type Value } from "./support/model.js";

const IDS = [
  ...Array.from({ length: 24 }, (_, i) => `id${i}`),
  "__proto__",
  "constructor",
  "a\0b",
  "😀",
  "'; --",
  '"',
  "\\",
  "%_",
  "\u001f",
  "x".repeat(10_000),
];
const KEYS = ["a", "b", "c", "__proto__", "toString", "with 'quotes\"", "n\0l", "😀", "k".repeat(10_000)];
const STRINGS = ["x", "y", "", "__proto__", "100%", "\0", "😀", "Ünï", "'\"\\", "z".repeat(10_000)];
const DOCUMENTS = [
  "the cat",
  "A DOG",
  "cats and dogs",
  "",
  "100% sure",
  "😀😀",
  "the the",
  "'_%\\",
  "w".repeat(10_000),
];

const id = fc.constantFrom(...IDS);
const key = fc.constantFrom(...KEYS);
const string = fc.constantFrom(...STRINGS);
const integer = fc.oneof(
  fc.integer({ min: -3, max: 3 }),
  fc.constantFrom(Number.MAX_SAFE_INTEGER, -(2 ** 53), 2 ** 40),
);
const fraction = fc.constantFrom(-2.5, 0.5, 1.5, 1e300, 5e-324);
const scalar = fc.oneof(string, integer, fraction, fc.boolean());
const list = fc.oneof(
  fc.array(string, { minLength: 1, maxLength: 3 }),
  fc.array(integer, { minLength: 1, maxLength: 3 }),
  fc.array(fc.boolean(), { minLength: 1, maxLength: 3 }),
  fc.array(fraction, { minLength: 1, maxLength: 3 }),
);
const metadata = fc
  .array(fc.tuple(key, fc.oneof(scalar, list, fc.constant(null))), { minLength: 1, maxLength: 4 })
  .map((entries): Metadata => Object.fromEntries(entries) as Metadata);
const embedding = fc.tuple(...[0, 1, 2].map(() => fc.integer({ min: -4, max: 4 })));

const test1 = fc.oneof(
  scalar,
  fc.tuple(fc.constantFrom("$eq", "$ne", "$contains", "$not_contains"), scalar),
  fc.tuple(fc.constantFrom("$gt", "$gte", "$lt", "$lte"), fc.oneof(integer, fraction)),
  fc.tuple(
    fc.constantFrom("$in", "$nin"),
    fc.oneof(fc.array(string, { minLength: 1, maxLength: 3 }), fc.array(integer, { minLength: 1, maxLength: 3 })),
  ),
);
const keyTest = fc
  .tuple(key, test1)
  .map(([k, t]) => Object.fromEntries([[k, Array.isArray(t) ? Object.fromEntries([t]) : t]]) as Where);
const { where } = fc.letrec<{ where: Where }>((tie) => ({
  where: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    keyTest,
    fc
      .tuple(fc.constantFrom("$and", "$or"), fc.array(tie("where"), { minLength: 2, maxLength: 3 }))
      .map(([operator, parts]) => ({ [operator]: parts }) as Where),
  ),
}));
const needle = fc.constantFrom("cat", "the", "", "%", "_", "😀", "\\", "o", "do", "w".repeat(100));
const { whereDocument } = fc.letrec<{ whereDocument: WhereDocument }>((tie) => ({
  whereDocument: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc
      .tuple(fc.constantFrom("$contains", "$not_contains"), needle)
      .map((t) => Object.fromEntries([t]) as WhereDocument),
    fc
      .tuple(fc.constantFrom("$regex", "$not_regex"), fc.constantFrom(...PATTERNS.map(([rust]) => rust)))
      .map((t) => Object.fromEntries([t]) as WhereDocument),
    fc
      .tuple(fc.constantFrom("$and", "$or"), fc.array(tie("whereDocument"), { minLength: 2, maxLength: 3 }))
      .map(([operator, parts]) => ({ [operator]: parts }) as WhereDocument),
  ),
}));

const ids = fc.uniqueArray(id, { minLength: 1, maxLength: 8 });
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined });
const rows = fc.uniqueArray(
  fc.record({
    id,
    embedding,
    document: fc.constantFrom(...DOCUMENTS),
    metadata: fc.option(metadata),
    uri: string,
  }),
  { selector: (row) => row.id, minLength: 1, maxLength: 12 },
);
const selection = fc.record({ ids: maybe(ids), where: maybe(where), whereDocument: maybe(whereDocument) });

const operation = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom("add" as const, "update" as const, "upsert" as const),
      rows,
      embeddings: fc.boolean(),
      documents: fc.boolean(),
      metadatas: fc.boolean(),
      uris: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("delete" as const), selection, limit: maybe(fc.nat(4)) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("get" as const),
      selection,
      limit: maybe(fc.nat(6)),
      offset: maybe(fc.nat(6)),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("query" as const),
      selection,
      queries: fc.array(embedding, { minLength: 1, maxLength: 3 }),
      nResults: fc.nat(12),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("modify" as const), metadata }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("compact" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reopen" as const) }) },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

/** A real collection beside its model. */
class Pair {
  readonly model = new Model();
  private client: PersistentClient;
  private collection: Collection | undefined;
  private metadata: CollectionMetadata | undefined;
  private readonly path: string;
  private readonly sealRows: number;

  constructor(path: string, sealRows: number) {
    this.path = path;
    this.sealRows = sealRows;
    this.client = PersistentClient({ path, sealRows });
  }

  async open(): Promise<Collection> {
    this.collection ??= await this.client.getOrCreateCollection({ name: "model", embeddingFunction: null });
    return this.collection;
  }

  async close(): Promise<void> {
    await this.client.close();
    this.client = PersistentClient({ path: this.path, sealRows: this.sealRows });
    this.collection = undefined;
  }

  async run(op: Operation): Promise<void> {
    switch (op.do) {
      case "add":
      case "update":
      case "upsert":
        return this.write(op);
      case "delete":
        return this.delete(op);
      case "get":
        return this.get(op);
      case "query":
        return this.query(op);
      case "modify":
        return this.modify(op.metadata);
      case "compact":
        return (await this.open()).compact();
      case "reopen":
        await this.close();
        return this.check();
    }
  }

  private async write(op: Operation & { do: "add" | "update" | "upsert" }): Promise<void> {
    const columns: Columns<"many"> = {};
    if (op.do !== "update" || op.embeddings || op.documents) columns.embeddings = op.rows.map((row) => row.embedding);
    if (op.documents) columns.documents = op.rows.map((row) => row.document);
    if (op.metadatas) columns.metadatas = op.rows.map((row) => row.metadata);
    if (op.uris) columns.uris = op.rows.map((row) => row.uri);
    const written = op.rows.map((row) => row.id);
    const collection = await this.open();
    await collection[op.do]({ ids: written, ...columns });
    this.model.write(op.do, written, columns);
    expect(await collection.count()).toBe(this.model.records.size);
  }

  private async delete(op: Operation & { do: "delete" }): Promise<void> {
    const { ids: asked, where: filter, whereDocument: documentFilter } = op.selection;
    const filtered = filter !== undefined || documentFilter !== undefined;
    const limit = filtered ? op.limit : undefined;
    const selected = filtered || asked ? this.model.select(asked, filter, documentFilter).slice(0, limit) : [];
    const { deleted } = await (await this.open()).delete({ ...op.selection, limit });
    expect(deleted).toBe(filtered ? selected.length : (asked?.length ?? 0));
    for (const gone of selected) this.model.records.delete(gone);
  }

  private async get(op: Operation & { do: "get" }): Promise<void> {
    const { ids: asked, where: filter, whereDocument: documentFilter } = op.selection;
    const { offset = 0, limit = Number.MAX_SAFE_INTEGER } = op;
    const expected = this.model.select(asked, filter, documentFilter).slice(offset, offset + limit);
    await this.compare({ ...op.selection, limit: op.limit, offset: op.offset }, expected);
  }

  private async compare(args: GetArgs, expected: string[]): Promise<void> {
    const include = ["documents", "metadatas", "embeddings", "uris"] as const;
    const result = await (await this.open()).get({ ...args, include: [...include] });
    const records = expected.map((one) => this.model.records.get(one));
    expect(result.ids).toEqual(expected);
    expect(result.documents).toEqual(records.map((record) => record?.document));
    expect(result.uris).toEqual(records.map((record) => record?.uri));
    expect(result.embeddings).toEqual(records.map((record) => record?.embedding));
    expect(result.metadatas.map((one) => one && sorted(Object.entries(one) as [string, Value][]))).toEqual(
      records.map((record) => (record?.metadata.size ? sorted([...record.metadata]) : null)),
    );
  }

  private async query(op: Operation & { do: "query" }): Promise<void> {
    const { where: filter, whereDocument: documentFilter } = op.selection;
    // Unknown ids without a filter are an error, which has a test of its own.
    const filtered = filter !== undefined || documentFilter !== undefined;
    const asked = op.selection.ids?.filter((one) => filtered || this.model.records.has(one));
    if (asked?.length === 0) return;
    const selected = this.model.select(asked, filter, documentFilter);
    const result = await (await this.open()).query({
      queryEmbeddings: op.queries,
      nResults: op.nResults,
      include: ["distances"],
      ...op.selection,
      ids: asked,
    });
    for (const [q, query] of op.queries.entries()) {
      const distances = this.model.distances(selected, query);
      const found = result.ids[q] ?? [];
      expect(result.distances[q]).toEqual([...distances.values()].slice(0, op.nResults));
      expect(new Set(found).size).toBe(found.length);
      // Records at one distance may come in any order.
      expect(found.map((one) => distances.get(one))).toEqual(result.distances[q]);
    }
  }

  private async modify(changed: Metadata): Promise<void> {
    const kept = Object.entries(changed).filter(([, value]) => value !== null);
    const modified = (await this.open()).modify({ metadata: changed });
    if (kept.length === 0) {
      await expect(modified).rejects.toThrow("Metadata cannot be empty");
      return;
    }
    await modified;
    this.metadata = Object.fromEntries(kept);
  }

  /** Compares everything. */
  async check(): Promise<void> {
    const collection = await this.open();
    expect(await collection.count()).toBe(this.model.records.size);
    await this.compare({}, [...this.model.records.keys()]);
    const fresh = await this.client.getCollection({ name: "model" });
    expect(sorted(Object.entries(fresh.metadata ?? {}))).toEqual(sorted(Object.entries(this.metadata ?? {})));
  }
}

function sorted<T>(entries: [string, T][]): [string, T][] {
  return entries.sort(([a], [b]) => (a < b ? -1 : 1));
}

test("any sequence of operations does what the model does", { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(operation, { minLength: 5, maxLength: 40 }),
      fc.constantFrom(1, 5, 20, 1_000),
      async (operations, sealRows) => {
        const folder = mkdtempSync(join(tmpdir(), "ferrochrome-test-"));
        const pair = new Pair(join(folder, "db"), sealRows);
        try {
          for (const op of operations) await pair.run(op);
          await pair.check();
        } finally {
          await pair.close();
          rmSync(folder, { recursive: true, force: true });
        }
      },
    ),
    { numRuns: 120, interruptAfterTimeLimit: 25_000, markInterruptAsFailure: false },
  );
});
