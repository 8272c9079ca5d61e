/** Files and lines of records as a collection of their own. */
import type { DatabaseHandle } from "../database.js";
import { ChromaValueError } from "../errors.js";
import { writeRecords } from "../files/import-file.js";
import type { RecordSource } from "../files/record-source.js";
import { binding, toError } from "../native.js";
import type { CollectionPlace } from "./report.js";
import { resolveStored } from "./settings.js";
import type { SourceCollection } from "./source.js";
import { type ExistingCollections, ImportTarget } from "./target.js";

/** Arguments of {@link importRecords}. */
export interface ImportRecordsArgs {
  handle: DatabaseHandle;
  source: RecordSource;
  /** Name, tenant and database of the collection. What is not given is that of the source. */
  place: Partial<CollectionPlace>;
  existing: ExistingCollections;
  signal?: AbortSignal | undefined;
  onProgress?: ((done: number, total: number | undefined) => void) | undefined;
}

/** What {@link importRecords} did. */
export interface ImportedRecords extends CollectionPlace {
  records: number;
  imported: number;
  existing: number;
  skipped: boolean;
  /** Settings of the source that could not be taken over. */
  problems: string[];
}

/**
 * Makes the collection that a source describes, or that is named, and writes its records to it.
 *
 * @throws ChromaValueError naming the line or the row and column that is wrong; the batches before it are there.
 */
export async function importRecords(args: ImportRecordsArgs): Promise<ImportedRecords> {
  const { handle, source, existing, signal, onProgress } = args;
  const described = source.description === undefined ? undefined : describedBy(source.description);
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
  const spec = {
    ...named,
    id: described?.id ?? crypto.randomUUID(),
    metadata: described?.metadata ?? "null",
    dimension: described?.dimension ?? null,
    resolved: resolveStored(described?.configuration ?? null, described?.schema ?? null),
  };
  const problems = spec.resolved.problems.map(({ message }) => message);
  // Without a description, the collection that is there is what is meant.
  const found = await target.find(named);
  if (described !== undefined || existing !== "merge") await target.check([spec], existing);
  if (existing === "skip" && found !== undefined) {
    return { ...named, records: 0, imported: 0, existing: 0, skipped: true, problems };
  }
  const { native } = await target.collection(spec);
  const report = await writeRecords(handle, source, native, {
    upsert: false,
    signal,
    onProgress: ({ done, total }) => onProgress?.(done, total),
  });
  const { records, added } = report;
  return { ...named, records, imported: added, existing: report.existing, skipped: false, problems };
}

function describedBy(description: string): SourceCollection {
  try {
    const { tenant, database } = JSON.parse(description) as { tenant: string; database: string };
    const [collection] = JSON.parse(binding().readServerCollections(`[${description}]`)) as SourceCollection[];
    return { ...(collection as SourceCollection), tenant, database };
  } catch (failure) {
    if (failure instanceof SyntaxError) {
      throw new ChromaValueError(
        `The file describes a collection in text that is no JSON: ${failure.message}`,
        failure,
      );
    }
    throw toError(failure, "import");
  }
}
