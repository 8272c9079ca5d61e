/** Answers of {@link Collection.search}. */
import type { Metadata } from "../types.js";

/** A hit of a {@link SearchResult}. What was not selected, or is not there, is left out. */
export interface SearchResultRow {
  /** Id of the record. */
  id: string;
  /** Its document. */
  document?: string | null;
  /** Its vector. */
  embedding?: number[] | null;
  /** Its metadata, or of them the keys that were selected. */
  metadata?: Metadata | null;
  /** What the ranking gave it; smaller ranks first. */
  score?: number | null;
}

/** An answer as JSON: one entry per search. */
export interface SearchResponse {
  /** Ids. */
  ids: string[][];
  /** Documents; null for a search that did not select them. */
  documents?: ((string | null)[] | null)[] | null;
  /** Vectors; null for a search that did not select them. */
  embeddings?: ((number[] | null)[] | null)[] | null;
  /** Metadata; null for a search that did not select them. */
  metadatas?: ((Metadata | null)[] | null)[] | null;
  /** Scores; null for a search that did not select them. */
  scores?: ((number | null)[] | null)[] | null;
  /** What each search selected. */
  select?: unknown[][];
}

/** Hits as columns, one entry per search, best first. Columns that a search did not select are null. */
export class SearchResult {
  /** Ids. */
  readonly ids: string[][];
  /** Documents. */
  readonly documents: ((string | null)[] | null)[];
  /** Vectors. */
  readonly embeddings: ((number[] | null)[] | null)[];
  /** Metadata. */
  readonly metadatas: ((Metadata | null)[] | null)[];
  /** Scores; smaller ranks first. */
  readonly scores: ((number | null)[] | null)[];
  /** What each search selected. */
  // biome-ignore lint/suspicious/noExplicitAny: the type of Chroma's generated client, which names reserved keys otherwise.
  readonly select: any[][];

  /** @param response - The answer as JSON; columns may be absent or short. */
  constructor(response: SearchResponse) {
    const { ids } = response;
    this.ids = ids;
    this.documents = padded(response.documents, ids.length);
    this.embeddings = padded(response.embeddings, ids.length);
    this.metadatas = padded(response.metadatas, ids.length);
    this.scores = padded(response.scores, ids.length);
    this.select = response.select ?? [];
  }

  /**
   * The same as rows.
   *
   * @returns One array per search, one object per hit.
   */
  rows(): SearchResultRow[][] {
    return this.ids.map((ids, search) =>
      ids.map((id, i) => {
        const row: SearchResultRow = { id };
        const document = this.documents[search]?.[i];
        const embedding = this.embeddings[search]?.[i];
        const metadata = this.metadatas[search]?.[i];
        const score = this.scores[search]?.[i];
        if (document != null) row.document = document;
        if (embedding != null) row.embedding = embedding;
        if (metadata != null) row.metadata = metadata;
        if (score != null) row.score = score;
        return row;
      }),
    );
  }
}

function padded<T>(column: (T[] | null)[] | null | undefined, searches: number): (T[] | null)[] {
  const given = column ?? [];
  return Array.from({ length: Math.max(searches, given.length) }, (_, search) => given[search] ?? null);
}
