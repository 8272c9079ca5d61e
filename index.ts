export * from "./src/admin.js";
export {
  type CallableClient,
  ChromaClient,
  type ChromaClientArgs,
  type ClientOptions,
  type CreateCollectionArgs,
  DEFAULT_DATABASE,
  DEFAULT_TENANT,
  EphemeralClient,
  type EphemeralClientArgs,
  type GetCollectionArgs,
  HttpClient,
  type HttpClientArgs,
  PersistentClient,
  type PersistentClientArgs,
} from "./src/client.js";
export * from "./src/cloud-client.js";
export * from "./src/cmek.js";
export type * from "./src/collection.js";
export { CollectionHandle } from "./src/collection-handle.js";
export type {
  CompactArgs,
  CompactionProgress,
  CompactionStage,
  DatabaseCompactionProgress,
} from "./src/compaction.js";
export {
  type CollectionConfiguration,
  type CreateCollectionConfiguration,
  type CreateConfigArgs,
  type HNSWConfiguration,
  type ProcessedUpdate,
  processCreateCollectionConfig,
  processUpdateCollectionConfig,
  type SpannConfiguration,
  type StoredConfigurationUpdate,
  type UpdateCollectionConfiguration,
  type UpdateHNSWConfiguration,
  type UpdateSPANNConfiguration,
  type VersionRetention,
} from "./src/configuration.js";
export type { DatabaseOptions } from "./src/database.js";
export * from "./src/default-embedding-function.js";
export {
  type AnyEmbeddingFunction,
  type EmbeddingFunction,
  type EmbeddingFunctionClass,
  type EmbeddingFunctionConfig,
  type EmbeddingFunctionConfiguration,
  type EmbeddingFunctionSpace,
  getDefaultEFConfig,
  getEmbeddingFunction,
  getSparseEmbeddingFunction,
  type KnownEmbeddingFunction,
  knownEmbeddingFunctions,
  knownSparseEmbeddingFunctions,
  type NamelessEmbeddingFunction,
  registerEmbeddingFunction,
  registerSparseEmbeddingFunction,
  type SparseEmbeddingFunction,
  type SparseEmbeddingFunctionClass,
  serializeEmbeddingFunction,
} from "./src/embedding-function.js";
export * from "./src/embedding-model.js";
export {
  BindingLoadError,
  ChromaClientError,
  ChromaConnectionError,
  ChromaError,
  ChromaForbiddenError,
  ChromaNotFoundError,
  ChromaQuotaExceededError,
  ChromaRateLimitError,
  ChromaServerError,
  ChromaUnauthorizedError,
  ChromaUniqueError,
  ChromaValueError,
  createErrorByType,
  DatabaseClosedError,
  DatabaseCorruptedError,
  DatabaseLockedError,
  DiskSpaceError,
  InvalidArgumentError,
  InvalidCollectionError,
  ReadOnlyError,
  UnsafeFileSystemError,
  UntrustedFileError,
} from "./src/errors.js";
export type { PartExplanation, QueryExplanation } from "./src/explanation.js";
export type { FileExportArgs, FileExportReport, FileProgress } from "./src/files/export-file.js";
export type { FileCompression, FileFormat } from "./src/files/format.js";
export type { FileImportArgs, FileImportReport } from "./src/files/import-file.js";
export type { FileColumnNames } from "./src/files/record-source.js";
export { type ImportChromaArgs, type ImportProgress, importChroma } from "./src/import/import-chroma.js";
export type { ImportedCollection, ImportProblem, ImportProblemKind, ImportReport } from "./src/import/report.js";
export type { ExistingCollections } from "./src/import/target.js";
export * from "./src/index-config.js";
export type { LenientOptions } from "./src/lenient.js";
export * from "./src/next.js";
export type { ServerArgs } from "./src/remote/endpoint.js";
export {
  type CheckedCollection,
  type CheckedSegment,
  type CheckOptions,
  type CheckProgress,
  type CheckReport,
  checkDatabase,
  type Finding,
  type GarbageFolder,
  type LostBatch,
  type RepairedCollection,
  type RepairedSegment,
  type RepairOptions,
  type RepairReport,
  repairDatabase,
} from "./src/repair.js";
export * from "./src/results.js";
export { DOCUMENT_KEY, EMBEDDING_KEY, Schema } from "./src/schema.js";
export type {
  BoolIndexesJson,
  ConfiguredIndexJson,
  FloatIndexesJson,
  FloatListIndexesJson,
  IndexJson,
  IntIndexesJson,
  SchemaJson,
  SparseVectorConfigJson,
  SparseVectorIndexesJson,
  StringIndexesJson,
  ValueTypesJson,
  VectorConfigJson,
} from "./src/schema-json.js";
export * from "./src/search/group-by.js";
export { K, Key, type KeyFactory } from "./src/search/key.js";
export * from "./src/search/rank-expression.js";
export * from "./src/search/search.js";
export * from "./src/search/search-result.js";
export { WhereExpression, type WhereInput, type WhereJSON } from "./src/search/where-expression.js";
export { type RestoreOptions, restoreSnapshot, type SnapshotOptions, type SnapshotProgress } from "./src/snapshot.js";
export * from "./src/truncated-embedding-function.js";
export * from "./src/types.js";
export type { Version } from "./src/versions.js";
