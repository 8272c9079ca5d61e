import type { ChromaClient } from "./client.js";
import type { Collection, DeleteArgs, GetArgs, ModifyArgs, QueryArgs, SearchParams, WriteArgs } from "./collection.js";
import { type CollectionConfiguration, checkUpdate, processUpdateCollectionConfig } from "./configuration.js";
import type { DatabaseHandle } from "./database.js";
import { type EmbeddingFunction, getEmbeddingFunction, registeredEmbeddingFunction } from "./embedding-function.js";
import { type PackContext, packQueries, unpackEmbeddings } from "./embeddings.js";
import { badRequest, ChromaServerError, ChromaValueError } from "./errors.js";
import { inSlices } from "./event-loop.js";
import type { QueryExplanation } from "./explanation.js";
import { validateName } from "./names.js";
import { binding, type NativeCollection, type NativeDatabase, type NativeReply, toError } from "./native.js";
import { readQueryReply } from "./query-reply.js";
import { storedMetadata } from "./records.js";
import { GetResult, type QueryResult } from "./results.js";
import { Schema } from "./schema.js";
import type { SchemaJson } from "./schema-json.js";
import type {
  CollectionMetadata,
  DeleteResult,
  Embeddings,
  Include,
  IndexingStatus,
  Metadata,
  ReadLevel,
  RecordSet,
} from "./types.js";
import {
  checkBaseRecordSet,
  checkIDs,
  validateCount,
  validateIDs,
  validateInclude,
  validateMaxBatchSize,
  validateMetadata,
  validateNResults,
  validateQueries,
  validateRecordSetLengths,
  validateWhere,
  validateWhereDocument,
} from "./validate.js";
import { stageBatch } from "./write-batch.js";

/** Most records in one call of add, update or upsert. */
export const MAX_BATCH_SIZE = 100_000;

/** A collection as native code describes it. */
export interface CollectionJson {
  id: string;
  name: string;
  tenant: string;
  database: string;
  metadata: CollectionMetadata | null;
  configuration_json: CollectionConfiguration;
  schema: SchemaJson | null;
}

/** What a collection object starts from. */
export interface LocalCollectionArgs {
  client: ChromaClient;
  handle: DatabaseHandle;
  json: CollectionJson;
  embeddingFunction?: EmbeddingFunction | undefined;
}

type WriteKind = "add" | "update" | "upsert";

/** A change of the records. */
interface Change<T> {
  /** Checks the arguments, at once. */
  check: () => Promise<void>;
  /** Makes ready what native code gets, in `bytes` bytes of memory, when it is the change's turn. */
  prepare: () => Promise<{ bytes: number; submit: (native: NativeCollection) => Promise<T> }>;
}

/** Where a collection's embedding function is: not looked for yet, or found or not among those registered. */
type Lookup<T> = { value: T | undefined } | undefined;

/** A collection of a local database. */
export class LocalCollection implements Collection {
  readonly id: string;
  readonly tenant: string;
  readonly database: string;
  name: string;
  metadata: CollectionMetadata | undefined;
  configuration: CollectionConfiguration;
  private readonly client: ChromaClient;
  private readonly handle: DatabaseHandle;
  private schemaJson: SchemaJson | null;
  private foundFunction: EmbeddingFunction | undefined;
  private builtSchema: Lookup<Schema>;
  private native: NativeCollection | undefined;
  /** Settles when the last change was handed to native code. */
  private lastChange: Promise<unknown> = Promise.resolve();

  constructor({ client, handle, json, embeddingFunction }: LocalCollectionArgs) {
    this.client = client;
    this.handle = handle;
    this.id = json.id;
    this.name = json.name;
    this.tenant = json.tenant;
    this.database = json.database;
    this.metadata = json.metadata ?? undefined;
    this.configuration = json.configuration_json;
    this.schemaJson = json.schema;
    this.foundFunction = embeddingFunction;
  }

  get embeddingFunction(): EmbeddingFunction | undefined {
    this.foundFunction ??= registeredEmbeddingFunction(this.configuration.embedding_function, this.client);
    return this.foundFunction;
  }

  set embeddingFunction(embeddingFunction: EmbeddingFunction | undefined) {
    this.foundFunction = embeddingFunction;
  }

  get schema(): Schema | undefined {
    if (this.builtSchema === undefined) {
      const json = this.schemaJson;
      this.builtSchema = { value: json === null ? undefined : Schema.fromStoredJSON(json, this.client) };
    }
    return this.builtSchema.value;
  }

  set schema(schema: Schema | undefined) {
    this.builtSchema = { value: schema };
  }

  async count(_options?: { readLevel?: ReadLevel | undefined }): Promise<number> {
    const native = this.openNative() ?? (await this.connect());
    try {
      return native.count();
    } catch (failure) {
      throw toError(failure, this.route("count"));
    }
  }

  async add(args: WriteArgs): Promise<void> {
    await this.write("add", args);
  }

  async update(args: WriteArgs): Promise<void> {
    await this.write("update", args);
  }

  async upsert(args: WriteArgs): Promise<void> {
    await this.write("upsert", args);
  }

  async get<TMeta extends Metadata = Metadata>(args: GetArgs = {}): Promise<GetResult<TMeta>> {
    const { ids, where, limit, offset, whereDocument, include = ["documents", "metadatas"] } = args;
    validateInclude(include, "distances");
    if (ids) validateIDs(ids);
    if (where) validateWhere(where);
    if (whereDocument) validateWhereDocument(whereDocument);
    validateCount("limit", limit);
    validateCount("offset", offset);

    const request = JSON.stringify({
      ids,
      where,
      where_document: whereDocument,
      limit: limit ?? undefined,
      offset: offset ?? undefined,
      include,
    });
    const native = this.openNative() ?? (await this.connect());
    let reply: NativeReply;
    try {
      reply = await native.get(request);
    } catch (failure) {
      throw toError(failure, this.route("get"));
    }
    const columns = JSON.parse(typeof reply === "string" ? reply : reply.text);
    return new GetResult<TMeta>({
      ids: columns.ids,
      documents: columns.documents ?? [],
      embeddings: typeof reply === "string" ? [] : unpackEmbeddings(reply.embeddings, columns.ids.length),
      metadatas: columns.metadatas ?? [],
      uris: columns.uris ?? [],
      include,
    });
  }

  async peek({ limit = 10 }: { limit?: number | undefined } = {}): Promise<GetResult> {
    return this.get({ limit });
  }

  async query<TMeta extends Metadata = Metadata>(args: QueryArgs): Promise<QueryResult<TMeta>> {
    const { signal, include = ["metadatas", "documents", "distances"] } = args;
    signal?.throwIfAborted();
    const given = givenQueries(args, include);
    const embeddings = given.embeddings ?? (await this.embed(args.queryTexts ?? [], true));
    const { vectors, dimension } = packQueries(embeddings, given.dimension, this.queryContext());
    const request = encodeQuery(args, include);
    const native = this.openNative() ?? (await this.connect());
    try {
      const reply =
        signal === undefined
          ? await this.handle.queries.ask(native, vectors, dimension, request)
          : await cancellable(native, vectors, dimension, request, signal);
      return readQueryReply<TMeta>(reply, include);
    } catch (failure) {
      if (signal?.aborted) throw signal.reason;
      throw toError(failure, this.route("query"));
    }
  }

  async explain(args: QueryArgs): Promise<QueryExplanation> {
    const { include = ["metadatas", "documents", "distances"] } = args;
    const given = givenQueries(args, include);
    const embeddings = given.embeddings ?? (await this.embed(args.queryTexts ?? [], true));
    const { vectors, dimension } = packQueries(embeddings, given.dimension, this.queryContext());
    const native = this.openNative() ?? (await this.connect());
    try {
      return JSON.parse(await native.explain(vectors, dimension, encodeQuery(args, include)));
    } catch (failure) {
      throw toError(failure, this.route("explain"));
    }
  }

  private queryContext(): PackContext {
    return { route: this.route("query"), rowName: queryName };
  }

  modify(args: ModifyArgs): Promise<void> {
    return this.handle.beforeClosing((open) => this.modifyWith(open, args));
  }

  private async modifyWith(
    open: () => Promise<NativeDatabase>,
    { name, metadata, configuration }: ModifyArgs,
  ): Promise<void> {
    const route = this.route("modify");
    if (name) validateName(name, route, "new_name");
    if (metadata) validateMetadata(metadata);
    const newMetadata = metadata && encodableMetadata(metadata, route);
    const change =
      configuration &&
      (await processUpdateCollectionConfig({
        collectionName: this.name,
        currentConfiguration: this.configuration,
        currentEmbeddingFunction: this.embeddingFunction,
        newConfiguration: configuration,
        client: this.client,
      }));
    const newConfiguration = change && checkUpdate(change.updateConfiguration);
    const native = await open();
    let changed: CollectionJson | undefined;
    try {
      const patch = { new_name: name || undefined, new_metadata: newMetadata, new_configuration: newConfiguration };
      await native.updateCollection(this.id, JSON.stringify(patch));
      if (change) changed = JSON.parse(await native.getCollectionById(this.id));
    } catch (failure) {
      throw toError(failure, route);
    }
    if (name) this.name = name;
    if (metadata) this.metadata = metadata;
    if (change?.updateEmbeddingFunction) this.foundFunction = change.updateEmbeddingFunction;
    if (changed) {
      const { configuration_json: stored, schema } = changed;
      this.configuration = { ...stored, embeddingFunction: stored.embedding_function ?? null };
      this.schemaJson = schema;
      this.builtSchema = undefined;
    }
  }

  async delete(args: DeleteArgs = {}): Promise<DeleteResult> {
    const { ids, where, whereDocument, limit } = args;
    if (ids) validateIDs(ids);
    if (where) validateWhere(where);
    if (whereDocument) validateWhereDocument(whereDocument);
    if (limit !== undefined && (!Number.isInteger(limit) || limit < 0)) {
      throw new Error("limit must be a non-negative integer");
    }
    if (limit !== undefined && !where && !whereDocument) {
      throw new Error("limit can only be specified when a where or whereDocument clause is provided");
    }
    const request = JSON.stringify({ ids, where, where_document: whereDocument, limit });
    const deleted = await this.handle.beforeClosing((open) =>
      this.inCallOrder("delete", open, {
        check: async () => {},
        prepare: async () => ({ bytes: request.length, submit: (native) => native.delete(request) }),
      }),
    );
    return { deleted };
  }

  async fork(_args: { name: string }): Promise<Collection> {
    throw notImplemented("fork()");
  }

  async forkCount(): Promise<number> {
    throw notImplemented("forkCount()");
  }

  async search(searches: unknown, _options?: { readLevel?: ReadLevel | undefined }): Promise<never> {
    if (Array.isArray(searches) && searches.length === 0) {
      throw new ChromaValueError("At least one search payload must be provided.");
    }
    throw notImplemented("search()");
  }

  async getIndexingStatus(): Promise<IndexingStatus> {
    const native = this.openNative() ?? (await this.connect());
    try {
      return JSON.parse(native.indexingStatus());
    } catch (failure) {
      throw toError(failure, this.route("indexing_status"));
    }
  }

  async compact(): Promise<void> {
    const native = this.openNative() ?? (await this.connect());
    try {
      await native.compact();
    } catch (failure) {
      throw toError(failure, this.route("compact"));
    }
  }

  async preload(): Promise<void> {
    const native = this.openNative() ?? (await this.connect());
    try {
      await native.preload();
    } catch (failure) {
      throw toError(failure, this.route("preload"));
    }
  }

  /** The native collection if it is open, without waiting a turn for it. */
  private openNative(): NativeCollection | undefined {
    if (this.handle.closed) throw this.handle.closedError();
    return this.native;
  }

  private async connect(): Promise<NativeCollection> {
    this.native = await this.handle.call(this.route("open"), (native) => native.openCollection(this.id));
    return this.native;
  }

  private route(operation: string): string {
    return `collections/${this.id}/${operation}`;
  }

  /**
   * Prepares a change and hands it to native code, which applies changes in the order in which it gets them: that of the
   * calls of this method, although one takes longer to check than another.
   */
  private async inCallOrder<T>(
    operation: string,
    open: () => Promise<NativeDatabase>,
    { check, prepare }: Change<T>,
  ): Promise<T> {
    const previous = this.lastChange;
    const checked = check();
    const submitted = (async () => {
      await checked;
      await previous;
      const { backlog } = this.handle;
      await backlog.room();
      const { bytes, submit } = await prepare();
      this.native ??= await (await open()).openCollection(this.id);
      return { done: backlog.during(bytes, submit(this.native)) };
    })();
    // What failed in its preparation hands nothing over; later changes still wait for earlier ones.
    this.lastChange = submitted.then(ignore, () => previous);
    try {
      const { done } = await submitted;
      return await done;
    } catch (failure) {
      throw toError(failure, this.route(operation));
    }
  }

  private write(kind: WriteKind, args: WriteArgs): Promise<void> {
    return this.handle.beforeClosing(async (open) => {
      const recordSet: RecordSet = {
        ids: args.ids,
        embeddings: args.embeddings ?? undefined,
        documents: args.documents ?? undefined,
        metadatas: args.metadatas ?? undefined,
        uris: args.uris ?? undefined,
      };
      let { dimension } = args;
      const embeds = !recordSet.embeddings && Boolean(recordSet.documents);
      if (embeds) {
        // Its place among the changes is taken only afterwards: an embedding function may itself write to the collection,
        // and one that never answers holds up nobody else.
        await validateWrite(kind, recordSet, dimension);
        recordSet.embeddings = await this.embed(recordSet.documents ?? [], false);
        dimension = undefined;
      }
      await this.inCallOrder(kind, open, {
        check: async () => {
          if (!embeds) await validateWrite(kind, recordSet, dimension);
        },
        prepare: async () => {
          const { ids } = recordSet;
          const rowName = (row: number): string => `the embedding of id '${ids[row]}' (index ${row})`;
          const { batch, bytes } = await stageBatch(recordSet, dimension, { route: this.route(kind), rowName });
          return { bytes, submit: (native) => native.write(kind, batch) };
        },
      });
    });
  }

  private async embed(texts: string[], isQuery: boolean): Promise<number[][]> {
    const fn = this.embeddingFunction ?? (await this.loadEmbeddingFunction());
    if (fn === undefined) {
      throw new ChromaValueError(
        `No embedding function found for collection '${this.name}'. You can either provide embeddings directly, or ensure the appropriate embedding function package (e.g. @chroma-core/default-embed) is installed.`,
      );
    }
    const embeddings = await (isQuery && fn.generateForQueries ? fn.generateForQueries(texts) : fn.generate(texts));
    if (!Array.isArray(embeddings) || embeddings.length !== texts.length) {
      throw new ChromaValueError(
        `Embedding function returned ${Array.isArray(embeddings) ? embeddings.length : typeof embeddings} embeddings for ${texts.length} texts`,
      );
    }
    return embeddings;
  }

  private async loadEmbeddingFunction(): Promise<EmbeddingFunction | undefined> {
    const efConfig = this.configuration.embedding_function;
    this.foundFunction ??= await getEmbeddingFunction({ client: this.client, efConfig });
    return this.foundFunction;
  }
}

/** Metadata of a collection in their stored form; at least one key must be left, and none may be reserved. */
export function encodableMetadata(metadata: CollectionMetadata, route: string): CollectionMetadata {
  const stored = storedMetadata(metadata);
  if (Object.keys(stored).length === 0) throw badRequest(route, "Metadata cannot be empty");
  for (const key of Object.keys(stored)) {
    if (key === "" || key.startsWith("#") || key.startsWith("$")) {
      throw badRequest(route, `Metadata key cannot start with '#' or '$': ${key}`);
    }
  }
  return stored;
}

async function validateWrite(kind: WriteKind, recordSet: RecordSet, dimension: number | undefined): Promise<void> {
  validateRecordSetLengths(recordSet, dimension);
  for (const checks of [checkIDs(recordSet.ids), checkBaseRecordSet(recordSet, { update: kind === "update" })]) {
    for (const check of checks) {
      await inSlices(recordSet.ids.length, (from, to) => {
        check(from, to);
        return to;
      });
    }
  }
  validateMaxBatchSize(recordSet.ids.length, MAX_BATCH_SIZE);
}

function ignore(): void {}

function notImplemented(what: string): ChromaServerError {
  return new ChromaServerError(`${what} is not implemented yet in ferrochrome`);
}

function queryName(row: number): string {
  return `query ${row}`;
}

/** The vectors of a query, if there are any, after everything about the query was checked. */
function givenQueries(
  { queryEmbeddings, queryTexts, dimension, ids, where, whereDocument, nResults = 10 }: QueryArgs,
  include: Include[],
): { embeddings: Embeddings | undefined; dimension: number | undefined } {
  const embeddings = queryEmbeddings && asQueries(queryEmbeddings, dimension);
  validateQueries(embeddings, queryTexts);
  validateInclude(include);
  if (ids) validateIDs(ids);
  if (where) validateWhere(where);
  if (whereDocument) validateWhereDocument(whereDocument);
  if (nResults !== null) validateNResults(nResults);
  return { embeddings, dimension: embeddings instanceof Float32Array ? (dimension ?? embeddings.length) : dimension };
}

/** What of a query crosses as JSON. */
function encodeQuery({ nResults, searchParams, ids, where, whereDocument }: QueryArgs, include: Include[]): string {
  return JSON.stringify({
    n_results: nResults ?? 10,
    ...searchParameters(searchParams),
    ids,
    where,
    where_document: whereDocument,
    include,
  });
}

/** Query vectors as a list, also where one query was given alone. */
function asQueries(queries: Embeddings | number[], dimension: number | undefined): Embeddings {
  if (Array.isArray(queries) && typeof queries[0] === "number") {
    return dimension === undefined ? [queries as number[]] : Float32Array.from(queries as number[]);
  }
  return queries as Embeddings;
}

function searchParameters(params: SearchParams | undefined): SearchParams {
  if (params === undefined) return {};
  const { ef, exact } = params;
  if (ef !== undefined && (!Number.isSafeInteger(ef) || ef < 1)) {
    throw new ChromaValueError(`Expected 'searchParams.ef' to be a positive integer, but got ${String(ef)}`);
  }
  if (exact !== undefined && typeof exact !== "boolean") {
    throw new ChromaValueError(`Expected 'searchParams.exact' to be a boolean, but got ${typeof exact}`);
  }
  return { ef, exact };
}

/** Runs a query that the signal stops. The listener is gone when the query has settled. */
async function cancellable(
  native: NativeCollection,
  queries: Float32Array,
  dimension: number,
  request: string,
  signal: AbortSignal,
): Promise<NativeReply> {
  signal.throwIfAborted();
  const cancel = new (binding().NativeCancel)();
  const onAbort = (): void => cancel.cancel();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await native.query(queries, dimension, request, cancel);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
