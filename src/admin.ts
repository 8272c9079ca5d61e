import { ChromaClient } from "./client.js";
import { connect } from "./connect.js";
import type { Connection } from "./connection.js";
import type { DatabaseOptions } from "./database.js";
import { ChromaValueError } from "./errors.js";
import type { ServerArgs } from "./remote/endpoint.js";
import type { Database } from "./types.js";
import { validateCount } from "./validate.js";

/** Arguments of {@link AdminClient}: a folder or a server. */
export interface AdminClientArgs extends DatabaseOptions, ServerArgs {
  /** Folder of the database, or the URL of a server. Undefined: the server at `host` and `port`. */
  path?: string | URL | undefined;
}

/** Arguments of {@link AdminClient.listDatabases}. */
export interface ListDatabasesArgs {
  /** Tenant whose databases are listed. */
  tenant: string;
  /** Most databases. Default 100. */
  limit?: number | null | undefined;
  /** Databases to skip. Default 0. */
  offset?: number | null | undefined;
}

/**
 * Manages tenants and databases.
 *
 * @example
 * ```ts
 * const admin = new AdminClient(client);
 * await admin.createDatabase({ name: "archive", tenant: "default_tenant" });
 * ```
 */
export class AdminClient {
  private readonly connection: Connection;
  private readonly ownsConnection: boolean;

  /**
   * @param target - A folder, a server, or a client whose database is managed: the only way to one in memory. Without one, the
   *   server at `localhost:8000`, as in Chroma.
   */
  constructor(target: AdminClientArgs | ChromaClient = {}) {
    this.ownsConnection = !(target instanceof ChromaClient);
    this.connection = target instanceof ChromaClient ? target.connection : connect(target);
  }

  /**
   * Creates a database.
   *
   * @param args - Its name, and the tenant that is to own it.
   * @throws ChromaUniqueError when the tenant has one of that name.
   */
  async createDatabase({ name, tenant }: { name: string; tenant: string }): Promise<void> {
    requireString("name", name);
    requireString("tenant", tenant);
    await this.connection.createDatabase(tenant, name);
  }

  /**
   * Looks a database up.
   *
   * @param args - Its name and tenant.
   * @returns Its id, name and tenant.
   * @throws ChromaNotFoundError when there is none.
   */
  async getDatabase({ name, tenant }: { name: string; tenant: string }): Promise<Database> {
    requireString("name", name);
    requireString("tenant", tenant);
    return this.connection.getDatabase(tenant, name);
  }

  /**
   * Deletes a database with all its collections.
   *
   * @param args - Its name and tenant.
   * @throws ChromaNotFoundError when there is none.
   */
  async deleteDatabase({ name, tenant }: { name: string; tenant: string }): Promise<void> {
    requireString("name", name);
    requireString("tenant", tenant);
    await this.connection.deleteDatabase(tenant, name);
  }

  /**
   * Lists the databases of a tenant, by name.
   *
   * @param args - The tenant, and which page; default the first 100.
   * @returns The databases.
   */
  async listDatabases(args: ListDatabasesArgs): Promise<Database[]> {
    const { tenant } = args;
    const limit = args.limit ?? 100;
    const offset = args.offset ?? 0;
    requireString("tenant", tenant);
    validateCount("limit", limit);
    validateCount("offset", offset);
    return this.connection.listDatabases(tenant, limit, offset);
  }

  /**
   * Creates a tenant.
   *
   * @param args - Its name.
   * @throws ChromaUniqueError when there is one of that name.
   */
  async createTenant({ name }: { name: string }): Promise<void> {
    requireString("name", name);
    await this.connection.createTenant(name);
  }

  /**
   * Looks a tenant up.
   *
   * @param args - Its name.
   * @returns The name.
   * @throws ChromaNotFoundError when there is none.
   */
  async getTenant({ name }: { name: string }): Promise<string> {
    requireString("name", name);
    return this.connection.getTenant(name);
  }

  /** Closes the database if this client opened it; one that was made on another client leaves that open. */
  async close(): Promise<void> {
    if (this.ownsConnection) await this.connection.close();
  }

  /** As {@link AdminClient.close}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function requireString(argument: string, value: unknown): void {
  if (typeof value !== "string") {
    throw new ChromaValueError(`Expected '${argument}' to be a string, but got ${typeof value}`);
  }
}
