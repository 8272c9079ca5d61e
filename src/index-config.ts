/** The parts of a schema: index configurations, and which of them each type of value has. */
import type { EmbeddingFunction, EmbeddingFunctionSpace, SparseEmbeddingFunction } from "./embedding-function.js";

/**
 * How vectors are coded in the index. Hits are rescored with the vectors themselves in any case; what differs is memory, speed
 * and how many of the nearest are found.
 *
 * - `"auto"`: the index measures itself while it is built, and takes the first of 4 bits, 4 bits with more rows rescored, 8 bits
 *   and none that finds at least 99.5 % of the ten nearest.
 * - `"int4"`, `"int8"`: 4 or 8 bits a dimension, whatever is found with them.
 * - `"none"`: no codes; searches compare the vectors themselves.
 */
export type Quantization = "auto" | "int4" | "int8" | "none";

/**
 * Distance functions by name: Chroma's (see {@link EmbeddingFunctionSpace}), and five that only this package has. `l1` is the
 * sum of absolute differences, `hamming` the share of components that differ. `jaccard` is `1 - sum(min) / sum(max)`, and
 * `hellinger` and `jensen-shannon` (natural logarithms, with the root) compare vectors divided by their sums; these three refuse
 * negative components.
 */
export type Space = EmbeddingFunctionSpace | "l1" | "hamming" | "jaccard" | "hellinger" | "jensen-shannon";

/** Parameters of the HNSW graph in a schema. */
export interface HnswIndexConfig {
  /** Breadth of the search while the graph is built. Default 100. */
  ef_construction?: number | null;
  /** Most neighbours of a node. Default 16. */
  max_neighbors?: number | null;
  /** Breadth of a search. Default 100. */
  ef_search?: number | null;
  /** How vectors are coded. Default `"auto"`. Not in Chroma; reported only where it was set. */
  quantization?: Quantization | null;
  /** Kept for compatibility; has no effect. */
  num_threads?: number | null;
  /** Kept for compatibility; has no effect. */
  batch_size?: number | null;
  /** Kept for compatibility; has no effect. */
  sync_threshold?: number | null;
  /** Kept for compatibility; has no effect. */
  resize_factor?: number | null;
}

/** Parameters of Chroma Cloud's SPANN index. Here an HNSW graph is built instead; only the space is kept. */
export type SpannIndexConfig = Record<string, number | string | null | undefined>;

/** A key of a record by name, as Chroma's search expressions write it. */
export interface KeyLike {
  /** The key. */
  name: string;
}

/** Full-text index over documents. */
export class FtsIndexConfig {
  /** Tells configurations apart. */
  readonly type = "FtsIndexConfig";
}

/** Inverted index over strings. */
export class StringInvertedIndexConfig {
  /** Tells configurations apart. */
  readonly type = "StringInvertedIndexConfig";
}

/** Inverted index over integers. */
export class IntInvertedIndexConfig {
  /** Tells configurations apart. */
  readonly type = "IntInvertedIndexConfig";
}

/** Inverted index over floats. */
export class FloatInvertedIndexConfig {
  /** Tells configurations apart. */
  readonly type = "FloatInvertedIndexConfig";
}

/** Inverted index over booleans. */
export class BoolInvertedIndexConfig {
  /** Tells configurations apart. */
  readonly type = "BoolInvertedIndexConfig";
}

/** Options of a {@link VectorIndexConfig}. */
export interface VectorIndexConfigOptions {
  /** Distance function. Default: the embedding function's, otherwise `l2`. */
  space?: Space | null | undefined;
  /** Embeds documents; null for none at all. */
  embeddingFunction?: EmbeddingFunction | null | undefined;
  /** Key whose text is embedded. */
  sourceKey?: string | KeyLike | null | undefined;
  /** Parameters of the HNSW graph. */
  hnsw?: HnswIndexConfig | null | undefined;
  /** Parameters of SPANN; only the space counts. */
  spann?: SpannIndexConfig | null | undefined;
}

/** Index over vectors. */
export class VectorIndexConfig {
  /** Tells configurations apart. */
  readonly type = "VectorIndexConfig";
  /** Distance function; null for the default. */
  space: Space | null;
  /** Embeds documents; undefined when not configured, null for none at all. */
  embeddingFunction: EmbeddingFunction | null | undefined;
  /** Key whose text is embedded. */
  sourceKey: string | null;
  /** Parameters of the HNSW graph. */
  hnsw: HnswIndexConfig | null;
  /** Parameters of SPANN; only the space counts. */
  spann: SpannIndexConfig | null;

  /** @param options - All optional. */
  constructor(options: VectorIndexConfigOptions = {}) {
    this.space = options.space ?? null;
    this.embeddingFunction = options.embeddingFunction;
    this.sourceKey = keyName(options.sourceKey);
    this.hnsw = options.hnsw ?? null;
    this.spann = options.spann ?? null;
  }
}

/** Options of a {@link SparseVectorIndexConfig}. */
export interface SparseVectorIndexConfigOptions {
  /** Embeds the text of the source key. */
  embeddingFunction?: SparseEmbeddingFunction | null | undefined;
  /** Key whose text is embedded. */
  sourceKey?: string | KeyLike | null | undefined;
  /** Whether the values are BM25 weights. */
  bm25?: boolean | null | undefined;
}

/** Index over sparse vectors. The embedded database refuses a schema that enables one. */
export class SparseVectorIndexConfig {
  /** Tells configurations apart. */
  readonly type = "SparseVectorIndexConfig";
  /** Embeds the text of the source key. */
  embeddingFunction: SparseEmbeddingFunction | null | undefined;
  /** Key whose text is embedded. */
  sourceKey: string | null;
  /** Whether the values are BM25 weights. */
  bm25: boolean | null;

  /** @param options - All optional. */
  constructor(options: SparseVectorIndexConfigOptions = {}) {
    this.embeddingFunction = options.embeddingFunction;
    this.sourceKey = keyName(options.sourceKey);
    this.bm25 = options.bm25 ?? null;
  }
}

function keyName(key: string | KeyLike | null | undefined): string | null {
  return typeof key === "object" && key !== null ? key.name : (key ?? null);
}

/** Any index configuration. */
export type IndexConfig =
  | FtsIndexConfig
  | VectorIndexConfig
  | SparseVectorIndexConfig
  | StringInvertedIndexConfig
  | IntInvertedIndexConfig
  | FloatInvertedIndexConfig
  | BoolInvertedIndexConfig;

/** A full-text index, on or off. */
export class FtsIndexType {
  /**
   * @param enabled - Whether the index is on.
   * @param config - Its configuration.
   */
  constructor(
    public enabled: boolean,
    public config: FtsIndexConfig,
  ) {}
}

/** An index over strings, on or off. */
export class StringInvertedIndexType {
  /**
   * @param enabled - Whether the index is on.
   * @param config - Its configuration.
   */
  constructor(
    public enabled: boolean,
    public config: StringInvertedIndexConfig,
  ) {}
}

/** An index over vectors, on or off. */
export class VectorIndexType {
  /**
   * @param enabled - Whether the index is on.
   * @param config - Its configuration.
   */
  constructor(
    public enabled: boolean,
    public config: VectorIndexConfig,
  ) {}
}

/** An index over sparse vectors, on or off. */
export class SparseVectorIndexType {
  /**
   * @param enabled - Whether the index is on.
   * @param config - Its configuration.
   */
  constructor(
    public enabled: boolean,
    public config: SparseVectorIndexConfig,
  ) {}
}

/** An index over integers, on or off. */
export class IntInvertedIndexType {
  /**
   * @param enabled - Whether the index is on.
   * @param config - Its configuration.
   */
  constructor(
    public enabled: boolean,
    public config: IntInvertedIndexConfig,
  ) {}
}

/** An index over floats, on or off. */
export class FloatInvertedIndexType {
  /**
   * @param enabled - Whether the index is on.
   * @param config - Its configuration.
   */
  constructor(
    public enabled: boolean,
    public config: FloatInvertedIndexConfig,
  ) {}
}

/** An index over booleans, on or off. */
export class BoolInvertedIndexType {
  /**
   * @param enabled - Whether the index is on.
   * @param config - Its configuration.
   */
  constructor(
    public enabled: boolean,
    public config: BoolInvertedIndexConfig,
  ) {}
}

/** Indexes over strings. */
export class StringValueType {
  /**
   * @param ftsIndex - Full-text index.
   * @param stringInvertedIndex - Inverted index.
   */
  constructor(
    public ftsIndex: FtsIndexType | null = null,
    public stringInvertedIndex: StringInvertedIndexType | null = null,
  ) {}
}

/** Indexes over vectors. */
export class FloatListValueType {
  /** @param vectorIndex - Vector index. */
  constructor(public vectorIndex: VectorIndexType | null = null) {}
}

/** Indexes over sparse vectors. */
export class SparseVectorValueType {
  /** @param sparseVectorIndex - Sparse vector index. */
  constructor(public sparseVectorIndex: SparseVectorIndexType | null = null) {}
}

/** Indexes over integers. */
export class IntValueType {
  /** @param intInvertedIndex - Inverted index. */
  constructor(public intInvertedIndex: IntInvertedIndexType | null = null) {}
}

/** Indexes over floats. */
export class FloatValueType {
  /** @param floatInvertedIndex - Inverted index. */
  constructor(public floatInvertedIndex: FloatInvertedIndexType | null = null) {}
}

/** Indexes over booleans. */
export class BoolValueType {
  /** @param boolInvertedIndex - Inverted index. */
  constructor(public boolInvertedIndex: BoolInvertedIndexType | null = null) {}
}

/** The indexes of a key, by type of value. Null: as in the schema's defaults. */
export class ValueTypes {
  /** Indexes over strings. */
  string: StringValueType | null = null;
  /** Indexes over vectors. */
  floatList: FloatListValueType | null = null;
  /** Indexes over sparse vectors. */
  sparseVector: SparseVectorValueType | null = null;
  /** Indexes over integers. */
  intValue: IntValueType | null = null;
  /** Indexes over floats. */
  floatValue: FloatValueType | null = null;
  /** Indexes over booleans. */
  boolean: BoolValueType | null = null;
}
