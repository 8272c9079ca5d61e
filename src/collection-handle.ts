import type { ChromaClient } from "./client.js";
import type { Collection, ModifyArgs, QueryArgs, WriteArgs } from "./collection.js";
import type { DatabaseHandle } from "./database.js";
import { ChromaValueError } from "./errors.js";
import { LocalCollection } from "./local-collection.js";
import type { QueryResult } from "./results.js";
import type { Metadata } from "./types.js";

const NEEDS_EMBEDDING_FUNCTION =
  "This operation requires an embedding function, which is not available on a collection obtained via client.collection(id). Provide pre-computed embeddings directly, or use client.getCollection() to get a full collection with embedding support.";

function notSupported(method: string): ChromaValueError {
  return new ChromaValueError(
    `${method} is not supported on a collection obtained via client.collection(id). Use client.getCollection() to get a full collection instance.`,
  );
}

/**
 * A collection known by its id alone, from {@link ChromaClient.collection}: nothing was looked up, so there is no name, no
 * metadata and no embedding function.
 */
export class CollectionHandle extends LocalCollection {
  /**
   * @param args - The client, its database, and the id.
   * @internal
   */
  constructor(args: { client: ChromaClient; handle: DatabaseHandle; id: string; tenant: string; database: string }) {
    const { client, handle, id, tenant, database } = args;
    super({
      client,
      handle,
      json: { id, name: "", tenant, database, metadata: null, configuration_json: {}, schema: null },
    });
  }

  /** As {@link Collection.add}; vectors must be given. */
  override async add(args: WriteArgs): Promise<void> {
    if (!args.embeddings) throw new ChromaValueError(NEEDS_EMBEDDING_FUNCTION);
    return super.add(args);
  }

  /** As {@link Collection.update}; vectors must be given with documents. */
  override async update(args: WriteArgs): Promise<void> {
    if (!args.embeddings && args.documents) throw new ChromaValueError(NEEDS_EMBEDDING_FUNCTION);
    return super.update(args);
  }

  /** As {@link Collection.upsert}; vectors must be given. */
  override async upsert(args: WriteArgs): Promise<void> {
    if (!args.embeddings) throw new ChromaValueError(NEEDS_EMBEDDING_FUNCTION);
    return super.upsert(args);
  }

  /** As {@link Collection.query}; query vectors must be given. */
  override async query<TMeta extends Metadata = Metadata>(args: QueryArgs): Promise<QueryResult<TMeta>> {
    if (!args.queryEmbeddings) throw new ChromaValueError(NEEDS_EMBEDDING_FUNCTION);
    return super.query(args);
  }

  /** Refused: there is nothing to change a handle's knowledge of. */
  override async modify(_args: ModifyArgs): Promise<void> {
    throw notSupported("modify()");
  }

  /** Refused. */
  override async fork(_args: { name: string }): Promise<Collection> {
    throw notSupported("fork()");
  }
}
