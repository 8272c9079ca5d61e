/** A database behind HTTP, as clients see it. */
import type { Collection } from "../collection.js";
import type { CollectionArgs, CollectionJson, CollectionRequest, Connection, Scope } from "../connection.js";
import { ChromaValueError } from "../errors.js";
import { badReply, checkObject } from "../reply-columns.js";
import type { SnapshotProgress } from "../snapshot.js";
import type { Database, DatabaseStats, PreflightChecks, UserIdentity } from "../types.js";
import type { Endpoint } from "./endpoint.js";
import { HttpTransport, type RequestParts } from "./http-transport.js";
import { RemoteCollection } from "./remote-collection.js";
import { readCollection } from "./wire-collection.js";
import { wireMetadata } from "./wire-records.js";

/** A server that speaks Chroma's API v2. */
export class RemoteConnection implements Connection {
  readonly handle = undefined;
  readonly transport: HttpTransport;

  constructor(endpoint: Endpoint) {
    this.transport = new HttpTransport(endpoint);
  }

  async heartbeat(): Promise<number> {
    const answer = await this.object("GET", ["heartbeat"]);
    return answer["nanosecond heartbeat"] as number;
  }

  async version(): Promise<string> {
    return this.transport.request("GET", ["version"]);
  }

  async identity(): Promise<UserIdentity> {
    return (await this.object("GET", ["auth", "identity"])) as unknown as UserIdentity;
  }

  async preflightChecks(): Promise<PreflightChecks> {
    return (await this.object("GET", ["pre-flight-checks"])) as unknown as PreflightChecks;
  }

  async stats(): Promise<DatabaseStats> {
    throw new ChromaValueError("stats() is for local databases only: this client speaks to a server");
  }

  async reset(): Promise<void> {
    await this.transport.request("POST", ["reset"]);
  }

  async snapshot(): Promise<SnapshotProgress> {
    throw new ChromaValueError("snapshot() is for local databases only: this client speaks to a server");
  }

  async createTenant(name: string): Promise<void> {
    await this.transport.request("POST", ["tenants"], { body: { name } });
  }

  async getTenant(name: string): Promise<string> {
    return (await this.object("GET", ["tenants", name])).name as string;
  }

  async createDatabase(tenant: string, name: string): Promise<void> {
    await this.transport.request("POST", ["tenants", tenant, "databases"], { body: { name } });
  }

  async getDatabase(tenant: string, name: string): Promise<Database> {
    return this.transport.request("GET", ["tenants", tenant, "databases", name]);
  }

  async deleteDatabase(tenant: string, name: string): Promise<void> {
    await this.transport.request("DELETE", ["tenants", tenant, "databases", name]);
  }

  async listDatabases(tenant: string, limit: number, offset: number): Promise<Database[]> {
    return this.transport.request("GET", ["tenants", tenant, "databases"], { query: { limit, offset } });
  }

  async countCollections(scope: Scope): Promise<number> {
    return this.transport.request("GET", [...databasePath(scope), "collections_count"]);
  }

  async listCollections(scope: Scope, limit: number, offset: number): Promise<CollectionJson[]> {
    const path = collectionsPath(scope);
    const answer = await this.transport.request<unknown>("GET", path, { query: { limit, offset } });
    if (!Array.isArray(answer)) throw badReply(path.join("/"), "it is not a list");
    return answer.map((json) => readCollection(json, path.join("/")));
  }

  async createCollection(scope: Scope, request: () => Promise<CollectionRequest>): Promise<CollectionJson> {
    const { name, metadata, configuration, schema, getOrCreate } = await request();
    return this.described("POST", collectionsPath(scope), {
      body: {
        name,
        configuration,
        metadata: metadata && wireMetadata(metadata),
        schema: schema?.serializeToJSON(),
        get_or_create: getOrCreate,
      },
    });
  }

  async getCollection(scope: Scope, name: string): Promise<CollectionJson> {
    return this.described("GET", collectionsPath(scope, name));
  }

  async getCollectionById(scope: Scope, id: string): Promise<CollectionJson> {
    return this.described("GET", collectionsPath(scope, "by-id", id));
  }

  async getCollectionByCrn(crn: string): Promise<CollectionJson> {
    return this.described("GET", ["collections", crn]);
  }

  async deleteCollection(scope: Scope, name: string): Promise<void> {
    await this.transport.request("DELETE", collectionsPath(scope, name));
  }

  collection(args: CollectionArgs): Collection {
    return new RemoteCollection(this.transport, args);
  }

  /** The collection that the answer describes. */
  private async described(method: "GET" | "POST", path: string[], parts?: RequestParts): Promise<CollectionJson> {
    return readCollection(await this.transport.request<unknown>(method, path, parts), path.join("/"));
  }

  private async object(method: "GET", path: string[]): Promise<Record<string, unknown>> {
    return checkObject(await this.transport.request<unknown>(method, path), path.join("/"));
  }

  /** Nothing to do: connections are kept and closed by `fetch`. */
  async close(): Promise<void> {}
}

function databasePath({ tenant, database }: Scope): string[] {
  return ["tenants", tenant, "databases", database];
}

function collectionsPath(scope: Scope, ...rest: string[]): string[] {
  return [...databasePath(scope), "collections", ...rest];
}
