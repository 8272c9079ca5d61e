/** Ranking expressions of a {@link Search}: nearest neighbours, and arithmetic over their distances. Smaller scores rank first. */
import type { SparseVector } from "../types.js";
import { isSparseVector } from "../validate.js";
import { type Key, keyName } from "./key.js";
import { isPlainObject } from "./plain-object.js";

/** A ranking expression as JSON. */
export type RankLiteral = Record<string, unknown>;

/** What is accepted as a ranking expression; a number stands for itself. */
export type RankInput = RankExpression | RankLiteral | number | null | undefined;

type VariadicOperator = "$sum" | "$mul" | "$max" | "$min";

/**
 * A ranking expression: what {@link Knn}, {@link Rrf}, {@link Val} and the arithmetic functions return.
 *
 * @example
 * ```ts
 * const rank = Knn({ query: [0.1, 0.2] }).multiply(0.7).add(Knn({ query: "iron", key: "sparse" }).multiply(0.3));
 * ```
 */
export abstract class RankExpression {
  /**
   * The expression as JSON.
   *
   * @returns A plain object.
   */
  abstract toJSON(): RankLiteral;

  /**
   * Adds other expressions.
   *
   * @param others - What is added.
   * @returns The sum.
   */
  add(...others: RankInput[]): RankExpression {
    return this.joined("$sum", "add", others);
  }

  /**
   * Subtracts another expression.
   *
   * @param other - What is subtracted.
   * @returns The difference.
   */
  subtract(other: RankInput): RankExpression {
    return new Binary("$sub", this, required(other, "subtract operand"));
  }

  /**
   * Multiplies by other expressions.
   *
   * @param others - The factors.
   * @returns The product.
   */
  multiply(...others: RankInput[]): RankExpression {
    return this.joined("$mul", "multiply", others);
  }

  /**
   * Divides by another expression.
   *
   * @param other - The divisor.
   * @returns The quotient.
   */
  divide(other: RankInput): RankExpression {
    return new Binary("$div", this, required(other, "divide operand"));
  }

  /**
   * Turns the order round.
   *
   * @returns The expression times -1.
   */
  negate(): RankExpression {
    return this.multiply(-1);
  }

  /**
   * The absolute value.
   *
   * @returns The expression.
   */
  abs(): RankExpression {
    return new Unary("$abs", this);
  }

  /**
   * The exponential function.
   *
   * @returns The expression.
   */
  exp(): RankExpression {
    return new Unary("$exp", this);
  }

  /**
   * The natural logarithm.
   *
   * @returns The expression.
   */
  log(): RankExpression {
    return new Unary("$log", this);
  }

  /**
   * The largest of this and other expressions.
   *
   * @param others - The others.
   * @returns The maximum.
   */
  max(...others: RankInput[]): RankExpression {
    return this.joined("$max", "max", others);
  }

  /**
   * The smallest of this and other expressions.
   *
   * @param others - The others.
   * @returns The minimum.
   */
  min(...others: RankInput[]): RankExpression {
    return this.joined("$min", "min", others);
  }

  /**
   * Reads a ranking expression.
   *
   * @param input - An expression, a number, or an expression's JSON, which is taken as it is.
   * @returns The expression; undefined when there is none.
   * @throws TypeError for anything else.
   */
  static from(input: RankInput): RankExpression | undefined {
    if (input === null || input === undefined) return undefined;
    if (input instanceof RankExpression) return input;
    if (typeof input === "number") return Val(input);
    if (isPlainObject(input)) return new Literal(structuredClone(input));
    throw new TypeError("Rank input must be a RankExpression, number, or plain object");
  }

  private joined(operator: VariadicOperator, method: string, others: RankInput[]): RankExpression {
    return join(operator, [this, ...others.map((other, index) => required(other, `${method} operand ${index}`))]);
  }
}

/** An expression that was given as JSON: a value, a knn leaf, or what somebody else wrote. */
class Literal extends RankExpression {
  constructor(private readonly json: RankLiteral) {
    super();
  }

  toJSON(): RankLiteral {
    return structuredClone(this.json);
  }
}

class Unary extends RankExpression {
  constructor(
    private readonly operator: "$abs" | "$exp" | "$log",
    private readonly operand: RankExpression,
  ) {
    super();
  }

  toJSON(): RankLiteral {
    return { [this.operator]: this.operand.toJSON() };
  }
}

class Binary extends RankExpression {
  constructor(
    private readonly operator: "$sub" | "$div",
    private readonly left: RankExpression,
    private readonly right: RankExpression,
  ) {
    super();
  }

  toJSON(): RankLiteral {
    return { [this.operator]: { left: this.left.toJSON(), right: this.right.toJSON() } };
  }
}

class Variadic extends RankExpression {
  constructor(
    readonly operator: VariadicOperator,
    readonly operands: RankExpression[],
  ) {
    super();
  }

  toJSON(): RankLiteral {
    return { [this.operator]: this.operands.map((operand) => operand.toJSON()) };
  }
}

/** Joins expressions by an operator: nested ones of the same kind become one, a single one stays as it is. */
function join(operator: VariadicOperator, operands: RankExpression[]): RankExpression {
  const flat = operands.flatMap((operand) =>
    operand instanceof Variadic && operand.operator === operator ? operand.operands : [operand],
  );
  return flat.length === 1 ? (flat[0] as RankExpression) : new Variadic(operator, flat);
}

function required(input: RankInput, what: string): RankExpression {
  const expression = RankExpression.from(input);
  if (expression === undefined) throw new TypeError(`${what} must be a rank expression`);
  return expression;
}

function joinGiven(operator: VariadicOperator, name: string, inputs: RankInput[]): RankExpression {
  if (inputs.length === 0) throw new Error(`${name} requires at least one rank expression`);
  return join(
    operator,
    inputs.map((input, index) => required(input, `${name} operand ${index}`)),
  );
}

/**
 * A constant.
 *
 * @param value - A finite number.
 * @returns The expression.
 */
export function Val(value: number): RankExpression {
  if (!Number.isFinite(value)) throw new TypeError("Val requires a numeric value");
  return new Literal({ $val: value });
}

/** Arguments of {@link Knn}. */
export interface KnnOptions {
  /** The query: a vector, a sparse vector, or a text, which is embedded when the search is run. */
  query: Iterable<number> | ArrayLike<number> | SparseVector | string;
  /** Whose vectors are compared. Default `#embedding`; a metadata key for sparse vectors. */
  key?: string | Key | undefined;
  /** How many neighbours take part. Default 128. */
  limit?: number | undefined;
  /** Value for records beyond the limit; without one they take no part. */
  default?: number | null | undefined;
  /** Gives the position among the neighbours, from 0, instead of the distance. Default false. */
  returnRank?: boolean | undefined;
}

/**
 * The records nearest to a query, each with its distance.
 *
 * @param options - The query, and how many neighbours take part.
 * @returns The expression.
 * @throws TypeError that names the option that is wrong.
 */
export function Knn(options: KnnOptions): RankExpression {
  const { limit = 128, returnRank = false } = options;
  if (!Number.isInteger(limit) || limit <= 0) throw new TypeError("Knn limit must be a positive integer");
  const key: unknown = keyName(options.key ?? "#embedding");
  if (typeof key !== "string") throw new TypeError("Knn key must be a string or Key instance");
  const knn: RankLiteral = { query: knnQuery(options.query), key, limit };
  const missing = options.default;
  if (missing !== null && missing !== undefined) {
    if (!Number.isFinite(missing)) throw new TypeError("Knn default must be a number");
    knn.default = missing;
  }
  if (returnRank) knn.return_rank = true;
  return new Literal({ $knn: knn });
}

function knnQuery(query: KnnOptions["query"]): string | number[] | SparseVector {
  if (typeof query === "string") return query;
  if (isSparseVector(query)) return { indices: query.indices.slice(), values: query.values.slice() };
  if (typeof query !== "object" || query === null) {
    throw new TypeError("Knn query must be a vector, a sparse vector or a text");
  }
  return Array.from(query as Iterable<number> | ArrayLike<number>, (value) => {
    if (!Number.isFinite(value)) throw new TypeError("Dense query vector values must be finite numbers");
    return value;
  });
}

/** Arguments of {@link Rrf}. */
export interface RrfOptions {
  /** What is fused; mostly {@link Knn} with `returnRank`. */
  ranks: RankInput[];
  /** Damps the influence of the first places. Default 60. */
  k?: number | undefined;
  /** Weight of each of `ranks`. Default 1 each. */
  weights?: number[] | undefined;
  /** Scales the weights so that they sum to 1. Default false. */
  normalize?: boolean | undefined;
}

/**
 * Reciprocal rank fusion: minus the sum of `weight / (rank + k)`.
 *
 * @param options - What is fused, and how it is weighted.
 * @returns The expression.
 * @throws TypeError or Error that names the option that is wrong.
 *
 * @example
 * ```ts
 * const rank = Rrf({
 *   ranks: [Knn({ query: "iron", returnRank: true }), Knn({ query: "iron", key: "sparse", returnRank: true })],
 *   weights: [2, 1],
 * });
 * ```
 */
export function Rrf({ ranks, k = 60, weights, normalize = false }: RrfOptions): RankExpression {
  if (!Number.isInteger(k) || k <= 0) throw new TypeError("Rrf k must be a positive integer");
  if (!Array.isArray(ranks) || ranks.length === 0) throw new TypeError("Rrf requires at least one rank expression");
  const expressions = ranks.map((rank, index) => required(rank, `ranks[${index}]`));
  let shares = weights ?? expressions.map(() => 1);
  if (shares.length !== expressions.length) throw new Error("Number of weights must match number of ranks");
  if (!shares.every((weight) => typeof weight === "number" && weight >= 0)) {
    throw new TypeError("Weights must be non-negative numbers");
  }
  if (normalize) {
    const total = shares.reduce((sum, weight) => sum + weight, 0);
    if (total <= 0) throw new Error("Weights must sum to a positive value when normalize=true");
    shares = shares.map((weight) => weight / total);
  }
  const terms = expressions.map((rank, index) => Val(shares[index] as number).divide(rank.add(k)));
  return join("$sum", terms).negate();
}

/**
 * The sum of expressions.
 *
 * @param inputs - At least one.
 * @returns The expression.
 */
export function Sum(...inputs: RankInput[]): RankExpression {
  return joinGiven("$sum", "Sum", inputs);
}

/**
 * The difference of two expressions.
 *
 * @param left - What is subtracted from.
 * @param right - What is subtracted.
 * @returns The expression.
 */
export function Sub(left: RankInput, right: RankInput): RankExpression {
  return new Binary("$sub", required(left, "Sub left"), required(right, "Sub right"));
}

/**
 * The product of expressions.
 *
 * @param inputs - At least one.
 * @returns The expression.
 */
export function Mul(...inputs: RankInput[]): RankExpression {
  return joinGiven("$mul", "Mul", inputs);
}

/**
 * The quotient of two expressions.
 *
 * @param left - The dividend.
 * @param right - The divisor.
 * @returns The expression.
 */
export function Div(left: RankInput, right: RankInput): RankExpression {
  return new Binary("$div", required(left, "Div left"), required(right, "Div right"));
}

/**
 * The absolute value of an expression.
 *
 * @param input - The expression.
 * @returns The expression.
 */
export function Abs(input: RankInput): RankExpression {
  return required(input, "Abs").abs();
}

/**
 * The exponential function of an expression.
 *
 * @param input - The expression.
 * @returns The expression.
 */
export function Exp(input: RankInput): RankExpression {
  return required(input, "Exp").exp();
}

/**
 * The natural logarithm of an expression.
 *
 * @param input - The expression.
 * @returns The expression.
 */
export function Log(input: RankInput): RankExpression {
  return required(input, "Log").log();
}

/**
 * The largest of expressions.
 *
 * @param inputs - At least one.
 * @returns The expression.
 */
export function Max(...inputs: RankInput[]): RankExpression {
  return joinGiven("$max", "Max", inputs);
}

/**
 * The smallest of expressions.
 *
 * @param inputs - At least one.
 * @returns The expression.
 */
export function Min(...inputs: RankInput[]): RankExpression {
  return joinGiven("$min", "Min", inputs);
}
