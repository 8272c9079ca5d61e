/** The database that is imported into. */

import type { CollectionJson } from "../connection.js";
import type { DatabaseHandle } from "../database.js";
import { ChromaNotFoundError, ChromaUniqueError, ChromaValueError } from "../errors.js";
import type { NativeCollection } from "../native.js";
import type { CollectionPlace } from "./report.js";
import type { ResolvedSettings } from "./settings.js";

/** A collection that records can be added to. */
export interface TargetCollection {
  id: string;
  native: NativeCollection;
}

/** What is done with a collection that the target has already: nothing is imported at all, it is left as it is, or records are added to it. */
export type ExistingCollections = "refuse" | "skip" | "merge";

/** A collection of the source, as the target must know it. */
export interface CollectionSpec extends CollectionPlace {
  /** UUID in the source. */
  id: string;
  /** Metadata as JSON text, in which integers and floats keep apart. */
  metadata: string;
  dimension: number | null;
  resolved: ResolvedSettings;
}

/** Makes tenants, databases and collections. */
export class ImportTarget {
  private readonly handle: DatabaseHandle;

  constructor(handle: DatabaseHandle) {
    this.handle = handle;
  }

  /** The collection of this name if there is one. */
  async find({ tenant, database, name }: CollectionPlace): Promise<CollectionJson | undefined> {
    return missingIsUndefined(
      this.handle.call(`collections/${name}`, (native) => native.getCollection(tenant, database, name)),
    );
  }

  /**
   * Checks that every collection can be written, before one is.
   *
   * @throws ChromaUniqueError for one that is there although it must not be, ChromaValueError for one that records cannot be merged into.
   */
  async check(specs: CollectionSpec[], existing: ExistingCollections): Promise<void> {
    if (existing === "skip") return;
    for (const spec of specs) {
      const found = await this.find(spec);
      if (found === undefined) continue;
      const shown = `'${spec.name}' (tenant '${spec.tenant}', database '${spec.database}')`;
      if (existing === "refuse") {
        throw new ChromaUniqueError(
          `The target has a collection ${shown} already. Choose another target, or pass existing: "skip" to leave such collections out, or existing: "merge" to add the records that they do not have`,
        );
      }
      const space = found.configuration_json.hnsw?.space;
      if (space !== spec.resolved.space) {
        throw new ChromaValueError(
          `Collection ${shown} has space ${space} in the target and ${spec.resolved.space} in the source`,
        );
      }
      const dimension = (found as CollectionJson & { dimension: number | null }).dimension;
      if (dimension !== null && spec.dimension !== null && dimension !== spec.dimension) {
        throw new ChromaValueError(
          `Collection ${shown} has dimension ${dimension} in the target and ${spec.dimension} in the source`,
        );
      }
    }
  }

  /** Makes sure that tenant and database are there. */
  async ensureDatabase(tenant: string, database: string): Promise<void> {
    await this.ensureTenant(tenant);
    await existingIsFine(this.handle.call("databases", (native) => native.createDatabase(tenant, database)));
  }

  /** Makes sure that the tenant is there. */
  async ensureTenant(tenant: string): Promise<void> {
    await existingIsFine(this.handle.call("tenants", (native) => native.createTenant(tenant)));
  }

  /** Opens the collection, making it if it is not there. It keeps its UUID where that is free. */
  async collection(spec: CollectionSpec): Promise<TargetCollection> {
    await this.ensureDatabase(spec.tenant, spec.database);
    let found = await this.find(spec);
    if (found === undefined) {
      const holder = await missingIsUndefined(
        this.handle.call(`collections/${spec.id}`, (native) => native.getCollectionById(spec.id)),
      );
      const { name, tenant, database, resolved } = spec;
      const body = JSON.stringify({
        ...(holder === undefined ? { id: spec.id } : {}),
        name,
        tenant,
        database,
        configuration: resolved.settings.configuration,
        schema: resolved.settings.schema,
      });
      // As text: JavaScript's numbers do not tell 1 from 1.0.
      const request = `${body.slice(0, -1)},"metadata":${spec.metadata}}`;
      found = JSON.parse(
        await this.handle.call("collections", (native) => native.createCollection(request)),
      ) as CollectionJson;
    }
    const { id } = found;
    return { id, native: await this.handle.call(`collections/${id}`, (native) => native.openCollection(id)) };
  }

  /** Runs a call on the open database, with its failures turned into error classes. */
  call<T>(route: string, use: () => Promise<T>): Promise<T> {
    return this.handle.call(route, use);
  }
}

async function missingIsUndefined(asked: Promise<string>): Promise<CollectionJson | undefined> {
  try {
    return JSON.parse(await asked);
  } catch (error) {
    if (error instanceof ChromaNotFoundError) return undefined;
    throw error;
  }
}

async function existingIsFine(created: Promise<void>): Promise<void> {
  try {
    await created;
  } catch (error) {
    if (!(error instanceof ChromaUniqueError)) throw error;
  }
}
