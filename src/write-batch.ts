/** The records of one write on their way to native code. */
import { type PackContext, Packer } from "./embeddings.js";
import { ChromaValueError } from "./errors.js";
import { inSlices } from "./event-loop.js";
import { binding, type NativeBatch } from "./native.js";
import { encodeRecords } from "./records.js";
import type { RecordSet } from "./types.js";

/** Rows of the first slice. Later ones grow while they are small. */
const FIRST_ROWS = 16;

/** Bytes from which a slice counts as large: the next one has half its rows. */
const LARGE_SLICE_BYTES = 1 << 20;

/** A batch in native memory. */
export interface StagedBatch {
  batch: NativeBatch;
  /** Memory that it takes, about. */
  bytes: number;
}

/**
 * Copies records into a native batch, checking their vectors. The event loop turns in between.
 *
 * @throws ChromaValueError naming the record when a value of a vector is not a finite number.
 */
export async function stageBatch(
  recordSet: RecordSet,
  dimension: number | undefined,
  context: PackContext,
): Promise<StagedBatch> {
  const { ids, embeddings } = recordSet;
  const packer = embeddings && new Packer(embeddings, dimension, context);
  const batch = new (binding().NativeBatch)(ids.length, packer?.dimension ?? 0);
  let bytes = 0;
  let rows = FIRST_ROWS;
  await inSlices(ids.length, (from, limit) => {
    const to = Math.min(from + rows, limit);
    const text = encodeSlice(recordSet, from, to);
    const vectors = packer?.pack(from, to) ?? null;
    batch.push(text, vectors);
    const size = text.length + (vectors?.byteLength ?? 0);
    bytes += size;
    rows = size > LARGE_SLICE_BYTES ? Math.max(1, rows >> 1) : rows * 2;
    return to;
  });
  return { batch, bytes };
}

function encodeSlice(recordSet: RecordSet, from: number, to: number): string {
  try {
    return encodeRecords(recordSet, from, to);
  } catch (error) {
    // A text longer than V8 allows.
    if (!(error instanceof RangeError)) throw error;
    throw new ChromaValueError(`Records ${from} to ${to - 1} are too large for one call; send them in several`, error);
  }
}
