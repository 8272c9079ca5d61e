import type { Collection, DeleteArgs, GetArgs, ModifyArgs, QueryArgs, WriteArgs } from "./collection.js";
import type { CompactArgs } from "./compaction.js";
import type { CollectionConfiguration } from "./configuration.js";
import type { EmbeddingFunction } from "./embedding-function.js";
import { ChromaValueError } from "./errors.js";
import type { QueryExplanation } from "./explanation.js";
import type { FileExportArgs, FileExportReport } from "./files/export-file.js";
import type { FileImportArgs, FileImportReport } from "./files/import-file.js";
import type { GetResult, QueryResult } from "./results.js";
import type { Schema } from "./schema.js";
import { type SearchLike, toSearch } from "./search/search.js";
import type { SearchResult } from "./search/search-result.js";
import { hasTextQuery } from "./search/text-queries.js";
import type { CollectionMetadata, DeleteResult, IndexingStatus, Metadata, ReadLevel } from "./types.js";
import type { Version } from "./versions.js";

const NEEDS_EMBEDDING_FUNCTION =
  "This operation requires an embedding function, which is not available on a collection obtained via client.collection(id). Provide pre-computed embeddings directly, or use client.getCollection() to get a full collection with embedding support.";

function notSupported(method: string): ChromaValueError {
  return new ChromaValueError(
    `${method} is not supported on a collection obtained via client.collection(id). Use client.getCollection() to get a full collection instance.`,
  );
}

/**
 * A collection known by its id alone, from {@link ChromaClient.collection}: nothing was looked up, so there is no name, no
 * metadata and no embedding function.
 */
export class CollectionHandle implements Collection {
  /** Tenant of the client. */
  readonly tenant: string;
  /** Database of the client. */
  readonly database: string;
  /** UUID of the collection. */
  readonly id: string;
  /** Empty: it was not looked up. */
  name = "";
  /** Undefined: they were not looked up. */
  metadata: CollectionMetadata | undefined = undefined;
  /** Empty: it was not looked up. */
  configuration: CollectionConfiguration = {};
  /** Undefined: vectors must be given. */
  embeddingFunction?: EmbeddingFunction | undefined;
  /** Undefined: it was not looked up. */
  schema?: Schema | undefined;
  private readonly target: Collection;

  /**
   * @param target - The collection that does the work.
   * @internal
   */
  constructor(target: Collection) {
    this.target = target;
    this.id = target.id;
    this.tenant = target.tenant;
    this.database = target.database;
  }

  /** As {@link Collection.count}. */
  async count(options?: { readLevel?: ReadLevel | undefined }): Promise<number> {
    return this.target.count(options);
  }

  /** As {@link Collection.add}; vectors must be given. */
  async add(args: WriteArgs): Promise<void> {
    if (!args.embeddings) throw new ChromaValueError(NEEDS_EMBEDDING_FUNCTION);
    return this.target.add(args);
  }

  /** As {@link Collection.update}; vectors must be given with documents. */
  async update(args: WriteArgs): Promise<void> {
    if (!args.embeddings && args.documents) throw new ChromaValueError(NEEDS_EMBEDDING_FUNCTION);
    return this.target.update(args);
  }

  /** As {@link Collection.upsert}; vectors must be given. */
  async upsert(args: WriteArgs): Promise<void> {
    if (!args.embeddings) throw new ChromaValueError(NEEDS_EMBEDDING_FUNCTION);
    return this.target.upsert(args);
  }

  /** As {@link Collection.get}. */
  async get<TMeta extends Metadata = Metadata>(args?: GetArgs): Promise<GetResult<TMeta>> {
    return this.target.get<TMeta>(args);
  }

  /** As {@link Collection.peek}. */
  async peek(args?: { limit?: number | undefined }): Promise<GetResult> {
    return this.target.peek(args);
  }

  /** As {@link Collection.query}; query vectors must be given. */
  async query<TMeta extends Metadata = Metadata>(args: QueryArgs): Promise<QueryResult<TMeta>> {
    if (!args.queryEmbeddings) throw new ChromaValueError(NEEDS_EMBEDDING_FUNCTION);
    return this.target.query<TMeta>(args);
  }

  /** As {@link Collection.explain}; query vectors must be given. */
  async explain(args: QueryArgs): Promise<QueryExplanation> {
    if (!args.queryEmbeddings) throw new ChromaValueError(NEEDS_EMBEDDING_FUNCTION);
    return this.target.explain(args);
  }

  /** As {@link Collection.search}; query vectors must be given, not texts. */
  async search(
    searches: SearchLike | SearchLike[],
    options?: { readLevel?: ReadLevel | undefined },
  ): Promise<SearchResult> {
    const list = Array.isArray(searches) ? searches : [searches];
    if (list.some((search) => hasTextQuery(toSearch(search).toPayload().rank))) {
      throw new ChromaValueError(NEEDS_EMBEDDING_FUNCTION);
    }
    return this.target.search(searches, options);
  }

  /** Refused: there is nothing to change a handle's knowledge of. */
  async modify(_args: ModifyArgs): Promise<void> {
    throw notSupported("modify()");
  }

  /** Refused. */
  async fork(_args: { name: string; version?: number | string | undefined }): Promise<Collection> {
    throw notSupported("fork()");
  }

  /** As {@link Collection.forkCount}. */
  async forkCount(): Promise<number> {
    return this.target.forkCount();
  }

  /** As {@link Collection.createVersion}. */
  async createVersion(args?: { label?: string | undefined }): Promise<Version> {
    return this.target.createVersion(args);
  }

  /** As {@link Collection.versions}. */
  async versions(): Promise<Version[]> {
    return this.target.versions();
  }

  /** As {@link Collection.at}; the version too has no embedding function. */
  async at(version: number | string): Promise<CollectionHandle> {
    return new CollectionHandle(await this.target.at(version));
  }

  /** As {@link Collection.deleteVersion}. */
  async deleteVersion(version: number | string): Promise<void> {
    return this.target.deleteVersion(version);
  }

  /** As {@link Collection.delete}. */
  async delete(args?: DeleteArgs): Promise<DeleteResult> {
    return this.target.delete(args);
  }

  /** As {@link Collection.getIndexingStatus}. */
  async getIndexingStatus(): Promise<IndexingStatus> {
    return this.target.getIndexingStatus();
  }

  /** As {@link Collection.compact}. */
  async compact(args?: CompactArgs): Promise<void> {
    return this.target.compact(args);
  }

  /** As {@link Collection.preload}. */
  async preload(): Promise<void> {
    return this.target.preload();
  }

  /** As {@link Collection.export}. */
  async export(path: string | URL, args?: FileExportArgs): Promise<FileExportReport> {
    return this.target.export(path, args);
  }

  /** As {@link Collection.import}. */
  async import(path: string | URL, args?: FileImportArgs): Promise<FileImportReport> {
    return this.target.import(path, args);
  }
}
