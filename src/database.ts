/** One folder, or one database in memory, opened at first use and closed once. */
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Backlog } from "./backlog.js";
import { ChromaValueError, DatabaseClosedError } from "./errors.js";
import { binding, type NativeDatabase, toError, toOpenError } from "./native.js";
import { QueryQueue } from "./query-queue.js";

/** How a database is opened. */
export interface DatabaseOptions {
  /**
   * Opens the database for reading only: beside another process that writes to it, and without changing a byte. Default
   * false.
   */
  readOnly?: boolean | undefined;
  /**
   * Only with `readOnly`. True (default): a read sees all that the writing process had acknowledged before the read began.
   * False: each collection goes on showing the state in which it was first used.
   */
  follow?: boolean | undefined;
  /**
   * Writes even on a network file system (NFS, SMB, sshfs and others; recognised on Linux), which is refused otherwise: nothing keeps
   * another machine from writing there at the same time. Default false.
   */
  allowNetworkFileSystem?: boolean | undefined;
  /**
   * When a write counts as done. `"normal"` (default): it survives the end of the process, however it ends. `"full"`: it also
   * survives a power cut, at the price of a disk sync per batch of writes.
   */
  durability?: "normal" | "full" | undefined;
  /** Compression of documents and metadata in sealed segments. Default chosen by the engine. */
  compression?: "none" | "lz4" | "zstd" | undefined;
  /**
   * Threads for searches and index building. Default: the number of processors. Where queries with filters come closely one after
   * another, one that helps with them looks for more for up to .3 ms before it sleeps; with one thread, none does.
   */
  threads?: number | undefined;
  /** Records after which the newest are sealed into an indexed segment. Default chosen by the engine. */
  sealRows?: number | undefined;
  /** Memory after which the newest records are sealed into an indexed segment, in bytes. Default chosen by the engine. */
  headBytes?: number | undefined;
  /**
   * Memory for indexes, in bytes; less is taken where the system is short of it. An index that has no room is searched in its
   * file. Default 2 GiB.
   */
  indexCacheBytes?: number | undefined;
  /**
   * Memory for copies of the vectors that searches come back to, of all collections together, in bytes; one segment takes at
   * most a quarter. Default 256 MiB.
   */
  vectorCacheBytes?: number | undefined;
  /**
   * Segments that may be open at once, each with its file handles and mappings. Beyond, the collections that were idle longest
   * are closed until they are used again, which goes unnoticed but for some milliseconds. Default 256.
   */
  openSegments?: number | undefined;
  /**
   * Memory that one merge of segments may take, in bytes, about: it bounds how many records become one segment. Default: a
   * quarter of what the system could give at that moment, at least 256 MiB.
   */
  compactionMemoryBytes?: number | undefined;
  /**
   * Space on the volume that merges leave free, in bytes. Without it merges are put off, and `compact()` rejects with
   * {@link DiskSpaceError}. Default 64 MiB.
   */
  diskReserveBytes?: number | undefined;
}

const FLAGS = ["readOnly", "follow", "allowNetworkFileSystem"] as const;
const CHOICES = { durability: ["normal", "full"], compression: ["none", "lz4", "zstd"] } as const;
const COUNTS = [
  "threads",
  "sealRows",
  "headBytes",
  "indexCacheBytes",
  "vectorCacheBytes",
  "openSegments",
  "compactionMemoryBytes",
  "diskReserveBytes",
] as const;

/** Names of all {@link DatabaseOptions}. */
export const databaseOptionNames: readonly (keyof DatabaseOptions)[] = [
  ...FLAGS,
  ...(Object.keys(CHOICES) as (keyof typeof CHOICES)[]),
  ...COUNTS,
];

/** Options as native code reads them, checked. */
function encodeOptions(options: DatabaseOptions): string {
  for (const name of FLAGS) {
    const value = options[name];
    if (value !== undefined && typeof value !== "boolean") {
      throw new ChromaValueError(`Expected '${name}' to be a boolean, but got ${typeof value}`);
    }
  }
  const { readOnly = false, follow, allowNetworkFileSystem } = options;
  if (follow !== undefined && !readOnly) {
    throw new ChromaValueError("'follow' is for readers of what another process writes: pass readOnly: true with it");
  }
  const encoded: Record<string, unknown> = { readOnly, follow, allowNetworkFileSystem };
  for (const [name, choices] of Object.entries(CHOICES)) {
    const value = options[name as keyof typeof CHOICES];
    if (value === undefined) continue;
    if (!(choices as readonly string[]).includes(value)) {
      throw new ChromaValueError(`Expected '${name}' to be one of ${choices.join(", ")}, but got ${String(value)}`);
    }
    encoded[name] = value;
  }
  for (const name of COUNTS) {
    const value = options[name];
    if (value === undefined) continue;
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new ChromaValueError(`Expected '${name}' to be a positive integer, but got ${String(value)}`);
    }
    encoded[name] = value;
  }
  return JSON.stringify(encoded);
}

/**
 * A database folder as an absolute path.
 *
 * @throws ChromaValueError when it is not a path, or the URL of a server.
 */
export function resolvePath(path: string | URL): string {
  if (path instanceof URL || (typeof path === "string" && /^[a-z][a-z0-9+.-]+:\/\//i.test(path))) {
    const url = new URL(path);
    if (url.protocol === "file:") return fileURLToPath(url);
    throw new ChromaValueError(
      `'${url.href}' is the URL of a server. Give the path of a folder, or use HttpClient() or ChromaClient() for a server`,
    );
  }
  if (typeof path !== "string" || path === "" || path.includes("\0")) {
    throw new ChromaValueError(
      `Expected 'path' to be the path of a folder, but got ${typeof path === "string" ? JSON.stringify(path) : typeof path}`,
    );
  }
  return resolve(path);
}

/** A database that clients share. */
export class DatabaseHandle {
  /** Absolute path of the folder; null in memory. */
  readonly path: string | null;
  /** Writes that native code has not done yet. */
  readonly backlog = new Backlog();
  private readonly options: string;
  private opening: Promise<NativeDatabase> | undefined;
  private closing: Promise<void> | undefined;
  /** Settles when who needs the files for itself is done; undefined where nobody does. */
  private exclusive: Promise<void> | undefined;
  /** Counts openings, so that who holds part of one knows whether it is still the present one. */
  private openings = 0;
  /** Queries of all collections, until they are handed over. */
  readonly queries = new QueryQueue();
  /** What closing waits for. */
  private readonly underWay = new Set<Promise<unknown>>();

  constructor(path: string | URL | null, options: DatabaseOptions) {
    this.path = path === null ? null : resolvePath(path);
    this.options = encodeOptions(options);
  }

  /** Opens the database if it is not open yet. A failure is not remembered: the next call tries again. */
  open(): Promise<NativeDatabase> {
    return this.beforeClosing((open) => open());
  }

  /**
   * Does what must be finished before the database closes. `work` may open the database although closing was asked for
   * meanwhile.
   */
  async beforeClosing<T>(work: (open: () => Promise<NativeDatabase>) => Promise<T>): Promise<T> {
    if (this.closing !== undefined) throw this.closedError();
    const done = work(() => this.native());
    this.underWay.add(done);
    try {
      return await done;
    } finally {
      this.underWay.delete(done);
    }
  }

  private native(): Promise<NativeDatabase> {
    if (this.exclusive !== undefined) return this.exclusive.then(() => this.native());
    if (this.opening === undefined) {
      const opening = this.openNative();
      this.opening = opening;
      opening.catch(() => {
        if (this.opening === opening) this.opening = undefined;
      });
    }
    return this.opening;
  }

  /** The number of the present opening. */
  get opened(): number {
    return this.openings;
  }

  /**
   * Does what needs the files for itself: closes the database when what is under way is done, lets further calls wait, and opens
   * it again for them.
   */
  async whileClosed<T>(work: () => Promise<T>): Promise<T> {
    while (this.closing === undefined && (this.exclusive !== undefined || this.underWay.size > 0)) {
      await Promise.allSettled([...this.underWay, this.exclusive]);
    }
    if (this.closing !== undefined) throw this.closedError();
    this.queries.answerAll();
    const before = this.opening;
    this.opening = undefined;
    this.openings++;
    const done = (async () => {
      const native = await before?.catch(() => undefined);
      await native?.close();
      return work();
    })();
    const over = (): void => {
      this.exclusive = undefined;
    };
    this.exclusive = done.then(over, over);
    this.underWay.add(done);
    try {
      return await done;
    } catch (failure) {
      throw toError(failure, "close");
    } finally {
      this.underWay.delete(done);
    }
  }

  private async openNative(): Promise<NativeDatabase> {
    try {
      return await binding().NativeDatabase.open(this.path, this.options);
    } catch (failure) {
      throw toOpenError(failure);
    }
  }

  /** Calls native code, opening the database before if need be. */
  call<T>(route: string, use: (native: NativeDatabase) => T | Promise<T>): Promise<T> {
    return this.beforeClosing(async (open) => {
      const native = await open();
      try {
        return await use(native);
      } catch (failure) {
        throw toError(failure, route);
      }
    });
  }

  /** Whether the database was closed. */
  get closed(): boolean {
    return this.closing !== undefined;
  }

  /** Closes the database when what is under way is done. Further calls wait for the same. */
  close(): Promise<void> {
    this.closing ??= this.closeNative();
    return this.closing;
  }

  private async closeNative(): Promise<void> {
    this.queries.answerAll();
    await Promise.allSettled(this.underWay);
    const native = await this.opening?.catch(() => undefined);
    try {
      await native?.close();
    } catch (failure) {
      throw toError(failure, "close");
    }
  }

  /** The error of a call after closing. */
  closedError(): DatabaseClosedError {
    return new DatabaseClosedError(
      `The database ${this.path ?? "in memory"} was closed. Make a new client to open it again`,
    );
  }
}
