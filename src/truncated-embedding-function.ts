/** Shorter vectors: the first dimensions of another embedding function's, of unit length again. */
import {
  describeEmbeddingFunction,
  type EmbeddingFunction,
  type EmbeddingFunctionConfig,
  type EmbeddingFunctionConfiguration,
  type EmbeddingFunctionSpace,
  getEmbeddingFunction,
} from "./embedding-function.js";
import { ChromaValueError } from "./errors.js";

/** Arguments of {@link TruncatedEmbeddingFunction}. */
export interface TruncatedEmbeddingFunctionArgs {
  /** Makes the whole vectors. */
  embeddingFunction: EmbeddingFunction;
  /** How many of their first values are kept; at least 1. */
  dimensions: number;
}

/**
 * Keeps the first values of another function's vectors and scales them to unit length, as OpenAI's `dimensions` does: less
 * memory and faster searches for some recall. Meant for models that put what matters first (Matryoshka training, as OpenAI's
 * text-embedding-3, Nomic and many newer ones); others lose more. `npm run bench -- dimensions` shows what all-MiniLM-L6-v2 loses,
 * which was not trained so.
 *
 * Collections remember it with the function inside and find both again.
 *
 * @example
 * ```ts
 * const embeddingFunction = new TruncatedEmbeddingFunction({
 *   embeddingFunction: new DefaultEmbeddingFunction(),
 *   dimensions: 192,
 * });
 * ```
 */
export class TruncatedEmbeddingFunction implements EmbeddingFunction {
  /** Name under which it is stored. */
  readonly name = "truncated";
  private readonly inner: EmbeddingFunction;
  private readonly dimensions: number;

  /**
   * @param args - The function inside, and how much is kept of its vectors.
   * @throws ChromaValueError when `dimensions` is not a positive integer.
   */
  constructor({ embeddingFunction, dimensions }: TruncatedEmbeddingFunctionArgs) {
    if (!Number.isSafeInteger(dimensions) || dimensions < 1) {
      throw new ChromaValueError(`Expected 'dimensions' to be a positive integer, but got ${String(dimensions)}`);
    }
    if (typeof embeddingFunction?.generate !== "function") {
      throw new ChromaValueError(
        "Expected 'embeddingFunction' to be the embedding function whose vectors are shortened",
      );
    }
    this.inner = embeddingFunction;
    this.dimensions = dimensions;
  }

  /**
   * Embeds documents.
   *
   * @param texts - Documents.
   * @returns One vector of `dimensions` values and unit length per document.
   */
  async generate(texts: string[]): Promise<number[][]> {
    return this.shortened(await this.inner.generate(texts));
  }

  /**
   * Embeds queries.
   *
   * @param texts - Queries.
   * @returns One vector of `dimensions` values and unit length per query.
   */
  async generateForQueries(texts: string[]): Promise<number[][]> {
    const { inner } = this;
    return this.shortened(await (inner.generateForQueries ? inner.generateForQueries(texts) : inner.generate(texts)));
  }

  /** That of the function inside; cosine if it has none. */
  defaultSpace(): EmbeddingFunctionSpace {
    return this.inner.defaultSpace?.() ?? "cosine";
  }

  /** Those of the function inside. */
  supportedSpaces(): EmbeddingFunctionSpace[] {
    return this.inner.supportedSpaces?.() ?? ["cosine", "l2", "ip"];
  }

  /** The dimensions, and what is stored of the function inside. */
  getConfig(): EmbeddingFunctionConfig {
    const stored = this.inner instanceof StoredFunction ? this.inner.stored : describeEmbeddingFunction(this.inner);
    return { dimensions: this.dimensions, embedding_function: stored };
  }

  /**
   * Refuses another number of dimensions, and asks the function inside about the rest.
   *
   * @param newConfig - The new configuration.
   */
  validateConfigUpdate(newConfig: EmbeddingFunctionConfig): void {
    if (newConfig.dimensions !== this.dimensions) {
      throw new ChromaValueError(
        `The collection has vectors of ${this.dimensions} dimensions, which cannot become ${String(newConfig.dimensions)}`,
      );
    }
    this.inner.validateConfigUpdate?.(newConfig.embedding_function?.config ?? {});
  }

  /**
   * Builds the function that a collection remembers. The one inside is looked for when a text must be embedded.
   *
   * @param config - What {@link TruncatedEmbeddingFunction.getConfig} returned.
   * @returns The function.
   * @throws ChromaValueError when the function inside cannot be built again.
   */
  static buildFromConfig(config: EmbeddingFunctionConfig): TruncatedEmbeddingFunction {
    const stored = config.embedding_function as EmbeddingFunctionConfiguration | undefined;
    if (stored?.type !== "known") {
      throw new ChromaValueError("The embedding function whose vectors are shortened must be given again");
    }
    return new TruncatedEmbeddingFunction({
      embeddingFunction: new StoredFunction(stored),
      dimensions: config.dimensions,
    });
  }

  private shortened(vectors: number[][]): number[][] {
    return vectors.map((vector) => {
      if (vector.length < this.dimensions) {
        throw new ChromaValueError(
          `Expected vectors of at least ${this.dimensions} dimensions to shorten, but the embedding function returned ${vector.length}`,
        );
      }
      return unitLength(vector.slice(0, this.dimensions));
    });
  }
}

/** A function as a collection remembers it, built at the first text. */
class StoredFunction implements EmbeddingFunction {
  constructor(readonly stored: EmbeddingFunctionConfiguration & { type: "known" }) {}

  async generate(texts: string[]): Promise<number[][]> {
    return (await this.build()).generate(texts);
  }

  async generateForQueries(texts: string[]): Promise<number[][]> {
    const fn = await this.build();
    return fn.generateForQueries ? fn.generateForQueries(texts) : fn.generate(texts);
  }

  private async build(): Promise<EmbeddingFunction> {
    const fn = await getEmbeddingFunction({ efConfig: this.stored });
    if (fn === undefined) {
      throw new ChromaValueError(
        `No embedding function found: the shortened one '${this.stored.name}' is not installed or cannot be built. Give the function to getCollection()`,
      );
    }
    return fn;
  }
}

/** The vector at unit length; a vector of zeros stays as it is. */
function unitLength(vector: number[]): number[] {
  const norm = Math.hypot(...vector);
  return norm === 0 ? vector : vector.map((value) => value / norm);
}
