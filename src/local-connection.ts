/** A database in process, as clients see it. */
import type { Collection } from "./collection.js";
import { settle } from "./configuration.js";
import type { CollectionArgs, CollectionJson, CollectionRequest, Connection, Scope } from "./connection.js";
import type { DatabaseHandle } from "./database.js";
import { ChromaServerError } from "./errors.js";
import { LocalCollection, MAX_BATCH_SIZE } from "./local-collection.js";
import { validateDatabaseName, validateName, validateTenantName } from "./names.js";
import { buildInfo, toError, toU32 } from "./native.js";
import { encodableMetadata } from "./requests.js";
import { type SnapshotOptions, type SnapshotProgress, takeSnapshot } from "./snapshot.js";
import type { Database, DatabaseStats, PreflightChecks, UserIdentity } from "./types.js";

/** A database in process. */
export class LocalConnection implements Connection {
  readonly handle: DatabaseHandle;

  constructor(handle: DatabaseHandle) {
    this.handle = handle;
  }

  async heartbeat(): Promise<number> {
    await this.handle.open();
    return Date.now() * 1e6;
  }

  async version(): Promise<string> {
    return buildInfo().version;
  }

  async identity({ tenant = "", database }: Partial<Scope>): Promise<UserIdentity> {
    return { user_id: "", tenant, databases: database === undefined ? [] : [database] };
  }

  async preflightChecks(): Promise<PreflightChecks> {
    return { max_batch_size: MAX_BATCH_SIZE, supports_base64_encoding: true };
  }

  async stats(): Promise<DatabaseStats> {
    return JSON.parse(await this.handle.call("stats", (native) => native.stats()));
  }

  async reset(): Promise<void> {
    await this.handle.call("reset", (native) => native.reset());
  }

  async snapshot(path: string | URL, options: SnapshotOptions): Promise<SnapshotProgress> {
    return this.handle.beforeClosing(async (open) => takeSnapshot(await open(), path, options));
  }

  async createTenant(name: string): Promise<void> {
    validateTenantName(name, "tenants");
    await this.handle.call("tenants", (native) => native.createTenant(name));
  }

  async getTenant(name: string): Promise<string> {
    return JSON.parse(await this.handle.call(`tenants/${name}`, (native) => native.getTenant(name))).name;
  }

  async createDatabase(tenant: string, name: string): Promise<void> {
    const route = `tenants/${tenant}/databases`;
    validateDatabaseName(name, route);
    validateName(name, route);
    await this.handle.call(route, (native) => native.createDatabase(tenant, name));
  }

  async getDatabase(tenant: string, name: string): Promise<Database> {
    const route = databaseRoute(tenant, name);
    return JSON.parse(await this.handle.call(route, (native) => native.getDatabase(tenant, name)));
  }

  async deleteDatabase(tenant: string, name: string): Promise<void> {
    await this.handle.call(databaseRoute(tenant, name), (native) => native.deleteDatabase(tenant, name));
  }

  async listDatabases(tenant: string, limit: number, offset: number): Promise<Database[]> {
    const text = await this.handle.call(`tenants/${tenant}/databases`, (native) =>
      native.listDatabases(tenant, toU32(limit), toU32(offset)),
    );
    return JSON.parse(text);
  }

  async countCollections({ tenant, database }: Scope): Promise<number> {
    return this.handle.call("collections_count", (native) => native.countCollections(tenant, database));
  }

  async listCollections({ tenant, database }: Scope, limit: number, offset: number): Promise<CollectionJson[]> {
    const text = await this.handle.call("collections", (native) =>
      native.listCollections(tenant, database, toU32(limit), toU32(offset)),
    );
    return JSON.parse(text);
  }

  createCollection(scope: Scope, request: () => Promise<CollectionRequest>): Promise<CollectionJson> {
    const route = "collections";
    return this.handle.beforeClosing(async (open) => {
      const { name, metadata, configuration, schema, getOrCreate } = await request();
      validateName(name, route);
      const stored = metadata && encodableMetadata(metadata, route);
      const settings = settle(configuration, stored, schema?.serializeToJSON(), route);
      const text = JSON.stringify({
        name,
        ...scope,
        metadata: stored ?? null,
        configuration: settings.configuration,
        schema: settings.schema,
        get_or_create: getOrCreate,
      });
      const native = await open();
      try {
        return JSON.parse(await native.createCollection(text));
      } catch (failure) {
        throw toError(failure, route);
      }
    });
  }

  async getCollection({ tenant, database }: Scope, name: string): Promise<CollectionJson> {
    const text = await this.handle.call(`collections/${name}`, (native) =>
      native.getCollection(tenant, database, name),
    );
    return JSON.parse(text);
  }

  async getCollectionById(_scope: Scope, id: string): Promise<CollectionJson> {
    return JSON.parse(await this.handle.call(`collections/${id}`, (native) => native.getCollectionById(id)));
  }

  async getCollectionByCrn(_crn: string): Promise<CollectionJson> {
    throw new ChromaServerError(
      "getCollectionByCrn() is for Chroma Cloud only; use getCollection() or getCollectionById()",
    );
  }

  async deleteCollection({ tenant, database }: Scope, name: string): Promise<void> {
    await this.handle.call(`collections/${name}`, (native) => native.deleteCollection(tenant, database, name));
  }

  collection(args: CollectionArgs): Collection {
    return new LocalCollection(this.handle, args);
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}

/** Where a database is, its name checked. */
function databaseRoute(tenant: string, name: string): string {
  const route = `tenants/${tenant}/databases/${name}`;
  validateDatabaseName(name, route);
  return route;
}
