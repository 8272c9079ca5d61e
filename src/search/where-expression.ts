/** Filters of a {@link Search}: built with {@link K}, or read from a filter's JSON. */
import { isPlainObject } from "./plain-object.js";

/** A filter as JSON: one key with its operand, `$and` or `$or`. */
export type WhereJSON = Record<string, unknown>;

/** What is accepted as a filter. Null and undefined stand for none. */
export type WhereInput = WhereExpression | WhereJSON | null | undefined;

type Conjunction = "$and" | "$or";

const OPERATORS = new Set([
  "$eq",
  "$ne",
  "$gt",
  "$gte",
  "$lt",
  "$lte",
  "$in",
  "$nin",
  "$contains",
  "$not_contains",
  "$regex",
  "$not_regex",
]);

/** Deepest nesting of `$and` and `$or` that is read; the engine's own bound. */
const MAX_DEPTH = 64;

/**
 * A filter of a {@link Search}.
 *
 * @example
 * ```ts
 * const filter = K("year").gte(2020).and(K("lang").eq("en").or(K.DOCUMENT.contains("english")));
 * ```
 */
export abstract class WhereExpression {
  /**
   * The filter as JSON.
   *
   * @returns A plain object.
   */
  abstract toJSON(): WhereJSON;

  /**
   * Records that match both filters.
   *
   * @param other - The other filter; without one, this filter is returned.
   * @returns The conjunction; those of conjunctions are merged into one.
   */
  and(other: WhereInput): WhereExpression {
    return join("$and", this, WhereExpression.from(other));
  }

  /**
   * Records that match either filter.
   *
   * @param other - The other filter; without one, this filter is returned.
   * @returns The disjunction; those of disjunctions are merged into one.
   */
  or(other: WhereInput): WhereExpression {
    return join("$or", this, WhereExpression.from(other));
  }

  /**
   * Reads a filter.
   *
   * @param input - An expression, or a filter's JSON with exactly one key at each level.
   * @returns The expression; undefined when there is no filter.
   * @throws TypeError or Error that says what is wrong with the JSON.
   */
  static from(input: WhereInput): WhereExpression | undefined {
    return read(input, 0);
  }
}

class Comparison extends WhereExpression {
  constructor(
    private readonly key: string,
    private readonly operator: string,
    private readonly operand: unknown,
  ) {
    super();
  }

  toJSON(): WhereJSON {
    // A computed key defines a property, so that `__proto__` stays an ordinary key.
    return { [this.key]: { [this.operator]: this.operand } };
  }
}

class Junction extends WhereExpression {
  constructor(
    readonly conjunction: Conjunction,
    readonly parts: WhereExpression[],
  ) {
    super();
  }

  toJSON(): WhereJSON {
    return { [this.conjunction]: this.parts.map((part) => part.toJSON()) };
  }
}

/** A comparison of one key. */
export function comparison(key: string, operator: string, operand: unknown): WhereExpression {
  return new Comparison(key, operator, operand);
}

function join(conjunction: Conjunction, ...parts: (WhereExpression | undefined)[]): WhereExpression {
  const flat = parts.flatMap((part) => {
    if (part === undefined) return [];
    return part instanceof Junction && part.conjunction === conjunction ? part.parts : [part];
  });
  return flat.length === 1 ? (flat[0] as WhereExpression) : new Junction(conjunction, flat);
}

function read(input: WhereInput, depth: number): WhereExpression | undefined {
  if (input === null || input === undefined) return undefined;
  if (input instanceof WhereExpression) return input;
  if (!isPlainObject(input)) throw new TypeError("Where input must be a WhereExpression or plain object");
  if (depth > MAX_DEPTH) throw new Error(`Where dictionary must be nested at most ${MAX_DEPTH} deep`);
  for (const conjunction of ["$and", "$or"] as const) {
    if (Object.hasOwn(input, conjunction)) return readJunction(conjunction, input, depth);
  }
  const [entry, ...others] = Object.entries(input);
  if (entry === undefined || others.length > 0) {
    throw new Error("Where dictionary must contain exactly one field");
  }
  return readComparison(...entry);
}

function readJunction(conjunction: Conjunction, input: WhereJSON, depth: number): WhereExpression {
  if (Object.keys(input).length !== 1) throw new Error(`${conjunction} cannot be combined with other keys`);
  const operands = input[conjunction];
  if (!Array.isArray(operands) || operands.length === 0) {
    throw new TypeError(`${conjunction} must be a non-empty array`);
  }
  const parts = operands.map((operand, index) => {
    const part = read(operand, depth + 1);
    if (part === undefined) throw new TypeError(`Invalid where clause at index ${index}`);
    return part;
  });
  return join(conjunction, ...parts);
}

function readComparison(key: string, value: unknown): WhereExpression {
  if (!isPlainObject(value)) return new Comparison(key, "$eq", value);
  const [entry, ...others] = Object.entries(value);
  if (entry === undefined || others.length > 0) {
    throw new Error(`Operator dictionary for field "${key}" must contain exactly one operator`);
  }
  const [operator, operand] = entry;
  if (!OPERATORS.has(operator)) throw new Error(`Unsupported where operator: ${operator}`);
  return new Comparison(key, operator, operand);
}
