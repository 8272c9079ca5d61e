/**
 * The columns of an answer. What answers is another program, or an addon of another version: its text is not trusted to have the form
 * that a result needs.
 */
import { ChromaServerError } from "./errors.js";

/** Columns that may be left out. */
interface Columns {
  distances?: unknown;
  documents?: unknown;
  embeddings?: unknown;
  metadatas?: unknown;
  scores?: unknown;
  uris?: unknown;
}

/** Calls `check` with each column. Named one by one: a property whose name is a variable takes several times as long. */
function eachColumn(columns: Columns, check: (column: unknown, name: keyof Columns) => void): void {
  check(columns.distances, "distances");
  check(columns.documents, "documents");
  check(columns.embeddings, "embeddings");
  check(columns.metadatas, "metadatas");
  check(columns.scores, "scores");
  check(columns.uris, "uris");
}

/** Where an answer comes from, and what form it is to have. */
export interface ReplyForm {
  /** As it appears in messages, for example `the native addon`. */
  from: string;
  /** Whether columns hold one list per query. */
  nested: boolean;
  /** Whether such a list may be null where a query did not ask for it; default false. */
  gaps?: boolean;
}

/** The error for an answer that has not the form of its kind. */
export function badReply(from: string, what: string, cause?: unknown): ChromaServerError {
  return new ChromaServerError(`The answer of ${from} cannot be read: ${what}`, cause);
}

/**
 * Reads the JSON of an answer.
 *
 * @throws ChromaServerError when the text is not JSON.
 */
export function parseReply(text: string, from: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw badReply(from, "it is not JSON", cause);
  }
}

/**
 * Checks that an answer is an object whose columns are lists, or one list per query.
 *
 * @throws ChromaServerError naming the column that is not, or `ids` when they are missing.
 */
export function checkColumns<T>(answer: unknown, form: ReplyForm): T {
  const columns = checkObject(answer, form.from);
  if (columns.ids === undefined) throw badReply(form.from, "'ids' is missing");
  checkList(columns.ids, "ids", form, false);
  eachColumn(columns, (column, name) => {
    if (column !== null && column !== undefined) checkList(column, name, form, form.gaps === true);
  });
  return answer as T;
}

/**
 * Checks that an answer is an object.
 *
 * @throws ChromaServerError when it is not.
 */
export function checkObject(answer: unknown, from: string): Record<string, unknown> {
  if (typeof answer === "object" && answer !== null) return answer as Record<string, unknown>;
  throw badReply(from, "it is not an object");
}

function checkList(column: unknown, name: string, { from, nested }: ReplyForm, gaps: boolean): void {
  const isRows = (rows: unknown): boolean => Array.isArray(rows) || (gaps && rows === null);
  if (Array.isArray(column) && (!nested || column.every(isRows))) return;
  throw badReply(from, `'${name}' is not ${nested ? "one list per query" : "a list"}`);
}

/**
 * Checks that the columns of an answer have a row for each id.
 *
 * @throws ChromaServerError naming the column that has not.
 */
export function checkLengths(columns: Columns, ids: readonly unknown[], { from, nested }: ReplyForm): void {
  eachColumn(columns, (column, name) => {
    const lists = column as readonly unknown[] | null | undefined;
    if (lists && !(sameLength(lists, ids) && (!nested || lists.every((rows, i) => sameLength(rows, ids[i]))))) {
      throw badReply(from, `'${name}' has not as many rows as 'ids'`);
    }
  });
}

function sameLength(column: unknown, ids: unknown): boolean {
  return (column as unknown[]).length === (ids as unknown[]).length;
}
