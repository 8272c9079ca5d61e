import { unpackEmbeddings } from "./embeddings.js";
import type { NativeReply } from "./native.js";
import { QueryResult } from "./results.js";
import type { Include, Metadata } from "./types.js";

/** The JSON of a query's reply. */
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

/** The result that native code's reply to a query stands for. */
export function readQueryReply<TMeta extends Metadata>(reply: NativeReply, include: Include[]): QueryResult<TMeta> {
  const text = typeof reply === "string" ? reply : reply.text;
  const end = text.indexOf("\n");
  const columns: QueryColumns = JSON.parse(end < 0 ? text : text.slice(0, end));
  const ids = columns.ids ?? splitByQuery(end < 0 ? [] : text.slice(end + 1).split("\n"), columns.counts);
  return new QueryResult<TMeta>({
    ids,
    distances: columns.distances ?? [],
    documents: columns.documents ?? [],
    embeddings: typeof reply === "string" ? [] : embeddingsByQuery(reply.embeddings, columns.counts),
    metadatas: (columns.metadatas ?? []) as (TMeta | null)[][],
    uris: columns.uris ?? [],
    include,
  });
}

function embeddingsByQuery(values: Float64Array, counts: number[]): number[][][] {
  const total = counts.reduce((sum, count) => sum + count, 0);
  return splitByQuery(unpackEmbeddings(values, total), counts);
}

function splitByQuery<T>(rows: T[], counts: number[]): T[][] {
  if (counts.length === 1) return [rows];
  let start = 0;
  return counts.map((count) => {
    const end = start + count;
    const own = rows.slice(start, end);
    start = end;
    return own;
  });
}
