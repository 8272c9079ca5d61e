/** The settings of an imported collection, from wherever its version of Chroma kept them. */
import { type CollectionConfiguration, type StoredSettings, settle } from "../configuration.js";
import type { EmbeddingFunctionConfiguration } from "../embedding-function.js";
import { completeSchema, type SchemaJson, validateSchema, vectorConfig } from "../schema-json.js";
import type { FoundProblem } from "./report.js";

/** Where a source says how a collection is to be. Texts are JSON, or null. */
export interface SourceSettings {
  /** `schema_str`, from 1.5 on. */
  schema: string | null;
  /** `config_json_str`, from 0.5 on, or what a server answers as `configuration_json`. */
  configuration: string | null;
  /** Metadata of the collection, whose `hnsw:` keys counts before 1.0. */
  metadata: string;
  /** Metadata of the vector segment, which repeats them. */
  segmentMetadata: string;
}

type Json = Record<string, unknown>;
type Parameters = Record<string, unknown>;

/** The `hnsw:` keys of metadata. */
const METADATA_KEYS: Record<string, string> = {
  "hnsw:space": "space",
  "hnsw:construction_ef": "ef_construction",
  "hnsw:search_ef": "ef_search",
  "hnsw:M": "max_neighbors",
  "hnsw:num_threads": "num_threads",
  "hnsw:resize_factor": "resize_factor",
  "hnsw:sync_threshold": "sync_threshold",
  "hnsw:batch_size": "batch_size",
};

/** What configurations hold where nothing was asked for; the number of threads is the machine's. */
const DEFAULTS: Parameters = {
  space: "l2",
  ef_construction: 100,
  ef_search: 100,
  max_neighbors: 16,
  resize_factor: 1.2,
  batch_size: 100,
  sync_threshold: 1000,
};

/** What is stored for a collection, and the parts of its settings that could not be taken over. */
export interface ResolvedSettings {
  settings: StoredSettings;
  /** Distance function. */
  space: string;
  problems: FoundProblem[];
}

/**
 * Settings of a collection: those of its schema; otherwise of its configuration, unless that only repeats the defaults and the metadata
 * says otherwise, as up to 0.6; otherwise of the metadata.
 *
 * @param fallback - Embedding function of a source that does not say which it was.
 */
export function resolveSettings(source: SourceSettings, fallback: EmbeddingFunctionConfiguration): ResolvedSettings {
  const problems: FoundProblem[] = [];
  const note = (message: string): void => {
    problems.push({ kind: "invalid-setting", message });
  };
  const schema = parseSchema(source.schema, note);
  const vector = (schema ? vectorConfig(schema) : {}) as Parameters;
  const configuration = parseObject(source.configuration, "configuration", note) ?? {};
  const asked =
    schema && (vector.space || vector.hnsw || vector.spann)
      ? { space: vector.space, ...(vector.hnsw as Parameters | undefined), ...spaceOf(vector.spann) }
      : configured(configuration, { ...legacy(source.segmentMetadata), ...legacy(source.metadata) });
  const embeddingFunction = (vector.embedding_function ??
    configuration.embedding_function ??
    (knowsEmbeddingFunctions(schema, configuration) ? null : fallback)) as EmbeddingFunctionConfiguration | null;

  const hnsw = acceptable(asked, note);
  const settings = settle(
    { hnsw, embedding_function: embeddingFunction } as CollectionConfiguration,
    null,
    undefined,
    "import",
  );
  if (schema) settings.schema = completeSchema(schema, vectorConfig(settings.schema));
  return { settings, space: settings.configuration.hnsw?.space ?? "l2", problems };
}

/** Settings as this package stores them, of a file that anyone may have changed. */
export function resolveStored(configuration: string | null, schema: string | null): ResolvedSettings {
  const problems: FoundProblem[] = [];
  const note = (message: string): void => {
    problems.push({ kind: "invalid-setting", message });
  };
  const given = parseSchema(schema, note);
  const stored = parseObject(configuration, "configuration", note) ?? {};
  // The schema has more parameters, and the configuration newer ones.
  const hnsw = { ...(given ? vectorConfig(given).hnsw : {}), ...(stored.hnsw as Json | undefined) };
  const source = { configuration: JSON.stringify({ ...stored, hnsw }), metadata: "null", segmentMetadata: "null" };
  const resolved = resolveSettings({ ...source, schema: null }, { type: "legacy" });
  const { settings } = resolved;
  if (given) settings.schema = completeSchema(given, vectorConfig(settings.schema));
  return { ...resolved, problems: [...problems, ...resolved.problems] };
}

/** Parameters of a configuration, of whatever version. */
function configured(configuration: Json, legacyParameters: Parameters): Parameters {
  const index = (configuration.vector_index ?? configuration) as Json;
  const old = configuration.hnsw_configuration as Json | undefined;
  const given: Parameters = { ...(index.hnsw as Json | undefined), ...spaceOf(index.spann) };
  if (old !== undefined) {
    const { M, _type, ...rest } = old;
    Object.assign(given, rest, M === undefined ? {} : { max_neighbors: M });
  }
  const isDefault = Object.entries(given).every(
    ([field, value]) => field === "num_threads" || value === null || value === DEFAULTS[field],
  );
  return isDefault ? { ...given, ...legacyParameters } : given;
}

/** Of SPANN only the space counts, as on a local server of Chroma. */
function spaceOf(spann: unknown): Parameters {
  const space = (spann as Json | null | undefined)?.space;
  return space === undefined || space === null ? {} : { space };
}

function legacy(metadata: string): Parameters {
  const parameters: Parameters = {};
  for (const [key, value] of Object.entries((JSON.parse(metadata) ?? {}) as Json)) {
    const field = Object.hasOwn(METADATA_KEYS, key) ? METADATA_KEYS[key] : undefined;
    if (field !== undefined) parameters[field] = value;
  }
  return parameters;
}

/** Since 1.0 a source says which embedding function it has, or that there is none. */
function knowsEmbeddingFunctions(schema: SchemaJson | undefined, configuration: Json): boolean {
  return schema !== undefined || "embedding_function" in configuration;
}

/** The parameters that are possible here; the others are noted. */
function acceptable(parameters: Parameters, note: (message: string) => void): Parameters {
  const accepted: Parameters = {};
  for (const [field, value] of Object.entries(parameters)) {
    if (value === null || value === undefined) continue;
    try {
      settle({ hnsw: { [field]: value } } as CollectionConfiguration, null, undefined, "import");
      accepted[field] = value;
    } catch (error) {
      note(`the index parameter ${field} is left out: ${(error as Error).message}`);
    }
  }
  return accepted;
}

function parseSchema(text: string | null, note: (message: string) => void): SchemaJson | undefined {
  const schema = parseObject(text, "schema", note) as SchemaJson | undefined;
  if (schema === undefined) return undefined;
  try {
    validateSchema(schema, "import");
    return schema;
  } catch (error) {
    note(`the schema is left out: ${(error as Error).message}`);
    return undefined;
  }
}

function parseObject(text: string | null, what: string, note: (message: string) => void): Json | undefined {
  if (text === null || text === "") return undefined;
  try {
    const parsed = JSON.parse(text);
    if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) return parsed;
  } catch {
    // Noted below.
  }
  note(`the ${what} is left out: it is no JSON object`);
  return undefined;
}
