import type { Collection } from "./collection.js";
import { CollectionHandle } from "./collection-handle.js";
import {
  type CompactArgs,
  type CompactionProgress,
  checkCompactArgs,
  type DatabaseCompactionProgress,
} from "./compaction.js";
import { type CreateCollectionConfiguration, processCreateCollectionConfig } from "./configuration.js";
import { connect } from "./connect.js";
import type { CollectionJson, CollectionRequest, Connection, Scope } from "./connection.js";
import { type DatabaseHandle, type DatabaseOptions, resolvePath } from "./database.js";
import type { EmbeddingFunction } from "./embedding-function.js";
import { ChromaNotFoundError, ChromaUnauthorizedError, ChromaValueError } from "./errors.js";
import { type LenientOptions, type LenientRules, lenientCollectionMetadata, lenientRules } from "./lenient.js";
import type { ServerArgs } from "./remote/endpoint.js";
import { RemoteConnection } from "./remote/remote-connection.js";
import {
  type CheckOptions,
  type CheckReport,
  checkDatabase,
  checkOpen,
  type RepairOptions,
  type RepairReport,
  repairDatabase,
} from "./repair.js";
import { validateCollectionMetadata } from "./requests.js";
import type { Schema } from "./schema.js";
import type { SnapshotOptions, SnapshotProgress } from "./snapshot.js";
import type { CollectionMetadata, DatabaseStats, PreflightChecks, UserIdentity } from "./types.js";
import { validateCount } from "./validate.js";

/** Name of the tenant that every database has. */
export const DEFAULT_TENANT = "default_tenant";
/** Name of the database that the default tenant has. */
export const DEFAULT_DATABASE = "default_database";

/** What all clients take. */
export interface ClientOptions {
  /** Default `default_tenant`. */
  tenant?: string | undefined;
  /** Default `default_database`. */
  database?: string | undefined;
  /**
   * Accepts arguments that Chroma refuses: metadata `{}`, filters `{}` or with several keys, nested metadata. True for all of
   * these, or an object of single rules. Default false. Not in Chroma.
   */
  lenient?: boolean | LenientOptions | undefined;
}

/** Arguments of {@link PersistentClient}. */
export interface PersistentClientArgs extends ClientOptions, DatabaseOptions {
  /** Folder of the database, made if it does not exist; relative to the working directory. Default `./chroma`. */
  path?: string | URL | undefined;
}

/** Arguments of {@link EphemeralClient}. */
export interface EphemeralClientArgs extends ClientOptions {
  /**
   * Threads for searches and index building. Default: the number of processors. Where queries with filters come closely one after
   * another, one that helps with them looks for more for up to .3 ms before it sleeps; with one thread, none does.
   */
  threads?: number | undefined;
}

/** Arguments of {@link HttpClient}: where the server is. */
export interface HttpClientArgs extends ClientOptions, ServerArgs {}

/** Arguments of {@link ChromaClient}. */
export interface ChromaClientArgs extends ClientOptions, DatabaseOptions, ServerArgs {
  /**
   * Folder of a local database, made if it does not exist; relative to the working directory. Null: in memory. A URL that
   * begins with `http:` or `https:` is that of a server. Undefined: the server at `host` and `port`.
   */
  path?: string | URL | null | undefined;
}

/** Arguments of `createCollection` and `getOrCreateCollection`. */
export interface CreateCollectionArgs {
  /** 3 to 512 of `[A-Za-z0-9._-]`, a letter or digit at both ends. */
  name: string;
  /** Parameters of the index. */
  configuration?: CreateCollectionConfiguration | undefined;
  /** Metadata of the collection. */
  metadata?: CollectionMetadata | undefined;
  /**
   * Embeds documents and query texts. Undefined: Chroma's default function, {@link DefaultEmbeddingFunction}, whose model is
   * loaded only when a text must be embedded. Null: none.
   */
  embeddingFunction?: EmbeddingFunction | null | undefined;
  /** Which indexes to keep. */
  schema?: Schema | undefined;
}

/** Arguments of `getCollection`. */
export interface GetCollectionArgs {
  /** Name of the collection. */
  name: string;
  /** Embeds documents and query texts; should be the one that the collection was made with. */
  embeddingFunction?: EmbeddingFunction | undefined;
}

/**
 * A client with the API of Chroma's client. With `path`, the folder of a database, it works in process; with a URL, or with
 * `host` and `port`, it speaks to a server over HTTP. Without arguments it is for the server at `localhost:8000`, as in Chroma.
 *
 * A local database is opened at the first call that needs it. Clients of one folder in one process share it; another process
 * may open it read-only meanwhile.
 *
 * @example
 * ```ts
 * await using client = new ChromaClient({ path: "./my-db" });
 * const collection = await client.getOrCreateCollection({ name: "notes" });
 *
 * const remote = new ChromaClient({ host: "chroma.internal", port: 8000 });
 * ```
 */
export class ChromaClient {
  /** @internal */
  readonly connection: Connection;
  private readonly rules: LenientRules;
  private currentTenant: string | undefined;
  private currentDatabase: string | undefined;
  private resolving: Promise<Scope> | undefined;
  private checks: PreflightChecks | undefined;

  /**
   * @param args - Where the database is.
   * @throws ChromaValueError when an option is not valid, or is for local databases only and a server is asked for.
   */
  constructor(args: ChromaClientArgs = {}) {
    const { tenant = DEFAULT_TENANT, database = DEFAULT_DATABASE } = args;
    this.rules = lenientRules(args.lenient);
    // As in Chroma, the environment counts only where an empty name was given.
    this.currentTenant = tenant || process.env.CHROMA_TENANT;
    this.currentDatabase = database || process.env.CHROMA_DATABASE;
    this.connection = connect(args);
    if (this.connection.handle !== undefined) {
      this.currentTenant ||= DEFAULT_TENANT;
      this.currentDatabase ||= DEFAULT_DATABASE;
    }
  }

  /**
   * The database in process.
   *
   * @throws ChromaValueError when the client speaks to a server.
   * @internal
   */
  get handle(): DatabaseHandle {
    const { handle } = this.connection;
    if (handle === undefined) {
      throw new ChromaValueError("This needs a local database, but the client speaks to a server: give it a `path`");
    }
    return handle;
  }

  /** Tenant of the client; undefined until a server has told it. */
  get tenant(): string | undefined {
    return this.currentTenant;
  }

  /** Database of the client; undefined until a server has told it. */
  get database(): string | undefined {
    return this.currentDatabase;
  }

  /** Headers that go with every request to a server; undefined when there are none, and in process. */
  get headers(): Record<string, string> | undefined {
    return this.connection instanceof RemoteConnection ? this.connection.transport.headers : undefined;
  }

  /** What {@link ChromaClient.getPreflightChecks} answered; undefined before it was called. */
  get preflightChecks(): PreflightChecks | undefined {
    return this.checks;
  }

  /**
   * Asks whether the database answers; a local one is opened if it is not open yet.
   *
   * @returns The time in nanoseconds since 1970.
   */
  async heartbeat(): Promise<number> {
    return this.connection.heartbeat();
  }

  /**
   * Version of the database engine, or of the server's API.
   *
   * @returns `major.minor.patch`
   */
  async version(): Promise<string> {
    return this.connection.version();
  }

  /**
   * Who the client is, in Chroma's terms.
   *
   * @returns The user as the server knows it; in process, the client's tenant and database.
   */
  async getUserIdentity(): Promise<UserIdentity> {
    const tenant = this.currentTenant;
    const database = this.currentDatabase;
    return this.connection.identity({
      ...(tenant !== undefined && { tenant }),
      ...(database !== undefined && { database }),
    });
  }

  /**
   * What a client may send at once. Asked once.
   *
   * @returns The limits.
   */
  async getPreflightChecks(): Promise<PreflightChecks> {
    this.checks ??= await this.connection.preflightChecks();
    return this.checks;
  }

  /**
   * Most records in one call of add, update or upsert.
   *
   * @returns 100,000 in process; what the server says, or -1 when it says nothing.
   */
  async getMaxBatchSize(): Promise<number> {
    return (await this.getPreflightChecks()).max_batch_size ?? -1;
  }

  /**
   * Whether vectors may travel as base64.
   *
   * @returns True in process, where they do not travel as text; otherwise what the server says.
   */
  async supportsBase64Encoding(): Promise<boolean> {
    return (await this.getPreflightChecks()).supports_base64_encoding ?? false;
  }

  /**
   * What a local database has open and holds in memory. Not in Chroma.
   *
   * @returns The present figures, and counters since the database was opened.
   */
  async stats(): Promise<DatabaseStats> {
    return this.connection.stats();
  }

  /**
   * Compacts every collection of the client's database, one after the other; see {@link Collection.compact}. For local databases
   * only. Not in Chroma.
   *
   * @param args - Who is told of the progress, how it is stopped, and whether nothing at all may remain of deleted records.
   * @throws DiskSpaceError when the volume has too little space for the next collection.
   */
  async compact(args: CompactArgs<DatabaseCompactionProgress> = {}): Promise<void> {
    checkCompactArgs(args);
    if (this.connection.handle === undefined) {
      throw new ChromaValueError("compact() is for local databases only: this client's database is on a server");
    }
    const { onProgress, signal, secure } = args;
    const collections = await this.within(async (scope) => {
      const total = await this.connection.countCollections(scope);
      return this.connection.listCollections(scope, total, 0);
    });
    for (const [collectionsDone, json] of collections.entries()) {
      signal?.throwIfAborted();
      const place = { collection: json.name, collectionsDone, collectionsTotal: collections.length };
      const told = onProgress && {
        onProgress: (progress: CompactionProgress) => onProgress({ ...progress, ...place }),
      };
      try {
        await this.collectionOf(json).compact({ signal, secure, ...told });
      } catch (error) {
        // It was deleted meanwhile, and with it everything that was to be compacted.
        if (!(error instanceof ChromaNotFoundError)) throw error;
      }
    }
  }

  /**
   * Makes a consistent copy of the whole database, of all tenants, while it is written to: all writes that were acknowledged before
   * the call are in it. A snapshot is itself a database. Files are linked where the file system can, so that it takes little time
   * and space; a database in memory is written to files. For local databases only. Not in Chroma.
   *
   * @param path - Folder of the snapshot, empty or missing. It appears when the snapshot is complete and on the medium.
   * @param options - Progress and cancellation.
   * @returns What was copied.
   * @throws ChromaClientError when the folder is not empty, ChromaValueError when the client speaks to a server.
   *
   * @example
   * ```ts
   * await client.snapshot(`./backups/${new Date().toISOString().slice(0, 10)}`);
   * ```
   */
  async snapshot(path: string | URL, options: SnapshotOptions = {}): Promise<SnapshotProgress> {
    return this.connection.snapshot(path, options);
  }

  /**
   * Checks every block of every file of a local database against its checksum, and the files against one another. Also where damage
   * keeps the database from being opened. Not in Chroma.
   *
   * @param options - Who is told of progress, and what ends it.
   * @returns What was found, of all tenants. Damage is no error.
   * @throws ChromaValueError when the client speaks to a server.
   */
  async check(options: CheckOptions = {}): Promise<CheckReport> {
    const { handle } = this;
    if (handle.path !== null) return checkDatabase(handle.path, options);
    return checkOpen(await handle.open(), options);
  }

  /**
   * Repairs a local database, as {@link repairDatabase} does. It is closed meanwhile: calls of this client wait. Not in Chroma.
   *
   * @param options - Whether to change anything, who is told of progress, and what ends it.
   * @returns What was done.
   * @throws DatabaseLockedError when another client has the database open; ChromaValueError when there are no files.
   */
  async repair(options: RepairOptions = {}): Promise<RepairReport> {
    const { handle } = this;
    const { path } = handle;
    if (path === null) throw new ChromaValueError("A database in memory has no files that could be repaired");
    return handle.whileClosed(() => repairDatabase(path, options));
  }

  /** Deletes everything: all tenants, databases and collections. Servers mostly refuse it. */
  async reset(): Promise<void> {
    await this.connection.reset();
  }

  /**
   * Counts the collections.
   *
   * @returns Number of collections in the client's database.
   */
  async countCollections(): Promise<number> {
    return this.within((scope) => this.connection.countCollections(scope));
  }

  /**
   * Lists collections, in order of their ids.
   *
   * @param args - Which page; default the first 100.
   * @returns The collections.
   */
  async listCollections(
    args: { limit?: number | null | undefined; offset?: number | null | undefined } = {},
  ): Promise<Collection[]> {
    const limit = args.limit ?? 100;
    const offset = args.offset ?? 0;
    validateCount("limit", limit);
    validateCount("offset", offset);
    const listed = await this.within((scope) => this.connection.listCollections(scope, limit, offset));
    return listed.map((json) => this.collectionOf(json));
  }

  /**
   * Creates a collection.
   *
   * @param args - Name, and how it is to be.
   * @returns The collection.
   * @throws ChromaUniqueError when the name is taken; ChromaClientError when an argument breaks a rule.
   */
  async createCollection(args: CreateCollectionArgs): Promise<Collection> {
    return this.create(args, false);
  }

  /**
   * Gets a collection, creating it if it does not exist. An existing one keeps its metadata and configuration.
   *
   * @param args - Name, and how it is to be if it is created.
   * @returns The collection.
   */
  async getOrCreateCollection(args: CreateCollectionArgs): Promise<Collection> {
    return this.create(args, true);
  }

  /**
   * Gets a collection by name.
   *
   * @param args - Name, and the embedding function if it cannot be found by what is stored.
   * @returns The collection.
   * @throws ChromaNotFoundError when there is none.
   */
  async getCollection({ name, embeddingFunction }: GetCollectionArgs): Promise<Collection> {
    requireString("name", name);
    const json = await this.within((scope) => this.connection.getCollection(scope, name));
    return this.collectionOf(json, embeddingFunction);
  }

  /**
   * Gets a collection by id.
   *
   * @param id - UUID of the collection.
   * @returns The collection.
   * @throws ChromaNotFoundError when there is none; ChromaClientError when it is not a UUID.
   */
  async getCollectionById(id: string): Promise<Collection> {
    requireString("id", id);
    return this.collectionOf(await this.within((scope) => this.connection.getCollectionById(scope, id)));
  }

  /**
   * Gets a collection by its resource name, which Chroma Cloud gives. Refused in process.
   *
   * @param crn - `tenant_resource_name:database:collection`
   * @returns The collection.
   */
  async getCollectionByCrn(crn: string): Promise<Collection> {
    requireString("crn", crn);
    return this.collectionOf(await this.connection.getCollectionByCrn(crn));
  }

  /**
   * Gets several collections.
   *
   * @param items - Names, or names with embedding functions.
   * @returns The collections, in the order of `items`.
   * @throws ChromaNotFoundError when one does not exist.
   */
  async getCollections(items: string[] | GetCollectionArgs[]): Promise<Collection[]> {
    return Promise.all(items.map((item) => this.getCollection(typeof item === "string" ? { name: item } : item)));
  }

  /**
   * A collection by its id, without looking it up.
   *
   * @param id - UUID of the collection.
   * @returns A collection that works on vectors only.
   * @throws ChromaValueError when the client's tenant and database are not known yet.
   */
  collection(id: string): CollectionHandle {
    const tenant = this.currentTenant;
    const database = this.currentDatabase;
    if (!tenant || !database) {
      throw new ChromaValueError(
        "tenant and database must be set before calling collection(). Provide them to the client's constructor, or call a method that resolves them first",
      );
    }
    const unknown = { name: "", metadata: null, configuration_json: {}, schema: null };
    return new CollectionHandle(
      this.connection.collection({ client: this, json: { id, tenant, database, ...unknown }, rules: this.rules }),
    );
  }

  /**
   * Deletes a collection with all its records.
   *
   * @param args - Name of the collection.
   * @throws ChromaNotFoundError when there is none.
   */
  async deleteCollection({ name }: { name: string }): Promise<void> {
    requireString("name", name);
    await this.within((scope) => this.connection.deleteCollection(scope, name));
  }

  /**
   * Closes a local database for this client; when it is the last one in the process, everything is written out and the folder
   * is free for other processes. Waits for the changes asked for before, also for their embedding functions. Calls made after
   * this reject with {@link DatabaseClosedError}. Does nothing for a server. Not in Chroma.
   */
  async close(): Promise<void> {
    await this.connection.close();
  }

  /** As {@link ChromaClient.close}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * For `using`: starts closing, and cannot wait for the end of it. A failure to close is an unhandled rejection; prefer
   * `await using`.
   */
  [Symbol.dispose](): void {
    void this.close();
  }

  /**
   * Calls with the client's tenant and database, at once where they are known, so that closing the client waits for it; those
   * that were not given are what the server says of the user.
   */
  private async within<T>(use: (scope: Scope) => Promise<T>): Promise<T> {
    const tenant = this.currentTenant;
    const database = this.currentDatabase;
    if (tenant && database) return use({ tenant, database });
    this.resolving ??= this.resolveScope();
    try {
      return await use(await this.resolving);
    } finally {
      this.resolving = undefined;
    }
  }

  private async resolveScope(): Promise<Scope> {
    const { tenant, databases } = await this.getUserIdentity();
    const [database, ...others] = new Set(databases);
    if (database === undefined) {
      throw new ChromaUnauthorizedError(`Your API key does not have access to any DBs for tenant ${tenant}`);
    }
    if (others.length > 0 || database === "*") {
      throw new ChromaValueError(
        "Your API key is scoped to more than 1 DB. Please provide a DB name to the CloudClient constructor",
      );
    }
    this.currentTenant = tenant;
    this.currentDatabase = database;
    return { tenant, database };
  }

  private collectionOf(json: CollectionJson, embeddingFunction?: EmbeddingFunction | null): Collection {
    return this.connection.collection({
      client: this,
      json,
      embeddingFunction: embeddingFunction ?? undefined,
      rules: this.rules,
    });
  }

  private async create(args: CreateCollectionArgs, getOrCreate: boolean): Promise<Collection> {
    const { name, schema, embeddingFunction } = args;
    const request = async (): Promise<CollectionRequest> => {
      const metadata = lenientCollectionMetadata(args.metadata, this.rules);
      const configuration = await processCreateCollectionConfig(args);
      if (metadata) validateCollectionMetadata(metadata);
      return { name, metadata, configuration, schema, getOrCreate };
    };
    const json = await this.within((scope) => this.connection.createCollection(scope, request));
    return this.collectionOf(json, embeddingFunction ?? args.configuration?.embeddingFunction);
  }
}

function requireString(argument: string, value: unknown): void {
  if (typeof value !== "string") {
    throw new ChromaValueError(`Expected '${argument}' to be a string, but got ${typeof value}`);
  }
}

/** A client class that also works without `new`, as Chroma's Python clients do. */
export interface CallableClient<Args> {
  /** Makes a client. */
  new (args?: Args): ChromaClient;
  /** Makes a client. */
  (args?: Args): ChromaClient;
  /** For `instanceof`. */
  readonly prototype: ChromaClient;
}

function callable<Args>(clientClass: new (args?: Args) => ChromaClient): CallableClient<Args> {
  const withoutNew = { apply: (_target: unknown, _this: unknown, [args]: [Args?]) => new clientClass(args) };
  return new Proxy(clientClass, withoutNew) as unknown as CallableClient<Args>;
}

/**
 * A client of the database in a folder. Works with and without `new`.
 *
 * @example
 * ```ts
 * const client = PersistentClient({ path: "./my-db" });
 * const collection = await client.createCollection({ name: "notes", embeddingFunction: null });
 * await collection.add({ ids: ["a"], embeddings: [[1, 2, 3]] });
 * await client.close();
 * ```
 */
export const PersistentClient: CallableClient<PersistentClientArgs> = callable(
  class PersistentClient extends ChromaClient {
    constructor(args: PersistentClientArgs = {}) {
      super({ ...args, path: resolvePath(args.path ?? "./chroma") });
    }
  },
);

/** A client of the database in a folder. */
export type PersistentClient = ChromaClient;

/**
 * A client of a new, empty database in memory, gone when the client is closed. Works with and without `new`.
 *
 * @example
 * ```ts
 * const client = EphemeralClient();
 * ```
 */
export const EphemeralClient: CallableClient<EphemeralClientArgs> = callable(
  class EphemeralClient extends ChromaClient {
    constructor(args: EphemeralClientArgs = {}) {
      super({ ...args, path: null });
    }
  },
);

/** A client of a database in memory. */
export type EphemeralClient = ChromaClient;

/**
 * A client of a server that speaks Chroma's API v2. Works with and without `new`.
 *
 * @example
 * ```ts
 * const client = HttpClient({ host: "localhost", port: 8000 });
 * ```
 */
export const HttpClient: CallableClient<HttpClientArgs> = callable(class HttpClient extends ChromaClient {});

/** A client of a server. */
export type HttpClient = ChromaClient;
