import type { LiteralValue, Metadata, Where, WhereDocument } from "../../index.js";

/** A metadata value that is stored. */
export type Value = LiteralValue | LiteralValue[];

/** A record, as simply as it can be held. */
export interface ModelRecord {
  embedding: number[];
  document: string | null;
  metadata: Map<string, Value>;
  uri: string | null;
}

/** Columns of a write, or of one record of it. */
export interface Columns<T> {
  embeddings?: T extends "many" ? number[][] : number[];
  documents?: T extends "many" ? string[] : string;
  metadatas?: T extends "many" ? (Metadata | null)[] : Metadata | null;
  uris?: T extends "many" ? string[] : string;
}

/** A regular expression in both dialects. */
export const PATTERNS: [rust: string, javascript: RegExp][] = [
  ["cat", /cat/],
  ["(?i)DOG", /dog/i],
  ["^the", /^the/],
  ["[0-9]+%", /[0-9]+%/],
  ["(cat|dog)s?$", /(cat|dog)s?$/],
];

/** A collection held in the simplest way, to compare the real one with. */
export class Model {
  readonly records = new Map<string, ModelRecord>();

  write(kind: "add" | "update" | "upsert", ids: string[], columns: Columns<"many">): void {
    for (const [i, id] of ids.entries()) {
      const old = this.records.get(id);
      if (old === undefined ? kind === "update" : kind === "add") continue;
      const record = old ?? { embedding: [], document: null, metadata: new Map(), uri: null };
      record.embedding = columns.embeddings?.[i] ?? record.embedding;
      record.document = columns.documents?.[i] ?? record.document;
      record.uri = columns.uris?.[i] ?? record.uri;
      for (const [key, value] of Object.entries(columns.metadatas?.[i] ?? {})) {
        if (value !== null) record.metadata.set(key, value as Value);
      }
      this.records.set(id, record);
    }
  }

  select(ids: string[] | undefined, where: Where | undefined, whereDocument: WhereDocument | undefined): string[] {
    const asked = ids && new Set(ids);
    return [...this.records]
      .filter(([id, record]) => (asked?.has(id) ?? true) && matches(record, where) && reads(record, whereDocument))
      .map(([id]) => id);
  }

  /** Squared Euclidean distances of the selected records, ascending. */
  distances(ids: string[], query: number[]): Map<string, number> {
    const distance = (id: string): number =>
      (this.records.get(id)?.embedding ?? []).reduce((sum, x, i) => sum + (x - (query[i] ?? 0)) ** 2, 0);
    return new Map(ids.map((id): [string, number] => [id, distance(id)]).sort(([, a], [, b]) => a - b));
  }
}

function matches(record: ModelRecord, where: Where | undefined): boolean {
  if (where === undefined) return true;
  const [key, test] = Object.entries(where)[0] as [string, unknown];
  if (key === "$and") return (test as Where[]).every((part) => matches(record, part));
  if (key === "$or") return (test as Where[]).some((part) => matches(record, part));
  const value = record.metadata.get(key);
  if (typeof test !== "object" || test === null) return equal(value, test as LiteralValue);
  const [operator, operand] = Object.entries(test)[0] as [string, LiteralValue & LiteralValue[]];
  const number = typeof value === "number" ? value : Number.NaN;
  const bound = Number(operand);
  switch (operator) {
    case "$eq":
      return equal(value, operand);
    case "$ne":
      return !equal(value, operand);
    case "$gt":
      return number > bound;
    case "$gte":
      return number >= bound;
    case "$lt":
      return number < bound;
    case "$lte":
      return number <= bound;
    case "$in":
      return operand.some((item) => equal(value, item));
    case "$nin":
      return !operand.some((item) => equal(value, item));
    case "$contains":
      return contains(value, operand);
    case "$not_contains":
      return !contains(value, operand);
    default:
      throw new Error(`no such operator: ${operator}`);
  }
}

function equal(value: Value | undefined, operand: LiteralValue): boolean {
  return !Array.isArray(value) && value === operand;
}

/** Elements are typed: a whole number is not among fractions, nor a fraction among whole numbers. */
function contains(value: Value | undefined, operand: LiteralValue): boolean {
  if (!Array.isArray(value) || !value.includes(operand)) return false;
  return typeof operand !== "number" || value.every(isInteger) === isInteger(operand);
}

/** Whether a value is stored as a 64-bit integer. */
function isInteger(value: LiteralValue): boolean {
  return Number.isInteger(value) && Math.abs(Number(value)) < 2 ** 63;
}

function reads({ document }: ModelRecord, where: WhereDocument | undefined): boolean {
  if (where === undefined) return true;
  const [operator, operand] = Object.entries(where)[0] as [string, string & WhereDocument[]];
  const found = (): boolean =>
    document !== null && (PATTERNS.find(([rust]) => rust === operand)?.[1].test(document) ?? false);
  switch (operator) {
    case "$and":
      return operand.every((part) => reads({ document } as ModelRecord, part));
    case "$or":
      return operand.some((part) => reads({ document } as ModelRecord, part));
    case "$contains":
      return document?.includes(operand) ?? false;
    case "$not_contains":
      return !(document?.includes(operand) ?? false);
    case "$regex":
      return found();
    case "$not_regex":
      return !found();
    default:
      throw new Error(`no such operator: ${operator}`);
  }
}
