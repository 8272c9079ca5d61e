import type { CompactArgs } from "./compaction.js";
import type { CollectionConfiguration, UpdateCollectionConfiguration } from "./configuration.js";
import type { EmbeddingFunction } from "./embedding-function.js";
import type { QueryExplanation } from "./explanation.js";
import type { FileExportArgs, FileExportReport } from "./files/export-file.js";
import type { FileImportArgs, FileImportReport } from "./files/import-file.js";
import type { GetResult, QueryResult } from "./results.js";
import type { Schema } from "./schema.js";
import type { SearchLike } from "./search/search.js";
import type { SearchResult } from "./search/search-result.js";
import type {
  CollectionMetadata,
  DeleteResult,
  Embeddings,
  Include,
  IndexingStatus,
  Metadata,
  ReadLevel,
  Where,
  WhereDocument,
} from "./types.js";
import type { Version } from "./versions.js";

/**
 * Arguments of `add`, `update` and `upsert`: columns of equal length. They are read bit by bit while the program goes on, and not
 * before earlier writes have been taken: leave them as they are until the call's promise settles.
 */
export interface WriteArgs {
  /** Unique ids: any non-empty strings. */
  ids: string[];
  /** Vectors; computed from the documents where absent. */
  embeddings?: Embeddings | undefined;
  /** Values per vector; needed when `embeddings` is one flat Float32Array. Not in Chroma. */
  dimension?: number | undefined;
  /** Metadata. An entry may be null; a null value within counts as absent. */
  metadatas?: (Metadata | null | undefined)[] | undefined;
  /** Documents. */
  documents?: string[] | undefined;
  /** URIs. */
  uris?: string[] | undefined;
}

/** Arguments of `get`. */
export interface GetArgs {
  /** Only these ids. Unknown ones are left out. */
  ids?: string[] | undefined;
  /** Only records whose metadata match. */
  where?: Where | undefined;
  /** Most records. Default: all. */
  limit?: number | null | undefined;
  /** Records to skip. Default 0. */
  offset?: number | null | undefined;
  /** Only records whose documents match. */
  whereDocument?: WhereDocument | undefined;
  /** Columns of the result. Default documents and metadatas. */
  include?: Include[] | undefined;
}

/** How a search is done; not in Chroma. */
export interface SearchParams {
  /** Breadth of the search in the HNSW graph: larger finds more, slower. Default: the collection's `ef_search`. */
  ef?: number | undefined;
  /** Compares with every record instead of walking the graph. Default false. */
  exact?: boolean | undefined;
}

/** Arguments of `query`. */
export interface QueryArgs {
  /** Query vectors; one query may also be given alone. */
  queryEmbeddings?: Embeddings | number[] | undefined;
  /** Values per vector; needed when `queryEmbeddings` is one flat Float32Array of several queries. Not in Chroma. */
  dimension?: number | undefined;
  /** Texts to embed and search for. */
  queryTexts?: string[] | undefined;
  /** Accepted and ignored, as in Chroma. */
  queryURIs?: string[] | undefined;
  /** Only these ids. */
  ids?: string[] | undefined;
  /** Results per query. Default 10. */
  nResults?: number | undefined;
  /** Only records whose metadata match. */
  where?: Where | undefined;
  /** Only records whose documents match. */
  whereDocument?: WhereDocument | undefined;
  /** Columns of the result. Default metadatas, documents and distances. */
  include?: Include[] | undefined;
  /** How the search is done. Not in Chroma. */
  searchParams?: SearchParams | undefined;
  /** Stops the search; the promise then rejects with the signal's reason. Not in Chroma. */
  signal?: AbortSignal | undefined;
}

/** Arguments of `delete`. */
export interface DeleteArgs {
  /** Only these ids. */
  ids?: string[] | undefined;
  /** Only records whose metadata match. */
  where?: Where | undefined;
  /** Only records whose documents match. */
  whereDocument?: WhereDocument | undefined;
  /** Most records, in insertion order; only with a filter. */
  limit?: number | undefined;
}

/** Arguments of `modify`. What is absent stays. */
export interface ModifyArgs {
  /** New name. */
  name?: string | undefined;
  /** New metadata; replaces the old as a whole. */
  metadata?: CollectionMetadata | undefined;
  /** Changes to the configuration. */
  configuration?: UpdateCollectionConfiguration | undefined;
}

/**
 * A collection: records of id, vector, metadata, document and URI.
 *
 * Writes are atomic per call, applied in the order of the calls, and visible to the next read; a write whose documents must
 * be embedded takes its place in that order when its vectors are there. All methods reject with {@link ChromaNotFoundError}
 * once the collection was deleted.
 */
export interface Collection {
  /** Tenant of the collection. */
  tenant: string;
  /** Database of the collection. */
  database: string;
  /** UUID of the collection. */
  id: string;
  /** Name of the collection. */
  name: string;
  /** Metadata of the collection; undefined if it has none. */
  metadata: CollectionMetadata | undefined;
  /** Configuration as it is stored: the keys are the server's. */
  configuration: CollectionConfiguration;
  /** Embeds documents and query texts. Undefined also while the package of a stored function is not loaded yet. */
  embeddingFunction?: EmbeddingFunction | undefined;
  /** Which indexes the collection keeps. */
  schema?: Schema | undefined;

  /**
   * Counts the records.
   *
   * @param options - How fresh the count must be, which is for servers: locally it is always that of everything acknowledged.
   * @returns Number of records.
   */
  count(options?: { readLevel?: ReadLevel | undefined }): Promise<number>;

  /**
   * Adds records. Those whose id exists already are left as they are.
   *
   * @param args - The records. Vectors or documents must be given.
   * @throws ChromaValueError or ChromaClientError when a value breaks a rule; nothing is added then.
   *
   * @example
   * ```ts
   * await collection.add({ ids: ["a"], embeddings: [[1, 0]], documents: ["east"], metadatas: [{ degrees: 90 }] });
   * ```
   */
  add(args: WriteArgs): Promise<void>;

  /**
   * Reads records by id or filter, in insertion order.
   *
   * @param args - Which records, and what of them.
   * @returns The records as columns.
   */
  get<TMeta extends Metadata = Metadata>(args?: GetArgs): Promise<GetResult<TMeta>>;

  /**
   * Reads the first records.
   *
   * @param args - How many; default 10.
   * @returns The records as columns.
   */
  peek(args?: { limit?: number | undefined }): Promise<GetResult>;

  /**
   * Finds the records nearest to each query: always `min(nResults, matching records)` of them.
   *
   * @param args - The queries, and which records take part.
   * @returns The hits as columns, one array per query, nearest first.
   *
   * @example
   * ```ts
   * const result = await collection.query({ queryEmbeddings: [[0.9, 0.1]], nResults: 3, where: { lang: "en" } });
   * for (const hit of result.rows()[0]!) console.log(hit.id, hit.distance);
   * ```
   */
  query<TMeta extends Metadata = Metadata>(args: QueryArgs): Promise<QueryResult<TMeta>>;

  /**
   * Runs a query for its first vector and tells how it was answered: the plan for each part of the collection, how many rows
   * were compared, and how long each step took. Not in Chroma.
   *
   * @param args - The query, as for {@link Collection.query}.
   * @returns The plans, with figures.
   *
   * @example
   * ```ts
   * const { parts } = await collection.explain({ queryEmbeddings: [[0.9, 0.1]], where: { lang: "en" } });
   * for (const { plan, allowed, scored } of parts) console.log(plan, allowed, scored);
   * ```
   */
  explain(args: QueryArgs): Promise<QueryExplanation>;

  /**
   * Changes name, metadata or configuration.
   *
   * @param args - The changes.
   * @throws ChromaUniqueError when the new name is taken.
   */
  modify(args: ModifyArgs): Promise<void>;

  /**
   * Copies the collection under a new name, with metadata, configuration and schema, in a time that does not depend on its size:
   * both share what is stored, and what is written to one side from then on concerns that side only. Either may be deleted.
   *
   * @param args - Name of the copy; with `version`, the number or the label of a version, it is a copy of that (locally only, not
   * in Chroma).
   * @returns The copy.
   * @throws ChromaUniqueError when the name is taken; ChromaNotFoundError when there is no such version.
   *
   * @example
   * ```ts
   * const draft = await collection.fork({ name: "notes-draft" });
   * await draft.upsert({ ids: ["a"], documents: ["changed here only"] });
   * ```
   */
  fork(args: { name: string; version?: number | string | undefined }): Promise<Collection>;

  /**
   * Counts the forks in the collection's family, as Chroma does: those of itself, of the collection it is a fork of, and of all
   * their forks. All members have the same count.
   *
   * @returns Number of forks that exist.
   */
  forkCount(): Promise<number>;

  /**
   * Keeps the present state, so that it can be read again whatever is written later. It shares what is stored, so that it takes
   * little time and, until much has changed, little space. Kept until it is deleted. Without writes since the last version that is
   * the same one; a label replaces the former. Not in Chroma.
   *
   * @param args - What to call it: 1 to 512 characters.
   * @returns The version.
   *
   * @example
   * ```ts
   * await collection.createVersion({ label: "before re-embedding" });
   * // ... and if that went wrong:
   * const restored = await collection.fork({ name: "notes-restored", version: "before re-embedding" });
   * ```
   */
  createVersion(args?: { label?: string | undefined }): Promise<Version>;

  /**
   * Lists the versions that are kept, oldest first: those made by {@link Collection.createVersion}, and those that the
   * configuration's `versions` keeps automatically. Not in Chroma.
   *
   * @returns The versions.
   */
  versions(): Promise<Version[]>;

  /**
   * A version, to be read: `get`, `query`, `count`, `peek`, `explain` answer as they did then, and `fork` copies it. Whatever would
   * change it rejects with {@link ReadOnlyError}. Not in Chroma.
   *
   * @param version - Number or label of a version; of several with one label the newest.
   * @returns The collection as it was, with its present name and settings. Its files stay open until it is garbage collected.
   * @throws ChromaNotFoundError when there is none.
   */
  at(version: number | string): Promise<Collection>;

  /**
   * Deletes a version, and what only it needed. Who reads it gets {@link ChromaNotFoundError} from then on. Not in Chroma.
   *
   * @param version - Number or label of a version; of several with one label the newest.
   * @throws ChromaNotFoundError when there is none.
   */
  deleteVersion(version: number | string): Promise<void>;

  /**
   * Changes records. Unknown ids are ignored; metadata are merged key by key; columns that are absent stay.
   *
   * @param args - The changes.
   */
  update(args: WriteArgs): Promise<void>;

  /**
   * Adds records, or changes those whose id exists already.
   *
   * @param args - The records. Vectors or documents must be given.
   */
  upsert(args: WriteArgs): Promise<void>;

  /**
   * Deletes records by id or filter. Without either, does nothing.
   *
   * @param args - Which records.
   * @returns How many.
   */
  delete(args?: DeleteArgs): Promise<DeleteResult>;

  /**
   * Searches by ranking expressions: filters, ranks, groups and selects. Texts in {@link Knn} are embedded first. So far for
   * servers only: a local database rejects it.
   *
   * @param searches - One search or several.
   * @param options - How fresh the read must be.
   * @returns The hits as columns, one entry per search, best first.
   */
  search(searches: SearchLike | SearchLike[], options?: { readLevel?: ReadLevel | undefined }): Promise<SearchResult>;

  /**
   * How much of the collection is indexed.
   *
   * @returns The status.
   */
  getIndexingStatus(): Promise<IndexingStatus>;

  /**
   * Seals what is not sealed yet and merges segments, erasing what was deleted, except what forks and versions still have: what other databases call defragmenting, or
   * rebuilding the index. Not in Chroma. Runs in the background on its own as needed; call it to reclaim space now. Reads and
   * writes go on meanwhile.
   *
   * @param args - Who is told of the progress, how it is stopped, and whether nothing at all may remain of deleted records.
   * @throws DiskSpaceError when the volume has too little space; nothing was changed then.
   * @throws DatabaseLockedError with `secure`, when queries, exports or other processes are still reading what is to be erased.
   *
   * @example
   * ```ts
   * await collection.delete({ where: { user: "alice" } });
   * await collection.compact({ secure: true, onProgress: ({ stage, done, total }) => console.log(stage, done, total) });
   * ```
   */
  compact(args?: CompactArgs): Promise<void>;

  /**
   * Does now what the first queries would have to wait for: opens all files, and reads indexes into memory as far as
   * `indexCacheBytes` allows; vectors are then read into the system's cache in the background. Not in Chroma. Never needed:
   * without it the first queries search the index in its file, while it is read in the background.
   */
  preload(): Promise<void>;

  /**
   * Writes the records to a file that other programs read: lines of JSON, an Arrow IPC file or a Parquet file. They are those of
   * one moment, writes may go on. A file of columns has one for each metadata key; docs/export.md describes them. Not in Chroma.
   *
   * @param path - The file, ending with `.jsonl`, `.arrow` or `.parquet`.
   * @param args - Which records, and how.
   * @returns What was written.
   * @throws ChromaValueError for a wrong argument, ChromaUniqueError for a file that must not be replaced.
   *
   * @example
   * ```ts
   * await collection.export("notes.parquet", { where: { lang: "en" }, onProgress: ({ done, total }) => console.log(done, total) });
   * ```
   */
  export(path: string | URL, args?: FileExportArgs): Promise<FileExportReport>;

  /**
   * Reads records from a file: one that {@link Collection.export} wrote, or lines of JSON, an Arrow IPC file or a Parquet file of
   * another program. Not in Chroma.
   *
   * @param path - The file.
   * @param args - How it is read, and what is done with ids that are there already.
   * @returns How many records were read and added.
   * @throws ChromaValueError naming the row and the column, or the line, that is wrong; the batches before it are there.
   *
   * @example
   * ```ts
   * await collection.import("lance.parquet", { columns: { embedding: "vector", ignore: ["created_at"] }, mode: "upsert" });
   * ```
   */
  import(path: string | URL, args?: FileImportArgs): Promise<FileImportReport>;
}
