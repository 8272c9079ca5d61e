/** Embedding models of the Vercel AI SDK as embedding functions. */
import type { EmbeddingFunction } from "./embedding-function.js";
import { ChromaValueError } from "./errors.js";

/** What is used of an embedding model of the AI SDK, of any version of its specification. */
export interface EmbeddingModelLike {
  /** Name of the model at its provider. */
  readonly modelId: string;
  /** Most texts of one call. */
  readonly maxEmbeddingsPerCall?: PromiseLike<number | undefined> | number | undefined;
  /** Whether several calls may be under way at once. */
  readonly supportsParallelCalls?: PromiseLike<boolean> | boolean | undefined;
  /** Embeds texts. */
  // biome-ignore lint/suspicious/noExplicitAny: the provider's options differ between versions of the specification.
  doEmbed(options: any): PromiseLike<{
    /** One vector per text. */
    embeddings: number[][];
  }>;
}

/** Options of {@link fromEmbeddingModel}, handed to the model with each call. */
export interface EmbeddingModelOptions {
  /** Options by provider, for example `{ openai: { dimensions: 256 } }`. */
  providerOptions?: Record<string, Record<string, unknown>> | undefined;
  /** Headers of HTTP requests. */
  headers?: Record<string, string | undefined> | undefined;
}

/** Calls that are under way at once, where the model allows several. */
const PARALLEL_CALLS = 4;

/**
 * An embedding function that asks an embedding model of the Vercel AI SDK. Texts are sent in calls of as many as the model
 * takes; vectors are not stored with the model's name, so the function must be given again to `getCollection`.
 *
 * @param model - For example `openai.textEmbeddingModel("text-embedding-3-small")`.
 * @param options - Handed to the model with each call.
 * @returns The embedding function.
 * @throws ChromaValueError when it is not an embedding model: a model's name alone, as AI gateways take it, does not do.
 *
 * @example
 * ```ts
 * const embeddingFunction = fromEmbeddingModel(openai.textEmbeddingModel("text-embedding-3-small"));
 * const collection = await client.createCollection({ name: "notes", embeddingFunction });
 * ```
 */
export function fromEmbeddingModel(model: EmbeddingModelLike, options: EmbeddingModelOptions = {}): EmbeddingFunction {
  if (typeof model?.doEmbed !== "function") {
    throw new ChromaValueError(
      `Expected an embedding model of the AI SDK, such as openai.textEmbeddingModel(name), but got ${typeof model}`,
    );
  }
  return { generate: (texts) => embedInCalls(model, texts, options) };
}

async function embedInCalls(
  model: EmbeddingModelLike,
  texts: string[],
  options: EmbeddingModelOptions,
): Promise<number[][]> {
  const most = (await model.maxEmbeddingsPerCall) ?? Number.POSITIVE_INFINITY;
  const size = Math.max(1, Math.min(most, texts.length));
  const parallel = (await model.supportsParallelCalls) === true ? PARALLEL_CALLS : 1;
  const calls = Array.from({ length: Math.ceil(texts.length / size) }, (_, call) =>
    texts.slice(call * size, (call + 1) * size),
  );
  const answers: number[][][] = new Array(calls.length);
  let next = 0;
  const work = async (): Promise<void> => {
    for (let call = next++; call < calls.length; call = next++) {
      answers[call] = await embedCall(model, calls[call] as string[], options);
    }
  };
  await Promise.all(Array.from({ length: Math.min(parallel, calls.length) }, work));
  return answers.flat();
}

async function embedCall(
  model: EmbeddingModelLike,
  values: string[],
  options: EmbeddingModelOptions,
): Promise<number[][]> {
  const { embeddings } = await model.doEmbed({ ...options, values });
  if (embeddings?.length !== values.length) {
    throw new ChromaValueError(
      `The model ${model.modelId} returned ${embeddings?.length ?? "no"} embeddings for ${values.length} texts`,
    );
  }
  return embeddings;
}
