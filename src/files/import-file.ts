/** Reads records from a file into a collection. */
import type { DatabaseHandle } from "../database.js";
import { ChromaValueError } from "../errors.js";
import type { NativeCollection } from "../native.js";
import { checkBatchSize, type FileProgress } from "./export-file.js";
import { type FileFormat, resolveFile } from "./format.js";
import { type FileColumnNames, fileSource, type RecordSource } from "./record-source.js";

/** Arguments of `import`. */
export interface FileImportArgs {
  /** The format. Default: what the file begins with. */
  format?: FileFormat | undefined;
  /** Names of the columns of an Arrow or Parquet file, where they are not those that `export` writes. */
  columns?: FileColumnNames | undefined;
  /** What is done with records whose id is there already: `add` (default) leaves them as they are, `upsert` changes them. */
  mode?: "add" | "upsert" | undefined;
  /** Records that are written at once: each batch is there whole or not at all. Default 1,000. */
  batchSize?: number | undefined;
  /** Told after each batch. */
  onProgress?: ((progress: FileProgress) => void) | undefined;
  /** Stops the import after a batch; the batches before are there, and the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** What an import did. */
export interface FileImportReport {
  /** Records of the file. */
  records: number;
  /** Those of them that the collection did not have. */
  added: number;
  /** Those whose id was there already. */
  existing: number;
}

/** Reads a file into the collection with this id. */
export async function importFile(
  handle: DatabaseHandle,
  id: string,
  path: string | URL,
  args: FileImportArgs,
): Promise<FileImportReport> {
  const { mode = "add", signal, onProgress } = args;
  if (mode !== "add" && mode !== "upsert") {
    throw new ChromaValueError(`Expected 'mode' to be "add" or "upsert", but got ${String(mode)}`);
  }
  const batchRows = checkBatchSize(args.batchSize);
  const source = await fileSource(resolveFile(path), args.format, args.columns, batchRows);
  const native = await handle.call(`collections/${id}`, (database) => database.openCollection(id));
  return writeRecords(handle, source, native, { upsert: mode === "upsert", signal, onProgress });
}

/** Writes all records of a source to a collection. */
export async function writeRecords(
  handle: DatabaseHandle,
  source: RecordSource,
  native: NativeCollection,
  { upsert, signal, onProgress }: { upsert: boolean } & Pick<FileImportArgs, "signal" | "onProgress">,
): Promise<FileImportReport> {
  const report: FileImportReport = { records: 0, added: 0, existing: 0 };
  for (;;) {
    signal?.throwIfAborted();
    const { read, imported } = await handle.call("import", () => source.next(native, upsert));
    if (read === 0) return report;
    report.records += read;
    report.added += imported;
    report.existing += read - imported;
    onProgress?.({ done: report.records, total: source.total });
  }
}
