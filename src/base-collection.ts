/** What all collection objects have in common: what they know of themselves, and their embedding function. */
import type { ChromaClient } from "./client.js";
import type { GetArgs, WriteArgs } from "./collection.js";
import {
  type CollectionConfiguration,
  processUpdateCollectionConfig,
  type UpdateCollectionConfiguration,
} from "./configuration.js";
import type { CollectionArgs } from "./connection.js";
import {
  type EmbeddingFunction,
  missingEmbeddingFunction,
  registeredEmbeddingFunction,
  requireEmbeddingFunction,
} from "./embedding-function.js";
import { ChromaValueError } from "./errors.js";
import type { LenientRules } from "./lenient.js";
import type { WriteKind } from "./requests.js";
import type { GetResult } from "./results.js";
import type { Schema } from "./schema.js";
import type { CollectionMetadata, Metadata } from "./types.js";

/** A collection of a local database or of a server. */
export abstract class BaseCollection {
  readonly id: string;
  readonly tenant: string;
  readonly database: string;
  name: string;
  metadata: CollectionMetadata | undefined;
  configuration: CollectionConfiguration;
  protected readonly client: ChromaClient;
  protected readonly rules: LenientRules;
  protected foundFunction: EmbeddingFunction | undefined;
  private builtSchema: { value: Schema | undefined } | undefined;

  constructor({ client, json, embeddingFunction, rules }: CollectionArgs) {
    this.client = client;
    this.rules = rules;
    this.id = json.id;
    this.name = json.name;
    this.tenant = json.tenant;
    this.database = json.database;
    this.metadata = json.metadata ?? undefined;
    this.configuration = json.configuration_json;
    this.foundFunction = embeddingFunction;
  }

  /** The schema from what is stored, at the first look. Loads no embedding function. */
  protected abstract buildSchema(): Schema | undefined;

  get embeddingFunction(): EmbeddingFunction | undefined {
    this.foundFunction ??=
      registeredEmbeddingFunction(this.configuration.embedding_function, this.client) ??
      this.schema?.resolveEmbeddingFunction() ??
      undefined;
    return this.foundFunction;
  }

  set embeddingFunction(embeddingFunction: EmbeddingFunction | undefined) {
    this.foundFunction = embeddingFunction;
  }

  get schema(): Schema | undefined {
    this.builtSchema ??= { value: this.buildSchema() };
    return this.builtSchema.value;
  }

  set schema(schema: Schema | undefined) {
    this.builtSchema = { value: schema };
  }

  /** Lets the schema be built anew, when what it was built from has changed. */
  protected forgetSchema(): void {
    this.builtSchema = undefined;
  }

  /** Checks the records of a write and applies it. */
  protected abstract write(kind: WriteKind, args: WriteArgs): Promise<void>;

  abstract get<TMeta extends Metadata = Metadata>(args?: GetArgs): Promise<GetResult<TMeta>>;

  async add(args: WriteArgs): Promise<void> {
    await this.write("add", args);
  }

  async update(args: WriteArgs): Promise<void> {
    await this.write("update", args);
  }

  async upsert(args: WriteArgs): Promise<void> {
    await this.write("upsert", args);
  }

  async peek({ limit = 10 }: { limit?: number | undefined } = {}): Promise<GetResult> {
    return this.get({ limit });
  }

  /** What a change of the configuration comes to, beside the present one. */
  protected configurationChange(
    newConfiguration: UpdateCollectionConfiguration,
  ): ReturnType<typeof processUpdateCollectionConfig> {
    return processUpdateCollectionConfig({
      collectionName: this.name,
      currentConfiguration: this.configuration,
      currentEmbeddingFunction: this.embeddingFunction,
      newConfiguration,
      client: this.client,
    });
  }

  /** What an error says that an operation was. */
  protected route(operation: string): string {
    return `collections/${this.id}/${operation}`;
  }

  /**
   * Vectors of texts.
   *
   * @throws ChromaValueError when there is no function that could make them, or it does not make one per text.
   */
  protected async embed(texts: string[], isQuery: boolean): Promise<number[][]> {
    const fn = this.embeddingFunction ?? (await this.loadEmbeddingFunction());
    return embedWith(fn, texts, isQuery);
  }

  private async loadEmbeddingFunction(): Promise<EmbeddingFunction> {
    const efConfig = this.configuration.embedding_function;
    if (efConfig?.type !== "known") throw missingEmbeddingFunction(this.name);
    this.foundFunction ??= await requireEmbeddingFunction({ client: this.client, efConfig }, this.name);
    return this.foundFunction;
  }
}

/**
 * Vectors of texts by a function.
 *
 * @throws ChromaValueError when it does not return one per text.
 */
export async function embedWith<Vector>(
  fn: { generate(texts: string[]): Promise<Vector[]>; generateForQueries?(texts: string[]): Promise<Vector[]> },
  texts: string[],
  isQuery: boolean,
): Promise<Vector[]> {
  const vectors = await (isQuery && fn.generateForQueries ? fn.generateForQueries(texts) : fn.generate(texts));
  if (!Array.isArray(vectors) || vectors.length !== texts.length) {
    throw new ChromaValueError(
      `Embedding function returned ${Array.isArray(vectors) ? vectors.length : typeof vectors} embeddings for ${texts.length} texts`,
    );
  }
  return vectors;
}
