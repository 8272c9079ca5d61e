/**
 * The checks of Chroma's JavaScript client, in its order and with its messages, before anything native is called. Where
 * Chroma's client lets something through that would do harm (NaN, cycles, values of a wrong type), these are stricter.
 */
import { ChromaValueError } from "./errors.js";
import {
  type BaseRecordSet,
  type Embeddings,
  type Include,
  IncludeEnum,
  type RecordSet,
  recordSetFields,
  type SparseVector,
  type Where,
  type WhereDocument,
} from "./types.js";

/** Deepest nesting of `$and` and `$or` that a filter may have; the engine's own bound. */
const MAX_FILTER_DEPTH = 64;

/** Whether this is one typed array of all vectors rather than a list of vectors. */
export function isFlat(embeddings: Embeddings): embeddings is Float32Array {
  return embeddings instanceof Float32Array;
}

/**
 * Number of vectors in `embeddings`.
 *
 * @param dimension - Needed when `embeddings` is one flat array.
 */
export function countEmbeddings(embeddings: Embeddings, dimension: number | undefined): number {
  if (!isFlat(embeddings)) return embeddings.length;
  if (dimension === undefined) {
    throw new ChromaValueError("Expected 'dimension' to be given with a flat Float32Array of embeddings");
  }
  if (!Number.isInteger(dimension) || dimension < 1) {
    throw new ChromaValueError(`Expected 'dimension' to be a positive integer, but got ${String(dimension)}`);
  }
  if (embeddings.length % dimension !== 0) {
    throw new ChromaValueError(
      `Expected the length of a flat Float32Array of embeddings to be a multiple of 'dimension' ${dimension}, but got ${embeddings.length}`,
    );
  }
  return embeddings.length / dimension;
}

/** Checks that the given columns are non-empty and equally long. */
export function validateRecordSetLengths(recordSet: RecordSet, dimension: number | undefined): void {
  const lengths = Object.entries(recordSet)
    .filter(([field, column]) => recordSetFields.includes(field) && column !== undefined)
    .map(([field, column]): [string, number] => [
      field,
      field === "embeddings" ? countEmbeddings(column, dimension) : column.length,
    ]);
  if (lengths.length === 0) {
    throw new ChromaValueError(`At least one of ${recordSetFields.join(", ")} must be provided`);
  }
  const empty = lengths.filter(([, length]) => length === 0).map(([field]) => field);
  if (empty.length > 0) {
    throw new ChromaValueError(`Non-empty lists are required for ${empty.join(", ")}`);
  }
  if (new Set(lengths.map(([, length]) => length)).size > 1) {
    throw new ChromaValueError(`Unequal lengths for fields ${lengths.map(([field]) => field).join(", ")}`);
  }
}

/** Checks rows `from..to` of a column. */
export type RowCheck = (from: number, to: number) => void;

/**
 * The checks of a record set in their order. Those that look at every row are yielded, so that the caller may let the event
 * loop turn in between; the others are made on the way.
 */
export type RowChecks = Generator<RowCheck, void, void>;

/** Makes all checks at once. */
function checkAll(checks: RowChecks, rows: number): void {
  for (const check of checks) check(0, rows);
}

/** Checks that ids are a non-empty array of different strings. */
export function validateIDs(ids: string[]): void {
  checkAll(checkIDs(ids), ids.length);
}

/** As {@link validateIDs}, in slices. */
export function* checkIDs(ids: string[]): RowChecks {
  if (!Array.isArray(ids)) {
    throw new ChromaValueError(`Expected 'ids' to be an array, but got ${typeof ids}`);
  }
  if (ids.length === 0) {
    throw new ChromaValueError("Expected 'ids' to be a non-empty list");
  }
  const seen = new Set<string>();
  const nonStrings: number[] = [];
  const duplicates: string[] = [];
  yield (from, to) => {
    for (let i = from; i < to; i++) {
      const id = ids[i];
      if (typeof id !== "string") nonStrings.push(i);
      else if (seen.has(id)) duplicates.push(id);
      else seen.add(id);
    }
  };
  if (nonStrings.length > 0) {
    throw new ChromaValueError(`Found non-string IDs at ${nonStrings.join(", ")}`);
  }
  if (duplicates.length > 0) {
    const shown =
      duplicates.length <= 5
        ? duplicates
        : [...duplicates.slice(0, 5), "...", ...duplicates.slice(duplicates.length - 5)];
    throw new ChromaValueError(`Expected IDs to be unique, but found duplicates of ${shown.join(", ")}`);
  }
}

/** Checks that embeddings are a non-empty list of non-empty vectors; their values are checked when they are packed. */
function* checkEmbeddings(embeddings: Embeddings): RowChecks {
  if (isFlat(embeddings)) return;
  validateEmbeddingList(embeddings, "embeddings");
  yield (from, to) => {
    for (let i = from; i < to; i++) validateEmbedding(embeddings[i], i);
  };
}

function validateEmbeddingList(embeddings: unknown, fieldName: string): void {
  if (!Array.isArray(embeddings)) {
    throw new ChromaValueError(`Expected '${fieldName}' to be an array, but got ${typeof embeddings}`);
  }
  if (embeddings.length === 0) {
    throw new ChromaValueError("Expected embeddings to be an array with at least one item");
  }
}

function validateEmbedding(embedding: unknown, row: number): void {
  if (!Array.isArray(embedding) && !(ArrayBuffer.isView(embedding) && "length" in embedding)) {
    throw new ChromaValueError(
      `Expected each embedding to be an array of numbers, but got ${embedding === null ? "null" : typeof embedding} at index ${row}`,
    );
  }
  if (embedding.length === 0) {
    throw new ChromaValueError(
      `Expected each embedding to be a non-empty array of numbers, but got an empty array at index ${row}`,
    );
  }
}

function* checkDocuments(documents: unknown, fieldName: string): RowChecks {
  if (!Array.isArray(documents)) {
    throw new ChromaValueError(`Expected '${fieldName}' to be an array, but got ${typeof documents}`);
  }
  if (documents.length === 0) {
    throw new ChromaValueError(`Expected '${fieldName}' to be a non-empty list`);
  }
  yield (from, to) => {
    for (let i = from; i < to; i++) {
      if (typeof documents[i] !== "string") {
        throw new ChromaValueError(`Expected each document to be a string, but got ${typeof documents[i]}`);
      }
    }
  };
}

function* checkUris(uris: unknown): RowChecks {
  if (!Array.isArray(uris)) {
    throw new ChromaValueError(`Expected 'uris' to be an array, but got ${typeof uris}`);
  }
  yield (from, to) => {
    for (let i = from; i < to; i++) {
      const uri: unknown = uris[i];
      if (uri !== null && uri !== undefined && typeof uri !== "string") {
        throw new ChromaValueError(`Expected each uri to be a string, but got ${typeof uri}`);
      }
    }
  };
}

/** Whether a value has the shape of a sparse vector. */
export function isSparseVector(value: unknown): value is SparseVector {
  if (typeof value !== "object" || value === null) return false;
  const { indices, values } = value as Partial<SparseVector>;
  return (
    Array.isArray(indices) &&
    Array.isArray(values) &&
    indices.every((i) => typeof i === "number") &&
    values.every((v) => typeof v === "number")
  );
}

function validateMetadataList(key: string, list: unknown[]): void {
  if (list.length === 0) {
    throw new ChromaValueError(`Expected metadata list value for key '${key}' to be non-empty`);
  }
  const firstType = typeof list[0];
  for (const item of list) {
    if (typeof item !== "string" && typeof item !== "number" && typeof item !== "boolean") {
      throw new ChromaValueError(
        `Expected metadata list value for key '${key}' to contain only strings, numbers, or booleans, got ${typeof item}`,
      );
    }
    if (typeof item !== firstType) {
      throw new ChromaValueError(
        `Expected metadata list value for key '${key}' to contain only the same type, got mixed types`,
      );
    }
    if (typeof item === "number") validateFinite(key, item);
  }
}

function validateFinite(key: string, value: number): void {
  if (!Number.isFinite(value)) {
    throw new ChromaValueError(`Expected metadata value for key '${key}' to be a finite number, but got ${value}`);
  }
}

/** Checks one metadata object, of a record or a collection. Null and undefined pass. */
export function validateMetadata(metadata: unknown): void {
  if (metadata === null || metadata === undefined) return;
  if (typeof metadata !== "object" || Array.isArray(metadata)) {
    throw new ChromaValueError(
      `Expected metadata to be an object, but got ${Array.isArray(metadata) ? "an array" : typeof metadata}`,
    );
  }
  const keys = Object.keys(metadata);
  if (keys.length === 0) {
    throw new ChromaValueError("Expected metadata to be non-empty");
  }
  for (const key of keys) {
    const value = (metadata as Record<string, unknown>)[key];
    if (typeof value === "number") validateFinite(key, value);
    else if (value === null || value === undefined || typeof value === "string" || typeof value === "boolean") continue;
    else if (isSparseVector(value)) continue;
    else if (Array.isArray(value)) validateMetadataList(key, value);
    else {
      throw new ChromaValueError(
        `Expected metadata value for key '${key}' to be a string, number, boolean, SparseVector, typed array (string[], number[], boolean[]), or null`,
      );
    }
  }
}

function* checkMetadatas(metadatas: unknown): RowChecks {
  if (!Array.isArray(metadatas)) {
    throw new ChromaValueError(`Expected metadatas to be an array, but got ${typeof metadatas}`);
  }
  yield (from, to) => {
    for (let i = from; i < to; i++) validateMetadata(metadatas[i]);
  };
}

/**
 * Checks the columns of a record set beside its ids.
 *
 * @param update - Whether it is one of `update`, which needs neither vectors nor documents.
 */
export function* checkBaseRecordSet(recordSet: BaseRecordSet, update = false): RowChecks {
  const { embeddings, documents, metadatas, uris } = recordSet;
  if (!embeddings && !documents && !update) throw missing("embeddings", "documents");
  if (embeddings) yield* checkEmbeddings(embeddings);
  if (documents) yield* checkDocuments(documents, "documents");
  if (metadatas) yield* checkMetadatas(metadatas);
  if (uris) yield* checkUris(uris);
}

/** Checks query vectors or query texts. At once: a generator of checks takes longer than the checks of one query. */
export function validateQueries(queryEmbeddings: Embeddings | undefined, queryTexts: string[] | undefined): void {
  if (queryEmbeddings) {
    if (isFlat(queryEmbeddings)) return;
    validateEmbeddingList(queryEmbeddings, "queryEmbeddings");
    for (let i = 0; i < queryEmbeddings.length; i++) validateEmbedding(queryEmbeddings[i], i);
  } else if (queryTexts) checkAll(checkDocuments(queryTexts, "queryTexts"), queryTexts.length);
  else throw missing("queryEmbeddings", "queryTexts");
}

function missing(embeddingsField: string, documentsField: string): ChromaValueError {
  return new ChromaValueError(`At least one of '${embeddingsField}' and '${documentsField}' must be provided`);
}

/** Checks the number of records of one call. */
export function validateMaxBatchSize(length: number, maxBatchSize: number): void {
  if (length > maxBatchSize) {
    throw new ChromaValueError(`Record set length ${length} exceeds max batch size ${maxBatchSize}`);
  }
}

const COMPARISONS = ["$gt", "$gte", "$lt", "$lte"];
const MEMBERSHIPS = ["$in", "$nin"];
const CONTAINMENTS = ["$contains", "$not_contains"];
const OPERATORS = [...COMPARISONS, "$ne", "$eq", ...MEMBERSHIPS, ...CONTAINMENTS];

function isLiteral(value: unknown): boolean {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}

/** Checks a metadata filter. */
export function validateWhere(where: Where, depth = 0): void {
  if (typeof where !== "object" || where === null) {
    throw new ChromaValueError("Expected where to be a non-empty object");
  }
  if (depth > MAX_FILTER_DEPTH) {
    throw new ChromaValueError(`Expected 'where' to be nested at most ${MAX_FILTER_DEPTH} deep`);
  }
  const entries: [string, unknown][] = Object.entries(where);
  const entry = entries[0];
  if (entry === undefined || entries.length !== 1) {
    throw new ChromaValueError(`Expected 'where' to have exactly one operator, but got ${entries.length}`);
  }
  const [key, value] = entry;
  if (key === "$and" || key === "$or") {
    if (!Array.isArray(value) || value.length <= 1) {
      throw new ChromaValueError(
        `Expected 'where' value for $and or $or to be a list of 'where' expressions, but got ${describe(value)}`,
      );
    }
    for (const part of value) validateWhere(part, depth + 1);
    return;
  }
  if (typeof value === "object" && value !== null) {
    validateOperatorExpression(value);
    return;
  }
  if (!isLiteral(value)) {
    throw new ChromaValueError(
      `Expected 'where' value to be a string, number, boolean, or an operator expression, but got ${describe(value)}`,
    );
  }
  validateFiniteOperand(value);
}

function validateOperatorExpression(expression: object): void {
  const entries: [string, unknown][] = Object.entries(expression);
  const entry = entries[0];
  if (entry === undefined || entries.length !== 1) {
    throw new ChromaValueError(`Expected operator expression to have one operator, but got ${describe(expression)}`);
  }
  const [operator, operand] = entry;
  if (COMPARISONS.includes(operator) && typeof operand !== "number") {
    throw new ChromaValueError(`Expected operand value to be a number for ${operator}, but got ${typeof operand}`);
  }
  if (MEMBERSHIPS.includes(operator) && !Array.isArray(operand)) {
    throw new ChromaValueError(`Expected operand value to be an array for ${operator}, but got ${describe(operand)}`);
  }
  if (CONTAINMENTS.includes(operator) && !isLiteral(operand)) {
    throw new ChromaValueError(
      `Expected operand value to be a string, number, or boolean for ${operator}, but got ${typeof operand}`,
    );
  }
  if (!OPERATORS.includes(operator)) {
    throw new ChromaValueError(`Expected operator to be one of ${OPERATORS.join(", ")}, but got ${operator}`);
  }
  if (Array.isArray(operand)) {
    if (operand.length === 0 || !operand.every((item) => typeof item === typeof operand[0])) {
      throw new ChromaValueError(
        "Expected 'where' operand value to be a non-empty list and all values to be of the same type",
      );
    }
    operand.forEach(validateFiniteOperand);
  } else if (!isLiteral(operand)) {
    throw new ChromaValueError("Expected operand value to be a string, number, boolean, or a list of those types");
  } else {
    validateFiniteOperand(operand);
  }
}

function validateFiniteOperand(operand: unknown): void {
  if (!isLiteral(operand)) {
    throw new ChromaValueError("Expected operand value to be a string, number, boolean, or a list of those types");
  }
  if (typeof operand === "number" && !Number.isFinite(operand)) {
    throw new ChromaValueError(`Expected operand value to be a finite number, but got ${operand}`);
  }
}

const DOCUMENT_OPERATORS = ["$contains", "$not_contains", "$matches", "$not_matches", "$regex", "$not_regex"];

/** Checks a document filter. */
export function validateWhereDocument(whereDocument: WhereDocument, depth = 0): void {
  if (typeof whereDocument !== "object" || whereDocument === null) {
    throw new ChromaValueError("Expected 'whereDocument' to be a non-empty object");
  }
  if (depth > MAX_FILTER_DEPTH) {
    throw new ChromaValueError(`Expected 'whereDocument' to be nested at most ${MAX_FILTER_DEPTH} deep`);
  }
  const entries: [string, unknown][] = Object.entries(whereDocument);
  const entry = entries[0];
  if (entry === undefined || entries.length !== 1) {
    throw new ChromaValueError(
      `Expected 'whereDocument' to have exactly one operator, but got ${describe(whereDocument)}`,
    );
  }
  const [operator, operand] = entry;
  if (operator === "$and" || operator === "$or") {
    if (!Array.isArray(operand)) {
      throw new ChromaValueError(
        `Expected operand for ${operator} to be a list of 'whereDocument' expressions, but got ${describe(operand)}`,
      );
    }
    if (operand.length <= 1) {
      throw new ChromaValueError(
        `Expected 'whereDocument' operand for ${operator} to be a list with at least two 'whereDocument' expressions`,
      );
    }
    for (const part of operand) validateWhereDocument(part, depth + 1);
    return;
  }
  if (!DOCUMENT_OPERATORS.includes(operator)) {
    throw new ChromaValueError(
      `Expected 'whereDocument' operator to be one of ${DOCUMENT_OPERATORS.join(", ")}, $and, or $or, but got ${operator}`,
    );
  }
  if (typeof operand !== "string") {
    throw new ChromaValueError(`Expected operand for ${operator} to be a string, but got ${describe(operand)}`);
  }
}

const INCLUDE_VALUES: string[] = Object.keys(IncludeEnum);

/** Checks the columns asked for. */
export function validateInclude(include: Include[], exclude?: Include): void {
  if (!Array.isArray(include)) {
    throw new ChromaValueError("Expected 'include' to be a non-empty array");
  }
  for (const item of include) {
    if (typeof item !== "string") {
      throw new ChromaValueError("Expected 'include' items to be strings");
    }
    if (!INCLUDE_VALUES.includes(item)) {
      throw new ChromaValueError(`Expected 'include' items to be one of ${INCLUDE_VALUES.join(", ")}, but got ${item}`);
    }
    if (item === exclude) {
      throw new ChromaValueError(`${item} is not allowed for this operation`);
    }
  }
}

/** Checks the number of results of a query. Zero is allowed and gives no results. */
export function validateNResults(nResults: number): void {
  if (typeof nResults !== "number") {
    throw new ChromaValueError(`Expected 'nResults' to be a number, but got ${typeof nResults}`);
  }
  if (nResults < 0) {
    throw new ChromaValueError("Number of requested results has to positive");
  }
  if (!Number.isSafeInteger(nResults)) {
    throw new ChromaValueError(`Expected 'nResults' to be an integer, but got ${nResults}`);
  }
}

/** Checks `limit` and `offset`. */
export function validateCount(name: string, value: number | null | undefined): void {
  if (value !== undefined && value !== null && (!Number.isSafeInteger(value) || value < 0)) {
    throw new ChromaValueError(`Expected '${name}' to be a non-negative integer, but got ${describe(value)}`);
  }
}

/** A short text for a value in a message; never throws, whatever the value. */
function describe(value: unknown): string {
  if (value === null) return "null";
  if (typeof value === "object") return Array.isArray(value) ? `a list of ${value.length}` : "an object";
  if (typeof value === "function") return "a function";
  return String(value);
}
