/** Records as people write them to the JSON text that native code reads. */
import { ChromaServerError } from "./errors.js";
import type { Metadata, RecordSet } from "./types.js";
import { isSparseVector } from "./validate.js";

/**
 * The metadata that is stored: without the keys whose value is null, as Chroma's client sends it.
 *
 * @throws ChromaServerError when a value is a sparse vector, which is not offered.
 */
export function storedMetadata(metadata: Metadata): Metadata {
  let nulls = 0;
  for (const key of Object.keys(metadata)) {
    const value = metadata[key];
    if (value === null || value === undefined) nulls++;
    else if (typeof value === "object" && isSparseVector(value)) {
      throw new ChromaServerError(`Unimplemented: Sparse vector is not supported for local chroma: ${key}`);
    }
  }
  // fromEntries defines properties, so that a key such as `__proto__` stays an ordinary key.
  return nulls === 0 ? metadata : Object.fromEntries(Object.entries(metadata).filter(([, value]) => value != null));
}

/** Records `from..to` beside their vectors, as JSON text. */
export function encodeRecords(recordSet: RecordSet, from: number, to: number): string {
  const { ids, documents, metadatas, uris } = recordSet;
  return JSON.stringify({
    ids: ids.slice(from, to),
    documents: documents?.slice(from, to),
    metadatas: metadatas?.slice(from, to).map(storedOrNull),
    uris: uris?.slice(from, to),
  });
}

function storedOrNull(metadata: Metadata | null | undefined): Metadata | null {
  return metadata ? storedMetadata(metadata) : null;
}
