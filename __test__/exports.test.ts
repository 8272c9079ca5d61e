import { expect, test } from "vitest";
import * as ferrochrome from "../index.js";

/** What the `chromadb` package exports. */
const CHROMA_EXPORTS = `
  ChromaClient CloudClient AdminClient AdminCloudClient CollectionHandle
  GetResult QueryResult SearchResult IncludeEnum ReadLevel baseRecordSetFields recordSetFields DOCUMENT_KEY EMBEDDING_KEY
  ChromaError ChromaClientError ChromaServerError ChromaConnectionError ChromaUnauthorizedError ChromaForbiddenError
  ChromaNotFoundError ChromaValueError ChromaUniqueError ChromaQuotaExceededError ChromaRateLimitError
  InvalidCollectionError InvalidArgumentError createErrorByType
  Schema ValueTypes StringValueType FloatListValueType SparseVectorValueType IntValueType FloatValueType BoolValueType
  FtsIndexConfig VectorIndexConfig SparseVectorIndexConfig StringInvertedIndexConfig IntInvertedIndexConfig
  FloatInvertedIndexConfig BoolInvertedIndexConfig FtsIndexType VectorIndexType SparseVectorIndexType
  StringInvertedIndexType IntInvertedIndexType FloatInvertedIndexType BoolInvertedIndexType Cmek CmekProvider
  knownEmbeddingFunctions knownSparseEmbeddingFunctions registerEmbeddingFunction registerSparseEmbeddingFunction
  getEmbeddingFunction getSparseEmbeddingFunction serializeEmbeddingFunction getDefaultEFConfig
  processCreateCollectionConfig processUpdateCollectionConfig withChroma
  Search toSearch K Key WhereExpression RankExpression Knn Rrf Val Sum Sub Mul Div Abs Exp Log Max Min Limit Select GroupBy
  Aggregate MinK MaxK
`;

test("everything that Chroma's package exports is here", () => {
  for (const name of CHROMA_EXPORTS.split(/\s+/).filter(Boolean)) expect(ferrochrome).toHaveProperty(name);
  expect(ferrochrome.baseRecordSetFields).toEqual(["ids", "embeddings", "metadatas", "documents", "uris"]);
  expect(ferrochrome.recordSetFields).toEqual(["ids", "embeddings", "metadatas", "documents", "uris", "ids"]);
  expect(ferrochrome.DOCUMENT_KEY).toBe("#document");
  expect(ferrochrome.EMBEDDING_KEY).toBe("#embedding");
});

test("a Next.js configuration keeps what it has", () => {
  expect(ferrochrome.withChroma()).toEqual({ serverExternalPackages: ["ferrochrome"] });
  expect(ferrochrome.withChroma({ output: "standalone", serverExternalPackages: ["sharp", "ferrochrome"] })).toEqual({
    output: "standalone",
    serverExternalPackages: ["sharp", "ferrochrome"],
  });
});
