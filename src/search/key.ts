/** Names of what a {@link Search} filters, ranks and selects by. */
import { comparison, type WhereExpression } from "./where-expression.js";

/**
 * A metadata key, or one of the reserved keys `#id`, `#document`, `#embedding`, `#metadata` and `#score`. {@link K} makes one
 * more shortly.
 */
export class Key {
  /** Ids of records. */
  static readonly ID: Key = new Key("#id");
  /** Documents. */
  static readonly DOCUMENT: Key = new Key("#document");
  /** Vectors. */
  static readonly EMBEDDING: Key = new Key("#embedding");
  /** All metadata. */
  static readonly METADATA: Key = new Key("#metadata");
  /** The score that the ranking gave. */
  static readonly SCORE: Key = new Key("#score");

  /** The key as it is written in JSON. */
  readonly name: string;

  /** @param name - A metadata key, or a reserved key. */
  constructor(name: string) {
    this.name = name;
  }

  /**
   * Records whose value is this one.
   *
   * @param value - A string, number or boolean.
   * @returns The filter.
   */
  eq(value: unknown): WhereExpression {
    return comparison(this.name, "$eq", value);
  }

  /**
   * Records whose value is another, or absent.
   *
   * @param value - A string, number or boolean.
   * @returns The filter.
   */
  ne(value: unknown): WhereExpression {
    return comparison(this.name, "$ne", value);
  }

  /**
   * Records whose value is greater.
   *
   * @param value - A number.
   * @returns The filter.
   */
  gt(value: unknown): WhereExpression {
    return comparison(this.name, "$gt", value);
  }

  /**
   * Records whose value is this or greater.
   *
   * @param value - A number.
   * @returns The filter.
   */
  gte(value: unknown): WhereExpression {
    return comparison(this.name, "$gte", value);
  }

  /**
   * Records whose value is less.
   *
   * @param value - A number.
   * @returns The filter.
   */
  lt(value: unknown): WhereExpression {
    return comparison(this.name, "$lt", value);
  }

  /**
   * Records whose value is this or less.
   *
   * @param value - A number.
   * @returns The filter.
   */
  lte(value: unknown): WhereExpression {
    return comparison(this.name, "$lte", value);
  }

  /**
   * Records whose value is one of these.
   *
   * @param values - At least one value.
   * @returns The filter.
   */
  isIn(values: Iterable<unknown> | ArrayLike<unknown>): WhereExpression {
    return comparison(this.name, "$in", nonEmpty(values, "$in"));
  }

  /**
   * Records whose value is none of these, or absent.
   *
   * @param values - At least one value.
   * @returns The filter.
   */
  notIn(values: Iterable<unknown> | ArrayLike<unknown>): WhereExpression {
    return comparison(this.name, "$nin", nonEmpty(values, "$nin"));
  }

  /**
   * Documents with this substring; on a metadata key, arrays with this element.
   *
   * @param value - A string on `K.DOCUMENT`; on a metadata key also a number or boolean.
   * @returns The filter.
   */
  contains(value: string | number | boolean): WhereExpression {
    this.requireText(value, "contains");
    return comparison(this.name, "$contains", value);
  }

  /**
   * The records that {@link Key.contains} leaves out.
   *
   * @param value - A string on `K.DOCUMENT`; on a metadata key also a number or boolean.
   * @returns The filter.
   */
  notContains(value: string | number | boolean): WhereExpression {
    this.requireText(value, "notContains");
    return comparison(this.name, "$not_contains", value);
  }

  /**
   * Documents in which a regular expression is found.
   *
   * @param pattern - In the syntax of Rust's `regex` crate.
   * @returns The filter.
   */
  regex(pattern: string): WhereExpression {
    return comparison(this.name, "$regex", requirePattern("$regex", pattern));
  }

  /**
   * The records that {@link Key.regex} leaves out.
   *
   * @param pattern - In the syntax of Rust's `regex` crate.
   * @returns The filter.
   */
  notRegex(pattern: string): WhereExpression {
    return comparison(this.name, "$not_regex", requirePattern("$not_regex", pattern));
  }

  private requireText(value: unknown, method: string): void {
    if (this.name === "#document" && typeof value !== "string") {
      throw new TypeError(`K.DOCUMENT.${method} requires a string value`);
    }
  }
}

function nonEmpty(values: Iterable<unknown> | ArrayLike<unknown>, operator: string): unknown[] {
  const list = Array.from(values);
  if (list.length === 0) throw new Error(`${operator} requires at least one value`);
  return list;
}

function requirePattern(operator: string, pattern: unknown): string {
  if (typeof pattern !== "string") throw new TypeError(`${operator} requires a string pattern`);
  return pattern;
}

/** The name of a key that is given either way. */
export function keyName(key: string | Key): string {
  return key instanceof Key ? key.name : key;
}

/** Makes keys, and holds the reserved ones. */
export interface KeyFactory {
  /** Makes the key of a metadata field. */
  (name: string): Key;
  /** Ids of records. */
  ID: Key;
  /** Documents. */
  DOCUMENT: Key;
  /** Vectors. */
  EMBEDDING: Key;
  /** All metadata. */
  METADATA: Key;
  /** The score that the ranking gave. */
  SCORE: Key;
}

/**
 * Makes keys for filters, rankings and selections.
 *
 * @example
 * ```ts
 * const search = new Search().where(K("year").gt(2020)).select(K.DOCUMENT, "year");
 * ```
 */
export const K: KeyFactory = Object.assign((name: string) => new Key(name), {
  ID: Key.ID,
  DOCUMENT: Key.DOCUMENT,
  EMBEDDING: Key.EMBEDDING,
  METADATA: Key.METADATA,
  SCORE: Key.SCORE,
});
