/** What an import did, and what it found wrong. */

/** What was wrong with a record or a collection of the source. */
export type ImportProblemKind =
  /** A record without a vector. It was left out. */
  | "missing-vector"
  /** A vector without a record. It was left out. */
  | "missing-record"
  /** A vector that cannot be right. Its record was left out. */
  | "invalid-vector"
  /** An id that is empty or not text. The record was left out. */
  | "invalid-id"
  /** A metadata value that cannot be stored. The record came without it. */
  | "invalid-value"
  /** A record that cannot be read. It was left out. */
  | "unreadable-record"
  /** A write in Chroma's queue that cannot be understood. What it changed is missing. */
  | "unreadable-write"
  /** The files of the vector index cannot be read. Vectors came from the queue, as far as they are there. */
  | "unreadable-index"
  /** The collection cannot be read at all. */
  | "unreadable-collection"
  /** A setting of the collection that cannot be stored. The default was taken. */
  | "invalid-setting";

/** One thing that was wrong in the source. */
export interface ImportProblem {
  /** What kind of thing. */
  kind: ImportProblemKind;
  /** Tenant of the collection. */
  tenant: string;
  /** Database of the collection. */
  database: string;
  /** The collection. */
  collection: string;
  /** The record, if it is about one. */
  id: string | undefined;
  /** A sentence for the person who reads it. */
  message: string;
}

/** What became of a collection. */
export interface ImportedCollection {
  /** Tenant. */
  tenant: string;
  /** Database. */
  database: string;
  /** Name. */
  name: string;
  /** UUID in the target, which is that of the source unless the target had one of it already. */
  id: string;
  /** Records of the source. */
  records: number;
  /** Records that were written. */
  imported: number;
  /** Records that the target had already; they were left as they are. */
  existing: number;
  /** Records that were left out because of a problem. */
  leftOut: number;
  /** Whether the collection was there and therefore skipped. */
  skipped: boolean;
}

/** What an import did. */
export interface ImportReport {
  /** The directory or URL. */
  from: string;
  /** Collections, by tenant, database and name. */
  collections: ImportedCollection[];
  /** Records of the source. */
  records: number;
  /** Records that were written. */
  imported: number;
  /** Records that the target had already. */
  existing: number;
  /** Records that were left out because of a problem. */
  leftOut: number;
  /** What was wrong: of each collection the first 1,000 things. */
  problems: ImportProblem[];
  /** How often what was wrong, the problems that are not listed included. */
  problemCounts: Partial<Record<ImportProblemKind, number>>;
  /** Duration, in seconds. */
  seconds: number;
}

/** A collection of a source or target. */
export interface CollectionPlace {
  tenant: string;
  database: string;
  name: string;
}

/** A problem before it is known whose. */
export interface FoundProblem {
  kind: ImportProblemKind;
  id?: string | null;
  message: string;
}

/** Collects what an import finds. */
export class ReportWriter {
  readonly report: ImportReport;
  private readonly start = performance.now();

  constructor(from: string) {
    this.report = {
      from,
      collections: [],
      records: 0,
      imported: 0,
      existing: 0,
      leftOut: 0,
      problems: [],
      problemCounts: {},
      seconds: 0,
    };
  }

  /** Lists problems of a collection, and counts them unless `counts` says how many there are. */
  add({ tenant, database, name }: CollectionPlace, problems: FoundProblem[], counts?: Record<string, number>): void {
    for (const { kind, id, message } of problems) {
      this.report.problems.push({ kind, tenant, database, collection: name, id: id ?? undefined, message });
      if (counts === undefined) this.count(kind, 1);
    }
    for (const [kind, count] of Object.entries(counts ?? {})) this.count(kind as ImportProblemKind, count);
  }

  private count(kind: ImportProblemKind, count: number): void {
    this.report.problemCounts[kind] = (this.report.problemCounts[kind] ?? 0) + count;
  }

  /** Ends the report of a collection. */
  finish(collection: ImportedCollection): void {
    this.report.collections.push(collection);
    for (const figure of ["records", "imported", "existing", "leftOut"] as const) {
      this.report[figure] += collection[figure];
    }
  }

  /** The report, with its duration. */
  end(): ImportReport {
    this.report.seconds = (performance.now() - this.start) / 1000;
    return this.report;
  }
}
