/** The results that native code's replies stand for: JSON, the ids of a query one a line after it, and numbers beside it. */
import { unpackEmbeddings } from "./embeddings.js";
import type { NativeReply } from "./native.js";
import { badReply, checkColumns, checkLengths, checkObject, parseReply, type ReplyForm } from "./reply-columns.js";
import { GetResult, QueryResult } from "./results.js";
import type { Include, Metadata } from "./types.js";

const ADDON = "the native addon";
const GET: ReplyForm = { from: ADDON, nested: false };
const QUERY: ReplyForm = { from: ADDON, nested: true };

/** The JSON of a reply to a get. */
interface GetColumns {
  ids: string[];
  documents: (string | null)[] | null;
  metadatas: (Metadata | null)[] | null;
  uris: (string | null)[] | null;
}

/** The JSON of a reply to a query. */
interface QueryColumns {
  /** Hits of each query. */
  counts: number[];
  /** Only where an id holds a line break; otherwise ids follow the JSON, one a line. */
  ids?: string[][];
  distances: number[][] | null;
  documents: (string | null)[][] | null;
  metadatas: (Metadata | null)[][] | null;
  uris: (string | null)[][] | null;
}

/**
 * The result that the reply to a get stands for.
 *
 * @throws ChromaServerError when the reply is not of the form that this version reads.
 */
export function readGetReply<TMeta extends Metadata>(reply: NativeReply, include: Include[]): GetResult<TMeta> {
  const columns = checkColumns<GetColumns>(parseReply(textOf(reply), ADDON), GET);
  const { ids } = columns;
  checkLengths(columns, ids, GET);
  return new GetResult<TMeta>({
    ids,
    documents: columns.documents ?? [],
    embeddings: typeof reply === "string" ? [] : embeddingsOf(reply.embeddings, ids.length),
    metadatas: (columns.metadatas ?? []) as (TMeta | null)[],
    uris: columns.uris ?? [],
    include,
  });
}

/**
 * The result that the reply to a query stands for.
 *
 * @throws ChromaServerError when the reply is not of the form that this version reads.
 */
export function readQueryReply<TMeta extends Metadata>(reply: NativeReply, include: Include[]): QueryResult<TMeta> {
  const packed = typeof reply === "string" ? NOTHING_PACKED : reply;
  const lines = textOf(reply).split("\n");
  const answer = checkObject(parseReply(lines.shift() ?? "", ADDON), ADDON);
  const counts = checkCounts(answer.counts);
  answer.ids ??= byQuery(lines, counts);
  if (packed.distances) answer.distances = distancesByQuery(packed.distances, counts);
  const columns = checkColumns<Required<QueryColumns>>(answer, QUERY);
  if (sum(columns.ids.map((ids) => ids.length)) !== sum(counts))
    throw badReply(ADDON, "'ids' are not as many as 'counts' says");
  checkLengths(columns, columns.ids, QUERY);
  return new QueryResult<TMeta>({
    ids: columns.ids,
    distances: columns.distances ?? [],
    documents: columns.documents ?? [],
    embeddings: packed.embeddings ? byQuery(embeddingsOf(packed.embeddings, sum(counts)), counts) : [],
    metadatas: (columns.metadatas ?? []) as (TMeta | null)[][],
    uris: columns.uris ?? [],
    include,
  });
}

function textOf(reply: NativeReply): string {
  return typeof reply === "string" ? reply : reply.text;
}

function checkCounts(counts: unknown): number[] {
  if (Array.isArray(counts) && counts.every((count) => Number.isInteger(count) && count >= 0)) return counts;
  throw badReply(ADDON, "'counts' are not whole numbers");
}

const NOTHING_PACKED: Exclude<NativeReply, string> = { text: "" };

function embeddingsOf(values: Float64Array | undefined, rows: number): number[][] {
  if (values === undefined) return [];
  if (rows === 0 ? values.length === 0 : values.length % rows === 0) return unpackEmbeddings(values, rows);
  throw badReply(ADDON, `${values.length} components are not ${rows} vectors`);
}

/** Rows of all queries as one list per query; `counts` say how many are whose. */
function byQuery<T>(rows: T[], counts: number[]): T[][] {
  const total = sum(counts);
  if (rows.length !== total) throw badReply(ADDON, `it has ${rows.length} rows, but counts ${total}`);
  if (counts.length === 1) return [rows];
  let start = 0;
  return counts.map((count) => {
    const end = start + count;
    const own = rows.slice(start, end);
    start = end;
    return own;
  });
}

/** As {@link byQuery}, of numbers. */
function distancesByQuery(values: Float64Array, counts: number[]): number[][] {
  if (values.length !== sum(counts)) throw badReply(ADDON, `${values.length} distances are not one per hit`);
  let start = 0;
  return counts.map((count) => {
    const own: number[] = new Array(count);
    for (let i = 0; i < count; i++) own[i] = values[start + i] as number;
    start += count;
    return own;
  });
}

function sum(counts: number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}
