import { ChromaClient } from "./client.js";
import { DatabaseHandle, type DatabaseOptions } from "./database.js";
import { ChromaValueError } from "./errors.js";
import { validateDatabaseName, validateName, validateTenantName } from "./names.js";
import { toU32 } from "./native.js";
import type { Database } from "./types.js";
import { validateCount } from "./validate.js";

/** Arguments of {@link AdminClient}. */
export interface AdminClientArgs extends DatabaseOptions {
  /** Folder of the database. */
  path: string | URL;
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
  private readonly handle: DatabaseHandle;
  private readonly ownsHandle: boolean;

  /** @param target - A folder, or a client whose database is managed: the only way to one in memory. */
  constructor(target: AdminClientArgs | ChromaClient) {
    if (target instanceof ChromaClient) {
      this.handle = target.handle;
      this.ownsHandle = false;
      return;
    }
    if (target?.path === undefined) {
      throw new ChromaValueError("Expected the `path` of a database folder, or a client");
    }
    this.handle = new DatabaseHandle(target.path, target);
    this.ownsHandle = true;
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
    const route = `tenants/${tenant}/databases`;
    validateDatabaseName(name, route);
    validateName(name, route);
    await this.handle.call(route, (native) => native.createDatabase(tenant, name));
  }

  /**
   * Looks a database up.
   *
   * @param args - Its name and tenant.
   * @returns Its id, name and tenant.
   * @throws ChromaNotFoundError when there is none.
   */
  async getDatabase({ name, tenant }: { name: string; tenant: string }): Promise<Database> {
    const route = databaseRoute(name, tenant);
    return JSON.parse(await this.handle.call(route, (native) => native.getDatabase(tenant, name)));
  }

  /**
   * Deletes a database with all its collections.
   *
   * @param args - Its name and tenant.
   * @throws ChromaNotFoundError when there is none.
   */
  async deleteDatabase({ name, tenant }: { name: string; tenant: string }): Promise<void> {
    await this.handle.call(databaseRoute(name, tenant), (native) => native.deleteDatabase(tenant, name));
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
    const route = `tenants/${tenant}/databases`;
    return JSON.parse(
      await this.handle.call(route, (native) => native.listDatabases(tenant, toU32(limit), toU32(offset))),
    );
  }

  /**
   * Creates a tenant.
   *
   * @param args - Its name.
   * @throws ChromaUniqueError when there is one of that name.
   */
  async createTenant({ name }: { name: string }): Promise<void> {
    requireString("name", name);
    validateTenantName(name, "tenants");
    await this.handle.call("tenants", (native) => native.createTenant(name));
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
    return JSON.parse(await this.handle.call(`tenants/${name}`, (native) => native.getTenant(name))).name;
  }

  /** Closes the database if this client opened it; one that was made on another client leaves that open. */
  async close(): Promise<void> {
    if (this.ownsHandle) await this.handle.close();
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

/** Where a database is, its name and its tenant's checked. */
function databaseRoute(name: string, tenant: string): string {
  requireString("name", name);
  requireString("tenant", tenant);
  const route = `tenants/${tenant}/databases/${name}`;
  validateDatabaseName(name, route);
  return route;
}
