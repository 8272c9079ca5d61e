import { BaseCollection } from "./base-collection.js";
import type { Collection, DeleteArgs, GetArgs, ModifyArgs, QueryArgs, WriteArgs } from "./collection.js";
import { type CompactArgs, checkCompactArgs, compactNative } from "./compaction.js";
import { checkUpdate } from "./configuration.js";
import type { CollectionArgs, CollectionJson } from "./connection.js";
import type { DatabaseHandle } from "./database.js";
import { keepMemory, type PackContext, packQueries } from "./embeddings.js";
import { ChromaServerError, ChromaValueError, ReadOnlyError } from "./errors.js";
import type { QueryExplanation } from "./explanation.js";
import { exportFile, type FileExportArgs, type FileExportReport } from "./files/export-file.js";
import { type FileImportArgs, type FileImportReport, importFile } from "./files/import-file.js";
import { idsToLookUp, type NamedIds, NO_IDS, namedIds } from "./id-list.js";
import { lenientCollectionMetadata, leniently, withLenientFilters } from "./lenient.js";
import { validateName } from "./names.js";
import {
  binding,
  type NativeCancel,
  type NativeCollection,
  type NativeDatabase,
  type NativeReply,
  toError,
} from "./native.js";
import { readGetReply, readQueryReply } from "./native-reply.js";
import { encodeQuery } from "./query-request.js";
import {
  encodableMetadata,
  givenQueries,
  recordSetOf,
  validateDelete,
  validateGet,
  validateWrite,
  type WriteKind,
} from "./requests.js";
import type { GetResult, QueryResult } from "./results.js";
import { Schema } from "./schema.js";
import type { SchemaJson } from "./schema-json.js";
import type { SearchLike } from "./search/search.js";
import type { SearchResult } from "./search/search-result.js";
import type { DeleteResult, IndexingStatus, Metadata, ReadLevel } from "./types.js";
import { validateIDs, validateMetadata } from "./validate.js";
import { checkLabel, readVersion, readVersions, type Version, versionNumber } from "./versions.js";
import { stageBatch } from "./write-batch.js";

/** Most records in one call of add, update or upsert. */
export const MAX_BATCH_SIZE = 100_000;

/** A change of the records. */
interface Change<T> {
  /** Checks the arguments, at once. */
  check: () => Promise<void>;
  /** Makes ready what native code gets, in `bytes` bytes of memory, when it is the change's turn. */
  prepare: () => Promise<{ bytes: number; submit: (native: NativeCollection) => Promise<T> }>;
}

/** A collection of a local database. */
export class LocalCollection extends BaseCollection implements Collection {
  private readonly handle: DatabaseHandle;
  /** Where this is a version of the collection, which can only be read. */
  private readonly atVersion: number | undefined;
  private schemaJson: SchemaJson | null;
  private native: NativeCollection | undefined;
  /** The opening of the database that `native` belongs to. */
  private opening = 0;
  /** Settles when the last change was handed to native code. */
  private lastChange: Promise<unknown> = Promise.resolve();

  constructor(handle: DatabaseHandle, args: CollectionArgs, atVersion?: number) {
    super(args);
    this.handle = handle;
    this.atVersion = atVersion;
    this.schemaJson = args.json.schema;
  }

  protected buildSchema(): Schema | undefined {
    return this.schemaJson === null ? undefined : Schema.fromStoredJSON(this.schemaJson, this.client);
  }

  async count(_options?: { readLevel?: ReadLevel | undefined }): Promise<number> {
    const native = this.openNative() ?? (await this.connect());
    try {
      return native.count();
    } catch (failure) {
      throw toError(failure, this.route("count"));
    }
  }

  async get<TMeta extends Metadata = Metadata>(args: GetArgs = {}): Promise<GetResult<TMeta>> {
    const asked = withLenientFilters(args, this.rules);
    const { where, limit, offset, whereDocument, include = ["documents", "metadatas"] } = asked;
    const ids = new IdsOfRequest();
    validateGet(asked, include, ids.check);
    const request = JSON.stringify({
      ids: ids.named.listed,
      where,
      where_document: whereDocument,
      limit: limit ?? undefined,
      offset: offset ?? undefined,
      include,
    });
    const native = this.openNative() ?? (await this.connect());
    let reply: NativeReply;
    try {
      reply = await native.get(request, ids.named.packed);
    } catch (failure) {
      throw toError(failure, this.route("get"));
    }
    return readGetReply<TMeta>(reply, include);
  }

  async query<TMeta extends Metadata = Metadata>(asked: QueryArgs): Promise<QueryResult<TMeta>> {
    const args = withLenientFilters(asked, this.rules);
    const { signal, include = ["metadatas", "documents", "distances"] } = args;
    signal?.throwIfAborted();
    const ids = args.ids ? new IdsOfRequest((named) => idsToLookUp(named, this.present())) : NO_IDS_TO_CHECK;
    const given = givenQueries(args, include, ids.check);
    const embeddings = given.embeddings ?? (await this.embed(args.queryTexts ?? [], true));
    const { memory, dimension } = packQueries(embeddings, given.dimension, this.queryContext());
    const request = encodeQuery(args, ids.named, include);
    const native = this.openNative() ?? (await this.connect());
    const { packed } = ids.named;
    try {
      const reply =
        signal === undefined
          ? await this.handle.queries.ask(native, memory, dimension, request, packed)
          : await cancellable(signal, (cancel) => native.query(memory.vectors, dimension, request, packed, cancel));
      const result = readQueryReply<TMeta>(reply, include, memory.distances);
      keepMemory(memory);
      return result;
    } catch (failure) {
      if (signal?.aborted) throw signal.reason;
      if (packed !== null && args.ids) validateIDs(args.ids);
      throw toError(failure, this.route("query"));
    }
  }

  async explain(asked: QueryArgs): Promise<QueryExplanation> {
    const args = withLenientFilters(asked, this.rules);
    const { include = ["metadatas", "documents", "distances"] } = args;
    const ids = new IdsOfRequest();
    const given = givenQueries(args, include, ids.check);
    const embeddings = given.embeddings ?? (await this.embed(args.queryTexts ?? [], true));
    const { memory, dimension } = packQueries(embeddings, given.dimension, this.queryContext());
    const request = encodeQuery(args, ids.named, include);
    const native = this.openNative() ?? (await this.connect());
    try {
      return JSON.parse(await native.explain(memory.vectors, dimension, request, ids.named.packed));
    } catch (failure) {
      throw toError(failure, this.route("explain"));
    }
  }

  private queryContext(): PackContext {
    return { route: this.route("query"), rowName: queryName };
  }

  async modify(args: ModifyArgs): Promise<void> {
    this.requirePresent("modify()");
    return this.handle.beforeClosing((open) => this.modifyWith(open, args));
  }

  private async modifyWith(
    open: () => Promise<NativeDatabase>,
    { name, metadata: asked, configuration }: ModifyArgs,
  ): Promise<void> {
    const route = this.route("modify");
    const metadata = lenientCollectionMetadata(asked, this.rules);
    if (name) validateName(name, route, "new_name");
    if (metadata) validateMetadata(metadata);
    const newMetadata = metadata && encodableMetadata(metadata, route);
    const change = configuration && (await this.configurationChange(configuration));
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
      this.forgetSchema();
    }
  }

  async delete(args: DeleteArgs = {}): Promise<DeleteResult> {
    const asked = withLenientFilters(args, this.rules);
    const ids = new IdsOfRequest();
    validateDelete(asked, ids.check);
    const { where, whereDocument, limit } = asked;
    const request = JSON.stringify({ ids: ids.named.listed, where, where_document: whereDocument, limit });
    const deleted = await this.handle.beforeClosing((open) =>
      this.inCallOrder("delete", open, {
        check: async () => {},
        prepare: async () => ({
          bytes: request.length + ids.named.bytes,
          submit: (native) => native.delete(request, ids.named.packed),
        }),
      }),
    );
    return { deleted };
  }

  async fork({ name, version }: { name: string; version?: number | string | undefined }): Promise<Collection> {
    const route = this.route("fork");
    validateName(name, route, "new_name");
    if (version !== undefined) this.requirePresent("fork({ version })");
    const number = version === undefined ? this.atVersion : await this.numberOf(version);
    const text = await this.afterWrites(route, (native) => native.forkCollection(this.id, number ?? null, name));
    return new LocalCollection(this.handle, { ...this.args(), json: JSON.parse(text) });
  }

  async forkCount(): Promise<number> {
    return this.handle.call(this.route("fork_count"), (native) => native.forkCount(this.id));
  }

  async createVersion({ label }: { label?: string | undefined } = {}): Promise<Version> {
    this.requirePresent("createVersion()");
    checkLabel(label);
    const route = this.route("versions");
    return readVersion(await this.afterWrites(route, (native) => native.createVersion(this.id, label ?? null)));
  }

  async versions(): Promise<Version[]> {
    return readVersions(await this.handle.call(this.route("versions"), (native) => native.versions(this.id)));
  }

  async at(version: number | string): Promise<Collection> {
    const view = new LocalCollection(this.handle, this.args(), await this.numberOf(version));
    await view.connect();
    return view;
  }

  async deleteVersion(version: number | string): Promise<void> {
    this.requirePresent("deleteVersion()");
    const number = await this.numberOf(version);
    await this.handle.call(this.route("versions"), (native) => native.deleteVersion(this.id, number));
  }

  private numberOf(version: number | string): Promise<number> {
    return versionNumber(version, () => this.versions());
  }

  /** Refuses what is about the collection rather than about one version of it. */
  private requirePresent(operation: string): void {
    if (this.atVersion === undefined) return;
    throw new ReadOnlyError(
      `${operation} needs the collection itself: this is version ${this.atVersion} of it, which can only be read and forked`,
    );
  }

  /** What another object for this collection starts from. */
  private args(): CollectionArgs {
    const { id, tenant, database, name, metadata = null, configuration, schemaJson: schema } = this;
    return {
      client: this.client,
      json: { id, tenant, database, name, metadata, configuration_json: configuration, schema },
      embeddingFunction: this.foundFunction,
      rules: this.rules,
    };
  }

  /** Calls native code when the changes that were asked for before have been handed to it. */
  private afterWrites<T>(route: string, use: (native: NativeDatabase) => Promise<T>): Promise<T> {
    const previous = this.lastChange;
    return this.handle.beforeClosing(async (open) => {
      await previous;
      const native = await open();
      try {
        return await use(native);
      } catch (failure) {
        throw toError(failure, route);
      }
    });
  }

  async search(
    searches: SearchLike | SearchLike[],
    _options?: { readLevel?: ReadLevel | undefined },
  ): Promise<SearchResult> {
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

  async compact(args: CompactArgs = {}): Promise<void> {
    checkCompactArgs(args);
    const native = this.openNative() ?? (await this.connect());
    try {
      await compactNative(native, args);
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

  async export(path: string | URL, args: FileExportArgs = {}): Promise<FileExportReport> {
    return exportFile({ handle: this.handle, id: this.id }, path, withLenientFilters(args, this.rules));
  }

  async import(path: string | URL, args: FileImportArgs = {}): Promise<FileImportReport> {
    return importFile(this.handle, this.id, path, args);
  }

  /** The native collection if it is open, without waiting a turn for it. */
  private openNative(): NativeCollection | undefined {
    if (this.handle.closed) throw this.handle.closedError();
    return this.present();
  }

  /** The native collection, if it is of the present opening of the database. */
  private present(): NativeCollection | undefined {
    return this.opening === this.handle.opened ? this.native : undefined;
  }

  private async connect(): Promise<NativeCollection> {
    return this.handle.call(this.route("open"), (native) => this.openIn(native));
  }

  private async openIn(database: NativeDatabase): Promise<NativeCollection> {
    const opening = this.handle.opened;
    const native = await (this.atVersion === undefined
      ? database.openCollection(this.id)
      : database.openVersion(this.id, this.atVersion));
    this.native = native;
    this.opening = opening;
    return native;
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
      const native = this.present() ?? (await this.openIn(await open()));
      return { done: backlog.during(bytes, submit(native)) };
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

  protected write(kind: WriteKind, asked: WriteArgs): Promise<void> {
    return this.handle.beforeClosing(async (open) => {
      const args = leniently(asked, this.rules);
      const recordSet = recordSetOf(args);
      let { dimension } = args;
      const embeds = !recordSet.embeddings && Boolean(recordSet.documents);
      if (embeds) {
        // Its place among the changes is taken only afterwards: an embedding function may itself write to the collection,
        // and one that never answers holds up nobody else.
        await validateWrite(kind, recordSet, dimension, MAX_BATCH_SIZE);
        recordSet.embeddings = await this.embed(recordSet.documents ?? [], false);
        dimension = undefined;
      }
      await this.inCallOrder(kind, open, {
        check: async () => {
          if (!embeds) await validateWrite(kind, recordSet, dimension, MAX_BATCH_SIZE);
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
}

function ignore(): void {}

function notImplemented(what: string): ChromaServerError {
  return new ChromaServerError(`${what} is not implemented yet in ferrochrome`);
}

function queryName(row: number): string {
  return `query ${row}`;
}

/** The ids that a request names, checked where its other arguments are. */
class IdsOfRequest {
  named: NamedIds = NO_IDS;
  readonly check: (ids: string[]) => void;

  constructor(name = namedIds) {
    this.check = (ids) => {
      this.named = name(ids);
    };
  }
}

/** Of requests that name none. */
const NO_IDS_TO_CHECK = new IdsOfRequest();

/** Runs a query that the signal stops. The listener is gone when the query has settled. */
async function cancellable(
  signal: AbortSignal,
  query: (cancel: NativeCancel) => NativeReply | Promise<NativeReply>,
): Promise<NativeReply> {
  signal.throwIfAborted();
  const cancel = new (binding().NativeCancel)();
  const onAbort = (): void => cancel.cancel();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await query(cancel);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
