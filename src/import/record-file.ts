/** Records as lines of JSON in a file: written from a collection, and read into one. */
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { DatabaseHandle } from "../database.js";
import { ChromaValueError } from "../errors.js";
import { binding, toError } from "../native.js";
import type { CollectionPlace } from "./report.js";
import { resolveStored } from "./settings.js";
import type { SourceCollection } from "./source.js";
import { type ExistingCollections, ImportTarget } from "./target.js";

/** Records, or lines, at once. */
const BATCH_ROWS = 1_000;
/** Characters of lines at once. */
const BATCH_CHARACTERS = 16 << 20;

/** What begins the line that describes the collection. */
const FORMAT = '{"ferrochrome":1,';

/** Arguments of {@link exportRecords}. */
export interface ExportArgs {
  handle: DatabaseHandle;
  /** UUID of the collection. */
  id: string;
  write: (text: string) => Promise<void>;
  signal?: AbortSignal | undefined;
  onProgress?: ((done: number, total: number) => void) | undefined;
}

/**
 * Writes a collection: one line that describes it, and one line for each record, in their order, as they were at one moment. Takes memory
 * for a page of them.
 *
 * @returns The number of records.
 */
export async function exportRecords({ handle, id, write, signal, onProgress }: ExportArgs): Promise<number> {
  const native = await handle.call(`collections/${id}`, (database) => database.openCollection(id));
  const records = await handle.call("export", () => native.export());
  const described = await handle.call(`collections/${id}`, (database) => database.getCollectionById(id));
  await write(`${FORMAT}${described.slice(1)}\n`);
  while (records.done < records.total) {
    signal?.throwIfAborted();
    await write(await handle.call("export", () => records.next(BATCH_ROWS)));
    onProgress?.(records.done, records.total);
  }
  return records.total;
}

/** Arguments of {@link importRecords}. */
export interface ImportRecordsArgs {
  handle: DatabaseHandle;
  /** The lines. */
  input: Readable;
  /** Name, tenant and database of the collection. What is not given is that of the file. */
  place: Partial<CollectionPlace>;
  existing: ExistingCollections;
  signal?: AbortSignal | undefined;
  onProgress?: ((done: number) => void) | undefined;
}

/** What {@link importRecords} did. */
export interface ImportedRecords extends CollectionPlace {
  records: number;
  imported: number;
  existing: number;
  skipped: boolean;
  /** Settings of the file that could not be taken over. */
  problems: string[];
}

/**
 * Reads lines that {@link exportRecords} wrote, or lines of records without a line that describes the collection.
 *
 * @throws ChromaValueError naming the line that is wrong; the batches before it are there.
 */
export async function importRecords(args: ImportRecordsArgs): Promise<ImportedRecords> {
  const { handle, input, existing, signal, onProgress } = args;
  const batches = readBatches(input);
  const first = await batches.next();
  const header = first.done ? undefined : first.value.header;
  const described = header === undefined ? undefined : describedBy(header);
  const place = {
    name: args.place.name ?? described?.name,
    tenant: args.place.tenant ?? described?.tenant ?? "default_tenant",
    database: args.place.database ?? described?.database ?? "default_database",
  };
  if (place.name === undefined) {
    throw new ChromaValueError("The file does not say which collection it is: give the name of one");
  }
  const named = { ...place, name: place.name };
  const target = new ImportTarget(handle);
  const result: ImportedRecords = { ...named, records: 0, imported: 0, existing: 0, skipped: false, problems: [] };
  const spec = {
    ...named,
    id: described?.id ?? crypto.randomUUID(),
    metadata: described?.metadata ?? "null",
    dimension: described?.dimension ?? null,
    resolved: resolveStored(described?.configuration ?? null, described?.schema ?? null),
  };
  result.problems = spec.resolved.problems.map(({ message }) => message);
  // Without a description, the collection that is there is what is meant.
  const found = await target.find(named);
  if (header !== undefined || existing !== "merge") await target.check([spec], existing);
  if (existing === "skip" && found !== undefined) {
    input.destroy();
    return { ...result, skipped: true };
  }
  const { native } = await target.collection(spec);
  for (let batch = first; !batch.done; batch = await batches.next()) {
    signal?.throwIfAborted();
    const { text, line } = batch.value;
    const reply = await handle
      .call("import", () => native.addLines(text, line))
      .catch((error) => {
        const cause = (error as Error).cause as { code?: string; message: string } | undefined;
        throw cause?.code === "INVALID_ARGUMENT" ? new ChromaValueError(cause.message, cause) : error;
      });
    const { read, imported } = JSON.parse(reply) as { read: number; imported: number };
    result.records += read;
    result.imported += imported;
    result.existing += read - imported;
    onProgress?.(result.records);
  }
  return result;
}

interface LineBatch {
  /** The line that describes the collection, in the first batch. */
  header: string | undefined;
  text: string;
  /** Number of the first line. */
  line: number;
}

/** Lines, many at once. */
async function* readBatches(input: Readable): AsyncGenerator<LineBatch, undefined> {
  let header: string | undefined;
  let lines: string[] = [];
  let characters = 0;
  let number = 0;
  let begun = 1;
  const take = (): LineBatch => {
    const batch = { header, text: lines.join("\n"), line: begun };
    lines = [];
    characters = 0;
    begun = number + 1;
    return batch;
  };
  for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    number++;
    if (number === 1 && line.startsWith(FORMAT)) {
      header = line;
      begun = 2;
      continue;
    }
    lines.push(line);
    characters += line.length;
    if (lines.length >= BATCH_ROWS || characters >= BATCH_CHARACTERS) yield take();
  }
  if (lines.length > 0 || header !== undefined) yield take();
  return undefined;
}

function describedBy(header: string): SourceCollection {
  const { tenant, database } = JSON.parse(header) as { tenant: string; database: string };
  try {
    const [collection] = JSON.parse(binding().readServerCollections(`[${header}]`)) as SourceCollection[];
    return { ...(collection as SourceCollection), tenant, database };
  } catch (failure) {
    throw toError(failure, "import");
  }
}
