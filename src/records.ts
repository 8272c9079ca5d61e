/** Records as people write them to the JSON text that native code reads. */
import { ChromaServerError, ChromaValueError } from "./errors.js";
import { inSlices } from "./event-loop.js";
import type { Metadata, RecordSet } from "./types.js";
import { isSparseVector } from "./validate.js";

/** Rows encoded without yielding to the event loop. */
const SMALL_BATCH_ROWS = 2_000;

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

/** The columns of a write beside its vectors, as JSON text. Large batches yield to the event loop in between. */
export async function encodeRecords(recordSet: RecordSet): Promise<string> {
  const { ids, documents, uris } = recordSet;
  const metadatas = recordSet.metadatas;
  try {
    if (ids.length <= SMALL_BATCH_ROWS) {
      return JSON.stringify({ ids, documents, metadatas: metadatas?.map(storedOrNull), uris });
    }
    const pieces: string[] = [];
    const column = async (name: string, values: unknown[] | undefined, stored = (value: unknown) => value) => {
      if (values === undefined) return;
      pieces.push(`${pieces.length === 0 ? "{" : "],"}"${name}":[`);
      await inSlices(values.length, (from, to) => {
        const rows = values.slice(from, to).map(stored);
        pieces.push(from > 0 ? "," : "", JSON.stringify(rows).slice(1, -1));
      });
    };
    await column("ids", ids);
    await column("documents", documents);
    await column("metadatas", metadatas, (metadata) => storedOrNull(metadata as Metadata | null | undefined));
    await column("uris", uris);
    // Joined once: a text that is built up by `+` would be copied again on its way to native code.
    pieces.push("]}");
    return pieces.join("");
  } catch (error) {
    if (error instanceof RangeError) {
      throw new ChromaValueError(`The ${ids.length} records are too large for one call; send them in several`, error);
    }
    throw error;
  }
}

function storedOrNull(metadata: Metadata | null | undefined): Metadata | null {
  return metadata ? storedMetadata(metadata) : null;
}
