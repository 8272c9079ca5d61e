/** Our types where the real `chromadb` 3.5.0 expects its own. Checked by types.test.ts, where that package is installed. */
import type * as original from "chromadb-original";
import type * as ours from "ferrochrome";
import { describe, expectTypeOf, test } from "vitest";

describe("collections", () => {
  test("go where chromadb's go", () => {
    // Left out: what names classes with private members, and our further distance functions.
    type Without<Type> = Omit<Type, "schema" | "embeddingFunction" | "configuration" | "search" | "fork" | "modify">;
    expectTypeOf<ours.Collection>().toExtend<Without<original.Collection>>();
    expectTypeOf<ours.CollectionHandle>().toExtend<Without<original.Collection>>();
    expectTypeOf<ours.GetResult>().toExtend<original.GetResult>();
    expectTypeOf<ours.QueryResult>().toExtend<original.QueryResult>();
    expectTypeOf<ours.SearchResult>().toExtend<original.SearchResult>();
    expectTypeOf<original.GetResult>().toExtend<ours.GetResult>();
    expectTypeOf<original.QueryResult>().toExtend<ours.QueryResult>();
  });

  test("take what chromadb's take", () => {
    type Args<Method extends keyof original.Collection & keyof ours.Collection> = original.Collection[Method] extends (
      args: infer Theirs,
    ) => unknown
      ? ours.Collection[Method] extends (args: infer Ours) => unknown
        ? [Theirs, Ours]
        : never
      : never;
    expectTypeOf<Args<"add">[0]>().toExtend<Args<"add">[1]>();
    expectTypeOf<Args<"upsert">[0]>().toExtend<Args<"upsert">[1]>();
    expectTypeOf<Args<"update">[0]>().toExtend<Args<"update">[1]>();
    expectTypeOf<Args<"get">[0]>().toExtend<Args<"get">[1]>();
    expectTypeOf<Args<"query">[0]>().toExtend<Args<"query">[1]>();
    expectTypeOf<Args<"delete">[0]>().toExtend<Args<"delete">[1]>();
    expectTypeOf<Args<"peek">[0]>().toExtend<Args<"peek">[1]>();
  });
});

describe("clients", () => {
  test("are made from the same arguments", () => {
    expectTypeOf<Partial<original.ChromaClientArgs>>().toExtend<ours.ChromaClientArgs>();
    expectTypeOf<original.AdminClientArgs>().toExtend<ours.AdminClientArgs>();
    expectTypeOf<ConstructorParameters<typeof original.CloudClient>>().toExtend<
      ConstructorParameters<typeof ours.CloudClient>
    >();
    expectTypeOf<ConstructorParameters<typeof original.AdminCloudClient>>().toExtend<
      ConstructorParameters<typeof ours.AdminCloudClient>
    >();
    expectTypeOf<original.ListDatabasesArgs>().toExtend<ours.ListDatabasesArgs>();
  });

  test("have the same methods, but for those that return classes", () => {
    type Methods =
      | "heartbeat"
      | "version"
      | "reset"
      | "countCollections"
      | "deleteCollection"
      | "getUserIdentity"
      | "getPreflightChecks"
      | "getMaxBatchSize"
      | "supportsBase64Encoding"
      | "tenant"
      | "database"
      | "headers"
      | "preflightChecks";
    expectTypeOf<Pick<ours.ChromaClient, Methods>>().toExtend<Pick<original.ChromaClient, Methods>>();
    type AdminMethods = Exclude<keyof original.AdminClient, never>;
    expectTypeOf<Pick<ours.AdminClient, AdminMethods>>().toExtend<Pick<original.AdminClient, AdminMethods>>();
  });
});

describe("data", () => {
  test("are the same", () => {
    expectTypeOf<ours.Metadata>().toExtend<original.Metadata>();
    expectTypeOf<original.Metadata>().toExtend<ours.Metadata>();
    expectTypeOf<ours.SparseVector>().toExtend<original.SparseVector>();
    expectTypeOf<original.SparseVector>().toExtend<ours.SparseVector>();
    expectTypeOf<ours.Where>().toExtend<original.Where>();
    expectTypeOf<original.Where>().toExtend<ours.Where>();
    expectTypeOf<ours.WhereDocument>().toExtend<original.WhereDocument>();
    expectTypeOf<original.WhereDocument>().toExtend<ours.WhereDocument>();
    expectTypeOf<ours.ReadLevel>().toEqualTypeOf<original.ReadLevel>();
    expectTypeOf<ours.IndexingStatus>().toExtend<original.IndexingStatus>();
    expectTypeOf<ours.DeleteResult>().toExtend<original.DeleteResult>();
    expectTypeOf<ours.UserIdentity>().toExtend<original.UserIdentity>();
    expectTypeOf<ours.QueryRowResult>().toExtend<original.QueryRowResult>();
    expectTypeOf<original.RecordSet>().toExtend<ours.RecordSet>();
  });

  test("embedding functions written for either go with both", () => {
    expectTypeOf<original.EmbeddingFunction>().toExtend<ours.EmbeddingFunction>();
    expectTypeOf<ours.EmbeddingFunction["generate"]>().toExtend<original.EmbeddingFunction["generate"]>();
    expectTypeOf<original.SparseEmbeddingFunction>().toExtend<ours.SparseEmbeddingFunction>();
    expectTypeOf<original.EmbeddingFunctionClass>().toExtend<ours.EmbeddingFunctionClass>();
    expectTypeOf<original.SparseEmbeddingFunctionClass>().toExtend<ours.SparseEmbeddingFunctionClass>();
    expectTypeOf<original.CreateCollectionConfiguration>().toExtend<ours.CreateCollectionConfiguration>();
    expectTypeOf<original.UpdateCollectionConfiguration>().toExtend<ours.UpdateCollectionConfiguration>();
  });
});

describe("searches", () => {
  test("are built from the same parts", () => {
    expectTypeOf<original.KnnOptions["query"]>().toExtend<ours.KnnOptions["query"]>();
    expectTypeOf<original.LimitOptions>().toExtend<ours.LimitOptions>();
    expectTypeOf<ours.Limit>().toExtend<original.Limit>();
    expectTypeOf<original.GroupByJSON>().toExtend<ours.GroupByJSON>();
    expectTypeOf<ours.Key["name"]>().toEqualTypeOf<original.Key["name"]>();
    expectTypeOf<ours.SearchResultRow>().toExtend<original.SearchResultRow>();
    expectTypeOf<ours.WhereExpression>().toExtend<original.WhereExpression>();
    expectTypeOf<ours.RankExpression["toJSON"]>().toExtend<original.RankExpression["toJSON"]>();
  });
});
