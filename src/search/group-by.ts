/** Grouping of a {@link Search}: the best few records of each group. */
import { Key } from "./key.js";
import { isPlainObject } from "./plain-object.js";

/** How many records a group keeps, and by which keys they are ordered, as JSON. */
export interface MinKJSON {
  /** Keys that order a group, the first one first. */
  keys: string[];
  /** Records that a group keeps. */
  k: number;
}

/** As {@link MinKJSON}, for the largest. */
export interface MaxKJSON {
  /** Keys that order a group, the first one first. */
  keys: string[];
  /** Records that a group keeps. */
  k: number;
}

/** What is kept of each group, as JSON. */
export type AggregateJSON =
  | {
      /** The records with the smallest values. */
      $min_k: MinKJSON;
    }
  | {
      /** The records with the largest values. */
      $max_k: MaxKJSON;
    };

/** What is accepted as an aggregate. */
export type AggregateInput = Aggregate | AggregateJSON;

/** What is kept of each group. */
export abstract class Aggregate {
  /**
   * The aggregate as JSON.
   *
   * @returns A plain object.
   */
  abstract toJSON(): AggregateJSON;

  /**
   * Reads an aggregate.
   *
   * @param input - An aggregate, or its JSON.
   * @returns The aggregate.
   * @throws TypeError for anything else.
   */
  static from(input: AggregateInput): Aggregate {
    if (input instanceof Aggregate) return input;
    if (isPlainObject(input)) {
      if ("$min_k" in input) return Aggregate.minK(...keysAndCount("$min_k", input.$min_k));
      if ("$max_k" in input) return Aggregate.maxK(...keysAndCount("$max_k", input.$max_k));
    }
    throw new TypeError("Aggregate input must be an Aggregate instance or object with $min_k or $max_k");
  }

  /**
   * Keeps the records with the smallest values.
   *
   * @param keys - Keys that order a group; `#score` is the ranking's.
   * @param k - Records that a group keeps, at least 1.
   * @returns The aggregate.
   */
  static minK(keys: (Key | string)[], k: number): MinK {
    return new MinK(asKeys(keys), k);
  }

  /**
   * Keeps the records with the largest values.
   *
   * @param keys - Keys that order a group; `#score` is the ranking's.
   * @param k - Records that a group keeps, at least 1.
   * @returns The aggregate.
   */
  static maxK(keys: (Key | string)[], k: number): MaxK {
    return new MaxK(asKeys(keys), k);
  }
}

/** Keeps the records with the smallest values. */
export class MinK extends Aggregate {
  /** Keys that order a group. */
  readonly keys: Key[];
  /** Records that a group keeps. */
  readonly k: number;

  /**
   * @param keys - Keys that order a group, at least one.
   * @param k - Records that a group keeps, at least 1.
   */
  constructor(keys: Key[], k: number) {
    super();
    checkAggregate("MinK", keys, k);
    this.keys = keys;
    this.k = k;
  }

  /** As {@link Aggregate.toJSON}. */
  toJSON(): AggregateJSON {
    return { $min_k: { keys: namesOf(this.keys), k: this.k } };
  }
}

/** Keeps the records with the largest values. */
export class MaxK extends Aggregate {
  /** Keys that order a group. */
  readonly keys: Key[];
  /** Records that a group keeps. */
  readonly k: number;

  /**
   * @param keys - Keys that order a group, at least one.
   * @param k - Records that a group keeps, at least 1.
   */
  constructor(keys: Key[], k: number) {
    super();
    checkAggregate("MaxK", keys, k);
    this.keys = keys;
    this.k = k;
  }

  /** As {@link Aggregate.toJSON}. */
  toJSON(): AggregateJSON {
    return { $max_k: { keys: namesOf(this.keys), k: this.k } };
  }
}

/** A grouping as JSON. */
export interface GroupByJSON {
  /** Metadata keys whose values make the groups. */
  keys: string[];
  /** What is kept of each group. */
  aggregate: AggregateJSON;
}

/** What is accepted as a grouping. */
export type GroupByInput = GroupBy | GroupByJSON;

/**
 * A grouping: records with the same values under some keys make a group, and the best of each are kept.
 *
 * @example
 * ```ts
 * const twoPerAuthor = new GroupBy([K("author")], Aggregate.minK([K.SCORE], 2));
 * ```
 */
export class GroupBy {
  /** Metadata keys whose values make the groups. */
  readonly keys: Key[];
  /** What is kept of each group. */
  readonly aggregate: Aggregate;

  /**
   * @param keys - Metadata keys whose values make the groups, at least one.
   * @param aggregate - What is kept of each group.
   */
  constructor(keys: Key[], aggregate: Aggregate) {
    if (keys.length === 0) throw new Error("GroupBy keys cannot be empty");
    this.keys = keys;
    this.aggregate = aggregate;
  }

  /**
   * Reads a grouping.
   *
   * @param input - A grouping, or its JSON.
   * @returns The grouping; undefined when there is none.
   * @throws TypeError for anything else.
   */
  static from(input: GroupByInput | null | undefined): GroupBy | undefined {
    if (input === null || input === undefined) return undefined;
    if (input instanceof GroupBy) return input;
    if (!isPlainObject(input)) throw new TypeError("GroupBy input must be a GroupBy instance or plain object");
    const { keys, aggregate } = input as Partial<GroupByJSON>;
    if (!Array.isArray(keys)) throw new TypeError("GroupBy requires 'keys' array");
    if (!aggregate) throw new TypeError("GroupBy requires 'aggregate'");
    return new GroupBy(asKeys(keys), Aggregate.from(aggregate));
  }

  /**
   * The grouping as JSON.
   *
   * @returns A plain object.
   */
  toJSON(): GroupByJSON {
    return { keys: namesOf(this.keys), aggregate: this.aggregate.toJSON() };
  }
}

function asKeys(keys: (Key | string)[]): Key[] {
  return keys.map((key) => (key instanceof Key ? key : new Key(key)));
}

function namesOf(keys: Key[]): string[] {
  return keys.map((key) => key.name);
}

function checkAggregate(name: string, keys: Key[], k: number): void {
  if (keys.length === 0) throw new Error(`${name} keys cannot be empty`);
  if (!(k > 0)) throw new Error(`${name} k must be positive`);
}

function keysAndCount(name: string, json: unknown): [string[], number] {
  const { keys, k } = (json ?? {}) as Partial<MinKJSON>;
  if (!Array.isArray(keys) || typeof k !== "number") throw new TypeError(`${name} requires 'keys' array and 'k'`);
  return [keys, k];
}
