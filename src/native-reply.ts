/** The results that native code's replies stand for: JSON, the ids of a query one a line behind it, and numbers beside it. */
import { numbers, unpackEmbeddings } from "./embeddings.js";
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

/** The JSON of a reply to a query. Where there is none, all but ids and distances is missing, and the ids are those of one query. */
interface QueryColumns {
  /** Hits of each query. */
  counts: number[];
  /** Only where an id holds a line break, or is long enough to be a view that would keep the text; otherwise ids follow the JSON, one a line. */
  ids?: string[][];
  /** Only where they are neither beside the text nor where the vectors were. */
  distances?: number[][];
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
  const { text, embeddings } = packedOf(reply);
  const columns = checkColumns<GetColumns>(parseReply(text, ADDON), GET);
  const { ids } = columns;
  checkLengths(columns, ids, GET);
  return new GetResult<TMeta>({
    ids,
    documents: columns.documents ?? [],
    embeddings: embeddings ? embeddingsOf(embeddings, ids.length) : [],
    metadatas: (columns.metadatas ?? []) as (TMeta | null)[],
    uris: columns.uris ?? [],
    include,
  });
}

/**
 * The result that the reply to a query stands for.
 *
 * @param room - Where native code leaves the distances of an answer at once, if they fit.
 * @throws ChromaServerError when the reply is not of the form that this version reads.
 */
export function readQueryReply<TMeta extends Metadata>(
  reply: NativeReply,
  include: Include[],
  room: Float64Array,
): QueryResult<TMeta> {
  if (typeof reply === "string" && hasOnlyIds(reply)) return readIds(reply, include, room);
  const { text, embeddings, distances } = packedOf(reply);
  const lines = text.split("\n");
  const json = lines.shift();
  const answer = json ? checkObject(parseReply(json, ADDON), ADDON) : { counts: [lines.length] };
  const counts = checkCounts(answer.counts);
  answer.ids ??= byQuery(lines, counts);
  if (distances) answer.distances = byQuery(numbers(distances, 0, distances.length), counts);
  else if (answer.distances === undefined && include.includes("distances")) {
    answer.distances = byQuery(distancesIn(room, sum(counts)), counts);
  }
  const columns = checkColumns<Required<QueryColumns>>(answer, QUERY);
  if (sum(columns.ids.map((ids) => ids.length)) !== sum(counts))
    throw badReply(ADDON, "'ids' are not as many as 'counts' says");
  checkLengths(columns, columns.ids, QUERY);
  return new QueryResult<TMeta>({
    ids: columns.ids,
    distances: columns.distances ?? [],
    documents: columns.documents ?? [],
    embeddings: embeddings ? byQuery(embeddingsOf(embeddings, sum(counts)), counts) : [],
    metadatas: (columns.metadatas ?? []) as (TMeta | null)[][],
    uris: columns.uris ?? [],
    include,
  });
}

function packedOf(reply: NativeReply): Exclude<NativeReply, string> {
  return typeof reply === "string" ? { text: reply } : reply;
}

const LINE_BREAK = 10;

/** Whether there is no JSON before the ids. */
function hasOnlyIds(text: string): boolean {
  return text === "" || text.charCodeAt(0) === LINE_BREAK;
}

/** The result of the one query that most programs ask, which is all there. */
function readIds<TMeta extends Metadata>(text: string, include: Include[], room: Float64Array): QueryResult<TMeta> {
  const ids = text === "" ? [] : text.slice(1).split("\n");
  return new QueryResult<TMeta>({
    ids: [ids],
    distances: include.includes("distances") ? [distancesIn(room, ids.length)] : [],
    documents: [],
    embeddings: [],
    metadatas: [],
    uris: [],
    include,
  });
}

function distancesIn(room: Float64Array, hits: number): number[] {
  if (hits <= room.length) return numbers(room, 0, hits);
  throw badReply(ADDON, "'distances' are missing");
}

function checkCounts(counts: unknown): number[] {
  if (Array.isArray(counts) && counts.every((count) => Number.isInteger(count) && count >= 0)) return counts;
  throw badReply(ADDON, "'counts' are not whole numbers");
}

function embeddingsOf(values: Float64Array, rows: number): number[][] {
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

function sum(counts: number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}
