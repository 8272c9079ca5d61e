/** What clients ask of a database, whether it is in process or behind HTTP. */
import type { ChromaClient } from "./client.js";
import type { Collection } from "./collection.js";
import type { CollectionConfiguration } from "./configuration.js";
import type { DatabaseHandle } from "./database.js";
import type { EmbeddingFunction } from "./embedding-function.js";
import type { LenientRules } from "./lenient.js";
import type { Schema } from "./schema.js";
import type { SchemaJson } from "./schema-json.js";
import type { SnapshotOptions, SnapshotProgress } from "./snapshot.js";
import type { CollectionMetadata, Database, DatabaseStats, PreflightChecks, UserIdentity } from "./types.js";

/** A database of a tenant. */
export interface Scope {
  tenant: string;
  database: string;
}

/** A collection as the database describes it. */
export interface CollectionJson {
  id: string;
  name: string;
  tenant: string;
  database: string;
  metadata: CollectionMetadata | null;
  configuration_json: CollectionConfiguration;
  schema: SchemaJson | null;
}

/** A collection to be. */
export interface CollectionRequest {
  name: string;
  metadata: CollectionMetadata | undefined;
  configuration: CollectionConfiguration;
  schema: Schema | undefined;
  getOrCreate: boolean;
}

/** What a collection object starts from. */
export interface CollectionArgs {
  client: ChromaClient;
  json: CollectionJson;
  embeddingFunction?: EmbeddingFunction | undefined;
  rules: LenientRules;
}

/** A database in process or behind HTTP. Arguments were checked. */
export interface Connection {
  /** The database in process; undefined behind HTTP. */
  readonly handle: DatabaseHandle | undefined;
  heartbeat(): Promise<number>;
  version(): Promise<string>;
  /** Who the client is; in process, whoever works in `scope`. */
  identity(scope: Partial<Scope>): Promise<UserIdentity>;
  preflightChecks(): Promise<PreflightChecks>;
  stats(): Promise<DatabaseStats>;
  reset(): Promise<void>;
  snapshot(path: string | URL, options: SnapshotOptions): Promise<SnapshotProgress>;

  createTenant(name: string): Promise<void>;
  getTenant(name: string): Promise<string>;
  createDatabase(tenant: string, name: string): Promise<void>;
  getDatabase(tenant: string, name: string): Promise<Database>;
  deleteDatabase(tenant: string, name: string): Promise<void>;
  listDatabases(tenant: string, limit: number, offset: number): Promise<Database[]>;

  countCollections(scope: Scope): Promise<number>;
  listCollections(scope: Scope, limit: number, offset: number): Promise<CollectionJson[]>;
  /** `request` is awaited within what closing waits for, so that its embedding function may take its time. */
  createCollection(scope: Scope, request: () => Promise<CollectionRequest>): Promise<CollectionJson>;
  getCollection(scope: Scope, name: string): Promise<CollectionJson>;
  getCollectionById(scope: Scope, id: string): Promise<CollectionJson>;
  getCollectionByCrn(crn: string): Promise<CollectionJson>;
  deleteCollection(scope: Scope, name: string): Promise<void>;
  collection(args: CollectionArgs): Collection;

  close(): Promise<void>;
}
