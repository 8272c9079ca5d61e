/** Writes the records of a collection to a file. */
import { open, rename, rm } from "node:fs/promises";
import type { DatabaseHandle } from "../database.js";
import { ChromaNotFoundError, ChromaUniqueError, ChromaValueError } from "../errors.js";
import type { NativeExport } from "../native.js";
import { validateGet } from "../requests.js";
import type { Include, Where, WhereDocument } from "../types.js";
import { cancelledBy, fileCall } from "./file-call.js";
import { COMPRESSIONS, type FileCompression, type FileFormat, formatOfName, resolveFile } from "./format.js";

/** Records at once. */
export const BATCH_ROWS = 1_000;
const MAX_BATCH_ROWS = 100_000;
/** Columns of a file. */
const COLUMNS: Include[] = ["embeddings", "documents", "metadatas", "uris"];

/** How far an export or an import is. */
export interface FileProgress {
  /** Records that are done. */
  done: number;
  /** Records in all; undefined while it is not known, as of a file of lines that is read. */
  total: number | undefined;
}

/** Arguments of `export`. */
export interface FileExportArgs {
  /** The format. Default: what the file's name ends with. */
  format?: FileFormat | undefined;
  /** Only records whose metadata match. */
  where?: Where | undefined;
  /** Only records whose documents match. */
  whereDocument?: WhereDocument | undefined;
  /** Columns beside the ids. Default: all. A file without embeddings cannot be imported. */
  include?: Include[] | undefined;
  /** Default: `none` for lines and Arrow, `zstd` for Parquet. */
  compression?: FileCompression | undefined;
  /** Records of a batch: what is in memory at once. Batches of large records have fewer. Default 1,000. */
  batchSize?: number | undefined;
  /** Whether a file that is there is replaced. Default true. */
  overwrite?: boolean | undefined;
  /** Whether the file describes the collection: its name, configuration, schema and metadata. Default true. */
  describe?: boolean | undefined;
  /** Told after each batch. */
  onProgress?: ((progress: FileProgress) => void) | undefined;
  /** Stops the export; nothing is left of the file then, and the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** What an export wrote. */
export interface FileExportReport {
  /** Absolute path of the file. */
  path: string;
  /** Its format. */
  format: FileFormat;
  /** Records in it. */
  records: number;
  /** Its length. */
  bytes: number;
}

/** A collection that is exported. */
export interface ExportedCollection {
  handle: DatabaseHandle;
  /** UUID of the collection. */
  id: string;
}

/**
 * Writes the records of one moment to a file, in memory for a batch of them. The file is written under another name and then
 * renamed, so that there is never half of one.
 */
export async function exportFile(
  collection: ExportedCollection,
  path: string | URL,
  args: FileExportArgs,
): Promise<FileExportReport> {
  const target = resolveFile(path);
  const format = formatOfName(target, args.format);
  const [compression = "none"] = args.compression === undefined ? COMPRESSIONS[format] : [args.compression];
  if (!COMPRESSIONS[format].includes(compression)) {
    throw new ChromaValueError(
      `Expected 'compression' of a file in format ${format} to be one of ${COMPRESSIONS[format].join(", ")}, but got ${String(compression)}`,
    );
  }
  const batchRows = checkBatchSize(args.batchSize);
  const { overwrite = true, describe = true, signal } = args;
  const exported = await openExport(collection, args);
  const description = describe ? await describedAs(collection) : undefined;
  signal?.throwIfAborted();
  const partial = `${target}.partial-${process.pid}-${crypto.randomUUID().slice(0, 8)}`;
  if (!overwrite) await claim(target);
  try {
    const bytes = await cancelledBy(signal, async (cancel) => {
      const options = JSON.stringify({ format, compression, description });
      const file = await fileCall("export", () => exported.createFile(partial, options, cancel));
      try {
        let done = 0;
        do {
          done = await fileCall("export", () => file.next(batchRows));
          args.onProgress?.({ done, total: exported.total });
          signal?.throwIfAborted();
        } while (done < exported.total);
        return await fileCall("export", () => file.finish());
      } finally {
        file.discard();
      }
    });
    await rename(partial, target);
    return { path: target, format, records: exported.total, bytes };
  } catch (error) {
    await rm(partial, { force: true });
    if (!overwrite) await rm(target, { force: true });
    throw error;
  }
}

/** Writes the records of one moment as lines, the first of which describes the collection. */
export async function exportLines(
  collection: ExportedCollection,
  write: (text: string) => Promise<void>,
  { onProgress, signal }: Pick<FileExportArgs, "onProgress" | "signal">,
): Promise<number> {
  const exported = await openExport(collection, {});
  await write(`{"ferrochrome":1,${(await describedAs(collection)).slice(1)}\n`);
  while (exported.done < exported.total) {
    signal?.throwIfAborted();
    await write(await fileCall("export", () => exported.next(BATCH_ROWS)));
    onProgress?.({ done: exported.done, total: exported.total });
  }
  return exported.total;
}

async function openExport({ handle, id }: ExportedCollection, args: FileExportArgs): Promise<NativeExport> {
  const { where, whereDocument, include = COLUMNS } = args;
  validateGet({ where, whereDocument }, include);
  const request = JSON.stringify({ where, where_document: whereDocument, include });
  const native = await handle.call(`collections/${id}`, (database) => database.openCollection(id));
  return handle.call("export", () => native.export(request));
}

function describedAs({ handle, id }: ExportedCollection): Promise<string> {
  return handle.call(`collections/${id}`, (database) => database.getCollectionById(id));
}

/** Records of a batch, checked. */
export function checkBatchSize(batchSize: number = BATCH_ROWS): number {
  if (Number.isSafeInteger(batchSize) && batchSize >= 1 && batchSize <= MAX_BATCH_ROWS) return batchSize;
  throw new ChromaValueError(
    `Expected 'batchSize' to be an integer from 1 to ${MAX_BATCH_ROWS}, but got ${String(batchSize)}`,
  );
}

/** Makes an empty file, so that nobody else takes the name. */
async function claim(path: string): Promise<void> {
  try {
    await (await open(path, "wx")).close();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new ChromaNotFoundError(`The folder of ${path} does not exist`, error);
    if (code !== "EEXIST") throw error;
    throw new ChromaUniqueError(`${path} exists already: choose another file, or pass overwrite: true`, error);
  }
}
