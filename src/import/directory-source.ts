import { ChromaConnectionError, ChromaValueError } from "../errors.js";
import { binding, type NativeChromaSource, toError } from "../native.js";
import type { BatchReport, ImportSource, SourceCollection, SourceContents, SourceReader } from "./source.js";
import type { TargetCollection } from "./target.js";

/** A directory that a Chroma server of 0.4 to 1.5 wrote. Nothing in it is changed. */
export class DirectorySource implements ImportSource {
  readonly name: string;
  private readonly native: NativeChromaSource;

  private constructor(path: string, native: NativeChromaSource) {
    this.name = path;
    this.native = native;
  }

  /**
   * Opens a directory.
   *
   * @throws ChromaValueError where it is none of Chroma's, DatabaseCorruptedError, DatabaseLockedError, ChromaConnectionError.
   */
  static async open(path: string): Promise<DirectorySource> {
    return new DirectorySource(path, await calling(() => binding().NativeChromaSource.open(path)));
  }

  async contents(): Promise<SourceContents> {
    return JSON.parse(await calling(() => this.native.describe()));
  }

  check(collections: SourceCollection[]): Promise<void> {
    return calling(() => this.native.checkPickles(collections.map(({ id }) => id)));
  }

  async reader({ id }: SourceCollection, space: string): Promise<SourceReader> {
    const reader = await calling(() => this.native.reader(id, space === "cosine"));
    return {
      total: reader.total,
      next: async (target: TargetCollection, limit: number): Promise<BatchReport> =>
        JSON.parse(await calling(() => reader.next(target.native, limit))),
    };
  }
}

/** Calls native code; what is wrong with the source is not called a bad request. */
async function calling<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (failure) {
    const error = toError(failure, "import");
    const cause = (error as Error).cause as { code?: string; message: string } | undefined;
    if (cause?.code === "INVALID_ARGUMENT") throw new ChromaValueError(cause.message, cause);
    if (cause?.code === "IO") throw new ChromaConnectionError(cause.message, cause);
    throw error;
  }
}
