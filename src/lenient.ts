/**
 * Arguments that Chroma refuses, and that programs written for other stores pass all the same: what to take them for. All off
 * unless asked for.
 */
import type { DeleteArgs, GetArgs, QueryArgs, WriteArgs } from "./collection.js";
import { ChromaValueError } from "./errors.js";
import type { CollectionMetadata, Metadata, Where, WhereDocument } from "./types.js";
import { isSparseVector } from "./validate.js";

/** Which arguments are accepted although Chroma refuses them. Each is off by default. */
export interface LenientOptions {
  /** Metadata `{}`, of a record or a collection, count as none. */
  emptyMetadata?: boolean | undefined;
  /** A filter `{}`, of metadata or documents, counts as none. */
  emptyFilter?: boolean | undefined;
  /**
   * Several keys in a filter, and several operators under a key, must all hold, as if they stood in `$and`; `$and` and `$or`
   * may have one part.
   */
  implicitAnd?: boolean | undefined;
  /**
   * Metadata that are not flat are made so: `{ loc: { from: 1 } }` is stored as `{ "loc.from": 1 }`, a date as its ISO text, a
   * list that is not all of one kind as its JSON text; empty objects, empty lists and undefined are left out. They are read
   * back flat.
   */
  nestedMetadata?: boolean | undefined;
}

/** All of {@link LenientOptions}, set. */
export type LenientRules = { readonly [name in keyof LenientOptions]-?: boolean };

const NAMES = ["emptyMetadata", "emptyFilter", "implicitAnd", "nestedMetadata"] as const;

/** Deepest nesting of metadata that is made flat. */
const MAX_METADATA_DEPTH = 32;
/** Deepest nesting of a filter that is looked into; beyond, the checks refuse it anyway. */
const MAX_FILTER_DEPTH = 64;

/**
 * The rules of a client.
 *
 * @param option - True for all of them, false or undefined for none.
 * @throws ChromaValueError when a rule is unknown or not a boolean.
 */
export function lenientRules(option: boolean | LenientOptions | undefined): LenientRules {
  const given = typeof option === "object" && option !== null ? option : {};
  if (option !== undefined && typeof option !== "boolean" && given !== option) {
    throw new ChromaValueError(`Expected 'lenient' to be a boolean or an object of rules, but got ${String(option)}`);
  }
  for (const [name, value] of Object.entries(given)) {
    if (!(NAMES as readonly string[]).includes(name)) {
      throw new ChromaValueError(`There is no rule 'lenient.${name}'; there are ${NAMES.join(", ")}`);
    }
    if (value !== undefined && typeof value !== "boolean") {
      throw new ChromaValueError(`Expected 'lenient.${name}' to be a boolean, but got ${typeof value}`);
    }
  }
  const rule = (name: keyof LenientRules): boolean => option === true || given[name] === true;
  return {
    emptyMetadata: rule("emptyMetadata"),
    emptyFilter: rule("emptyFilter"),
    implicitAnd: rule("implicitAnd"),
    nestedMetadata: rule("nestedMetadata"),
  };
}

/** The records of a write as Chroma would take them. */
export function leniently(args: WriteArgs, rules: LenientRules): WriteArgs {
  const { metadatas } = args;
  if (!Array.isArray(metadatas) || !(rules.emptyMetadata || rules.nestedMetadata)) return args;
  return { ...args, metadatas: metadatas.map((metadata) => recordMetadata(metadata, rules)) };
}

/** The metadata of a collection as Chroma would take them. */
export function lenientCollectionMetadata(
  metadata: CollectionMetadata | undefined,
  rules: LenientRules,
): CollectionMetadata | undefined {
  return (metadata && recordMetadata(metadata, rules)) ?? undefined;
}

/** The filters of a read, a search or a delete as Chroma would take them. */
export function withLenientFilters<Args extends GetArgs | QueryArgs | DeleteArgs>(
  args: Args,
  rules: LenientRules,
): Args {
  if (!(rules.emptyFilter || rules.implicitAnd)) return args;
  const { where, whereDocument } = args;
  return {
    ...args,
    where: filter(where, rules, whereParts) as Where | undefined,
    whereDocument: filter(whereDocument, rules, singleKeys) as WhereDocument | undefined,
  };
}

function recordMetadata(metadata: Metadata | null | undefined, rules: LenientRules): Metadata | null | undefined {
  if (!isObject(metadata)) return metadata;
  const flat = rules.nestedMetadata ? flatMetadata(metadata) : metadata;
  // What is made flat may have nothing left, which is no fault of the caller's.
  const mayBeEmpty = rules.emptyMetadata || (rules.nestedMetadata && Object.keys(metadata).length > 0);
  return mayBeEmpty && Object.keys(flat).length === 0 ? null : flat;
}

function flatMetadata(metadata: Metadata): Metadata {
  if (Object.values(metadata).every(isFlat)) return metadata;
  const entries: [string, unknown][] = [];
  collect("", metadata, 0, entries);
  // fromEntries defines properties, so that a key such as `__proto__` stays an ordinary key.
  const flat = Object.fromEntries(entries) as Metadata;
  if (Object.keys(flat).length < entries.length) {
    throw new ChromaValueError(
      `Expected the keys of nested metadata to stay different when they are joined by dots, but got ${firstTwice(entries)} twice`,
    );
  }
  return flat;
}

function isFlat(value: unknown): boolean {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean" || value === null;
}

function collect(prefix: string, object: object, depth: number, entries: [string, unknown][]): void {
  if (depth > MAX_METADATA_DEPTH) {
    throw new ChromaValueError(`Expected metadata to be nested at most ${MAX_METADATA_DEPTH} deep`);
  }
  for (const [name, value] of Object.entries(object)) {
    const key = prefix + name;
    if (value instanceof Date) entries.push([key, dateText(key, value)]);
    else if (Array.isArray(value)) {
      if (value.length > 0) entries.push([key, isList(value) ? value : jsonText(key, value)]);
    } else if (isObject(value) && !isSparseVector(value)) collect(`${key}.`, value, depth + 1, entries);
    else if (value !== undefined) entries.push([key, value]);
  }
}

/** Whether metadata may hold a list as it is. */
function isList(list: unknown[]): boolean {
  const kind = typeof list[0];
  return (
    (kind === "string" || kind === "number" || kind === "boolean") && list.every((element) => typeof element === kind)
  );
}

function jsonText(key: string, list: unknown[]): string {
  try {
    return JSON.stringify(list);
  } catch (cause) {
    throw new ChromaValueError(`Expected the list under metadata key '${key}' to be JSON, but it is not`, cause);
  }
}

function dateText(key: string, date: Date): string {
  if (Number.isNaN(date.getTime())) {
    throw new ChromaValueError(`Expected a valid date under metadata key '${key}', but got an invalid one`);
  }
  return date.toISOString();
}

function firstTwice(entries: [string, unknown][]): string {
  const seen = new Set<string>();
  return entries.find(([key]) => seen.has(key) || !seen.add(key))?.[0] ?? "";
}

type Parts = (key: string, value: unknown, depth: number) => unknown[];

/** A filter with one key at each level; undefined when it has none. What is not an object is left for the checks. */
function filter(given: unknown, rules: LenientRules, partsOf: Parts, depth = 0): unknown {
  if (!isObject(given) || depth > MAX_FILTER_DEPTH) return given;
  const entries = Object.entries(given);
  if (entries.length === 0) return rules.emptyFilter ? undefined : given;
  if (!rules.implicitAnd) return given;
  const parts = entries.flatMap(([key, value]) => {
    if ((key !== "$and" && key !== "$or") || !Array.isArray(value)) return partsOf(key, value, depth);
    if (value.length === 0) return [{ [key]: value }];
    const read = value.map((part) => filter(part, rules, partsOf, depth + 1));
    const kept = read.filter((part) => part !== undefined);
    // A part that asks for nothing holds for every record, and so does an `$or` with it.
    if (kept.length === 0 || (key === "$or" && kept.length < read.length)) return [];
    return kept.length === 1 ? kept : [{ [key]: kept }];
  });
  if (parts.length === 0) return undefined;
  return parts.length === 1 ? parts[0] : { $and: parts };
}

/** A key of a metadata filter; one with several operators becomes as many parts. */
function whereParts(key: string, value: unknown): unknown[] {
  const operators = isObject(value) ? Object.entries(value) : [];
  if (operators.length < 2) return [{ [key]: value }];
  return operators.map(([operator, operand]) => ({ [key]: { [operator]: operand } }));
}

function singleKeys(key: string, value: unknown): unknown[] {
  return [{ [key]: value }];
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
