/** The configuration of a collection: as people write it, as it is stored, and how one becomes the other. */
import { availableParallelism } from "node:os";
import type { ChromaClient } from "./client.js";
import {
  type EmbeddingFunction,
  type EmbeddingFunctionConfiguration,
  getDefaultEFConfig,
  registeredEmbeddingFunction,
  serializeEmbeddingFunction,
} from "./embedding-function.js";
import { badRequest, ChromaValueError, unprocessable } from "./errors.js";
import type { HnswIndexConfig, Quantization, Space, SpannIndexConfig } from "./index-config.js";
import type { Schema } from "./schema.js";
import {
  completeSchema,
  isDefaultSchema,
  type SchemaJson,
  type VectorConfigJson,
  validateSchema,
  vectorConfig,
} from "./schema-json.js";
import type { CollectionMetadata } from "./types.js";

/** Parameters of the HNSW graph of a collection. */
export interface HNSWConfiguration extends HnswIndexConfig {
  /** Distance function. Default `l2` (squared Euclidean). */
  space?: Space | null;
}

/** Parameters of SPANN, Chroma Cloud's index. Here an HNSW graph is built instead; only the space is kept. */
export type SpannConfiguration = SpannIndexConfig & {
  /** Distance function. */
  space?: Space | null;
};

/** The configuration of a collection as it is stored. */
export interface CollectionConfiguration {
  /** What embeds documents. */
  embedding_function?: EmbeddingFunctionConfiguration | null;
  /** The same, under the name that Chroma's types give it; set after {@link Collection.modify}. */
  embeddingFunction?: EmbeddingFunctionConfiguration | null;
  /** Parameters of the HNSW graph. */
  hnsw?: HNSWConfiguration | null;
  /** Always null here. */
  spann?: SpannConfiguration | null;
  /** Which versions are kept automatically; absent where none are. Not in Chroma. */
  versions?: VersionRetention | null;
}

/** Which versions of a collection are kept automatically: one is made whenever records are sealed in a segment. */
export interface VersionRetention {
  /** The newest so many; 0 keeps none. */
  keep: number;
  /** Of these, those that are no older, in seconds. Default: any age. */
  max_age_seconds?: number | null;
}

/** The configuration of a collection to be. */
export interface CreateCollectionConfiguration {
  /** Embeds documents. */
  embeddingFunction?: EmbeddingFunction | undefined;
  /** Parameters of the HNSW graph. */
  hnsw?: HNSWConfiguration | null | undefined;
  /** Parameters of SPANN; only the space counts. */
  spann?: SpannConfiguration | null | undefined;
  /** Which versions are kept automatically. Default: none. Not in Chroma. */
  versions?: VersionRetention | undefined;
}

/** Parameters of the HNSW graph that may change. */
export interface UpdateHNSWConfiguration {
  /** Kept for compatibility; has no effect. */
  batch_size?: number;
  /** Breadth of a search. */
  ef_search?: number;
  /** Most neighbours of a node; holds for segments built from then on. */
  max_neighbors?: number;
  /** Kept for compatibility; has no effect. */
  num_threads?: number;
  /** How vectors are coded; holds for segments built from then on, for all of them after {@link Collection.compact}. Not in Chroma. */
  quantization?: Quantization;
  /** Kept for compatibility; has no effect. */
  resize_factor?: number;
  /** Kept for compatibility; has no effect. */
  sync_threshold?: number;
}

/** Parameters of SPANN that may change; ignored here. */
export interface UpdateSPANNConfiguration {
  /** Ignored. */
  search_nprobe?: number;
  /** Ignored. */
  ef_search?: number;
}

/** Changes to the configuration of a collection. */
export interface UpdateCollectionConfiguration {
  /** Embeds documents from now on. */
  embeddingFunction?: EmbeddingFunction | undefined;
  /** Parameters of the HNSW graph. */
  hnsw?: UpdateHNSWConfiguration | undefined;
  /** Ignored. */
  spann?: UpdateSPANNConfiguration | undefined;
  /** Which versions are kept automatically; those that were kept before are deleted with the next one. Not in Chroma. */
  versions?: VersionRetention | undefined;
}

/** Changes to a configuration in their stored form. */
export interface StoredConfigurationUpdate {
  /** Parameters of the HNSW graph. */
  hnsw?: UpdateHNSWConfiguration | undefined;
  /** Ignored. */
  spann?: UpdateSPANNConfiguration | undefined;
  /** What embeds documents. */
  embedding_function?: EmbeddingFunctionConfiguration | undefined;
  /** Which versions are kept automatically. */
  versions?: VersionRetention | undefined;
}

/** Checked changes to a configuration. */
export interface ProcessedUpdate {
  /** The changes in their stored form. */
  updateConfiguration: StoredConfigurationUpdate;
  /** The new embedding function, if there is one. */
  updateEmbeddingFunction: EmbeddingFunction | undefined;
}

/** What creates a collection's configuration. */
export interface CreateConfigArgs {
  /** The configuration asked for. */
  configuration?: CreateCollectionConfiguration | undefined;
  /** The embedding function given beside it; null for none at all. */
  embeddingFunction?: EmbeddingFunction | null | undefined;
  /** Metadata of the collection, whose `hnsw:space` counts. */
  metadata?: CollectionMetadata | null | undefined;
  /** Schema of the collection, whose embedding function counts. */
  schema?: Schema | undefined;
}

/**
 * Checks the configuration of a collection to be and brings the embedding function into its stored form. The distance
 * function is the embedding function's default one where none is given.
 *
 * @param args - What the caller of `createCollection` gave.
 * @returns The configuration as it would be sent to a server.
 * @throws ChromaValueError when both `hnsw` and `spann`, or two embedding functions are given.
 */
export async function processCreateCollectionConfig(args: CreateConfigArgs): Promise<CollectionConfiguration> {
  const { configuration, embeddingFunction, metadata, schema } = args;
  if (configuration?.hnsw && configuration.spann) {
    throw new ChromaValueError("Cannot specify both HNSW and SPANN configurations");
  }
  let stored = serializeEmbeddingFunction({
    embeddingFunction: embeddingFunction ?? undefined,
    configEmbeddingFunction: configuration?.embeddingFunction,
  });
  if (!stored && embeddingFunction !== null && schema?.resolveEmbeddingFunction() === undefined) {
    stored = await getDefaultEFConfig();
  }
  const { embeddingFunction: configFunction, ...rest } = configuration ?? {};
  const result: CollectionConfiguration = { ...(rest as CollectionConfiguration) };
  const fn = embeddingFunction ?? configFunction;
  if (fn?.defaultSpace && fn.supportedSpaces) {
    const space = fn.defaultSpace();
    if (rest.hnsw === undefined && rest.spann === undefined) {
      if (metadata?.["hnsw:space"] === undefined) result.hnsw = { space };
    } else if (rest.hnsw && !rest.hnsw.space) result.hnsw = { ...rest.hnsw, space };
    else if (rest.spann && !rest.spann.space) result.spann = { ...rest.spann, space };
  }
  if (stored) result.embedding_function = stored;
  return result;
}

/**
 * Checks changes to a configuration and brings them into their stored form.
 *
 * @param args - The collection as it is, and the changes.
 * @returns The stored form, and the new embedding function if there is one.
 * @throws ChromaValueError when `hnsw` or `spann` is not an object; whatever the old embedding function throws at the new one's configuration.
 */
export async function processUpdateCollectionConfig(args: {
  collectionName: string;
  currentConfiguration: CollectionConfiguration;
  currentEmbeddingFunction?: EmbeddingFunction | undefined;
  newConfiguration: UpdateCollectionConfiguration;
  client?: ChromaClient | undefined;
}): Promise<ProcessedUpdate> {
  const { currentConfiguration, currentEmbeddingFunction, newConfiguration, client } = args;
  const { hnsw, spann, versions, embeddingFunction } = newConfiguration;
  if (hnsw && typeof hnsw !== "object") {
    throw new ChromaValueError("Invalid HNSW config provided in UpdateCollectionConfiguration");
  }
  if (spann && typeof spann !== "object") {
    throw new ChromaValueError("Invalid SPANN config provided in UpdateCollectionConfiguration");
  }
  if (embeddingFunction?.getConfig) {
    const current =
      currentEmbeddingFunction ?? registeredEmbeddingFunction(currentConfiguration.embedding_function, client);
    current?.validateConfigUpdate?.(embeddingFunction.getConfig());
  }
  return {
    updateConfiguration: {
      hnsw,
      spann,
      ...(versions === undefined ? {} : { versions }),
      embedding_function: embeddingFunction && serializeEmbeddingFunction({ embeddingFunction }),
    },
    updateEmbeddingFunction: embeddingFunction,
  };
}

/** Parameters that are one of some words. */
const WORDS: Record<string, string[]> = {
  space: ["l2", "cosine", "ip", "l1", "hamming", "jaccard", "hellinger", "jensen-shannon"] satisfies Space[],
  quantization: ["auto", "int4", "int8", "none"] satisfies Quantization[],
};

/** HNSW parameters that a collection's configuration reports, with their defaults. */
const REPORTED_DEFAULTS = {
  space: "l2" as Space,
  ef_construction: 100,
  ef_search: 100,
  max_neighbors: 16,
  resize_factor: 1.2,
  sync_threshold: 1000,
};

/** HNSW parameters that only the schema reports until they are modified, with their defaults. */
const SCHEMA_DEFAULTS = { num_threads: availableParallelism(), batch_size: 100 };

const CREATE_FIELDS = [...Object.keys(REPORTED_DEFAULTS), ...Object.keys(SCHEMA_DEFAULTS), "quantization"];
const UPDATE_FIELDS = CREATE_FIELDS.filter((field) => field !== "space" && field !== "ef_construction");

/** The keys by which collection metadata set HNSW parameters before there were configurations. */
const LEGACY_FIELDS = new Map([
  ["hnsw:space", "space"],
  ["hnsw:construction_ef", "ef_construction"],
  ["hnsw:search_ef", "ef_search"],
  ["hnsw:M", "max_neighbors"],
  ["hnsw:num_threads", "num_threads"],
  ["hnsw:resize_factor", "resize_factor"],
  ["hnsw:sync_threshold", "sync_threshold"],
  ["hnsw:batch_size", "batch_size"],
]);

/** Parameters of SPANN in a configuration; but for the space, they are only checked. */
const SPANN_FIELDS = [
  "space",
  "search_nprobe",
  "write_nprobe",
  "ef_construction",
  "ef_search",
  "max_neighbors",
  "reassign_neighbor_count",
  "split_threshold",
  "merge_threshold",
];

/** Parameters of SPANN in a schema; they are only checked. */
const SPANN_SCHEMA_FIELDS = [
  ...SPANN_FIELDS.filter((field) => field !== "space"),
  "center_drift_threshold",
  "initial_lambda",
  "nreplica_count",
  "num_centers_to_merge_to",
  "num_samples_kmeans",
  "quantize",
  "search_rng_epsilon",
  "search_rng_factor",
  "write_rng_epsilon",
  "write_rng_factor",
];

const SPANN_UPDATE_FIELDS = ["search_nprobe", "ef_search"];

type Parameters = Record<string, unknown>;

/** Parameters that need not be whole numbers. */
const FRACTIONS = /^(resize_factor|initial_lambda|center_drift_threshold|.*_rng_(epsilon|factor))$/;

/** Whether a parameter has a value of its type. */
function isParameter(field: string, value: unknown): boolean {
  const words = WORDS[field];
  if (words) return typeof value === "string" && words.includes(value);
  if (field === "quantize") return typeof value === "string";
  if (FRACTIONS.test(field)) return typeof value === "number" && Number.isFinite(value);
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function expectation(field: string): string {
  const words = WORDS[field];
  if (words) return `one of ${words.join(", ")}`;
  return field === "quantize" ? "a string" : "a non-negative number";
}

/** The parameters that are given, checked. */
function givenParameters(where: string, given: unknown, fields: string[]): Parameters {
  if (given === null || given === undefined) return {};
  if (typeof given !== "object") throw unprocessable(`${where}: expected an object`);
  const parameters: Parameters = {};
  for (const [field, value] of Object.entries(given)) {
    if (!fields.includes(field)) {
      throw unprocessable(`${where}: unknown field \`${field}\`, expected one of ${fields.join(", ")}`);
    }
    if (value === null || value === undefined) continue;
    if (!isParameter(field, value)) {
      throw unprocessable(`${where}.${field}: expected ${expectation(field)}, but got ${JSON.stringify(value)}`);
    }
    parameters[field] = value;
  }
  return parameters;
}

/** The parameters that collection metadata set. */
function legacyParameters(metadata: CollectionMetadata | null | undefined, route: string): Parameters {
  const parameters: Parameters = {};
  for (const [key, value] of Object.entries(metadata ?? {})) {
    if (!key.startsWith("hnsw:") || value === null) continue;
    const field = LEGACY_FIELDS.get(key);
    const tooSmall = (field === "batch_size" || field === "sync_threshold") && (value as number) < 2;
    if (field === undefined || !isParameter(field, value) || tooSmall) {
      throw badRequest(route, "Failed to parse hnsw parameters from segment metadata");
    }
    parameters[field] = value;
  }
  return parameters;
}

function isDefault(parameters: Parameters): boolean {
  const defaults: Parameters = { ...REPORTED_DEFAULTS, ...SCHEMA_DEFAULTS, quantization: "auto" };
  return Object.entries(parameters).every(([field, value]) => value === defaults[field]);
}

/**
 * The retention of versions that is given, checked.
 *
 * @throws ChromaClientError when it is of another form.
 */
function givenRetention(where: string, given: VersionRetention | null | undefined): VersionRetention | undefined {
  if (given === null || given === undefined) return undefined;
  const { keep, max_age_seconds } = givenParameters(where, given, ["keep", "max_age_seconds"]);
  if (keep === undefined) throw unprocessable(`${where}: missing field \`keep\``);
  return { keep, ...(max_age_seconds === undefined ? {} : { max_age_seconds }) } as VersionRetention;
}

/** What is stored when a collection is created. */
export interface StoredSettings {
  /** Complete configuration. */
  configuration: CollectionConfiguration;
  /** Complete schema. */
  schema: SchemaJson;
}

/**
 * Does what the server does with the configuration, the metadata and the schema of a collection to be: checks them, fills in
 * defaults, and makes configuration and schema agree.
 *
 * @throws ChromaClientError when something is unknown, or configuration and schema are both given.
 */
export function settle(
  configuration: CollectionConfiguration,
  metadata: CollectionMetadata | null | undefined,
  schema: SchemaJson | undefined,
  route: string,
): StoredSettings {
  let given = givenParameters("configuration.hnsw", configuration.hnsw, CREATE_FIELDS);
  if (configuration.spann) {
    const { space } = givenParameters("configuration.spann", configuration.spann, SPANN_FIELDS);
    given = space === undefined ? {} : { space };
  }
  // The metadata's parameters are those of HNSW: who asks for SPANN does not mean them.
  const legacy = configuration.spann ? {} : legacyParameters(metadata, route);
  if (isDefault(given)) given = { ...given, ...legacy };

  const versions = givenRetention("configuration.versions", configuration.versions);
  let ef = configuration.embedding_function ?? null;
  if (schema !== undefined) {
    validateSchema(schema, route);
    const asked = vectorConfig(schema);
    const defaultFunction = ef === null || (ef.type === "known" && ef.name === "default");
    if (!isDefaultSchema(schema)) {
      if (!isDefault(given) || !defaultFunction) {
        throw badRequest(
          route,
          "Failed to reconcile schema: Cannot set both collection config and schema simultaneously",
        );
      }
      given = schemaParameters(asked);
    }
    if (ef === null || asked.embedding_function?.type === "known") ef = asked.embedding_function ?? ef;
  }
  const { num_threads, batch_size, ...reported } = { ...REPORTED_DEFAULTS, ...SCHEMA_DEFAULTS, ...given };
  const { space, ...graph } = reported;
  const vector: VectorConfigJson = {
    space,
    hnsw: { ...graph, num_threads, batch_size },
    ...(ef ? { embedding_function: ef } : {}),
  };
  return {
    configuration: {
      hnsw: reported,
      spann: null,
      embedding_function: ef,
      ...(versions === undefined ? {} : { versions }),
    },
    schema: completeSchema(schema, vector),
  };
}

function schemaParameters(asked: VectorConfigJson): Parameters {
  if (asked.hnsw && asked.spann) {
    throw new ChromaValueError("Cannot specify both HNSW and SPANN configurations");
  }
  const fields = CREATE_FIELDS.filter((field) => field !== "space");
  const parameters = givenParameters("schema.hnsw", asked.hnsw, fields);
  givenParameters("schema.spann", asked.spann, SPANN_SCHEMA_FIELDS);
  return { ...parameters, ...givenParameters("schema", { space: asked.space }, ["space"]) };
}

/** Changes to a stored configuration that native code makes. */
export interface ConfigurationChange {
  /** Parameters of the HNSW graph that change. */
  hnsw: Record<string, unknown>;
  /** The new embedding function, if there is one. */
  embedding_function?: EmbeddingFunctionConfiguration | undefined;
  /** Which versions are kept automatically from now on. */
  versions?: VersionRetention | undefined;
}

/**
 * Checks changes to a configuration.
 *
 * @throws ChromaClientError when a parameter is unknown or must not change.
 */
export function checkUpdate(update: StoredConfigurationUpdate): ConfigurationChange {
  const hnsw = givenParameters("new_configuration.hnsw", update.hnsw, UPDATE_FIELDS);
  givenParameters("new_configuration.spann", update.spann, SPANN_UPDATE_FIELDS);
  const versions = givenRetention("new_configuration.versions", update.versions);
  return { hnsw, embedding_function: update.embedding_function, ...(versions === undefined ? {} : { versions }) };
}
