/** Arguments of a collection's methods, checked the same way in process and over HTTP. */
import type { DeleteArgs, GetArgs, QueryArgs, WriteArgs } from "./collection.js";
import { badRequest } from "./errors.js";
import { inSlices } from "./event-loop.js";
import { storedMetadata } from "./records.js";
import type { CollectionMetadata, Embeddings, Include, RecordSet } from "./types.js";
import {
  checkBaseRecordSet,
  checkIDs,
  validateCount,
  validateIDs,
  validateInclude,
  validateMaxBatchSize,
  validateMetadata,
  validateNResults,
  validateQueries,
  validateRecordSetLengths,
  validateWhere,
  validateWhereDocument,
} from "./validate.js";

/** A kind of write. */
export type WriteKind = "add" | "update" | "upsert";

/** The columns of a write. */
export function recordSetOf(args: WriteArgs): RecordSet {
  return {
    ids: args.ids,
    embeddings: args.embeddings ?? undefined,
    documents: args.documents ?? undefined,
    metadatas: args.metadatas ?? undefined,
    uris: args.uris ?? undefined,
  };
}

/** Checks the records of a write, in slices between which the event loop turns. */
export async function validateWrite(
  kind: WriteKind,
  recordSet: RecordSet,
  dimension: number | undefined,
  maxBatchSize: number,
): Promise<void> {
  validateRecordSetLengths(recordSet, dimension);
  for (const checks of [checkIDs(recordSet.ids), checkBaseRecordSet(recordSet, kind === "update")]) {
    for (const check of checks) {
      await inSlices(recordSet.ids.length, (from, to) => {
        check(from, to);
        return to;
      });
    }
  }
  validateMaxBatchSize(recordSet.ids.length, maxBatchSize);
}

/** Checks the ids that a request names. */
export type CheckIds = (ids: string[]) => void;

/** Checks what a read asks for. */
export function validateGet(
  { ids, where, whereDocument, limit, offset }: GetArgs,
  include: Include[],
  checkIds: CheckIds = validateIDs,
): void {
  validateInclude(include, "distances");
  if (ids) checkIds(ids);
  if (where) validateWhere(where);
  if (whereDocument) validateWhereDocument(whereDocument);
  validateCount("limit", limit);
  validateCount("offset", offset);
}

/** Checks what a delete asks for. */
export function validateDelete(
  { ids, where, whereDocument, limit }: DeleteArgs,
  checkIds: CheckIds = validateIDs,
): void {
  if (ids) checkIds(ids);
  if (where) validateWhere(where);
  if (whereDocument) validateWhereDocument(whereDocument);
  if (limit !== undefined && (!Number.isInteger(limit) || limit < 0)) {
    throw new Error("limit must be a non-negative integer");
  }
  if (limit !== undefined && !where && !whereDocument) {
    throw new Error("limit can only be specified when a where or whereDocument clause is provided");
  }
}

/** The vectors of a query, if there are any, after everything about the query was checked. */
export function givenQueries(
  { queryEmbeddings, queryTexts, dimension, ids, where, whereDocument, nResults = 10 }: QueryArgs,
  include: Include[],
  checkIds: CheckIds = validateIDs,
): { embeddings: Embeddings | undefined; dimension: number | undefined } {
  const embeddings = queryEmbeddings && asQueries(queryEmbeddings, dimension);
  validateQueries(embeddings, queryTexts);
  validateInclude(include);
  if (ids) checkIds(ids);
  if (where) validateWhere(where);
  if (whereDocument) validateWhereDocument(whereDocument);
  if (nResults !== null) validateNResults(nResults);
  return { embeddings, dimension: embeddings instanceof Float32Array ? (dimension ?? embeddings.length) : dimension };
}

/** Query vectors as a list, also where one query was given alone. */
function asQueries(queries: Embeddings | number[], dimension: number | undefined): Embeddings {
  if (Array.isArray(queries) && typeof queries[0] === "number") {
    return dimension === undefined ? [queries as number[]] : Float32Array.from(queries as number[]);
  }
  return queries as Embeddings;
}

/** Metadata of a collection in their stored form; at least one key must be left, and none may be reserved. */
export function encodableMetadata(metadata: CollectionMetadata, route: string): CollectionMetadata {
  const stored = storedMetadata(metadata);
  if (Object.keys(stored).length === 0) throw badRequest(route, "Metadata cannot be empty");
  for (const key of Object.keys(stored)) {
    if (key === "" || key.startsWith("#") || key.startsWith("$")) {
      throw badRequest(route, `Metadata key cannot start with '#' or '$': ${key}`);
    }
  }
  return stored;
}

/** Checks the metadata of a collection. Those that are empty are refused with the server's message, later. */
export function validateCollectionMetadata(metadata: CollectionMetadata): void {
  if (Object.keys(metadata).length > 0) validateMetadata(metadata);
}
