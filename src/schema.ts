import type { ChromaClient } from "./client.js";
import { Cmek } from "./cmek.js";
import {
  describeEmbeddingFunction,
  type EmbeddingFunction,
  type EmbeddingFunctionConfiguration,
  getEmbeddingFunction,
  getSparseEmbeddingFunction,
  registeredEmbeddingFunction,
  registeredSparseEmbeddingFunction,
} from "./embedding-function.js";
import {
  BoolInvertedIndexConfig,
  BoolInvertedIndexType,
  BoolValueType,
  FloatInvertedIndexConfig,
  FloatInvertedIndexType,
  FloatListValueType,
  FloatValueType,
  FtsIndexConfig,
  FtsIndexType,
  type IndexConfig,
  IntInvertedIndexConfig,
  IntInvertedIndexType,
  IntValueType,
  SparseVectorIndexConfig,
  SparseVectorIndexType,
  SparseVectorValueType,
  StringInvertedIndexConfig,
  StringInvertedIndexType,
  StringValueType,
  ValueTypes,
  VectorIndexConfig,
  VectorIndexType,
} from "./index-config.js";
import type { IndexJson, SchemaJson, SparseVectorConfigJson, ValueTypesJson, VectorConfigJson } from "./schema-json.js";

/** Key under which a schema configures documents. */
export const DOCUMENT_KEY = "#document";
/** Key under which a schema configures vectors. */
export const EMBEDDING_KEY = "#embedding";

/**
 * Which indexes a collection keeps: defaults by type of value, and exceptions by key.
 *
 * @example
 * ```ts
 * const schema = new Schema()
 *   .createIndex(new VectorIndexConfig({ space: "cosine" }))
 *   .deleteIndex(new StringInvertedIndexConfig(), "html");
 * ```
 */
export class Schema {
  /** Indexes of keys that have no entry in `keys`. */
  defaults: ValueTypes;
  /** Indexes by key. */
  keys: Record<string, ValueTypes>;
  /** Encryption key; the embedded database refuses one. */
  cmek: Cmek | null;

  /** The default schema: inverted indexes over all metadata, full text over documents, vectors under `#embedding`. */
  constructor() {
    this.defaults = new ValueTypes();
    this.defaults.string = new StringValueType(
      new FtsIndexType(false, new FtsIndexConfig()),
      new StringInvertedIndexType(true, new StringInvertedIndexConfig()),
    );
    this.defaults.floatList = new FloatListValueType(new VectorIndexType(false, new VectorIndexConfig()));
    this.defaults.sparseVector = new SparseVectorValueType(
      new SparseVectorIndexType(false, new SparseVectorIndexConfig()),
    );
    this.defaults.intValue = new IntValueType(new IntInvertedIndexType(true, new IntInvertedIndexConfig()));
    this.defaults.floatValue = new FloatValueType(new FloatInvertedIndexType(true, new FloatInvertedIndexConfig()));
    this.defaults.boolean = new BoolValueType(new BoolInvertedIndexType(true, new BoolInvertedIndexConfig()));

    const document = new ValueTypes();
    document.string = new StringValueType(
      new FtsIndexType(true, new FtsIndexConfig()),
      new StringInvertedIndexType(false, new StringInvertedIndexConfig()),
    );
    const embedding = new ValueTypes();
    embedding.floatList = new FloatListValueType(
      new VectorIndexType(true, new VectorIndexConfig({ sourceKey: DOCUMENT_KEY })),
    );
    this.keys = emptyKeys();
    this.keys[DOCUMENT_KEY] = document;
    this.keys[EMBEDDING_KEY] = embedding;
    this.cmek = null;
  }

  /**
   * Sets the encryption key. The embedded database refuses a schema that has one.
   *
   * @param cmek - The key, or null for none.
   * @returns This schema.
   */
  setCmek(cmek: Cmek | null): this {
    this.cmek = cmek;
    return this;
  }

  /**
   * Turns an index on.
   *
   * @param config - The index. A {@link VectorIndexConfig} is for the whole collection, a {@link FtsIndexConfig} only for `#document`.
   * @param key - The metadata key; without it, the defaults change.
   * @returns This schema.
   * @throws Error when the index cannot be there.
   */
  createIndex(config?: IndexConfig | null, key?: string | null): this {
    if (!config && key == null) {
      throw new Error("Cannot enable all index types globally. Must specify either config or key.");
    }
    if (key === EMBEDDING_KEY) {
      throw new Error(
        `Cannot create index on special key '${key}'. This key is managed automatically by the system. Invoke createIndex(new VectorIndexConfig(...)) without specifying a key to configure the vector index globally.`,
      );
    }
    if (key === DOCUMENT_KEY && !(config instanceof FtsIndexConfig)) {
      throw new Error(
        `Cannot create index on special key '${key}' with this config. Only FtsIndexConfig is allowed for #document.`,
      );
    }
    refuseReservedKey(key);
    if (config instanceof VectorIndexConfig) {
      if (key != null) {
        throw new Error(
          "Vector index cannot be enabled on specific keys. Use createIndex(new VectorIndexConfig(...)) without specifying a key to configure the vector index globally.",
        );
      }
      this.setVectorIndexConfig(config);
      return this;
    }
    if (config instanceof FtsIndexConfig && key !== DOCUMENT_KEY) {
      throw new Error(
        "FTS index can only be enabled on #document key. Use createIndex(new FtsIndexConfig(), '#document')",
      );
    }
    if (config instanceof SparseVectorIndexConfig) {
      if (key == null) {
        throw new Error(
          "Sparse vector index must be created on a specific key. Please specify a key using: createIndex(new SparseVectorIndexConfig(...), 'your_key')",
        );
      }
      if (config.sourceKey !== null && !config.embeddingFunction) {
        throw new Error(
          "If sourceKey is provided then embeddingFunction must also be provided since there is no default embedding function.",
        );
      }
    }
    if (!config) {
      throw new Error(`Cannot enable all index types for key '${key}'. Please specify a specific index configuration.`);
    }
    setIndex(this.valueTypesOf(key), config, true);
    return this;
  }

  /**
   * Turns an index off. Filters that would need it are then refused.
   *
   * @param config - The index.
   * @param key - The metadata key; without it, the defaults change.
   * @returns This schema.
   * @throws Error when the index cannot be turned off.
   */
  deleteIndex(config?: IndexConfig | null, key?: string | null): this {
    if (!config && key == null) {
      throw new Error("Cannot disable all indexes. Must specify either config or key.");
    }
    if (key === EMBEDDING_KEY) {
      throw new Error("Cannot modify #embedding. Currently not supported");
    }
    if (key === DOCUMENT_KEY && !(config instanceof FtsIndexConfig)) {
      throw new Error(
        `Cannot delete index on special key '${key}' with this config. Only FtsIndexConfig is allowed for #document.`,
      );
    }
    refuseReservedKey(key);
    if (config instanceof VectorIndexConfig) {
      throw new Error("Deleting vector index is not currently supported.");
    }
    if (config instanceof SparseVectorIndexConfig) {
      throw new Error("Deleting sparse vector index is not currently supported.");
    }
    if (config instanceof FtsIndexConfig && key !== DOCUMENT_KEY) {
      throw new Error("Deleting FTS index is only supported on #document key.");
    }
    if (!config) {
      throw new Error(
        `Cannot disable all index types for key '${key}'. Please specify a specific index configuration.`,
      );
    }
    setIndex(this.valueTypesOf(key), config, false);
    return this;
  }

  /**
   * The schema as Chroma's JSON.
   *
   * @returns A plain object.
   */
  serializeToJSON(): SchemaJson {
    const keys: Record<string, ValueTypesJson> = emptyKeys();
    for (const [key, valueTypes] of Object.entries(this.keys)) keys[key] = valueTypesToJson(valueTypes);
    const json: SchemaJson = { defaults: valueTypesToJson(this.defaults), keys };
    if (this.cmek !== null) json.cmek = this.cmek.toJSON();
    return json;
  }

  /**
   * Reads Chroma's JSON, building the embedding functions that it names.
   *
   * @param json - What {@link Schema.serializeToJSON} wrote.
   * @param client - Handed to the embedding functions.
   * @returns The schema; undefined for null.
   */
  static async deserializeFromJSON(json: SchemaJson | null, client?: ChromaClient): Promise<Schema | undefined> {
    if (json === null || json === undefined) return undefined;
    for (const valueTypes of [json.defaults, ...Object.values(json.keys ?? {})]) {
      // Registers what is named, so that the synchronous reading below finds it.
      await getEmbeddingFunction({
        client,
        efConfig: valueTypes?.float_list?.vector_index?.config?.embedding_function,
      });
      await getSparseEmbeddingFunction(
        client,
        valueTypes?.sparse_vector?.sparse_vector_index?.config?.embedding_function,
      );
    }
    return Schema.fromStoredJSON(json, client);
  }

  /**
   * Reads Chroma's JSON without loading anything: only registered embedding functions are built.
   *
   * @internal
   */
  static fromStoredJSON(json: SchemaJson, client: ChromaClient | undefined): Schema {
    const schema = new Schema();
    schema.defaults = valueTypesFromJson(json.defaults ?? {}, client);
    schema.keys = emptyKeys();
    for (const [key, valueTypes] of Object.entries(json.keys ?? {})) {
      schema.keys[key] = valueTypesFromJson(valueTypes, client);
    }
    schema.cmek = json.cmek ? Cmek.fromJSON(json.cmek) : null;
    return schema;
  }

  /**
   * The function that embeds documents.
   *
   * @returns The function; undefined when none is configured, null when that is explicit.
   */
  resolveEmbeddingFunction(): EmbeddingFunction | null | undefined {
    const override = this.keys[EMBEDDING_KEY]?.floatList?.vectorIndex?.config.embeddingFunction;
    return override !== undefined ? override : this.defaults.floatList?.vectorIndex?.config.embeddingFunction;
  }

  private valueTypesOf(key: string | null | undefined): ValueTypes {
    if (key == null) return this.defaults;
    this.keys[key] ??= new ValueTypes();
    return this.keys[key];
  }

  private setVectorIndexConfig(config: VectorIndexConfig): void {
    const defaults = this.defaults.floatList?.vectorIndex;
    this.defaults.floatList = new FloatListValueType(
      new VectorIndexType(defaults?.enabled ?? false, copyVectorConfig(config, config.sourceKey)),
    );
    const embedding = this.valueTypesOf(EMBEDDING_KEY);
    const override = embedding.floatList?.vectorIndex;
    embedding.floatList = new FloatListValueType(
      new VectorIndexType(
        override?.enabled ?? true,
        copyVectorConfig(config, override?.config.sourceKey ?? DOCUMENT_KEY),
      ),
    );
  }
}

/** A record without a prototype, so that `__proto__` is a key like any other. */
function emptyKeys<T>(): Record<string, T> {
  return Object.create(null);
}

function refuseReservedKey(key: string | null | undefined): void {
  if (key?.startsWith("#") && key !== DOCUMENT_KEY) {
    throw new Error("key cannot begin with '#'. Keys starting with '#' are reserved for system use.");
  }
}

function copyVectorConfig(config: VectorIndexConfig, sourceKey: string | null): VectorIndexConfig {
  return new VectorIndexConfig({
    space: config.space,
    embeddingFunction: config.embeddingFunction,
    sourceKey,
    hnsw: config.hnsw && { ...config.hnsw },
    spann: config.spann && { ...config.spann },
  });
}

function setIndex(types: ValueTypes, config: IndexConfig, enabled: boolean): void {
  if (config instanceof FtsIndexConfig) {
    types.string ??= new StringValueType();
    types.string.ftsIndex = new FtsIndexType(enabled, config);
  } else if (config instanceof StringInvertedIndexConfig) {
    types.string ??= new StringValueType();
    types.string.stringInvertedIndex = new StringInvertedIndexType(enabled, config);
  } else if (config instanceof SparseVectorIndexConfig) {
    types.sparseVector = new SparseVectorValueType(new SparseVectorIndexType(enabled, config));
  } else if (config instanceof IntInvertedIndexConfig) {
    types.intValue = new IntValueType(new IntInvertedIndexType(enabled, config));
  } else if (config instanceof FloatInvertedIndexConfig) {
    types.floatValue = new FloatValueType(new FloatInvertedIndexType(enabled, config));
  } else if (config instanceof BoolInvertedIndexConfig) {
    types.boolean = new BoolValueType(new BoolInvertedIndexType(enabled, config));
  }
}

function valueTypesToJson(types: ValueTypes): ValueTypesJson {
  const json: ValueTypesJson = {};
  const { ftsIndex, stringInvertedIndex } = types.string ?? {};
  if (ftsIndex || stringInvertedIndex) {
    json.string = {};
    if (ftsIndex) json.string.fts_index = plainIndex(ftsIndex);
    if (stringInvertedIndex) json.string.string_inverted_index = plainIndex(stringInvertedIndex);
  }
  const vector = types.floatList?.vectorIndex;
  if (vector) {
    json.float_list = { vector_index: { enabled: vector.enabled, config: vectorConfigToJson(vector.config) } };
  }
  const sparse = types.sparseVector?.sparseVectorIndex;
  if (sparse) {
    const { embeddingFunction, sourceKey, bm25 } = sparse.config;
    json.sparse_vector = {
      sparse_vector_index: {
        enabled: sparse.enabled,
        config: {
          embedding_function: describeEmbeddingFunction(embeddingFunction),
          ...(sourceKey === null ? {} : { source_key: sourceKey }),
          ...(bm25 === null ? {} : { bm25 }),
        },
      },
    };
  }
  const int = types.intValue?.intInvertedIndex;
  if (int) json.int = { int_inverted_index: plainIndex(int) };
  const float = types.floatValue?.floatInvertedIndex;
  if (float) json.float = { float_inverted_index: plainIndex(float) };
  const bool = types.boolean?.boolInvertedIndex;
  if (bool) json.bool = { bool_inverted_index: plainIndex(bool) };
  return json;
}

function plainIndex(index: { enabled: boolean }): IndexJson {
  return { enabled: index.enabled, config: {} };
}

function vectorConfigToJson(config: VectorIndexConfig): VectorConfigJson {
  const space = config.space ?? config.embeddingFunction?.defaultSpace?.();
  return {
    embedding_function: describeEmbeddingFunction(config.embeddingFunction),
    ...(space ? { space } : {}),
    ...(config.sourceKey === null ? {} : { source_key: config.sourceKey }),
    ...(config.hnsw === null ? {} : { hnsw: { ...config.hnsw } }),
    ...(config.spann === null ? {} : { spann: { ...config.spann } }),
  };
}

function valueTypesFromJson(json: ValueTypesJson, client: ChromaClient | undefined): ValueTypes {
  const types = new ValueTypes();
  if (json.string) {
    const { fts_index: fts, string_inverted_index: inverted } = json.string;
    types.string = new StringValueType(
      fts ? new FtsIndexType(Boolean(fts.enabled), new FtsIndexConfig()) : null,
      inverted ? new StringInvertedIndexType(Boolean(inverted.enabled), new StringInvertedIndexConfig()) : null,
    );
  }
  const vector = json.float_list?.vector_index;
  if (vector) {
    types.floatList = new FloatListValueType(
      new VectorIndexType(Boolean(vector.enabled), vectorConfigFromJson(vector.config ?? {}, client)),
    );
  }
  const sparse = json.sparse_vector?.sparse_vector_index;
  if (sparse) {
    // JSON of another writer may leave the configuration out.
    const json: SparseVectorConfigJson = sparse.config ?? {};
    const config = new SparseVectorIndexConfig({
      embeddingFunction: registeredSparseEmbeddingFunction(json.embedding_function, client) ?? null,
      sourceKey: json.source_key,
      bm25: json.bm25,
    });
    types.sparseVector = new SparseVectorValueType(new SparseVectorIndexType(Boolean(sparse.enabled), config));
  }
  const int = json.int?.int_inverted_index;
  if (int) {
    types.intValue = new IntValueType(new IntInvertedIndexType(Boolean(int.enabled), new IntInvertedIndexConfig()));
  }
  const float = json.float?.float_inverted_index;
  if (float) {
    types.floatValue = new FloatValueType(
      new FloatInvertedIndexType(Boolean(float.enabled), new FloatInvertedIndexConfig()),
    );
  }
  const bool = json.bool?.bool_inverted_index;
  if (bool) {
    types.boolean = new BoolValueType(new BoolInvertedIndexType(Boolean(bool.enabled), new BoolInvertedIndexConfig()));
  }
  return types;
}

function vectorConfigFromJson(json: VectorConfigJson, client: ChromaClient | undefined): VectorIndexConfig {
  const efConfig: EmbeddingFunctionConfiguration | null | undefined = json.embedding_function;
  const config = new VectorIndexConfig({
    embeddingFunction: registeredEmbeddingFunction(efConfig, client),
    space: json.space,
    sourceKey: json.source_key,
    hnsw: json.hnsw && { ...json.hnsw },
    spann: json.spann && { ...json.spann },
  });
  config.space ??= config.embeddingFunction?.defaultSpace?.() ?? null;
  return config;
}
