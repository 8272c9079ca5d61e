import type { Collection } from "./collection.js";
import { CollectionHandle } from "./collection-handle.js";
import {
  type CollectionConfiguration,
  type CreateCollectionConfiguration,
  processCreateCollectionConfig,
  settle,
} from "./configuration.js";
import { DatabaseHandle, type DatabaseOptions } from "./database.js";
import type { EmbeddingFunction } from "./embedding-function.js";
import { ChromaServerError, ChromaValueError } from "./errors.js";
import { type CollectionJson, encodableMetadata, LocalCollection, MAX_BATCH_SIZE } from "./local-collection.js";
import { validateName } from "./names.js";
import { buildInfo, type NativeDatabase, toError, toU32 } from "./native.js";
import type { Schema } from "./schema.js";
import type { CollectionMetadata, DatabaseStats, PreflightChecks, UserIdentity } from "./types.js";
import { validateCount, validateMetadata } from "./validate.js";

/** Name of the tenant that every database has. */
export const DEFAULT_TENANT = "default_tenant";
/** Name of the database that the default tenant has. */
export const DEFAULT_DATABASE = "default_database";

/** Arguments of {@link PersistentClient}. */
export interface PersistentClientArgs extends DatabaseOptions {
  /** Folder of the database, made if it does not exist; relative to the working directory. Default `./chroma`. */
  path?: string | URL | undefined;
  /** Default `default_tenant`. */
  tenant?: string | undefined;
  /** Default `default_database`. */
  database?: string | undefined;
}

/** Arguments of {@link EphemeralClient}. */
export interface EphemeralClientArgs {
  /** Default `default_tenant`. */
  tenant?: string | undefined;
  /** Default `default_database`. */
  database?: string | undefined;
  /** Threads for searches and index building. Default: the number of processors. */
  threads?: number | undefined;
}

/** Arguments of {@link ChromaClient}. */
export interface ChromaClientArgs extends Omit<PersistentClientArgs, "path"> {
  /** Folder of the database, made if it does not exist; relative to the working directory. Null: in memory. */
  path?: string | URL | null | undefined;
  /** Refused: there is no server to connect to. */
  host?: string | undefined;
  /** Refused: there is no server to connect to. */
  port?: number | undefined;
  /** Refused: there is no server to connect to. */
  ssl?: boolean | undefined;
  /** Ignored: nothing is sent over HTTP. */
  headers?: Record<string, string> | undefined;
  /** Ignored: nothing is sent over HTTP. */
  fetchOptions?: RequestInit | undefined;
  /** Ignored: there are no users in process. */
  auth?: Record<string, string> | undefined;
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
   * Embeds documents and query texts. Undefined: Chroma's default function, whose package `@chroma-core/default-embed` is
   * looked for only when a text must be embedded. Null: none.
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
 * A client of a local database, with the API of Chroma's client. `path` is the folder of the database.
 *
 * The database is opened at the first call that needs it. Clients of one folder in one process share it; another process
 * may open it read-only meanwhile.
 *
 * @example
 * ```ts
 * await using client = new ChromaClient({ path: "./my-db" });
 * const collection = await client.getOrCreateCollection({ name: "notes" });
 * ```
 */
export class ChromaClient {
  /** @internal */
  readonly handle: DatabaseHandle;
  private readonly currentTenant: string;
  private readonly currentDatabase: string;
  private checks: PreflightChecks | undefined;

  /**
   * @param args - `path` must be given.
   * @throws ChromaValueError when a server is asked for instead: a URL, `host`, `port` or `ssl`.
   */
  constructor(args: ChromaClientArgs = {}) {
    const { path, tenant = DEFAULT_TENANT, database = DEFAULT_DATABASE, host, port, ssl } = args;
    if (path === undefined || host !== undefined || port !== undefined || ssl !== undefined) {
      throw new ChromaValueError(
        'ferrochrome runs in process and speaks to no server: give `path`, the folder of a database, or use EphemeralClient() for one in memory. For a server, use the "chromadb" package',
      );
    }
    this.handle = new DatabaseHandle(path, args);
    // As in Chroma, the environment counts only where an empty name was given.
    this.currentTenant = tenant || process.env.CHROMA_TENANT || DEFAULT_TENANT;
    this.currentDatabase = database || process.env.CHROMA_DATABASE || DEFAULT_DATABASE;
  }

  /** Tenant of the client. */
  get tenant(): string | undefined {
    return this.currentTenant;
  }

  /** Database of the client. */
  get database(): string | undefined {
    return this.currentDatabase;
  }

  /** Always undefined: nothing is sent over HTTP. */
  get headers(): Record<string, string> | undefined {
    return undefined;
  }

  /** What {@link ChromaClient.getPreflightChecks} answered; undefined before it was called. */
  get preflightChecks(): PreflightChecks | undefined {
    return this.checks;
  }

  /**
   * Opens the database if it is not open yet.
   *
   * @returns The time in nanoseconds since 1970, as a server tells it.
   */
  async heartbeat(): Promise<number> {
    await this.handle.open();
    return Date.now() * 1e6;
  }

  /**
   * Version of the database engine.
   *
   * @returns `major.minor.patch`
   */
  async version(): Promise<string> {
    return buildInfo().version;
  }

  /**
   * Who the client is, in Chroma's terms.
   *
   * @returns The client's tenant and database.
   */
  async getUserIdentity(): Promise<UserIdentity> {
    return { user_id: "", tenant: this.currentTenant, databases: [this.currentDatabase] };
  }

  /**
   * What a client may send at once.
   *
   * @returns The limits.
   */
  async getPreflightChecks(): Promise<PreflightChecks> {
    this.checks ??= { max_batch_size: MAX_BATCH_SIZE, supports_base64_encoding: true };
    return this.checks;
  }

  /**
   * Most records in one call of add, update or upsert.
   *
   * @returns 100,000.
   */
  async getMaxBatchSize(): Promise<number> {
    return (await this.getPreflightChecks()).max_batch_size;
  }

  /**
   * Whether vectors may travel as base64.
   *
   * @returns True, for compatibility; in process they do not travel as text.
   */
  async supportsBase64Encoding(): Promise<boolean> {
    return (await this.getPreflightChecks()).supports_base64_encoding;
  }

  /**
   * What the database has open and holds in memory. Not in Chroma.
   *
   * @returns The present figures, and counters since the database was opened.
   */
  async stats(): Promise<DatabaseStats> {
    return JSON.parse(await this.handle.call("stats", (native) => native.stats()));
  }

  /** Deletes everything: all tenants, databases and collections. */
  async reset(): Promise<void> {
    await this.handle.call("reset", (native) => native.reset());
  }

  /**
   * Counts the collections.
   *
   * @returns Number of collections in the client's database.
   */
  async countCollections(): Promise<number> {
    return this.handle.call("collections_count", (native) =>
      native.countCollections(this.currentTenant, this.currentDatabase),
    );
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
    const text = await this.handle.call("collections", (native) =>
      native.listCollections(this.currentTenant, this.currentDatabase, toU32(limit), toU32(offset)),
    );
    return (JSON.parse(text) as CollectionJson[]).map((json) => this.collectionOf(json));
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
    if (typeof name !== "string") {
      throw new ChromaValueError(`Expected 'name' to be a string, but got ${typeof name}`);
    }
    const text = await this.handle.call(`collections/${name}`, (native) =>
      native.getCollection(this.currentTenant, this.currentDatabase, name),
    );
    return this.collectionOf(JSON.parse(text), embeddingFunction);
  }

  /**
   * Gets a collection by id.
   *
   * @param id - UUID of the collection.
   * @returns The collection.
   * @throws ChromaNotFoundError when there is none; ChromaClientError when it is not a UUID.
   */
  async getCollectionById(id: string): Promise<Collection> {
    if (typeof id !== "string") {
      throw new ChromaValueError(`Expected 'id' to be a string, but got ${typeof id}`);
    }
    const text = await this.handle.call(`collections/${id}`, (native) => native.getCollectionById(id));
    return this.collectionOf(JSON.parse(text));
  }

  /**
   * Refused: resource names are Chroma Cloud's.
   *
   * @param _crn - A resource name.
   */
  async getCollectionByCrn(_crn: string): Promise<Collection> {
    throw new ChromaServerError(
      "getCollectionByCrn() is for Chroma Cloud only; use getCollection() or getCollectionById()",
    );
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
   */
  collection(id: string): CollectionHandle {
    return new CollectionHandle({
      client: this,
      handle: this.handle,
      id,
      tenant: this.currentTenant,
      database: this.currentDatabase,
    });
  }

  /**
   * Deletes a collection with all its records.
   *
   * @param args - Name of the collection.
   * @throws ChromaNotFoundError when there is none.
   */
  async deleteCollection({ name }: { name: string }): Promise<void> {
    if (typeof name !== "string") {
      throw new ChromaValueError(`Expected 'name' to be a string, but got ${typeof name}`);
    }
    await this.handle.call(`collections/${name}`, (native) =>
      native.deleteCollection(this.currentTenant, this.currentDatabase, name),
    );
  }

  /**
   * Closes the database for this client; when it is the last one in the process, everything is written out and the folder is
   * free for other processes. Waits for the changes asked for before, also for their embedding functions. Calls made after
   * this reject with {@link DatabaseClosedError}. Not in Chroma.
   */
  async close(): Promise<void> {
    await this.handle.close();
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

  private collectionOf(json: CollectionJson, embeddingFunction?: EmbeddingFunction | null): LocalCollection {
    return new LocalCollection({
      client: this,
      handle: this.handle,
      json,
      embeddingFunction: embeddingFunction ?? undefined,
    });
  }

  private create(args: CreateCollectionArgs, getOrCreate: boolean): Promise<Collection> {
    return this.handle.beforeClosing((open) => this.createWith(open, args, getOrCreate));
  }

  private async createWith(
    open: () => Promise<NativeDatabase>,
    args: CreateCollectionArgs,
    getOrCreate: boolean,
  ): Promise<Collection> {
    const { name, metadata, schema, embeddingFunction } = args;
    const route = "collections";
    const asked: CollectionConfiguration = await processCreateCollectionConfig(args);
    validateName(name, route);
    if (metadata) validateCollectionMetadata(metadata);
    const stored = metadata && encodableMetadata(metadata, route);
    const settings = settle(asked, stored, schema?.serializeToJSON(), route);
    const request = JSON.stringify({
      name,
      tenant: this.currentTenant,
      database: this.currentDatabase,
      metadata: stored ?? null,
      configuration: settings.configuration,
      schema: settings.schema,
      get_or_create: getOrCreate,
    });
    const native = await open();
    let text: string;
    try {
      text = await native.createCollection(request);
    } catch (failure) {
      throw toError(failure, route);
    }
    return this.collectionOf(JSON.parse(text), embeddingFunction ?? args.configuration?.embeddingFunction);
  }
}

/** Metadata that are empty are refused with the server's message, later. */
function validateCollectionMetadata(metadata: CollectionMetadata): void {
  if (Object.keys(metadata).length > 0) validateMetadata(metadata);
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
      super({ ...args, path: args.path ?? "./chroma" });
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
