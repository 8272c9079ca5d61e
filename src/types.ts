/** The words of the API: metadata, filters, records. */

/** Values that a metadata array may hold. */
export type MetadataScalar = boolean | number | string;

/** A vector by its non-zero places. The embedded database refuses it as a metadata value for now. */
export interface SparseVector {
  /** Positions of the non-zero values. */
  indices: number[];
  /** The non-zero values, one per index. */
  values: number[];
  /** The tokens that the positions stand for, if known. */
  tokens?: string[] | null;
}

/** What one metadata key may hold. */
export type MetadataValue = boolean | number | string | SparseVector | boolean[] | number[] | string[] | null;

/** Metadata of a record: keys to values. A null value counts as absent. */
export type Metadata = Record<string, MetadataValue>;

/** Metadata of a collection: keys to values. A null value counts as absent. */
export type CollectionMetadata = Record<string, MetadataValue>;

/**
 * Vectors, one per record: arrays of numbers, Float32Arrays, or one flat Float32Array (row-major) that goes with a
 * `dimension`. Values are stored as 32-bit floats and must be finite.
 */
export type Embeddings = number[][] | Float32Array[] | Float32Array;

/** Columns that records may have beside their ids. */
export interface BaseRecordSet {
  /** Vectors, one per record. */
  embeddings?: Embeddings | undefined;
  /** Metadata, one per record. */
  metadatas?: (Metadata | null | undefined)[] | undefined;
  /** Documents, one per record. */
  documents?: string[] | undefined;
  /** URIs, one per record. */
  uris?: string[] | undefined;
}

/** Names of the columns of a record set. */
export const baseRecordSetFields: string[] = ["ids", "embeddings", "metadatas", "documents", "uris"];

/** Names of the fields whose lengths must agree in a record set. */
export const recordSetFields: string[] = [...baseRecordSetFields, "ids"];

/** Records as columns. */
export interface RecordSet extends BaseRecordSet {
  /** Unique ids, one per record. */
  ids: string[];
}

/** Records whose vectors may be base64 text, as they travel to a Chroma server. */
export interface PreparedRecordSet extends Omit<RecordSet, "embeddings"> {
  /** Vectors as numbers or as base64 of little-endian 32-bit floats. */
  embeddings?: number[][] | string[] | undefined;
}

/** Records for add and upsert: vectors are there. */
export interface PreparedInsertRecordSet extends PreparedRecordSet {
  /** Vectors as numbers or as base64 of little-endian 32-bit floats. */
  embeddings: number[][] | string[];
}

/** A query as columns. */
export interface QueryRecordSet extends BaseRecordSet {
  /** Restrict the search to these ids. */
  ids?: string[] | undefined;
  /** Query vectors. */
  embeddings: Embeddings;
}

/** What an operator of a filter compares with. */
export type LiteralValue = string | number | boolean;

/** One operator of a filter with its operand. */
export type OperatorExpression =
  | {
      /** Greater than this number. */
      $gt: LiteralValue;
    }
  | {
      /** This number or greater. */
      $gte: LiteralValue;
    }
  | {
      /** Less than this number. */
      $lt: LiteralValue;
    }
  | {
      /** This number or less. */
      $lte: LiteralValue;
    }
  | {
      /** Anything but this value, also no value. */
      $ne: LiteralValue;
    }
  | {
      /** This value. */
      $eq: LiteralValue;
    }
  | {
      /** In Chroma's type, but no server accepts it. */
      $and: LiteralValue;
    }
  | {
      /** In Chroma's type, but no server accepts it. */
      $or: LiteralValue;
    }
  | {
      /** One of these values. */
      $in: LiteralValue[];
    }
  | {
      /** None of these values, also no value. */
      $nin: LiteralValue[];
    }
  | {
      /** An array with this element. */
      $contains: LiteralValue;
    }
  | {
      /** Anything but an array with this element. */
      $not_contains: LiteralValue;
    };

/**
 * A filter on metadata: exactly one key.
 *
 * `$ne`, `$nin` and `$not_contains` also hold for records that lack the key.
 *
 * @example
 * ```ts
 * const where: Where = { $and: [{ year: { $gte: 2020 } }, { lang: "en" }] };
 * ```
 */
export type Where =
  | {
      /** A metadata key, and what it must hold. */
      [key: string]: LiteralValue | OperatorExpression;
    }
  | {
      /** All of these, at least two. */
      $and: Where[];
    }
  | {
      /** Any of these, at least two. */
      $or: Where[];
    };

/**
 * A filter on documents: exactly one operator. `$regex` is in the syntax of Rust's `regex` crate (linear time; no
 * look-around, no back-references). The negated operators also hold for records without a document.
 */
export type WhereDocument =
  | {
      /** Documents with this substring, case-sensitive. */
      $contains: string;
    }
  | {
      /** All others. */
      $not_contains: string;
    }
  | {
      /** In Chroma's type, but no server accepts it. */
      $matches: string;
    }
  | {
      /** In Chroma's type, but no server accepts it. */
      $not_matches: string;
    }
  | {
      /** Documents in which this regular expression is found. */
      $regex: string;
    }
  | {
      /** All others. */
      $not_regex: string;
    }
  | {
      /** All of these, at least two. */
      $and: WhereDocument[];
    }
  | {
      /** Any of these, at least two. */
      $or: WhereDocument[];
    };

/** Columns that a result may carry. */
export type Include = "distances" | "documents" | "embeddings" | "metadatas" | "uris";

/** Columns that a result may carry, as an enum. */
export enum IncludeEnum {
  /** Distances to the query. */
  distances = "distances",
  /** Documents. */
  documents = "documents",
  /** Vectors. */
  embeddings = "embeddings",
  /** Metadata. */
  metadatas = "metadatas",
  /** URIs. */
  uris = "uris",
}

/** How fresh a read must be. The embedded database always answers from everything that was acknowledged. */
export const ReadLevel = {
  /** Everything acknowledged. */
  INDEX_AND_WAL: "index_and_wal",
  /** Accepted, and answered like `INDEX_AND_WAL`. */
  INDEX_ONLY: "index_only",
  /** Accepted, and answered like `INDEX_AND_WAL`. */
  INDEX_AND_BOUNDED_WAL: "index_and_bounded_wal",
} as const;

/** How fresh a read must be. The embedded database always answers from everything that was acknowledged. */
export type ReadLevel = (typeof ReadLevel)[keyof typeof ReadLevel];

/** Who the client is, in Chroma's terms. */
export interface UserIdentity {
  /** Empty: there are no users in process. */
  user_id: string;
  /** The client's tenant. */
  tenant: string;
  /** The client's database. */
  databases: string[];
}

/** Answer of `delete`. */
export interface DeleteResult {
  /** Records deleted; with `ids` and no filter: ids asked for. */
  deleted: number;
}

/** How much of a collection is in its sealed, indexed segments. */
export interface IndexingStatus {
  /** Indexed part of all operations, 0 to 1. */
  op_indexing_progress: number;
  /** Operations not yet indexed; they are searched exactly. */
  num_unindexed_ops: number;
  /** Operations indexed. */
  num_indexed_ops: number;
  /** All operations. */
  total_ops: number;
}

/** A database, as the admin client lists it. */
export interface Database {
  /** UUID of the database. */
  id: string;
  /** Its name. */
  name: string;
  /** The tenant that owns it. */
  tenant: string;
}

/** What a client may send at once. */
export interface PreflightChecks {
  /** Most records in one call of add, update or upsert. */
  max_batch_size: number;
  /** Always true; vectors do not travel as text in process anyway. */
  supports_base64_encoding: boolean;
}

/** The cache of open indexes, which all collections of a database share. */
export interface IndexCacheStats {
  /** Open indexes: one a segment of 2,048 records or more. */
  open: number;
  /** How many of them are in memory; the others are searched in their files, and copied into memory as there is room. */
  resident: number;
  /** Memory of the open indexes, in bytes. */
  bytes: number;
  /** What `bytes` is kept below: `indexCacheBytes`, or less where the system is short of memory. */
  budget: number;
  /** Times that an index was wanted and found open. */
  hits: number;
  /** Times that it had to be opened. */
  misses: number;
  /** Indexes closed to stay within the budget. */
  evictions: number;
}

/** The copies of vectors that searches come back to, of all collections of a database. */
export interface VectorCacheStats {
  /** Their memory, in bytes. */
  bytes: number;
  /** What `bytes` is kept below: `vectorCacheBytes`. */
  budget: number;
}

/** What a database has open and holds in memory. Counters begin when it is opened; clients of one folder share them. */
export interface DatabaseStats {
  /** Open collections. */
  collections: number;
  /** Their sealed segments. */
  segments: number;
  /** Their records. */
  records: number;
  /** The cache of open indexes. */
  index: IndexCacheStats;
  /** The cache of vectors. */
  vectorCache: VectorCacheStats;
}
