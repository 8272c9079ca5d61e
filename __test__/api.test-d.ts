import { describe, expectTypeOf, test } from "vitest";
import {
  AdminClient,
  ChromaClient,
  type Collection,
  type CollectionHandle,
  type Database,
  type EmbeddingFunction,
  type EmbeddingFunctionClass,
  EphemeralClient,
  type GetResult,
  type Include,
  type IncludeEnum,
  type Metadata,
  PersistentClient,
  type QueryResult,
  type QueryRowResult,
  type ReadLevel,
  registerEmbeddingFunction,
  type SparseEmbeddingFunction,
  type Where,
  type WhereDocument,
} from "../index.js";

describe("clients", () => {
  test("are ChromaClients, with and without new", () => {
    expectTypeOf(PersistentClient({ path: "./db" })).toEqualTypeOf<ChromaClient>();
    expectTypeOf(new PersistentClient({ path: "./db" })).toEqualTypeOf<ChromaClient>();
    expectTypeOf(EphemeralClient()).toEqualTypeOf<ChromaClient>();
    expectTypeOf(new EphemeralClient()).toEqualTypeOf<ChromaClient>();
    expectTypeOf<PersistentClient>().toEqualTypeOf<ChromaClient>();
    expectTypeOf(AdminClient).toBeConstructibleWith(EphemeralClient());
    expectTypeOf(AdminClient).toBeConstructibleWith({ path: "./db" });
    expectTypeOf(ChromaClient.prototype.collection).returns.toEqualTypeOf<CollectionHandle>();
    expectTypeOf<CollectionHandle>().toExtend<Collection>();
    expectTypeOf(AdminClient.prototype.listDatabases).returns.resolves.toEqualTypeOf<Database[]>();
  });

  test("refuse options that do not exist", () => {
    // @ts-expect-error: no such durability
    PersistentClient({ path: "./db", durability: "best" });
    // @ts-expect-error: a database in memory has no path
    EphemeralClient({ path: "./db" });
  });
});

describe("collections", () => {
  const collection = {} as Collection;

  test("results are generic in their metadata", () => {
    interface Page extends Metadata {
      page: number;
    }
    expectTypeOf(collection.get<Page>()).resolves.toEqualTypeOf<GetResult<Page>>();
    expectTypeOf(collection.query<Page>({})).resolves.toEqualTypeOf<QueryResult<Page>>();
    expectTypeOf<GetResult<Page>["metadatas"]>().toEqualTypeOf<(Page | null)[]>();
    expectTypeOf<ReturnType<QueryResult<Page>["rows"]>>().toEqualTypeOf<QueryRowResult<Page>[][]>();
    expectTypeOf<GetResult["documents"]>().toEqualTypeOf<(string | null)[]>();
  });

  test("vectors are arrays, Float32Arrays or one flat Float32Array", () => {
    type Embeddings = NonNullable<Parameters<Collection["add"]>[0]["embeddings"]>;
    expectTypeOf<number[][]>().toExtend<Embeddings>();
    expectTypeOf<Float32Array[]>().toExtend<Embeddings>();
    expectTypeOf<Float32Array>().toExtend<Embeddings>();
    expectTypeOf<string[]>().not.toExtend<Embeddings>();
  });

  test("filters", () => {
    expectTypeOf<{ a: 1 }>().toExtend<Where>();
    expectTypeOf<{ a: { $in: string[] } }>().toExtend<Where>();
    expectTypeOf<{ $and: [{ a: 1 }, { b: { $gt: 2 } }] }>().toExtend<Where>();
    expectTypeOf<{ a: { $like: string } }>().not.toExtend<Where>();
    expectTypeOf<{ $regex: string }>().toExtend<WhereDocument>();
    expectTypeOf<{ $contains: number }>().not.toExtend<WhereDocument>();
  });

  test("enumerations have Chroma's values", () => {
    expectTypeOf<`${IncludeEnum}`>().toEqualTypeOf<Include>();
    expectTypeOf<ReadLevel>().toEqualTypeOf<"index_and_wal" | "index_only" | "index_and_bounded_wal">();
  });
});

describe("embedding functions written for the chromadb package", () => {
  /** Stands for that package's client: another class, with private members of its own. */
  class OtherClient {
    private readonly apiClient = 1;
    heartbeat(): number {
      return this.apiClient;
    }
  }
  interface OtherFunction {
    generate(texts: string[]): Promise<number[][]>;
    name?: string;
    buildFromConfig?(config: Record<string, unknown>, client?: OtherClient): OtherFunction;
  }
  interface OtherSparseFunction {
    generate(texts: string[]): Promise<{ indices: number[]; values: number[] }[]>;
    buildFromConfig?(config: Record<string, unknown>, client?: OtherClient): OtherSparseFunction;
  }
  class OtherClass implements OtherFunction {
    async generate(texts: string[]): Promise<number[][]> {
      return texts.map(() => []);
    }
    static buildFromConfig(_config: Record<string, unknown>, _client?: OtherClient): OtherFunction {
      return new OtherClass();
    }
  }

  test("fit", () => {
    expectTypeOf<OtherFunction>().toExtend<EmbeddingFunction>();
    expectTypeOf<OtherSparseFunction>().toExtend<SparseEmbeddingFunction>();
    expectTypeOf<typeof OtherClass>().toExtend<EmbeddingFunctionClass>();
    expectTypeOf(registerEmbeddingFunction).toBeCallableWith("other", OtherClass);
  });
});
