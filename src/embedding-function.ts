/** Functions that turn texts into vectors: their interface, their registry, and how a collection remembers its own. */

import type { ChromaClient } from "./client.js";
import { DefaultEmbeddingFunction } from "./default-embedding-function.js";
import { ChromaValueError } from "./errors.js";
import { importInstalled } from "./optional-package.js";
import { TruncatedEmbeddingFunction } from "./truncated-embedding-function.js";
import type { SparseVector } from "./types.js";

/** Distance functions by name: squared Euclidean, one minus inner product, one minus cosine. */
export type EmbeddingFunctionSpace = "cosine" | "l2" | "ip";

/** Configuration of an embedding function: plain JSON, owned by the function. */
// biome-ignore lint/suspicious/noExplicitAny: each function defines its own configuration, as in Chroma's interface.
export type EmbeddingFunctionConfig = Record<string, any>;

/** An embedding function that can be built again. */
export interface KnownEmbeddingFunction {
  /** Always `known`. */
  type: "known";
  /** Name under which the class is registered. */
  name: string;
  /** What its class builds it from. */
  config: EmbeddingFunctionConfig;
}

/** An embedding function that must be given again with each client. */
export interface NamelessEmbeddingFunction {
  /** `legacy`, or `unknown` where Python wrote it. */
  type: "legacy" | "unknown";
}

/** How a collection remembers its embedding function. Opaque data: reading it loads nothing. */
export type EmbeddingFunctionConfiguration = KnownEmbeddingFunction | NamelessEmbeddingFunction;

/** Turns texts into vectors. */
export interface EmbeddingFunction {
  /**
   * Embeds documents.
   *
   * @param texts - Documents.
   * @returns One vector per document.
   */
  generate(texts: string[]): Promise<number[][]>;
  /**
   * Embeds queries; `generate` is used where this is absent.
   *
   * @param texts - Queries.
   * @returns One vector per query.
   */
  generateForQueries?(texts: string[]): Promise<number[][]>;
  /** Name under which the class is registered. */
  name?: string;
  /** Distance function that suits the vectors; new collections take it. */
  defaultSpace?(): EmbeddingFunctionSpace;
  /** Distance functions that make sense with the vectors. A collection may use another; nothing warns of it. */
  supportedSpaces?(): EmbeddingFunctionSpace[];
  /**
   * Builds a function from its configuration.
   *
   * @param config - What `getConfig` returned.
   * @param client - The client that asks: a {@link ChromaClient}. Of type unknown so that functions written for the
   *   `chromadb` package, which name its own class here, fit.
   */
  buildFromConfig?(config: EmbeddingFunctionConfig, client?: unknown): EmbeddingFunction;
  /** What `buildFromConfig` needs to build the same function again. */
  getConfig?(): EmbeddingFunctionConfig;
  /**
   * Throws if a collection must not go from this function's configuration to another.
   *
   * @param newConfig - The new configuration.
   */
  validateConfigUpdate?(newConfig: EmbeddingFunctionConfig): void;
  /**
   * Throws if a configuration is not valid.
   *
   * @param config - The configuration.
   */
  validateConfig?(config: EmbeddingFunctionConfig): void;
}

/** Turns texts into sparse vectors. */
export interface SparseEmbeddingFunction {
  /**
   * Embeds documents.
   *
   * @param texts - Documents.
   * @returns One vector per document.
   */
  generate(texts: string[]): Promise<SparseVector[]>;
  /**
   * Embeds queries; `generate` is used where this is absent.
   *
   * @param texts - Queries.
   * @returns One vector per query.
   */
  generateForQueries?(texts: string[]): Promise<SparseVector[]>;
  /** Name under which the class is registered. */
  name?: string;
  /**
   * Builds a function from its configuration.
   *
   * @param config - What `getConfig` returned.
   * @param client - The client that asks: a {@link ChromaClient}. Of type unknown so that functions written for the
   *   `chromadb` package, which name its own class here, fit.
   */
  buildFromConfig?(config: EmbeddingFunctionConfig, client?: unknown): SparseEmbeddingFunction;
  /** What `buildFromConfig` needs to build the same function again. */
  getConfig?(): EmbeddingFunctionConfig;
  /**
   * Throws if a collection must not go from this function's configuration to another.
   *
   * @param newConfig - The new configuration.
   */
  validateConfigUpdate?(newConfig: EmbeddingFunctionConfig): void;
  /**
   * Throws if a configuration is not valid.
   *
   * @param config - The configuration.
   */
  validateConfig?(config: EmbeddingFunctionConfig): void;
}

/** Class of an embedding function, as it is registered. */
export interface EmbeddingFunctionClass {
  // biome-ignore lint/suspicious/noExplicitAny: each function defines its own constructor, as in Chroma's interface.
  new (...args: any[]): EmbeddingFunction;
  /** Name of the class. */
  name: string;
  /**
   * Builds a function from its configuration.
   *
   * @param config - What `getConfig` returned.
   * @param client - The client that asks: a {@link ChromaClient}. Of type unknown so that functions written for the
   *   `chromadb` package, which name its own class here, fit.
   */
  buildFromConfig(config: EmbeddingFunctionConfig, client?: unknown): EmbeddingFunction;
}

/** Class of a sparse embedding function, as it is registered. */
export interface SparseEmbeddingFunctionClass {
  // biome-ignore lint/suspicious/noExplicitAny: each function defines its own constructor, as in Chroma's interface.
  new (...args: any[]): SparseEmbeddingFunction;
  /** Name of the class. */
  name: string;
  /**
   * Builds a function from its configuration.
   *
   * @param config - What `getConfig` returned.
   * @param client - The client that asks: a {@link ChromaClient}. Of type unknown so that functions written for the
   *   `chromadb` package, which name its own class here, fit.
   */
  buildFromConfig(config: EmbeddingFunctionConfig, client?: unknown): SparseEmbeddingFunction;
}

/** An embedding function of either kind. */
export type AnyEmbeddingFunction = EmbeddingFunction | SparseEmbeddingFunction;

interface Registry {
  dense: Map<string, EmbeddingFunctionClass>;
  sparse: Map<string, SparseEmbeddingFunctionClass>;
}

// Held on globalThis: the package may be loaded twice (as itself and under an alias), and both must see one registry.
const REGISTRY = Symbol.for("ferrochrome.embeddingFunctions");
const holder = globalThis as { [REGISTRY]?: Registry };
if (holder[REGISTRY] === undefined) holder[REGISTRY] = { dense: new Map(), sparse: new Map() };
const registry: Registry = holder[REGISTRY];

/** Registered embedding functions by name. */
export const knownEmbeddingFunctions: Map<string, EmbeddingFunctionClass> = registry.dense;

/** Registered sparse embedding functions by name. */
export const knownSparseEmbeddingFunctions: Map<string, SparseEmbeddingFunctionClass> = registry.sparse;

/**
 * Registers an embedding function, so that collections that remember its name find it again.
 *
 * @param name - Unique name.
 * @param fn - The class.
 * @throws ChromaValueError when the name is taken.
 */
export function registerEmbeddingFunction(name: string, fn: EmbeddingFunctionClass): void {
  if (knownEmbeddingFunctions.has(name)) {
    throw new ChromaValueError(`Embedding function with name ${name} is already registered.`);
  }
  knownEmbeddingFunctions.set(name, fn);
}

/**
 * Registers a sparse embedding function.
 *
 * @param name - Unique name.
 * @param fn - The class.
 * @throws ChromaValueError when the name is taken.
 */
export function registerSparseEmbeddingFunction(name: string, fn: SparseEmbeddingFunctionClass): void {
  if (knownSparseEmbeddingFunctions.has(name)) {
    throw new ChromaValueError(`Sparse embedding function with name ${name} is already registered.`);
  }
  knownSparseEmbeddingFunctions.set(name, fn);
}

/** Packages whose name is not the stored name of their function. */
const PACKAGES = new Map([
  ["default", "default-embed"],
  ["onnx_mini_lm_l6_v2", "default-embed"],
  ["together_ai", "together-ai"],
  ["sentence_transformer", "sentence-transformer"],
  ["google_gemini", "google-gemini"],
  ["google_genai", "google-gemini"],
  ["chroma_bm25", "chroma-bm25"],
]);

/** Functions that exist for Python only. */
const PYTHON_ONLY = new Set([
  "amazon_bedrock",
  "baseten",
  "langchain",
  "google_palm",
  "huggingface",
  "instructor",
  "open_clip",
  "roboflow",
  "text2vec",
  "bm25",
  "fastembed_sparse",
  "huggingface_sparse",
]);

/** A stored name is data: only what can be the last part of a package name may become one. */
const PACKAGE_NAME = /^[a-z0-9][a-z0-9_-]*$/i;

/** The class of a stored function that this package has itself. Chroma's package comes first where it is installed. */
function builtIn(name: string): EmbeddingFunctionClass | undefined {
  if (PACKAGES.get(name) === "default-embed") return DefaultEmbeddingFunction;
  return name === "truncated" ? TruncatedEmbeddingFunction : undefined;
}

/** The package that has a stored function, as far as its name tells. */
function packageOf(name: string): string {
  return `@chroma-core/${PACKAGES.get(name) ?? (PACKAGE_NAME.test(name) ? name : "…")}`;
}

/** Finds the class of a stored function among those registered. Loads nothing. */
function registered<C>(known: Map<string, C>, name: string): C | undefined {
  return known.get(PACKAGES.get(name) ?? name) ?? known.get(name);
}

/** Builds a stored function from its class; undefined when the class refuses the configuration. */
function build<F>(
  fn: { buildFromConfig(config: EmbeddingFunctionConfig, client?: ChromaClient): F } | undefined,
  config: EmbeddingFunctionConfig | undefined,
  client: ChromaClient | undefined,
): F | undefined {
  try {
    return fn?.buildFromConfig(config ?? {}, client);
  } catch {
    // As in Chroma: a collection stays readable when its function cannot be built; embedding a text then says so.
    return undefined;
  }
}

/** Loads the package of a stored function, which registers it, or exports its class. */
async function loadPackage<C>(known: Map<string, C>, name: string): Promise<void> {
  const packageName = PACKAGES.get(name) ?? name;
  if (PYTHON_ONLY.has(name) || name === "truncated" || !PACKAGE_NAME.test(packageName)) return;
  let exported: Record<string, unknown> | undefined;
  try {
    exported = await importInstalled(`@chroma-core/${packageName}`);
  } catch {
    // It does not load: as if it were not there, and the caller says what is missing when a text must be embedded.
  }
  if (exported === undefined) return;
  if (registered(known, name) !== undefined) return;
  // The package registered itself with the `chromadb` package, not with this one; its exports tell the class.
  const fn = Object.values(exported).find(
    (value) => typeof value === "function" && "buildFromConfig" in value && "generate" in value.prototype,
  );
  if (fn !== undefined) known.set(packageName, fn as C);
}

/**
 * The stored embedding function, if its class is registered. Loads nothing.
 *
 * @internal
 */
export function registeredEmbeddingFunction(
  efConfig: EmbeddingFunctionConfiguration | null | undefined,
  client?: ChromaClient,
): EmbeddingFunction | undefined {
  if (efConfig?.type !== "known") return undefined;
  return build(registered(knownEmbeddingFunctions, efConfig.name), efConfig.config, client);
}

/**
 * The stored sparse embedding function, if its class is registered. Loads nothing.
 *
 * @internal
 */
export function registeredSparseEmbeddingFunction(
  efConfig: EmbeddingFunctionConfiguration | null | undefined,
  client?: ChromaClient,
): SparseEmbeddingFunction | undefined {
  if (efConfig?.type !== "known") return undefined;
  return build(registered(knownSparseEmbeddingFunctions, efConfig.name), efConfig.config, client);
}

/**
 * Builds a stored embedding function. A function that is not registered is looked for in the package `@chroma-core/<name>`.
 *
 * @param args - The client that asks, and what a collection's configuration holds.
 * @returns The function; undefined when there is none or it cannot be built.
 */
export async function getEmbeddingFunction(args: {
  client?: ChromaClient | undefined;
  efConfig?: EmbeddingFunctionConfiguration | null | undefined;
}): Promise<EmbeddingFunction | undefined> {
  const { client, efConfig } = args;
  if (efConfig?.type !== "known") return undefined;
  const { name, config } = efConfig;
  if (registered(knownEmbeddingFunctions, name) === undefined) {
    await loadPackage(knownEmbeddingFunctions, name);
  }
  return build(registered(knownEmbeddingFunctions, name) ?? builtIn(name), config, client);
}

/**
 * As {@link getEmbeddingFunction}, where a text must be embedded.
 *
 * @throws ChromaValueError that says what to install.
 * @internal
 */
export async function requireEmbeddingFunction(
  args: { client?: ChromaClient | undefined; efConfig: KnownEmbeddingFunction },
  collection: string,
): Promise<EmbeddingFunction> {
  const fn = await getEmbeddingFunction(args);
  if (fn === undefined) throw missingEmbeddingFunction(collection, args.efConfig.name);
  return fn;
}

/**
 * The error of a text that cannot be embedded.
 *
 * @param name - What the collection remembers of its function; undefined when it has none.
 * @internal
 */
export function missingEmbeddingFunction(collection: string, name?: string): ChromaValueError {
  const install =
    name === undefined
      ? "ensure the appropriate embedding function package (e.g. @chroma-core/default-embed) is installed"
      : `install the package of its function '${name}' (npm install ${packageOf(name)}), or give the function to getCollection()`;
  return new ChromaValueError(
    `No embedding function found for collection '${collection}'. You can either provide embeddings directly, or ${install}.`,
  );
}

/**
 * Builds a stored sparse embedding function, as {@link getEmbeddingFunction} does.
 *
 * @param client - The client that asks.
 * @param efConfig - What a schema holds.
 * @returns The function; undefined when there is none or it cannot be built.
 */
export async function getSparseEmbeddingFunction(
  client: ChromaClient | undefined,
  efConfig?: EmbeddingFunctionConfiguration | null,
): Promise<SparseEmbeddingFunction | undefined> {
  if (efConfig?.type !== "known") return undefined;
  if (registered(knownSparseEmbeddingFunctions, efConfig.name) === undefined) {
    await loadPackage(knownSparseEmbeddingFunctions, efConfig.name);
  }
  return registeredSparseEmbeddingFunction(efConfig, client);
}

/**
 * What a collection remembers of a function: its name and configuration, or that there is one which cannot be rebuilt.
 *
 * @internal
 */
export function describeEmbeddingFunction(fn: AnyEmbeddingFunction | null | undefined): EmbeddingFunctionConfiguration {
  const fnClass = fn?.constructor as Partial<EmbeddingFunctionClass> | undefined;
  if (!fn?.getConfig || !fnClass?.buildFromConfig) return { type: "legacy" };
  // Untyped programs also write the name as a method, as Chroma's Python functions have it.
  const given = fn.name as unknown;
  const name = typeof given === "function" ? given.call(fn) : given;
  if (typeof name !== "string" || name === "") return { type: "legacy" };
  const config = fn.getConfig();
  fn.validateConfig?.(config);
  return { type: "known", name, config };
}

/**
 * What a collection remembers of its embedding function.
 *
 * @param args - The function given beside the configuration, and the one given in it: at most one.
 * @returns What is stored; undefined when neither is given.
 * @throws ChromaValueError when both are given.
 */
export function serializeEmbeddingFunction(args: {
  embeddingFunction?: EmbeddingFunction | undefined;
  configEmbeddingFunction?: EmbeddingFunction | undefined;
}): EmbeddingFunctionConfiguration | undefined {
  const { embeddingFunction, configEmbeddingFunction } = args;
  if (embeddingFunction && configEmbeddingFunction) {
    throw new ChromaValueError("Embedding function provided when already defined in the collection configuration");
  }
  const fn = embeddingFunction ?? configEmbeddingFunction;
  return fn ? describeEmbeddingFunction(fn) : undefined;
}

/**
 * What a collection remembers when no embedding function is given: Chroma's default one. It is looked for only when a text
 * must be embedded: Chroma's package `@chroma-core/default-embed` first, otherwise {@link DefaultEmbeddingFunction}.
 *
 * @returns The stored form of the default function.
 */
export async function getDefaultEFConfig(): Promise<EmbeddingFunctionConfiguration> {
  return { type: "known", name: "default", config: {} };
}
