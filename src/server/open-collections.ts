import type { CollectionJson } from "../connection.js";
import type { DatabaseHandle } from "../database.js";

import type { NativeCollection } from "../native.js";
import { HttpError } from "./http-error.js";

/** Collections that are remembered; with more, the oldest are looked up again. */
const MOST = 10_000;

interface OpenCollection {
  tenant: string;
  database: string;
  native: NativeCollection;
}

/** Collections by their UUIDs, as long as they exist. */
export class OpenCollections {
  private readonly handle: DatabaseHandle;
  private readonly known = new Map<string, OpenCollection>();

  constructor(handle: DatabaseHandle) {
    this.handle = handle;
  }

  /** The collection if it was asked for before. A UUID under the name of another tenant or database is unknown. */
  find(id: string, tenant: string, database: string): NativeCollection | undefined {
    const found = this.known.get(id);
    return found?.tenant === tenant && found.database === database ? found.native : undefined;
  }

  /**
   * The collection.
   *
   * @throws HttpError 404 if there is none in this database; an error of native code if that is no UUID.
   */
  async open(id: string, tenant: string, database: string): Promise<NativeCollection> {
    const found = this.find(id, tenant, database);
    if (found !== undefined) return found;
    const native = await this.handle.open();
    const row: CollectionJson = JSON.parse(await native.getCollectionById(id));
    if (row.tenant !== tenant || row.database !== database) {
      throw new HttpError(404, `Collection [${row.id}] does not exist.`);
    }
    const collection = await native.openCollection(id);
    if (this.known.size >= MOST) {
      const [oldest] = this.known.keys();
      if (oldest !== undefined) this.known.delete(oldest);
    }
    this.known.set(id, { tenant, database, native: collection });
    return collection;
  }

  /** Forgets a collection that turned out to be gone. */
  forget(id: string): void {
    this.known.delete(id);
  }
}
