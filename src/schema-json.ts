/** A schema as Chroma's JSON: its shape, its defaults, its rules, and how it goes together with a configuration. */
import type { EmbeddingFunctionConfiguration } from "./embedding-function.js";
import { badRequest, unprocessable } from "./errors.js";
import type { HnswIndexConfig, Space, SpannIndexConfig } from "./index-config.js";

/** An index without parameters, on or off. */
export interface IndexJson {
  /** Whether the index is on. */
  enabled: boolean;
  /** Empty. */
  config: Record<string, never>;
}

/** Parameters of the vector index. */
export interface VectorConfigJson {
  /** Distance function. */
  space?: Space | null;
  /** What embeds documents. */
  embedding_function?: EmbeddingFunctionConfiguration | null;
  /** Key whose text is embedded. */
  source_key?: string | null;
  /** Parameters of the HNSW graph. */
  hnsw?: HnswIndexConfig | null;
  /** Parameters of SPANN; only the space counts. */
  spann?: SpannIndexConfig | null;
}

/** Parameters of a sparse vector index. */
export interface SparseVectorConfigJson {
  /** What embeds the source key. */
  embedding_function?: EmbeddingFunctionConfiguration | null;
  /** Key whose text is embedded. */
  source_key?: string | null;
  /** Whether the values are BM25 weights. */
  bm25?: boolean | null;
}

/** An index with parameters, on or off. */
export interface ConfiguredIndexJson<Config> {
  /** Whether the index is on. */
  enabled: boolean;
  /** Its parameters. */
  config: Config;
}

/** Indexes over strings. */
export interface StringIndexesJson {
  /** Full-text index. */
  fts_index?: IndexJson | null;
  /** Inverted index. */
  string_inverted_index?: IndexJson | null;
}

/** Indexes over vectors. */
export interface FloatListIndexesJson {
  /** Vector index. */
  vector_index?: ConfiguredIndexJson<VectorConfigJson> | null;
}

/** Indexes over sparse vectors. */
export interface SparseVectorIndexesJson {
  /** Sparse vector index. */
  sparse_vector_index?: ConfiguredIndexJson<SparseVectorConfigJson> | null;
}

/** Indexes over integers. */
export interface IntIndexesJson {
  /** Inverted index. */
  int_inverted_index?: IndexJson | null;
}

/** Indexes over floats. */
export interface FloatIndexesJson {
  /** Inverted index. */
  float_inverted_index?: IndexJson | null;
}

/** Indexes over booleans. */
export interface BoolIndexesJson {
  /** Inverted index. */
  bool_inverted_index?: IndexJson | null;
}

/** The indexes of a key, by type of value. */
export interface ValueTypesJson {
  /** Indexes over strings. */
  string?: StringIndexesJson | null;
  /** Indexes over vectors. */
  float_list?: FloatListIndexesJson | null;
  /** Indexes over sparse vectors. */
  sparse_vector?: SparseVectorIndexesJson | null;
  /** Indexes over integers. */
  int?: IntIndexesJson | null;
  /** Indexes over floats. */
  float?: FloatIndexesJson | null;
  /** Indexes over booleans. */
  bool?: BoolIndexesJson | null;
}

/** A schema as Chroma's JSON. */
export interface SchemaJson {
  /** Indexes of keys that have no entry of their own. */
  defaults: ValueTypesJson;
  /** Indexes by key. */
  keys: Record<string, ValueTypesJson>;
  /** Encryption key; refused. */
  cmek?: Record<string, unknown>;
}

const DOCUMENT = "#document";
const EMBEDDING = "#embedding";

/** The index names of each type of value. */
const INDEX_NAMES: Record<string, string[]> = {
  string: ["fts_index", "string_inverted_index"],
  float_list: ["vector_index"],
  sparse_vector: ["sparse_vector_index"],
  int: ["int_inverted_index"],
  float: ["float_inverted_index"],
  bool: ["bool_inverted_index"],
};

/** The parameters that each index knows. Indexes that are not here know none. */
const CONFIG_FIELDS: Record<string, string[]> = {
  vector_index: ["space", "embedding_function", "source_key", "hnsw", "spann"],
  sparse_vector_index: ["embedding_function", "source_key", "bm25", "algorithm"],
};

function index(enabled: boolean): IndexJson {
  return { enabled, config: {} };
}

/** The schema of a collection whose creator gave none. */
export function defaultSchema(vector: VectorConfigJson): SchemaJson {
  return {
    defaults: {
      string: { fts_index: index(false), string_inverted_index: index(true) },
      float_list: { vector_index: { enabled: false, config: vector } },
      sparse_vector: {
        sparse_vector_index: { enabled: false, config: { embedding_function: { type: "unknown" }, bm25: false } },
      },
      int: { int_inverted_index: index(true) },
      float: { float_inverted_index: index(true) },
      bool: { bool_inverted_index: index(true) },
    },
    keys: {
      [DOCUMENT]: { string: { fts_index: index(true), string_inverted_index: index(false) } },
      [EMBEDDING]: { float_list: { vector_index: { enabled: true, config: { ...vector, source_key: DOCUMENT } } } },
    },
  };
}

/** The vector parameters that a schema sets: those of `#embedding`, otherwise the defaults'. */
export function vectorConfig(schema: SchemaJson): VectorConfigJson {
  return {
    ...schema.defaults.float_list?.vector_index?.config,
    ...schema.keys[EMBEDDING]?.float_list?.vector_index?.config,
  };
}

/** Whether a schema asks for nothing that the default schema does not. */
export function isDefaultSchema(schema: SchemaJson): boolean {
  const { space, hnsw, spann, embedding_function: ef, source_key: sourceKey } = vectorConfig(schema);
  if (space || hnsw || spann || (sourceKey && sourceKey !== DOCUMENT)) return false;
  if (ef?.type === "known" && ef.name !== "default") return false;
  const standard = defaultSchema({});
  const entries = Object.entries(schema.keys);
  return (
    entries.every(([key, types]) => sameIndexes(types, standard.keys[key] ?? {})) &&
    sameIndexes(schema.defaults, standard.defaults)
  );
}

/** Whether every index that `types` names is on exactly when it is in `standard`. */
function sameIndexes(types: ValueTypesJson, standard: ValueTypesJson): boolean {
  return allIndexes(types).every(([type, name, { enabled }]) => {
    const same = (standard as Record<string, Record<string, IndexJson> | undefined>)[type]?.[name];
    return same !== undefined && same.enabled === enabled;
  });
}

function allIndexes(types: ValueTypesJson): [type: string, name: string, index: { enabled: boolean }][] {
  return Object.entries(types as Record<string, Record<string, { enabled: boolean } | null> | null>).flatMap(
    ([type, indexes]) =>
      Object.entries(indexes ?? {}).flatMap(([name, value]): [string, string, { enabled: boolean }][] =>
        value ? [[type, name, value]] : [],
      ),
  );
}

/**
 * Checks a user's schema by the server's rules.
 *
 * @throws ChromaClientError naming the rule.
 */
export function validateSchema(schema: SchemaJson, route: string): void {
  if (typeof schema !== "object" || schema === null || !schema.defaults || !schema.keys) {
    throw unprocessable("schema: expected an object with `defaults` and `keys`");
  }
  if (schema.cmek) {
    throw invalidSchema(route, "Customer-managed encryption keys are not supported in local");
  }
  validateShape("defaults", schema.defaults);
  for (const [key, types] of Object.entries(schema.keys)) validateShape(`keys['${key}']`, types);

  if (schema.defaults.float_list?.vector_index?.enabled) {
    throw invalidSchema(route, `Vector index cannot be enabled in defaults; it is only for the key '${EMBEDDING}'`);
  }
  if (schema.defaults.string?.fts_index?.enabled) {
    throw invalidSchema(route, `FTS index cannot be enabled in defaults; it is only for the key '${DOCUMENT}'`);
  }
  for (const [key, types] of [["", schema.defaults] as const, ...Object.entries(schema.keys)]) {
    if (types.sparse_vector?.sparse_vector_index?.enabled) {
      throw invalidSchema(route, "Sparse vector indexing is not enabled in local");
    }
    if (key.startsWith("#") && key !== DOCUMENT && key !== EMBEDDING) {
      throw invalidSchema(route, `Key '${key}' is reserved: keys must not begin with '#'`);
    }
    if (types.float_list?.vector_index?.enabled && key !== EMBEDDING) {
      throw invalidSchema(route, `Vector index cannot be enabled on key '${key}'; it is only for '${EMBEDDING}'`);
    }
    if (types.string?.fts_index?.enabled && key !== DOCUMENT) {
      throw invalidSchema(route, `FTS index cannot be enabled on key '${key}'; it is only for '${DOCUMENT}'`);
    }
  }
  if (schema.keys[DOCUMENT]?.string?.string_inverted_index?.enabled) {
    throw invalidSchema(route, `String inverted index cannot be enabled on key '${DOCUMENT}'`);
  }
  if (schema.keys[EMBEDDING]?.float_list?.vector_index?.enabled === false) {
    throw invalidSchema(route, `Vector index cannot be disabled on key '${EMBEDDING}'`);
  }
}

function invalidSchema(route: string, message: string): Error {
  return badRequest(route, `Failed to reconcile schema: Invalid schema input: ${message}`);
}

function validateShape(where: string, types: unknown): void {
  if (typeof types !== "object" || types === null) throw unprocessable(`schema.${where}: expected an object`);
  for (const [type, indexes] of Object.entries(types as Record<string, unknown>)) {
    const names = Object.hasOwn(INDEX_NAMES, type) ? INDEX_NAMES[type] : undefined;
    if (names === undefined) throw unprocessable(`schema.${where}: unknown field \`${type}\``);
    for (const [name, value] of Object.entries((indexes ?? {}) as Record<string, unknown>)) {
      if (!names.includes(name)) throw unprocessable(`schema.${where}.${type}: unknown field \`${name}\``);
      if (value !== null) validateIndexShape(`schema.${where}.${type}.${name}`, name, value);
    }
  }
}

function validateIndexShape(where: string, name: string, value: unknown): void {
  const { enabled, config } = value as { enabled?: unknown; config?: unknown };
  if (typeof enabled !== "boolean") throw unprocessable(`${where}.enabled: expected a boolean`);
  if (typeof config !== "object" || config === null) throw unprocessable(`${where}.config: expected an object`);
  const known = CONFIG_FIELDS[name] ?? [];
  for (const field of Object.keys(config)) {
    if (!known.includes(field)) throw unprocessable(`${where}.config: unknown field \`${field}\``);
  }
}

/** Fills what a user's schema leaves open from the default schema, and sets the vector parameters that were agreed on. */
export function completeSchema(schema: SchemaJson | undefined, vector: VectorConfigJson): SchemaJson {
  const standard = defaultSchema(vector);
  if (schema === undefined) return standard;
  const completed: SchemaJson = {
    defaults: { ...standard.defaults, ...schema.defaults },
    keys: Object.fromEntries([...Object.entries(standard.keys), ...Object.entries(schema.keys)]),
  };
  setVectorConfig(completed, vector);
  return completed;
}

/** Sets the vector parameters in both places where a schema has them, keeping the source keys. */
function setVectorConfig(schema: SchemaJson, vector: VectorConfigJson): void {
  const defaults = schema.defaults.float_list?.vector_index;
  schema.defaults.float_list = {
    vector_index: { enabled: false, config: withSource(vector, defaults?.config.source_key) },
  };
  const embedding = schema.keys[EMBEDDING];
  const source = embedding?.float_list?.vector_index?.config.source_key ?? DOCUMENT;
  schema.keys[EMBEDDING] = {
    ...embedding,
    float_list: { vector_index: { enabled: true, config: withSource(vector, source) } },
  };
}

function withSource(vector: VectorConfigJson, source: string | null | undefined): VectorConfigJson {
  const { source_key: _, ...rest } = vector;
  return source ? { ...rest, source_key: source } : rest;
}
