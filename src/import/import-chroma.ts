import { type ChromaClient, PersistentClient } from "../client.js";
import { resolvePath } from "../database.js";
import {
  type EmbeddingFunction,
  type EmbeddingFunctionConfiguration,
  serializeEmbeddingFunction,
} from "../embedding-function.js";
import { ChromaNotFoundError, ChromaValueError, DatabaseCorruptedError } from "../errors.js";
import { DirectorySource } from "./directory-source.js";
import { type ImportedCollection, type ImportReport, ReportWriter } from "./report.js";
import { ServerSource } from "./server-source.js";
import { resolveSettings } from "./settings.js";
import type { ImportSource, SourceCollection, SourceContents } from "./source.js";
import { type CollectionSpec, type ExistingCollections, ImportTarget } from "./target.js";

/** Records that are written at once. */
const BATCH_ROWS = 2_000;

/** How far an import has come. */
export interface ImportProgress {
  /** Tenant of the collection that is being read. */
  tenant: string;
  /** Its database. */
  database: string;
  /** Its name. */
  collection: string;
  /** Records of that collection that were looked at. */
  collectionDone: number;
  /** Records of that collection. */
  collectionTotal: number;
  /** Records of all collections that were looked at. */
  done: number;
  /** Records of all collections. */
  total: number;
}

/** Arguments of {@link importChroma}. */
export interface ImportChromaArgs {
  /** A directory that a Chroma server of version 0.4 to 1.5 wrote, or the `http:` or `https:` URL of a running one (API v2). */
  from: string | URL;
  /** Folder of the database to import into; made if it does not exist. Either this or `client`. */
  to?: string | URL | undefined;
  /** A client of the database to import into. */
  client?: ChromaClient | undefined;
  /** Names of the collections to import. Default: all. */
  collections?: string[] | undefined;
  /** Only collections of this tenant. Default: of all; of a server: `default_tenant`, as servers do not list tenants. */
  tenant?: string | undefined;
  /** Only collections of this database. Default: of all. */
  database?: string | undefined;
  /**
   * What is done where the target has a collection of the same name: `"refuse"` (default) fails before anything is written, `"skip"`
   * leaves it as it is, `"merge"` adds the records whose ids it does not have, which also resumes an import that was interrupted.
   */
  existing?: ExistingCollections | undefined;
  /** Stored for collections of versions before 1.0, which do not say what embedded their documents. Default: none. */
  embeddingFunction?: EmbeddingFunction | undefined;
  /** Headers of requests to a server, for example its token. */
  headers?: Record<string, string> | undefined;
  /** Stops the import after the batch that is being written. What was written stays; see `existing`. */
  signal?: AbortSignal | undefined;
  /** Called after every batch. */
  onProgress?: ((progress: ImportProgress) => void) | undefined;
}

/**
 * Imports everything from a directory of Chroma, or from a running server: tenants, databases, collections with metadata, configuration
 * and schema, records in their order with vectors, documents, metadata and URIs.
 *
 * A directory is only read. Damaged records are left out and reported; nothing is guessed. Collections keep their UUIDs.
 *
 * @param args - Where from and where to.
 * @returns What was imported, and what was wrong.
 * @throws ChromaValueError when `from` is nothing that can be imported, or an argument is wrong; ChromaUniqueError when the target has
 * a collection of the same name; {@link UntrustedFileError} when a file would run code; ChromaConnectionError when a server does not
 * answer or a file cannot be read; the signal's reason when it was aborted.
 *
 * @example
 * ```ts
 * const report = await importChroma({ from: "./chroma", to: "./my-db" });
 * console.log(report.imported, report.problems);
 * ```
 */
export async function importChroma(args: ImportChromaArgs): Promise<ImportReport> {
  const { signal, to, client } = args;
  signal?.throwIfAborted();
  if ((to === undefined) === (client === undefined)) {
    throw new ChromaValueError("Expected either `to`, the folder of a database, or `client`");
  }
  const source = await openSource(args);
  const contents = selected(await source.contents(), args);
  await source.check(contents.collections);
  signal?.throwIfAborted();
  const ownClient = client === undefined ? new PersistentClient({ path: to as string | URL }) : undefined;
  try {
    return await run(source, contents, (client ?? ownClient) as ChromaClient, args);
  } finally {
    await ownClient?.close();
  }
}

async function openSource({ from, tenant, headers, signal }: ImportChromaArgs): Promise<ImportSource> {
  if (/^https?:/i.test(String(from))) return new ServerSource(new URL(from), { tenant, headers, signal });
  return DirectorySource.open(resolvePath(from));
}

/** The part of the source that was asked for. */
function selected(contents: SourceContents, { collections, tenant, database }: ImportChromaArgs): SourceContents {
  const here = (place: { tenant: string; database: string }): boolean =>
    (tenant ?? place.tenant) === place.tenant && (database ?? place.database) === place.database;
  const found = contents.collections.filter(
    (collection) => here(collection) && (collections?.includes(collection.name) ?? true),
  );
  const missing = collections?.filter((name) => !found.some((collection) => collection.name === name)) ?? [];
  if (missing.length > 0) {
    throw new ChromaNotFoundError(`The source has no collection ${missing.map((name) => `'${name}'`).join(", ")}`);
  }
  // What is empty comes only with the whole.
  const whole = collections === undefined;
  return {
    tenants: whole && database === undefined ? contents.tenants.filter((name) => (tenant ?? name) === name) : [],
    databases: whole ? contents.databases.filter((each) => here({ tenant: each.tenant, database: each.name })) : [],
    collections: found,
  };
}

async function run(
  source: ImportSource,
  contents: SourceContents,
  client: ChromaClient,
  args: ImportChromaArgs,
): Promise<ImportReport> {
  const { existing = "refuse", embeddingFunction } = args;
  if (!["refuse", "skip", "merge"].includes(existing)) {
    throw new ChromaValueError(`Expected 'existing' to be one of refuse, skip, merge, but got ${String(existing)}`);
  }
  const fallback: EmbeddingFunctionConfiguration = serializeEmbeddingFunction({ embeddingFunction }) ?? {
    type: "legacy",
  };
  const writer = new ReportWriter(source.name);
  const target = new ImportTarget(client.handle);
  const planned = contents.collections.map((collection) => ({ collection, spec: specOf(collection, fallback) }));
  await target.check(
    planned.map(({ spec }) => spec),
    existing,
  );
  for (const tenant of contents.tenants) await target.ensureTenant(tenant);
  for (const { tenant, name } of contents.databases) await target.ensureDatabase(tenant, name);
  const progress = new Progress(contents.collections, args.onProgress);
  for (const { collection, spec } of planned) {
    writer.add(spec, [...collection.problems, ...spec.resolved.problems]);
    if (existing === "skip" && (await target.find(spec)) !== undefined) {
      writer.finish({ ...figures(spec), skipped: true });
      continue;
    }
    await importCollection({ source, target, writer, progress, signal: args.signal }, collection, spec);
  }
  return writer.end();
}

function specOf(collection: SourceCollection, fallback: EmbeddingFunctionConfiguration): CollectionSpec {
  const { id, name, tenant, database, dimension, metadata } = collection;
  return { id, name, tenant, database, dimension, metadata, resolved: resolveSettings(collection, fallback) };
}

function figures({ tenant, database, name, id }: CollectionSpec): ImportedCollection {
  return { tenant, database, name, id, records: 0, imported: 0, existing: 0, leftOut: 0, skipped: false };
}

interface Import {
  source: ImportSource;
  target: ImportTarget;
  writer: ReportWriter;
  progress: Progress;
  signal: AbortSignal | undefined;
}

async function importCollection(
  { source, target, writer, progress, signal }: Import,
  collection: SourceCollection,
  spec: CollectionSpec,
): Promise<void> {
  const result = figures(spec);
  const reader = await readerOf(source, collection, spec, writer);
  const into = await target.collection(spec);
  result.id = into.id;
  if (reader !== undefined) {
    progress.begin(collection, reader.total);
    for (let done = false; !done; ) {
      signal?.throwIfAborted();
      const batch = await reader.next(into, BATCH_ROWS);
      result.records += batch.read;
      result.imported += batch.imported;
      result.leftOut += batch.leftOut;
      result.existing += batch.read - batch.imported - batch.leftOut;
      writer.add(spec, batch.problems, batch.counts);
      progress.advance(batch.read);
      done = batch.done;
    }
  }
  writer.finish(result);
}

/** The reader of a collection; a collection that cannot be read at all is reported, and the others are imported. */
async function readerOf(
  source: ImportSource,
  collection: SourceCollection,
  spec: CollectionSpec,
  writer: ReportWriter,
): Promise<Awaited<ReturnType<ImportSource["reader"]>> | undefined> {
  try {
    return await source.reader(collection, spec.resolved.space);
  } catch (error) {
    if (!(error instanceof DatabaseCorruptedError)) throw error;
    writer.add(spec, [{ kind: "unreadable-collection", message: error.message }]);
    return undefined;
  }
}

/** Tells how far the import has come. */
class Progress {
  private readonly report: ((progress: ImportProgress) => void) | undefined;
  private readonly state: ImportProgress;

  constructor(collections: SourceCollection[], report: ((progress: ImportProgress) => void) | undefined) {
    this.report = report;
    const total = collections.reduce((sum, { records }) => sum + records, 0);
    this.state = { tenant: "", database: "", collection: "", collectionDone: 0, collectionTotal: 0, done: 0, total };
  }

  begin({ tenant, database, name, records }: SourceCollection, total: number): void {
    // The reader knows better than SQLite's tables where a server crashed.
    this.state.total += total - records;
    Object.assign(this.state, { tenant, database, collection: name, collectionDone: 0, collectionTotal: total });
    this.report?.({ ...this.state });
  }

  advance(records: number): void {
    this.state.collectionDone += records;
    this.state.done += records;
    this.report?.({ ...this.state });
  }
}
