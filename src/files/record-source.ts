/** Where records are read from: a file, or a stream of lines. */
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { ChromaValueError } from "../errors.js";
import { binding, type NativeCollection } from "../native.js";
import { BATCH_ROWS } from "./export-file.js";
import { fileCall } from "./file-call.js";
import { type FileFormat, formatOfContent } from "./format.js";

/** Names of the columns of an Arrow or Parquet file, where they are not those that `export` writes. */
export interface FileColumnNames {
  /** Ids: strings or integers. Default `id`, else `ids` or `_id`. */
  id?: string | undefined;
  /** Vectors: lists of floats. Default `embedding`, else `embeddings` or `vector`. */
  embedding?: string | undefined;
  /** Documents. Default `document`, else `documents` or `text`. */
  document?: string | undefined;
  /** URIs. Default `uri`, else `uris`. */
  uri?: string | undefined;
  /** Whole metadata, as JSON text or as a struct. Default `metadata`, else `metadatas`. */
  metadata?: string | undefined;
  /** Columns that are left out. All others are metadata keys. */
  ignore?: string[] | undefined;
}

const COLUMN_NAMES = ["id", "embedding", "document", "uri", "metadata"] as const;

/** What became of some records. */
export interface WrittenRecords {
  /** Records that were read; 0 behind the last. */
  read: number;
  /** Those of them that the collection did not have. */
  imported: number;
}

/** Gives records, in batches. */
export interface RecordSource {
  /** What the source says of the collection that it was written from, as JSON. */
  description: string | undefined;
  /** Records in all, if it is known. */
  total: number | undefined;
  /** Writes the next records to a collection. */
  next(target: NativeCollection, upsert: boolean): Promise<WrittenRecords>;
}

/** Opens a file. */
export async function fileSource(
  path: string,
  given: FileFormat | undefined,
  columns: FileColumnNames | undefined,
  batchRows: number,
): Promise<RecordSource> {
  const format = await formatOfContent(path, given);
  if (columns !== undefined && format === "jsonl") {
    throw new ChromaValueError("'columns' is for Arrow and Parquet files; lines of JSON name their fields themselves");
  }
  const options = JSON.stringify({ format, columns: checkColumns(columns ?? {}) });
  const file = await fileCall("import", () => binding().NativeRecordFile.open(path, options));
  return {
    description: file.description ?? undefined,
    total: file.total ?? undefined,
    next: async (target, upsert) => JSON.parse(await fileCall("import", () => file.next(target, upsert, batchRows))),
  };
}

function checkColumns(columns: FileColumnNames): FileColumnNames {
  for (const [name, value] of Object.entries(columns)) {
    const isText = name === "ignore" ? isTexts(value) : COLUMN_NAMES.some((each) => each === name) && isName(value);
    if (!isText) {
      throw new ChromaValueError(
        `Expected 'columns' to hold names of columns for ${COLUMN_NAMES.join(", ")}, and a list of them for ignore, but got ${name}: ${String(value)}`,
      );
    }
  }
  return columns;
}

function isName(value: unknown): boolean {
  return value === undefined || typeof value === "string";
}

function isTexts(value: unknown): boolean {
  return value === undefined || (Array.isArray(value) && value.every((each) => typeof each === "string"));
}

/** Characters of lines at once. */
const BATCH_CHARACTERS = 16 << 20;
/** What begins the line that describes the collection. */
const DESCRIBED = '{"ferrochrome":1,';

/** Reads lines of JSON from a stream. */
export async function lineSource(input: Readable): Promise<RecordSource> {
  const batches = readBatches(input);
  let ahead: IteratorResult<LineBatch, undefined> | undefined = await batches.next();
  const description = ahead.done ? undefined : ahead.value.description;
  return {
    description,
    total: undefined,
    async next(target, upsert) {
      for (;;) {
        const batch = ahead ?? (await batches.next());
        ahead = undefined;
        if (batch.done) return { read: 0, imported: 0 };
        const { text, line } = batch.value;
        const written: WrittenRecords = JSON.parse(
          await fileCall("import", () => target.writeLines(text, line, upsert)),
        );
        // Lines may be empty.
        if (written.read > 0) return written;
      }
    },
  };
}

interface LineBatch {
  /** The line that describes the collection, in the first batch. */
  description: string | undefined;
  text: string;
  /** Number of the first line. */
  line: number;
}

/** Lines, many at once. */
async function* readBatches(input: Readable): AsyncGenerator<LineBatch, undefined> {
  let description: string | undefined;
  let lines: string[] = [];
  let characters = 0;
  let number = 0;
  let begun = 1;
  const take = (): LineBatch => {
    const batch = { description, text: lines.join("\n"), line: begun };
    lines = [];
    characters = 0;
    begun = number + 1;
    return batch;
  };
  for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    number++;
    if (number === 1 && line.startsWith(DESCRIBED)) {
      description = `{${line.slice(DESCRIBED.length)}`;
      begun = 2;
      continue;
    }
    lines.push(line);
    characters += line.length;
    if (lines.length >= BATCH_ROWS || characters >= BATCH_CHARACTERS) yield take();
  }
  if (lines.length > 0 || description !== undefined) yield take();
  return undefined;
}
