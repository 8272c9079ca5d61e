/** Compaction on demand: its arguments, and watching and stopping it. */
import { ChromaValueError } from "./errors.js";
import { runLongWork } from "./long-work.js";
import { binding, type NativeCollection } from "./native.js";

/**
 * What a compaction is doing: writing the newest records to a segment, copying records into a new segment, building its index,
 * putting it in the place of the old ones, removing old files and the catalog's empty space.
 */
export type CompactionStage = "seal" | "copy" | "index" | "publish" | "erase";

/** How far a compaction has come. */
export interface CompactionProgress {
  /** What is being done. */
  stage: CompactionStage;
  /** Rows that the stage is through with. */
  done: number;
  /** Rows that the stage has to go through; 0 where it does not count rows. */
  total: number;
}

/** Arguments of `compact`. */
export interface CompactArgs<Progress extends CompactionProgress = CompactionProgress> {
  /**
   * Is told how far it has come: when it begins, at most twenty times a second, and when it is done. What it throws stops the
   * compaction and rejects the promise.
   */
  onProgress?: ((progress: Progress) => void) | undefined;
  /**
   * Stops the compaction; the promise then rejects with the signal's reason. Nothing is lost: what was merged until then stays
   * merged.
   */
  signal?: AbortSignal | undefined;
  /**
   * Leaves nothing in the folder of what was deleted before the call: writes everything anew, although nothing may have been
   * deleted. Default false. Snapshots, older versions and forks that keep the old segments keep what is in them.
   */
  secure?: boolean | undefined;
}

/** How far the compaction of several collections has come. */
export interface DatabaseCompactionProgress extends CompactionProgress {
  /** Name of the collection that is being compacted. */
  collection: string;
  /** Collections that are done. */
  collectionsDone: number;
  /** Collections in all. */
  collectionsTotal: number;
}

/** @throws ChromaValueError for arguments of a wrong type. */
export function checkCompactArgs(args: CompactArgs<never>): void {
  if (typeof args !== "object" || args === null) {
    throw new ChromaValueError(`Expected the arguments of compact() to be an object, but got ${String(args)}`);
  }
  const { onProgress, signal, secure } = args;
  if (onProgress !== undefined && typeof onProgress !== "function") {
    throw new ChromaValueError(`Expected 'onProgress' to be a function, but got ${typeof onProgress}`);
  }
  if (secure !== undefined && typeof secure !== "boolean") {
    throw new ChromaValueError(`Expected 'secure' to be a boolean, but got ${typeof secure}`);
  }
  if (signal !== undefined && typeof signal?.addEventListener !== "function") {
    throw new ChromaValueError(`Expected 'signal' to be an AbortSignal, but got ${typeof signal}`);
  }
}

/** Compacts a collection. Rejects with what native code reports, unless the signal or `onProgress` stopped it. */
export function compactNative(native: NativeCollection, args: CompactArgs): Promise<void> {
  const { NativeCancel, NativeProgress } = binding();
  const cancel = new NativeCancel();
  const progress = new NativeProgress();
  return runLongWork(args, {
    progress: (): CompactionProgress => JSON.parse(progress.now()),
    stop: () => cancel.cancel(),
    run: () => native.compact(args.secure ?? false, cancel, progress),
  });
}
