/** Snapshots of a local database, and restoring one. */
import { resolvePath } from "./database.js";
import { binding, type NativeDatabase, type NativeDatabaseCopy, toError } from "./native.js";

/** How far a snapshot or its restoring has come. */
export interface SnapshotProgress {
  /** Segments that were copied. */
  segments: number;
  /** Segments in all. */
  total: number;
  /** Bytes of the segments that were copied. */
  bytes: number;
}

/** How a snapshot is made. */
export interface SnapshotOptions {
  /** Called after each segment. */
  onProgress?: ((progress: SnapshotProgress) => void) | undefined;
  /** Gives it up, after which nothing of it is left; the promise then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** How a snapshot is restored. */
export interface RestoreOptions extends SnapshotOptions {
  /**
   * Takes the place of the database in the target folder, which nobody may have open, once the copy is complete. Default false:
   * the target must be empty or missing. If the process ends in the middle of that, the next client that opens the folder to write
   * finds the former database there.
   */
  replace?: boolean | undefined;
}

/** Makes a snapshot of an open database. */
export async function takeSnapshot(
  native: NativeDatabase,
  path: string | URL,
  options: SnapshotOptions,
): Promise<SnapshotProgress> {
  options.signal?.throwIfAborted();
  return complete(() => native.snapshot(resolvePath(path)), options, "snapshot");
}

/**
 * Makes a database of a snapshot: a copy, byte for byte, of which every byte is compared with its checksum. Not in Chroma.
 *
 * The folder of the snapshot stays as it is. A snapshot is a database like any other, so it can also be opened where it lies.
 *
 * @param from - Folder of the snapshot, or of a database that nobody writes to meanwhile.
 * @param to - Folder of the database to be, empty or missing.
 * @param options - Progress, cancellation, and whether a database in `to` is replaced.
 * @returns What was copied.
 * @throws DatabaseCorruptedError when the snapshot is damaged, ChromaClientError when `to` is not empty, DatabaseLockedError when the
 * database in `to` is open; `to` is then as it was.
 *
 * @example
 * ```ts
 * await client.snapshot("./backup");
 * await restoreSnapshot("./backup", "./my-db-again");
 * ```
 */
export async function restoreSnapshot(
  from: string | URL,
  to: string | URL,
  options: RestoreOptions = {},
): Promise<SnapshotProgress> {
  options.signal?.throwIfAborted();
  const [source, target] = [resolvePath(from), resolvePath(to)];
  const begin = (): Promise<NativeDatabaseCopy> =>
    binding().NativeDatabaseCopy.restore(source, target, options.replace ?? false);
  return complete(begin, options, "restore");
}

async function complete(
  begin: () => Promise<NativeDatabaseCopy>,
  { onProgress, signal }: SnapshotOptions,
  route: string,
): Promise<SnapshotProgress> {
  let copy: NativeDatabaseCopy | undefined;
  try {
    copy = await begin();
    for (;;) {
      signal?.throwIfAborted();
      const progress: SnapshotProgress = JSON.parse(await copy.step());
      onProgress?.(progress);
      if (progress.segments === progress.total) break;
    }
    signal?.throwIfAborted();
    return JSON.parse(await copy.finish());
  } catch (failure) {
    await copy?.discard();
    throw toError(failure, route);
  }
}
