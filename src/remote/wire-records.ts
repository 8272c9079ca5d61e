/** Records as they travel to a Chroma server, and back. */
import { Packer } from "../embeddings.js";
import type { Embeddings, Metadata, RecordSet, SparseVector } from "../types.js";
import { isFlat, isSparseVector } from "../validate.js";

const TYPE = "#type";
const SPARSE = "sparse_vector";

/** Metadata to send: without the keys whose value is null, and with sparse vectors marked as such. */
export function wireMetadata(metadata: Metadata | null | undefined): Record<string, unknown> | null {
  if (metadata === null || metadata === undefined) return null;
  const entries = Object.entries(metadata)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([key, value]) => [key, isSparseVector(value) ? { [TYPE]: SPARSE, ...value } : value]);
  return Object.fromEntries(entries);
}

/** Metadata that came from a server. */
export function readMetadata<TMeta extends Metadata>(metadata: TMeta | null | undefined): TMeta | null {
  if (metadata === null || metadata === undefined) return null;
  if (!Object.values(metadata).some(isMarkedSparse)) return metadata;
  const entries = Object.entries(metadata).map(([key, value]) => [
    key,
    isMarkedSparse(value) ? { indices: value.indices, values: value.values } : value,
  ]);
  return Object.fromEntries(entries);
}

function isMarkedSparse(value: unknown): value is SparseVector {
  return typeof value === "object" && value !== null && (value as Record<string, unknown>)[TYPE] === SPARSE;
}

/**
 * Vectors to send.
 *
 * @param base64 - Whether the server takes little-endian 32-bit floats as base64, which is half the text and exact.
 * @throws ChromaValueError naming the record when a value is not a finite number.
 */
export function wireEmbeddings(
  recordSet: RecordSet,
  dimension: number | undefined,
  { base64, route }: { base64: boolean; route: string },
): string[] | number[][] | undefined {
  const { embeddings, ids } = recordSet;
  if (embeddings === undefined) return undefined;
  const rowName = (row: number): string => `the embedding of id '${ids[row]}' (index ${row})`;
  const packer = new Packer(embeddings, dimension, { route, rowName });
  const vectors = packer.pack(0, packer.rows);
  if (!base64) return embeddingRows(embeddings, packer.dimension);
  const bytes = Buffer.from(vectors.buffer, vectors.byteOffset, vectors.byteLength);
  const size = packer.dimension * vectors.BYTES_PER_ELEMENT;
  return Array.from({ length: packer.rows }, (_, row) => bytes.toString("base64", row * size, (row + 1) * size));
}

/** Vectors as arrays of numbers. */
export function embeddingRows(embeddings: Embeddings, dimension: number): number[][] {
  if (!isFlat(embeddings)) return embeddings.map((embedding) => Array.from(embedding));
  const rows = dimension > 0 ? embeddings.length / dimension : 0;
  return Array.from({ length: rows }, (_, row) =>
    Array.from(embeddings.subarray(row * dimension, (row + 1) * dimension)),
  );
}
