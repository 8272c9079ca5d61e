/** Checking and repairing databases. */
import { resolvePath } from "./database.js";
import { ChromaValueError } from "./errors.js";
import { runLongWork } from "./long-work.js";
import { binding, type NativeCheckProgress, type NativeDatabase, toError } from "./native.js";

/** How far a check or a repair has come. */
export interface CheckProgress {
  /** Rows that were dealt with. */
  rows: number;
  /** Rows in all, as far as is known yet. */
  total: number;
}

/** How a database is checked. */
export interface CheckOptions {
  /** Called when it begins, at most twenty times a second, and when it is done. What it throws ends the check. */
  onProgress?: ((progress: CheckProgress) => void) | undefined;
  /** Ends the check; the promise is then rejected with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** How a database is repaired. */
export interface RepairOptions extends CheckOptions {
  /** Changes nothing, and reports what would be done. Default false. */
  dryRun?: boolean | undefined;
  /** Threads for building indexes. Default: the number of processors. */
  threads?: number | undefined;
}

/** Damage. */
export interface Finding {
  /** The file, as `<segment>/<file>` or `catalog.sqlite`. */
  file: string;
  /** What does not hold. */
  message: string;
  /** Whether the file can be made anew from others that are whole, so that nothing is lost. */
  derived: boolean;
  /** Whether the system refused to read the file: that may be no damage, and nothing is repaired while it is so. */
  unreadable: boolean;
}

/** A segment, checked. */
export interface CheckedSegment {
  /** Its UUID, which names its folder. */
  id: string;
  /** Rows, deleted ones included. */
  rows: number;
  /** Rows that were deleted or replaced. */
  tombstones: number;
  /** Bytes that were read. */
  bytes: number;
  /** What is wrong with it. */
  findings: Finding[];
}

/** A collection, checked. */
export interface CheckedCollection {
  /** Its UUID. */
  id: string;
  /** Its tenant. */
  tenant: string;
  /** Its database. */
  database: string;
  /** Its name. */
  name: string;
  /** Its segments, oldest first. */
  segments: CheckedSegment[];
  /** Batches of writes that are in no segment yet. */
  logBatches: number;
  /** What is wrong with its log, or between its segments. */
  findings: Finding[];
}

/** A folder that no manifest names: an interrupted process left it, and the next that writes removes it. */
export interface GarbageFolder {
  /** Its name in `segments/`. */
  folder: string;
}

/** What a check found. */
export interface CheckReport {
  /** Whether nothing is wrong. */
  ok: boolean;
  /** What is wrong with the catalog itself. If anything is, `collections` is empty. */
  catalog: Finding[];
  /** The collections of all tenants. */
  collections: CheckedCollection[];
  /** Where the catalog is damaged: all segments that there are. */
  segments: CheckedSegment[];
  /** Folders that belong to nothing, left by a process that was interrupted. No damage: the next that writes removes them. */
  garbage: GarbageFolder[];
}

/** A segment that was damaged. */
export interface RepairedSegment {
  /** The damaged segment. */
  id: string;
  /** What was wrong. */
  findings: Finding[];
  /** The segment that stands in its place; null where no row was left, and in a dry run. */
  replacement: string | null;
  /** Records that were kept. */
  kept: number;
  /** Records that lay in damaged blocks and were left out. */
  lost: number;
  /** Their ids, as far as those can still be read. */
  lostIds: string[];
}

/** A collection that was damaged. */
export interface RepairedCollection {
  /** Its UUID. */
  id: string;
  /** Its tenant. */
  tenant: string;
  /** Its database. */
  database: string;
  /** Its name. */
  name: string;
  /**
   * Whether its segments were found rather than named by the catalog, which was lost or is older than they are. Records that
   * were deleted since the segments were written are then there again.
   */
  adopted: boolean;
  /** Its damaged segments. */
  segments: RepairedSegment[];
  /** Batches of writes that could not be read. */
  lostBatches: LostBatch[];
  /** What was put right besides. */
  notes: string[];
}

/** A batch of writes that could not be read. */
export interface LostBatch {
  /** Its number in the log of its collection. */
  seq: number;
  /** Whether what is left of it lies in the quarantine. */
  quarantined: boolean;
}

/** What a repair did, or would do. */
export interface RepairReport {
  /** Whether nothing was changed because that was asked for. */
  dryRun: boolean;
  /** Whether there was anything to repair. */
  damaged: boolean;
  /** What was wrong with the catalog itself; it was then written anew. */
  catalog: Finding[];
  /** The collections with damage. */
  collections: RepairedCollection[];
  /** The folder with what was replaced; null where nothing was. Nothing in it is ever deleted. */
  quarantine: string | null;
  /** What lies in it. */
  quarantined: string[];
}

/**
 * Checks a database without opening it: every block of every file against its checksum, and the files against one another.
 * Reads only, may be done beside a process that writes, and also where damage keeps the database from being opened.
 *
 * @param path - Folder of the database.
 * @param options - Who is told of progress, and what ends it.
 * @returns What was found. Damage is no error.
 * @throws ChromaNotFoundError when there is no database.
 */
export async function checkDatabase(path: string | URL, options: CheckOptions = {}): Promise<CheckReport> {
  const folder = resolvePath(path);
  return watched("check", options, (progress) => binding().NativeDatabase.checkFolder(folder, progress));
}

/**
 * Checks a database that is open.
 *
 * @internal
 */
export function checkOpen(native: NativeDatabase, options: CheckOptions): Promise<CheckReport> {
  return watched("check", options, (progress) => native.check(progress));
}

/**
 * Repairs a database that nobody has open. What is derived from records is built anew; records that lay in damaged blocks are left
 * out and named; a damaged catalog is written anew from what can be read of it and from what segments tell. Everything is written
 * beside the old files first, and these are moved to the folder `quarantine`: nothing is deleted.
 *
 * @param path - Folder of the database.
 * @param options - Whether to change anything, who is told of progress, and what ends it.
 * @returns What was done.
 * @throws DatabaseLockedError when the database is open; ChromaNotFoundError when there is none.
 */
export async function repairDatabase(path: string | URL, options: RepairOptions = {}): Promise<RepairReport> {
  const folder = resolvePath(path);
  const { dryRun = false, threads } = options;
  if (typeof dryRun !== "boolean")
    throw new ChromaValueError(`Expected 'dryRun' to be a boolean, but got ${typeof dryRun}`);
  if (threads !== undefined && (!Number.isSafeInteger(threads) || threads < 1))
    throw new ChromaValueError(`Expected 'threads' to be a positive integer, but got ${String(threads)}`);
  const encoded = JSON.stringify({ dryRun, threads });
  return watched("repair", options, (progress) => binding().NativeDatabase.repairFolder(folder, encoded, progress));
}

async function watched<T>(
  route: string,
  options: CheckOptions,
  work: (progress: NativeCheckProgress) => Promise<string>,
): Promise<T> {
  const native = new (binding().NativeCheckProgress)();
  const text = await runLongWork(options, {
    progress: (): CheckProgress => {
      const [rows = 0, total = 0] = native.rows();
      return { rows, total };
    },
    stop: () => native.cancel(),
    run: () => work(native).catch((failure: unknown) => Promise.reject(toError(failure, route))),
  });
  return JSON.parse(text);
}
