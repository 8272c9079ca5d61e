/** The only file that loads the native addon; turns its failures into the error classes. */
import { createRequire } from "node:module";
import {
  BindingLoadError,
  badRequest,
  ChromaClientError,
  ChromaConnectionError,
  ChromaNotFoundError,
  ChromaServerError,
  ChromaUniqueError,
  DatabaseClosedError,
  DatabaseCorruptedError,
  DatabaseLockedError,
  DiskSpaceError,
  ReadOnlyError,
  UnsafeFileSystemError,
  UntrustedFileError,
} from "./errors.js";

/** Answer of a read: JSON text, with vectors beside it when they were asked for, and distances where they are many. */
export type NativeReply =
  | string
  | { text: string; embeddings?: Float64Array | undefined; distances?: Float64Array | undefined };

/** Stops a query or a compaction that is under way. */
export interface NativeCancel {
  cancel(): void;
}

/** How far a compaction has come. */
export interface NativeProgress {
  now(): string;
}

/** The records of one write, handed over piece by piece. */
export interface NativeBatch {
  push(records: string, vectors: Float32Array | null): void;
}

/** Many ids of one request. The call that they are given to takes them out. */
export interface NativeIds {
  areDistinct(): boolean;
}

/** The body of an HTTP request, handed over chunk by chunk. What uses it empties it. */
export interface NativeBody {
  push(chunk: Uint8Array): void;
  check(operation: string): void;
  name(): string;
  createOutline(): string;
  updateOutline(): string;
}

/** What one HTTP request may ask for at most. */
export interface NativeBodyLimits {
  rows: number;
  results: number;
  replyBytes: number;
}

/** One open database. Texts are JSON unless said otherwise. */
export interface NativeDatabase {
  close(): Promise<void>;
  createTenant(name: string): Promise<void>;
  getTenant(name: string): Promise<string>;
  createDatabase(tenant: string, name: string): Promise<void>;
  getDatabase(tenant: string, name: string): Promise<string>;
  deleteDatabase(tenant: string, name: string): Promise<void>;
  listDatabases(tenant: string, limit: number, offset: number): Promise<string>;
  createCollection(request: string): Promise<string>;
  getCollection(tenant: string, database: string, name: string): Promise<string>;
  getCollectionById(id: string): Promise<string>;
  listCollections(tenant: string, database: string, limit: number, offset: number): Promise<string>;
  allCollections(): Promise<string>;
  countCollections(tenant: string, database: string): Promise<number>;
  deleteCollection(tenant: string, database: string, name: string): Promise<void>;
  updateCollection(id: string, patch: string): Promise<void>;
  reset(): Promise<void>;
  openCollection(id: string): Promise<NativeCollection>;
  createCollectionFrom(
    tenant: string,
    database: string,
    body: NativeBody,
    configuration: string,
    schema: string,
  ): Promise<string>;
  updateCollectionFrom(id: string, body: NativeBody, approved: string): Promise<void>;
  stats(): string;
  forkCollection(id: string, version: number | null, name: string): Promise<string>;
  forkCount(id: string): Promise<number>;
  createVersion(id: string, label: string | null): Promise<string>;
  versions(id: string): Promise<string>;
  openVersion(id: string, version: number): Promise<NativeCollection>;
  deleteVersion(id: string, version: number): Promise<void>;
  snapshot(path: string): Promise<NativeDatabaseCopy>;
  check(progress: NativeCheckProgress): Promise<string>;
}

/** A copy of a database that is being made. */
export interface NativeDatabaseCopy {
  step(): Promise<string>;
  finish(): Promise<string>;
  discard(): Promise<void>;
}

/** How far a check or a repair has come. */
export interface NativeCheckProgress {
  rows(): number[];
  cancel(): void;
}

/** Queries of one database that are answered together. */
export interface NativeQueries {
  begin(
    collections: NativeCollection[],
    queries: Float32Array[],
    dimensions: number[],
    requests: string[],
    ids: (NativeIds | null)[],
  ): (NativeReply | Promise<NativeReply> | null)[];
  finish(queries: Float32Array[]): NativeReply[];
}

/** One open collection. */
export interface NativeCollection {
  write(kind: "add" | "update" | "upsert", batch: NativeBatch): Promise<void>;
  delete(request: string, ids: NativeIds | null): Promise<number>;
  count(): number;
  get(request: string, ids: NativeIds | null): Promise<NativeReply>;
  query(
    queries: Float32Array,
    dimension: number,
    request: string,
    ids: NativeIds | null,
    cancel?: NativeCancel,
  ): NativeReply | Promise<NativeReply>;
  expectQueries(): void;
  explain(queries: Float32Array, dimension: number, request: string, ids: NativeIds | null): Promise<string>;
  compact(secure: boolean, cancel: NativeCancel, progress: NativeProgress): Promise<void>;
  preload(): Promise<void>;
  indexingStatus(): string;
  export(request: string): Promise<NativeExport>;
  writeLines(text: string, first: number, upsert: boolean): Promise<string>;
  addServerPage(body: string): Promise<string>;
  stats(): Promise<string>;
  answerQuery(body: NativeBody, limits: NativeBodyLimits, cancel?: NativeCancel): Uint8Array | Promise<Uint8Array>;
  answerGet(body: NativeBody, limits: NativeBodyLimits, cancel?: NativeCancel): Promise<Uint8Array>;
  writeBody(operation: string, body: NativeBody, limits: NativeBodyLimits): Promise<void>;
  deleteBody(body: NativeBody, limits: NativeBodyLimits): Promise<number>;
}

/** The records of a collection at one moment, as lines of JSON or for a file. */
export interface NativeExport {
  readonly total: number;
  readonly done: number;
  next(limit: number): Promise<string>;
  createFile(path: string, options: string, cancel: NativeCancel): Promise<NativeExportFile>;
}

/** A file that is being written. */
export interface NativeExportFile {
  next(limit: number): Promise<number>;
  finish(): Promise<number>;
  discard(): void;
}

/** A file of records that is being read. */
export interface NativeRecordFile {
  readonly description: string | null;
  readonly total: number | null;
  next(target: NativeCollection, upsert: boolean, limit: number): Promise<string>;
}

/** A directory that a Chroma server wrote. */
export interface NativeChromaSource {
  describe(): Promise<string>;
  checkPickles(ids: string[]): Promise<void>;
  reader(id: string, cosine: boolean): Promise<NativeChromaReader>;
}

/** Reads the records of one collection of such a directory. */
export interface NativeChromaReader {
  readonly total: number;
  next(target: NativeCollection, limit: number): Promise<string>;
}

/** What the addon exports. */
interface Binding {
  NativeChromaSource: { open(path: string): Promise<NativeChromaSource> };
  NativeRecordFile: { open(path: string, options: string): Promise<NativeRecordFile> };
  readServerCollections(body: string): string;
  NativeDatabase: {
    open(path: string | null, options: string): Promise<NativeDatabase>;
    checkFolder(path: string, progress: NativeCheckProgress): Promise<string>;
    repairFolder(path: string, options: string, progress: NativeCheckProgress): Promise<string>;
  };
  NativeDatabaseCopy: { restore(from: string, to: string, replace: boolean): Promise<NativeDatabaseCopy> };
  NativeCheckProgress: new () => NativeCheckProgress;
  NativeBatch: new (rows: number, dimension: number) => NativeBatch;
  NativeBody: new (bytes: number) => NativeBody;
  NativeIds: { pack(text: Uint8Array, ends: Uint32Array): NativeIds };
  NativeCancel: new () => NativeCancel;
  NativeProgress: new () => NativeProgress;
  NativeQueries: new () => NativeQueries;
  buildInfo(): string;
}

const load = createRequire(import.meta.url);
let loaded: Binding | undefined;

/**
 * The addon, loaded at first use, so that importing the package never fails and costs little.
 *
 * @throws BindingLoadError when there is none for this platform.
 */
export function binding(): Binding {
  if (loaded === undefined) {
    try {
      loaded = load("#binding") as Binding;
    } catch (error) {
      throw new BindingLoadError(
        `Cannot load ferrochrome's native addon for ${process.platform}-${process.arch}. npm sometimes leaves out optional dependencies: remove node_modules and package-lock.json, run "npm install" again, and see that optional dependencies are not omitted. In a source checkout, run "npm run build:native". ${error instanceof Error ? error.message : String(error)}`,
        { cause: error },
      );
    }
  }
  return loaded;
}

/** A failure as native code reports it; the cause of what {@link toError} returns. */
export class NativeError extends Error {
  override name = "NativeError";
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * The error class for a failure of native code. Anything else is returned as it is.
 *
 * @param route - What was asked for, as it appears in messages, for example `collections/<id>/query`.
 */
export function toError(failure: unknown, route: string): unknown {
  const cause = parseFailure(failure);
  if (cause === undefined) return failure;
  const { code, message } = cause;
  switch (code) {
    case "INVALID_ARGUMENT":
    case "LIMIT_EXCEEDED":
      return badRequest(route, message, cause);
    case "UNPROCESSABLE":
      return new ChromaClientError(message, cause);
    case "NOT_FOUND":
      return new ChromaNotFoundError("The requested resource could not be found", cause);
    case "ALREADY_EXISTS":
      return new ChromaUniqueError("The resource already exists", cause);
    case "CORRUPTED":
      return new DatabaseCorruptedError(withRemedy(message), { cause });
    case "LOCKED":
      return new DatabaseLockedError(message, { cause });
    case "UNTRUSTED":
      return new UntrustedFileError(message, { cause });
    case "NO_SPACE":
      return new DiskSpaceError(message, { cause });
    case "UNSAFE_FILE_SYSTEM":
      return new UnsafeFileSystemError(message, { cause });
    case "READ_ONLY":
      return new ReadOnlyError(message, { cause });
    case "CLOSED":
      return new DatabaseClosedError(message, { cause });
    case "CANCELLED":
      return new DOMException(message, "AbortError");
    default:
      return new ChromaServerError(message, cause);
  }
}

/** What damage of the database's own files is told with: how to go on. */
function withRemedy(message: string): string {
  const isOurs = /\.arrow|segment\.json|lookup\.sqlite|catalog\.sqlite/.test(message);
  return isOurs
    ? `${message}. See what is damaged with checkDatabase() or \`ferrochrome check\`, then save what can be saved with repairDatabase() or \`ferrochrome repair\``
    : message;
}

/**
 * The error class for a failure to open a database. Chroma has no word for a folder that cannot be opened; the nearest is a
 * server that cannot be reached.
 */
export function toOpenError(failure: unknown): unknown {
  const error = toError(failure, "open");
  const typed = [DatabaseCorruptedError, DatabaseLockedError, UnsafeFileSystemError].some(
    (known) => error instanceof known,
  );
  const cause = parseFailure(failure);
  return typed || cause === undefined ? error : new ChromaConnectionError(cause.message, cause);
}

/** What native code reported, or undefined where `failure` came from elsewhere. */
export function parseFailure(failure: unknown): NativeError | undefined {
  // No instanceof: under some test runners, errors of native code come from another realm.
  const text = (failure as { message?: unknown } | undefined)?.message;
  if (typeof text !== "string" || !text.startsWith("!")) return undefined;
  try {
    const { code, message } = JSON.parse(text.slice(1)) as { code: string; message: string };
    return new NativeError(code, message);
  } catch {
    return undefined;
  }
}

/** Version and target of the addon. */
export function buildInfo(): { version: string; isa: string; target: string } {
  return JSON.parse(binding().buildInfo());
}

/** A count as native code takes it; more cannot be there anyway. */
export function toU32(count: number): number {
  return Math.min(count, 0xffff_ffff);
}
