/** What can be imported from: a directory, or a running server. */
import type { FoundProblem } from "./report.js";
import type { SourceSettings } from "./settings.js";
import type { TargetCollection } from "./target.js";

/** A collection of a source. */
export interface SourceCollection extends SourceSettings {
  id: string;
  name: string;
  tenant: string;
  database: string;
  dimension: number | null;
  /** Records, as the source counts them. */
  records: number;
  problems: FoundProblem[];
}

/** What a source holds beside records. */
export interface SourceContents {
  tenants: string[];
  databases: { tenant: string; name: string }[];
  collections: SourceCollection[];
}

/** What became of some records. */
export interface BatchReport {
  /** Records of the source that were looked at. */
  read: number;
  /** Those of them that a problem kept from being written. */
  leftOut: number;
  /** Those of them that were written. */
  imported: number;
  /** Whether they were the last. */
  done: boolean;
  problems: FoundProblem[];
  /** Problems by kind, those that are not listed included. */
  counts: Record<string, number>;
}

/** Gives the records of one collection. */
export interface SourceReader {
  /** Records in all. */
  total: number;
  /** Adds the next records, `limit` at most, to a collection. */
  next(target: TargetCollection, limit: number): Promise<BatchReport>;
}

/** Where collections come from. */
export interface ImportSource {
  /** What messages and reports call it. */
  readonly name: string;
  /** What there is. */
  contents(): Promise<SourceContents>;
  /** Finds what refuses the whole import, before anything is written. */
  check(collections: SourceCollection[]): Promise<void>;
  /** Prepares to read a collection. */
  reader(collection: SourceCollection, space: string): Promise<SourceReader>;
}
