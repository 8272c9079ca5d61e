import { BaseCollection, embedWith } from "../base-collection.js";
import type { Collection, DeleteArgs, GetArgs, ModifyArgs, QueryArgs, WriteArgs } from "../collection.js";
import type { CompactArgs } from "../compaction.js";
import type { CollectionArgs } from "../connection.js";
import { packQueries } from "../embeddings.js";
import { ChromaValueError } from "../errors.js";
import type { QueryExplanation } from "../explanation.js";
import type { FileExportArgs, FileExportReport } from "../files/export-file.js";
import type { FileImportArgs, FileImportReport } from "../files/import-file.js";
import { lenientCollectionMetadata, leniently, withLenientFilters } from "../lenient.js";
import { checkColumns, checkObject } from "../reply-columns.js";
import { givenQueries, recordSetOf, validateDelete, validateGet, validateWrite, type WriteKind } from "../requests.js";
import { GetResult, QueryResult } from "../results.js";
import { EMBEDDING_KEY, Schema } from "../schema.js";
import type { SchemaJson } from "../schema-json.js";
import { type SearchLike, type SearchPayload, toSearch } from "../search/search.js";
import { type SearchResponse, SearchResult } from "../search/search-result.js";
import { embedTextQueries } from "../search/text-queries.js";
import type { DeleteResult, IndexingStatus, Metadata, ReadLevel } from "../types.js";
import { validateMetadata } from "../validate.js";
import type { Version } from "../versions.js";
import type { HttpTransport, RequestParts } from "./http-transport.js";
import { sparseFunctionOf, withSparseVectors } from "./sparse-embedding.js";
import { readCollection } from "./wire-collection.js";
import { embeddingRows, readMetadata, wireEmbeddings, wireMetadata } from "./wire-records.js";

/** Columns of a server's answer to `get`; those that were not included are null. */
interface GetResponse<TMeta> {
  ids: string[];
  documents?: (string | null)[] | null;
  embeddings?: number[][] | null;
  metadatas?: (TMeta | null)[] | null;
  uris?: (string | null)[] | null;
}

/** Columns of a server's answer to `query`, one inner array per query. */
interface QueryResponse<TMeta> {
  ids: string[][];
  distances?: (number | null)[][] | null;
  documents?: (string | null)[][] | null;
  embeddings?: (number[] | null)[][] | null;
  metadatas?: (TMeta | null)[][] | null;
  uris?: (string | null)[][] | null;
}

/** A collection of a server. */
export class RemoteCollection extends BaseCollection implements Collection {
  private readonly transport: HttpTransport;
  private readonly storedSchema: SchemaJson | null;

  constructor(transport: HttpTransport, args: CollectionArgs) {
    super(args);
    this.transport = transport;
    this.storedSchema = args.json.schema ?? null;
    this.metadata = readMetadata(args.json.metadata) ?? undefined;
  }

  protected buildSchema(): Schema | undefined {
    return this.storedSchema === null ? undefined : Schema.fromStoredJSON(this.storedSchema, this.client);
  }

  async count(options?: { readLevel?: ReadLevel | undefined }): Promise<number> {
    return this.request("GET", "count", { query: { read_level: options?.readLevel } });
  }

  async get<TMeta extends Metadata = Metadata>(args: GetArgs = {}): Promise<GetResult<TMeta>> {
    const asked = withLenientFilters(args, this.rules);
    const { ids, where, whereDocument, limit, offset, include = ["documents", "metadatas"] } = asked;
    validateGet(asked, include);
    const answer = await this.request<unknown>("POST", "get", {
      body: {
        ids,
        where,
        where_document: whereDocument,
        limit: limit ?? undefined,
        offset: offset ?? undefined,
        include,
      },
    });
    const columns = checkColumns<GetResponse<TMeta>>(answer, { from: this.route("get"), nested: false });
    return new GetResult<TMeta>({
      ids: columns.ids,
      documents: columns.documents ?? [],
      embeddings: columns.embeddings ?? [],
      metadatas: (columns.metadatas ?? []).map(readMetadata),
      uris: columns.uris ?? [],
      include,
    });
  }

  async query<TMeta extends Metadata = Metadata>(asked: QueryArgs): Promise<QueryResult<TMeta>> {
    const args = withLenientFilters(asked, this.rules);
    const { ids, where, whereDocument, signal, include = ["metadatas", "documents", "distances"] } = args;
    signal?.throwIfAborted();
    if (args.searchParams !== undefined) throw localOnly("query({ searchParams })");
    const given = givenQueries(args, include);
    const embeddings = given.embeddings ?? (await this.embed(args.queryTexts ?? [], true));
    // Packed only for the checks: a server reads query vectors as JSON numbers.
    const context = { route: this.route("query"), rowName: (row: number) => `query ${row}` };
    const { dimension } = packQueries(embeddings, given.dimension, context);
    const answer = await this.request<unknown>("POST", "query", {
      body: {
        query_embeddings: embeddingRows(embeddings, dimension),
        n_results: args.nResults ?? 10,
        ids,
        where,
        where_document: whereDocument,
        include,
      },
      signal,
    });
    const columns = checkColumns<QueryResponse<TMeta>>(answer, { from: this.route("query"), nested: true });
    return new QueryResult<TMeta>({
      ids: columns.ids,
      distances: columns.distances ?? [],
      documents: columns.documents ?? [],
      embeddings: columns.embeddings ?? [],
      metadatas: (columns.metadatas ?? []).map((metadatas) => metadatas.map(readMetadata)),
      uris: columns.uris ?? [],
      include,
    });
  }

  async modify({ name, metadata: asked, configuration }: ModifyArgs): Promise<void> {
    const metadata = lenientCollectionMetadata(asked, this.rules);
    if (metadata) validateMetadata(metadata);
    const change = configuration && (await this.configurationChange(configuration));
    const update = change?.updateConfiguration;
    await this.transport.request("PUT", this.path(), {
      body: {
        new_name: name || undefined,
        new_metadata: metadata && wireMetadata(metadata),
        new_configuration: update,
      },
    });
    if (name) this.name = name;
    if (metadata) this.metadata = metadata;
    if (change?.updateEmbeddingFunction) this.foundFunction = change.updateEmbeddingFunction;
    if (update) {
      const { hnsw, spann, embedding_function: current } = this.configuration;
      const versions = update.versions ?? this.configuration.versions;
      const stored = update.embedding_function ?? current ?? null;
      this.configuration = {
        hnsw: hnsw ? { ...hnsw, ...update.hnsw } : null,
        spann: spann ? { ...spann, ...update.spann } : null,
        embedding_function: stored,
        embeddingFunction: stored,
        ...(versions ? { versions } : {}),
      };
    }
  }

  async delete(args: DeleteArgs = {}): Promise<DeleteResult> {
    const asked = withLenientFilters(args, this.rules);
    validateDelete(asked);
    const { ids, where, whereDocument, limit } = asked;
    const answer = await this.request<Partial<DeleteResult> | undefined>("POST", "delete", {
      body: { ids, where, where_document: whereDocument, limit },
    });
    return { deleted: answer?.deleted ?? 0 };
  }

  async fork({ name, version }: { name: string; version?: number | string | undefined }): Promise<Collection> {
    if (version !== undefined) throw localOnly("fork({ version })");
    const answer = await this.request<unknown>("POST", "fork", { body: { new_name: name } });
    return new RemoteCollection(this.transport, {
      client: this.client,
      json: readCollection(answer, this.route("fork")),
      embeddingFunction: this.foundFunction,
      rules: this.rules,
    });
  }

  async forkCount(): Promise<number> {
    const answer = await this.request<unknown>("GET", "fork_count");
    return checkObject(answer, this.route("fork_count")).count as number;
  }

  async createVersion(_args?: { label?: string | undefined }): Promise<Version> {
    throw localOnly("createVersion()");
  }

  async versions(): Promise<Version[]> {
    throw localOnly("versions()");
  }

  async at(_version: number | string): Promise<Collection> {
    throw localOnly("at()");
  }

  async deleteVersion(_version: number | string): Promise<void> {
    throw localOnly("deleteVersion()");
  }

  async search(
    searches: SearchLike | SearchLike[],
    options?: { readLevel?: ReadLevel | undefined },
  ): Promise<SearchResult> {
    const list = Array.isArray(searches) ? searches : [searches];
    if (list.length === 0) throw new ChromaValueError("At least one search payload must be provided.");
    const payloads = await Promise.all(list.map((search) => this.embedded(toSearch(search).toPayload())));
    const answer = await this.request<unknown>("POST", "search", {
      body: { searches: payloads, read_level: options?.readLevel },
    });
    const form = { from: this.route("search"), nested: true, gaps: true };
    const response = checkColumns<SearchResponse>(answer, form);
    const metadatas = response.metadatas?.map((column) => column?.map(readMetadata) ?? null) ?? null;
    return new SearchResult({ ...response, metadatas });
  }

  async getIndexingStatus(): Promise<IndexingStatus> {
    return this.request("GET", "indexing_status");
  }

  async explain(_args: QueryArgs): Promise<QueryExplanation> {
    throw localOnly("explain()");
  }

  async compact(_args?: CompactArgs): Promise<void> {
    throw localOnly("compact()");
  }

  async preload(): Promise<void> {
    throw localOnly("preload()");
  }

  async export(_path: string | URL, _args?: FileExportArgs): Promise<FileExportReport> {
    throw localOnly("export()");
  }

  async import(_path: string | URL, _args?: FileImportArgs): Promise<FileImportReport> {
    throw localOnly("import()");
  }

  protected async write(kind: WriteKind, asked: WriteArgs): Promise<void> {
    const args = leniently(asked, this.rules);
    const recordSet = recordSetOf(args);
    const checks = await this.client.getPreflightChecks();
    await validateWrite(kind, recordSet, args.dimension, checks.max_batch_size ?? -1);
    let { dimension } = args;
    if (!recordSet.embeddings && recordSet.documents) {
      recordSet.embeddings = await this.embed(recordSet.documents, false);
      dimension = undefined;
    }
    const base64 = checks.supports_base64_encoding === true;
    const embeddings = wireEmbeddings(recordSet, dimension, { base64, route: this.route(kind) });
    const metadatas = await withSparseVectors(recordSet, this.schema, this.storedSchema, this.client);
    const { ids, documents, uris } = recordSet;
    await this.request("POST", kind, {
      body: { ids, embeddings, documents, metadatas: metadatas?.map(wireMetadata), uris },
    });
  }

  /** A search whose texts are embedded. */
  private async embedded(payload: SearchPayload): Promise<SearchPayload> {
    if (payload.rank === undefined) return payload;
    const rank = await embedTextQueries(payload.rank, (text, key) => this.embedQuery(text, key));
    return { ...payload, rank };
  }

  private async embedQuery(text: string, key: string): Promise<unknown> {
    if (key === EMBEDDING_KEY) return (await this.embed([text], true))[0];
    const { schema } = this;
    const refusal = (why: string): ChromaValueError =>
      new ChromaValueError(
        `Cannot embed string query for key '${key}': ${why}. Provide an embedded vector or configure an embedding function.`,
      );
    if (schema === undefined) throw refusal("schema is not available");
    const types = schema.keys[key];
    if (types === undefined) throw refusal("key not found in schema");
    const sparse = await sparseFunctionOf(key, schema, this.storedSchema, this.client);
    if (sparse) return (await embedWith(sparse, [text], true))[0];
    const index = types.floatList?.vectorIndex;
    if (index?.enabled && index.config.embeddingFunction) {
      return (await embedWith(index.config.embeddingFunction, [text], true))[0];
    }
    throw refusal("no embedding function configured");
  }

  private path(...rest: string[]): string[] {
    return ["tenants", this.tenant, "databases", this.database, "collections", this.id, ...rest];
  }

  private request<T>(method: "GET" | "POST", operation: string, parts?: RequestParts): Promise<T> {
    return this.transport.request<T>(method, this.path(operation), parts);
  }
}

function localOnly(what: string): ChromaValueError {
  return new ChromaValueError(`${what} is for local databases only: this collection is on a server`);
}
