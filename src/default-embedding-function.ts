/** Chroma's default embedding function: all-MiniLM-L6-v2, run in process by @huggingface/transformers. */
import type { EmbeddingFunction, EmbeddingFunctionConfig, EmbeddingFunctionSpace } from "./embedding-function.js";
import { ChromaConnectionError, ChromaValueError } from "./errors.js";
import { importInstalled } from "./optional-package.js";

const RUNTIME = "@huggingface/transformers";
const MODEL = "Xenova/all-MiniLM-L6-v2";
/** Texts that are embedded at once: they are padded to the longest of them. */
const BATCH = 32;

/** A model's name is data, of a stored configuration too: a name on the hub or below a folder of models, never a path. */
const MODEL_NAME = /^[\w-][\w.-]*(\/[\w-][\w.-]*)?$/;
const REVISION = /^[\w-][\w.-]*$/;
const DTYPES = ["auto", "fp32", "fp16", "q8", "int8", "uint8", "q4", "bnb4", "q4f16"];

/** What is used of the runtime. */
interface Runtime {
  pipeline(
    task: "feature-extraction",
    model: string,
    options: { revision: string; dtype: string },
  ): Promise<(texts: string[], options: { pooling: "mean"; normalize: true }) => Promise<{ tolist(): number[][] }>>;
}

type Embed = Awaited<ReturnType<Runtime["pipeline"]>>;

/** Arguments of {@link DefaultEmbeddingFunction}. */
export interface DefaultEmbeddingFunctionArgs {
  /** Name on the Hugging Face hub, or below the runtime's `env.localModelPath`. Default `Xenova/all-MiniLM-L6-v2`. */
  modelName?: string | undefined;
  /** Revision on the hub. Default `main`. */
  revision?: string | undefined;
  /** Precision of the weights: `auto`, `fp32`, `fp16`, `q8`, `int8`, `uint8`, `q4`, `bnb4` or `q4f16`. Default `fp32`. */
  dtype?: string | undefined;
}

/**
 * Embeds texts with a sentence-transformers model, by default all-MiniLM-L6-v2: 384 dimensions, unit length, at most 256 word
 * pieces of a text. Collections that were created without an embedding function use it.
 *
 * It needs the package `@huggingface/transformers`, which is loaded at the first text. The model is downloaded at that time and
 * kept by that package, unless its `env.localModelPath` has it.
 *
 * @example
 * ```ts
 * const embeddingFunction = new DefaultEmbeddingFunction({ dtype: "q8" });
 * ```
 */
export class DefaultEmbeddingFunction implements EmbeddingFunction {
  /** Name under which it is stored: Chroma's. */
  readonly name = "default";
  private readonly modelName: string;
  private readonly revision: string;
  private readonly dtype: string;
  private loading: Promise<Embed> | undefined;

  /**
   * @param args - Which model.
   * @throws ChromaValueError when one is not the name of a model, a revision or a precision.
   */
  constructor({ modelName = MODEL, revision = "main", dtype = "fp32" }: DefaultEmbeddingFunctionArgs = {}) {
    if (typeof modelName !== "string" || !MODEL_NAME.test(modelName)) {
      throw new ChromaValueError(`Expected 'modelName' to be like '${MODEL}', but got ${JSON.stringify(modelName)}`);
    }
    if (typeof revision !== "string" || !REVISION.test(revision)) {
      throw new ChromaValueError(`Expected 'revision' to be like 'main', but got ${JSON.stringify(revision)}`);
    }
    if (!DTYPES.includes(dtype)) {
      throw new ChromaValueError(
        `Expected 'dtype' to be one of ${DTYPES.join(", ")}, but got ${JSON.stringify(dtype)}`,
      );
    }
    this.modelName = modelName;
    this.revision = revision;
    this.dtype = dtype;
  }

  /**
   * Embeds texts.
   *
   * @param texts - Documents or queries.
   * @returns One vector of unit length per text.
   * @throws ChromaValueError when the runtime is not installed; ChromaConnectionError when the model cannot be loaded.
   */
  async generate(texts: string[]): Promise<number[][]> {
    const embed = await this.load();
    const vectors: number[][] = [];
    for (let from = 0; from < texts.length; from += BATCH) {
      const output = await embed(texts.slice(from, from + BATCH), { pooling: "mean", normalize: true });
      vectors.push(...output.tolist());
    }
    return vectors;
  }

  /** Cosine. */
  defaultSpace(): EmbeddingFunctionSpace {
    return "cosine";
  }

  /** All three, as the vectors are of unit length. */
  supportedSpaces(): EmbeddingFunctionSpace[] {
    return ["cosine", "l2", "ip"];
  }

  /** What is stored, under Chroma's names. */
  getConfig(): EmbeddingFunctionConfig {
    return { model_name: this.modelName, revision: this.revision, dtype: this.dtype, quantized: false };
  }

  /**
   * Refuses another model, whose vectors would not go with those that are there.
   *
   * @param newConfig - The new configuration.
   */
  validateConfigUpdate(newConfig: EmbeddingFunctionConfig): void {
    if ((newConfig.model_name ?? MODEL) !== this.modelName) {
      throw new ChromaValueError("The DefaultEmbeddingFunction's 'model' cannot be changed after initialization.");
    }
  }

  /**
   * Builds the function that a collection remembers.
   *
   * @param config - What {@link DefaultEmbeddingFunction.getConfig} returned, or Chroma's package wrote; `{}` for the default.
   * @returns The function.
   */
  static buildFromConfig(config: EmbeddingFunctionConfig): DefaultEmbeddingFunction {
    return new DefaultEmbeddingFunction({
      modelName: config.model_name ?? undefined,
      revision: config.revision ?? undefined,
      dtype: config.dtype ?? (config.quantized ? "uint8" : undefined),
    });
  }

  /** The model, loaded once; a failure is not remembered. */
  private load(): Promise<Embed> {
    this.loading ??= this.loadModel().catch((error) => {
      this.loading = undefined;
      throw error;
    });
    return this.loading;
  }

  private async loadModel(): Promise<Embed> {
    const runtime = (await importInstalled(RUNTIME)) as Runtime | undefined;
    if (runtime === undefined) {
      throw new ChromaValueError(
        `No embedding function found: the default one needs the package ${RUNTIME}, which is not installed. Run npm install ${RUNTIME}, or give embeddings, or give the collection another embedding function`,
      );
    }
    try {
      return await runtime.pipeline("feature-extraction", this.modelName, {
        revision: this.revision,
        dtype: this.dtype,
      });
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new ChromaConnectionError(
        `The model ${this.modelName} cannot be loaded: ${why}. It is downloaded from the Hugging Face hub unless ${RUNTIME}'s env.localModelPath has it`,
        cause,
      );
    }
  }
}
