/** Formats of files of records. */
import { type FileHandle, open } from "node:fs/promises";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ChromaNotFoundError, ChromaValueError } from "../errors.js";

/** Lines of JSON; an Arrow IPC file, also known as Feather; a Parquet file. */
export type FileFormat = "jsonl" | "arrow" | "parquet";

/** How the columns of a file are compressed. Arrow files have `lz4` and `zstd`, Parquet files `snappy` and `zstd`. */
export type FileCompression = "none" | "lz4" | "zstd" | "snappy";

const EXTENSIONS: Record<string, FileFormat> = {
  jsonl: "jsonl",
  ndjson: "jsonl",
  arrow: "arrow",
  feather: "arrow",
  ipc: "arrow",
  parquet: "parquet",
};

/** The compressions of each format, its default first. */
export const COMPRESSIONS: Record<FileFormat, readonly FileCompression[]> = {
  jsonl: ["none"],
  arrow: ["none", "lz4", "zstd"],
  parquet: ["zstd", "snappy", "none"],
};

/** All formats. */
export const FILE_FORMATS = Object.keys(COMPRESSIONS) as FileFormat[];

/**
 * A file as an absolute path.
 *
 * @throws ChromaValueError when it is none.
 */
export function resolveFile(path: string | URL): string {
  if (path instanceof URL && path.protocol === "file:") return fileURLToPath(path);
  if (typeof path !== "string" || path === "" || path.includes("\0")) {
    throw new ChromaValueError(
      `Expected the path of a file, but got ${typeof path === "string" ? JSON.stringify(path) : String(path)}`,
    );
  }
  return resolve(path);
}

/** Checks a format that was given. */
export function checkFormat(format: FileFormat): FileFormat {
  if (!FILE_FORMATS.includes(format)) {
    throw new ChromaValueError(`Expected 'format' to be one of ${FILE_FORMATS.join(", ")}, but got ${String(format)}`);
  }
  return format;
}

/**
 * The format that a file is to have: the one given, or what its name ends with.
 *
 * @throws ChromaValueError where neither says it.
 */
export function formatOfName(path: string, given: FileFormat | undefined): FileFormat {
  if (given !== undefined) return checkFormat(given);
  const extension = path.slice(path.lastIndexOf(".") + 1).toLowerCase();
  const found = Object.hasOwn(EXTENSIONS, extension) ? EXTENSIONS[extension] : undefined;
  if (found !== undefined) return found;
  throw new ChromaValueError(
    `'${path}' does not say its format: let it end with ${Object.keys(EXTENSIONS)
      .map((each) => `.${each}`)
      .join(", ")}, or pass format: ${FILE_FORMATS.map((each) => `"${each}"`).join(" | ")}`,
  );
}

/** The format that a file has: the one given, or what it begins with. */
export async function formatOfContent(path: string, given: FileFormat | undefined): Promise<FileFormat> {
  if (given !== undefined) checkFormat(given);
  const file = await openExisting(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(6), 0, 6, 0);
    const magic = buffer.toString("latin1", 0, bytesRead);
    return given ?? (magic === "ARROW1" ? "arrow" : magic.startsWith("PAR1") ? "parquet" : "jsonl");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EISDIR") throw error;
    throw new ChromaValueError(`${path} is a folder, expected a file`);
  } finally {
    await file.close();
  }
}

async function openExisting(path: string): Promise<FileHandle> {
  try {
    return await open(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new ChromaNotFoundError(`${path} does not exist`, error);
  }
}
