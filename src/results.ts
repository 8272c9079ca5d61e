import type { Include, Metadata } from "./types.js";

/** A record of a {@link GetResult}. Fields that were not included are undefined. */
export interface GetRowResult<TMeta extends Metadata = Metadata> {
  /** Id of the record. */
  id: string;
  /** Its document; null if it has none. */
  document: string | null | undefined;
  /** Its vector. */
  embedding: number[] | undefined;
  /** Its metadata; null if it has none. */
  metadata: TMeta | null | undefined;
  /** Its URI; null if it has none. */
  uri: string | null | undefined;
}

/** Columns of a {@link GetResult}. */
export interface GetResultColumns<TMeta extends Metadata = Metadata> {
  /** Ids, in insertion order. */
  ids: string[];
  /** Documents; empty when not included. */
  documents: (string | null)[];
  /** Vectors; empty when not included. */
  embeddings: number[][];
  /** Metadata; empty when not included. */
  metadatas: (TMeta | null)[];
  /** URIs; empty when not included. */
  uris: (string | null)[];
  /** What was included. */
  include: Include[];
}

/** Records as columns, in insertion order. Columns that were not included are empty. */
export class GetResult<TMeta extends Metadata = Metadata> implements GetResultColumns<TMeta> {
  /** Ids, in insertion order. */
  readonly ids: string[];
  /** Documents; empty when not included. */
  readonly documents: (string | null)[];
  /** Vectors; empty when not included. */
  readonly embeddings: number[][];
  /** Metadata; empty when not included. */
  readonly metadatas: (TMeta | null)[];
  /** URIs; empty when not included. */
  readonly uris: (string | null)[];
  /** What was included. */
  readonly include: Include[];

  /** @param columns - The columns, all of the length of `ids` or empty. */
  constructor(columns: GetResultColumns<TMeta>) {
    this.documents = columns.documents;
    this.embeddings = columns.embeddings;
    this.ids = columns.ids;
    this.include = columns.include;
    this.metadatas = columns.metadatas;
    this.uris = columns.uris;
  }

  /**
   * The same as rows.
   *
   * @returns One object per record; fields that were not included are undefined.
   */
  rows(): GetRowResult<TMeta>[] {
    const has = new Set(this.include);
    return this.ids.map((id, i) => ({
      id,
      document: has.has("documents") ? this.documents[i] : undefined,
      embedding: has.has("embeddings") ? this.embeddings[i] : undefined,
      metadata: has.has("metadatas") ? this.metadatas[i] : undefined,
      uri: has.has("uris") ? this.uris[i] : undefined,
    }));
  }
}

/** A hit of a {@link QueryResult}. Fields that were not included are undefined. */
export interface QueryRowResult<TMeta extends Metadata = Metadata> {
  /** Distance to the query: smaller is nearer. */
  distance?: number | null | undefined;
  /** The document; null if the record has none. */
  document?: string | null | undefined;
  /** The vector. */
  embedding?: number[] | null | undefined;
  /** Id of the record. */
  id: string;
  /** The metadata; null if the record has none. */
  metadata?: TMeta | null | undefined;
  /** The URI; null if the record has none. */
  uri?: string | null | undefined;
}

/** Columns of a {@link QueryResult}: one inner array per query. */
export interface QueryResultColumns<TMeta extends Metadata = Metadata> {
  /** Distances, ascending; empty when not included. */
  distances: (number | null)[][];
  /** Documents; empty when not included. */
  documents: (string | null)[][];
  /** Vectors; empty when not included. */
  embeddings: (number[] | null)[][];
  /** Ids, nearest first. */
  ids: string[][];
  /** What was included. */
  include: Include[];
  /** Metadata; empty when not included. */
  metadatas: (TMeta | null)[][];
  /** URIs; empty when not included. */
  uris: (string | null)[][];
}

/** Hits as columns, one inner array per query, nearest first. Columns that were not included are empty. */
export class QueryResult<TMeta extends Metadata = Metadata> implements QueryResultColumns<TMeta> {
  /** Distances, ascending; empty when not included. */
  readonly distances: (number | null)[][];
  /** Documents; empty when not included. */
  readonly documents: (string | null)[][];
  /** Vectors; empty when not included. */
  readonly embeddings: (number[] | null)[][];
  /** Ids, nearest first. */
  readonly ids: string[][];
  /** What was included. */
  readonly include: Include[];
  /** Metadata; empty when not included. */
  readonly metadatas: (TMeta | null)[][];
  /** URIs; empty when not included. */
  readonly uris: (string | null)[][];

  /** @param columns - The columns, one inner array per query, or empty. */
  constructor(columns: QueryResultColumns<TMeta>) {
    this.distances = columns.distances;
    this.documents = columns.documents;
    this.embeddings = columns.embeddings;
    this.ids = columns.ids;
    this.include = columns.include;
    this.metadatas = columns.metadatas;
    this.uris = columns.uris;
  }

  /**
   * The same as rows.
   *
   * @returns One array per query, one object per hit; fields that were not included are undefined.
   */
  rows(): QueryRowResult<TMeta>[][] {
    const has = new Set(this.include);
    return this.ids.map((ids, q) =>
      ids.map((id, i) => ({
        id,
        document: has.has("documents") ? this.documents[q]?.[i] : undefined,
        embedding: has.has("embeddings") ? this.embeddings[q]?.[i] : undefined,
        metadata: has.has("metadatas") ? this.metadatas[q]?.[i] : undefined,
        uri: has.has("uris") ? this.uris[q]?.[i] : undefined,
        distance: has.has("distances") ? this.distances[q]?.[i] : undefined,
      })),
    );
  }
}
