/** Sparse vectors that a schema asks for: made from documents or metadata when records are written, and from query texts. */
import { embedWith } from "../base-collection.js";
import type { ChromaClient } from "../client.js";
import { getSparseEmbeddingFunction, type SparseEmbeddingFunction } from "../embedding-function.js";
import { DOCUMENT_KEY, type Schema } from "../schema.js";
import type { SchemaJson } from "../schema-json.js";
import type { Metadata, RecordSet, SparseVector } from "../types.js";

/** A metadata key that gets sparse vectors. */
interface SparseTarget {
  key: string;
  sourceKey: string;
  embeddingFunction: SparseEmbeddingFunction;
}

/** The function that makes the sparse vectors of a key; its package is loaded if need be. */
export async function sparseFunctionOf(
  key: string,
  schema: Schema | undefined,
  stored: SchemaJson | null,
  client: ChromaClient,
): Promise<SparseEmbeddingFunction | undefined> {
  const index = schema?.keys[key]?.sparseVector?.sparseVectorIndex;
  if (!index?.enabled) return undefined;
  const efConfig = stored?.keys[key]?.sparse_vector?.sparse_vector_index?.config?.embedding_function;
  index.config.embeddingFunction ??= (await getSparseEmbeddingFunction(client, efConfig)) ?? null;
  return index.config.embeddingFunction ?? undefined;
}

/**
 * The metadata of a write with the sparse vectors that the schema asks for. Values that are there already stay.
 *
 * @throws ChromaValueError when a function does not return one vector per text.
 */
export async function withSparseVectors(
  recordSet: RecordSet,
  schema: Schema | undefined,
  stored: SchemaJson | null,
  client: ChromaClient,
): Promise<RecordSet["metadatas"]> {
  const targets = await sparseTargets(schema, stored, client);
  if (targets.length === 0) return recordSet.metadatas;
  const { documents, ids } = recordSet;
  const metadatas: Metadata[] = ids.map((_, row) => ({ ...recordSet.metadatas?.[row] }));
  for (const { key, sourceKey, embeddingFunction } of targets) {
    const sourceOf = (row: number): unknown =>
      sourceKey === DOCUMENT_KEY ? documents?.[row] : recordSet.metadatas?.[row]?.[sourceKey];
    const rows = ids.map((_, row) => row).filter((row) => !Object.hasOwn(metadatas[row] as Metadata, key));
    const withText = rows.filter((row) => typeof sourceOf(row) === "string");
    if (withText.length === 0) continue;
    const vectors: SparseVector[] = await embedWith(
      embeddingFunction,
      withText.map((row) => sourceOf(row) as string),
      false,
    );
    for (const [i, row] of withText.entries()) (metadatas[row] as Metadata)[key] = vectors[i] as SparseVector;
  }
  return metadatas.map((metadata, row) =>
    Object.keys(metadata).length > 0 ? metadata : (recordSet.metadatas?.[row] ?? null),
  );
}

async function sparseTargets(
  schema: Schema | undefined,
  stored: SchemaJson | null,
  client: ChromaClient,
): Promise<SparseTarget[]> {
  const targets: SparseTarget[] = [];
  for (const [key, types] of Object.entries(schema?.keys ?? {})) {
    const sourceKey = types.sparseVector?.sparseVectorIndex?.config.sourceKey;
    if (!sourceKey) continue;
    const embeddingFunction = await sparseFunctionOf(key, schema, stored, client);
    if (embeddingFunction) targets.push({ key, sourceKey, embeddingFunction });
  }
  return targets;
}
