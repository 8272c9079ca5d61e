/** Searches by ranking expressions: what is filtered, ranked, grouped, cut and selected. */
import { GroupBy, type GroupByInput, type GroupByJSON } from "./group-by.js";
import { Key, keyName } from "./key.js";
import { RankExpression, type RankInput, type RankLiteral } from "./rank-expression.js";
import { WhereExpression, type WhereInput, type WhereJSON } from "./where-expression.js";

/** Which part of the ranking is returned. */
export interface LimitOptions {
  /** Records to skip. Default 0. */
  offset?: number | undefined;
  /** Most records. Default: no limit of its own. */
  limit?: number | null | undefined;
}

/** What is accepted as a limit; a number is the most records. */
export type LimitInput = Limit | number | LimitOptions | null | undefined;

/** A limit as JSON. */
export interface LimitJSON {
  /** Records to skip. */
  offset: number;
  /** Most records. */
  limit?: number;
}

/** Which part of the ranking is returned. */
export class Limit {
  /** Records to skip. */
  readonly offset: number;
  /** Most records; undefined without a limit. */
  readonly limit?: number;

  /**
   * @param options - What to skip, and the most records.
   * @throws TypeError when one is not a count.
   */
  constructor({ offset = 0, limit }: LimitOptions = {}) {
    if (!Number.isInteger(offset) || offset < 0) {
      throw new TypeError("Limit offset must be a non-negative integer");
    }
    if (limit !== null && limit !== undefined) {
      if (!Number.isInteger(limit) || limit <= 0) {
        throw new TypeError("Limit must be a positive integer when provided");
      }
      this.limit = limit;
    }
    this.offset = offset;
  }

  /**
   * Reads a limit.
   *
   * @param input - A limit, the most records, or both counts.
   * @param offset - Records to skip, when `input` is a number.
   * @returns The limit.
   * @throws TypeError for anything else.
   */
  static from(input: LimitInput, offset?: number): Limit {
    if (input instanceof Limit) return input;
    if (input === null || input === undefined) return new Limit();
    if (typeof input === "number") return new Limit({ limit: input, offset });
    if (typeof input === "object") return new Limit(input);
    throw new TypeError("Invalid limit input");
  }

  /**
   * The limit as JSON.
   *
   * @returns A plain object.
   */
  toJSON(): LimitJSON {
    return this.limit === undefined ? { offset: this.offset } : { offset: this.offset, limit: this.limit };
  }
}

/** A key, by itself or by its name. */
export type SelectKeyInput = string | Key;

/** What is accepted as a selection. */
export type SelectInput =
  | Select
  | Iterable<SelectKeyInput>
  | {
      /** The keys. */
      keys?: Iterable<SelectKeyInput>;
    }
  | null
  | undefined;

/** A selection as JSON. */
export interface SelectJSON {
  /** What of each record is returned. */
  keys: string[];
}

/** What of each record is returned beside its id: `#document`, `#embedding`, `#metadata`, `#score`, or metadata keys. */
export class Select {
  private readonly keys: string[];

  /**
   * @param keys - What is returned; each key counts once.
   * @throws TypeError when one is neither a string nor a key.
   */
  constructor(keys: Iterable<SelectKeyInput> = []) {
    const names = new Set<string>();
    for (const key of keys) {
      const name: unknown = keyName(key);
      if (typeof name !== "string") throw new TypeError("Select keys must be strings or Key instances");
      names.add(name);
    }
    this.keys = [...names];
  }

  /**
   * Reads a selection.
   *
   * @param input - A selection, keys, or its JSON.
   * @returns The selection.
   * @throws TypeError for anything else.
   */
  static from(input: SelectInput): Select {
    if (input instanceof Select) return input;
    if (input === null || input === undefined) return new Select();
    if (isIterable(input)) return new Select(input);
    if (typeof input === "object" && "keys" in input) return new Select(input.keys ?? []);
    throw new TypeError("Unsupported select input");
  }

  /**
   * Everything.
   *
   * @returns Documents, vectors, metadata and scores.
   */
  static all(): Select {
    return new Select([Key.DOCUMENT, Key.EMBEDDING, Key.METADATA, Key.SCORE]);
  }

  /** Names of the keys. */
  get values(): string[] {
    return this.keys.slice();
  }

  /**
   * The selection as JSON.
   *
   * @returns A plain object.
   */
  toJSON(): SelectJSON {
    return { keys: this.values };
  }
}

/** What a {@link Search} is made of; all parts may be absent. */
export interface SearchInit {
  /** Which records take part. Default: all. */
  where?: WhereInput;
  /** How they are ranked. Default: in insertion order. */
  rank?: RankInput;
  /** How they are grouped. Default: not. */
  groupBy?: GroupByInput | undefined;
  /** Which part of the ranking is returned. Default: from its start. */
  limit?: LimitInput;
  /** What of each record is returned. Default: ids. */
  select?: SelectInput;
}

/** A search as JSON. */
export interface SearchPayload {
  /** Which part of the ranking is returned. */
  limit: LimitJSON;
  /** What of each record is returned. */
  select: SelectJSON;
  /** Which records take part. */
  filter?: WhereJSON;
  /** How they are ranked. */
  rank?: RankLiteral;
  /** How they are grouped. */
  group_by?: GroupByJSON;
}

/**
 * A search by ranking expressions, for {@link Collection.search}. Immutable: each method returns a new one.
 *
 * @example
 * ```ts
 * const search = new Search()
 *   .where(K("year").gte(2020))
 *   .rank(Knn({ query: "iron oxide" }))
 *   .limit(10)
 *   .select(K.DOCUMENT, K.SCORE, "year");
 * const result = await collection.search(search);
 * ```
 */
export class Search {
  private readonly parts: {
    readonly where?: WhereExpression | undefined;
    readonly rank?: RankExpression | undefined;
    readonly groupBy?: GroupBy | undefined;
    readonly limit: Limit;
    readonly select: Select;
  };

  /** @param init - The parts. */
  constructor(init: SearchInit = {}) {
    this.parts = {
      where: WhereExpression.from(init.where),
      rank: RankExpression.from(init.rank),
      groupBy: GroupBy.from(init.groupBy),
      limit: Limit.from(init.limit),
      select: Select.from(init.select),
    };
  }

  /**
   * Sets which records take part.
   *
   * @param where - The filter; without one, the present one stays.
   * @returns A new search.
   */
  where(where?: WhereInput): Search {
    return this.with({ where: WhereExpression.from(where) ?? this.parts.where });
  }

  /**
   * Sets how records are ranked.
   *
   * @param rank - The expression; without one, the present one stays.
   * @returns A new search.
   */
  rank(rank?: RankInput): Search {
    return this.with({ rank: RankExpression.from(rank) ?? this.parts.rank });
  }

  /**
   * Sets how records are grouped.
   *
   * @param groupBy - The grouping; without one, the present one stays.
   * @returns A new search.
   */
  groupBy(groupBy?: GroupByInput): Search {
    return this.with({ groupBy: GroupBy.from(groupBy) ?? this.parts.groupBy });
  }

  /**
   * Sets which part of the ranking is returned.
   *
   * @param limit - The most records, or both counts.
   * @param offset - Records to skip, when `limit` is a number.
   * @returns A new search.
   */
  limit(limit?: LimitInput, offset?: number): Search {
    return this.with({ limit: Limit.from(limit, offset) });
  }

  /**
   * Sets what of each record is returned.
   *
   * @param keys - A selection or a list of keys.
   * @returns A new search.
   */
  select(keys?: SelectInput): Search;
  /**
   * Sets what of each record is returned.
   *
   * @param keys - The keys.
   * @returns A new search.
   */
  select(...keys: SelectKeyInput[]): Search;
  select(first?: SelectInput | SelectKeyInput, ...rest: SelectKeyInput[]): Search {
    const single = typeof first === "string" || first instanceof Key;
    return this.with({ select: single ? new Select([first, ...rest]) : Select.from(first) });
  }

  /**
   * Returns documents, vectors, metadata and scores.
   *
   * @returns A new search.
   */
  selectAll(): Search {
    return this.with({ select: Select.all() });
  }

  /** Which records take part. */
  get whereClause(): WhereExpression | undefined {
    return this.parts.where;
  }

  /** How they are ranked. */
  get rankExpression(): RankExpression | undefined {
    return this.parts.rank;
  }

  /** How they are grouped. */
  get groupByConfig(): GroupBy | undefined {
    return this.parts.groupBy;
  }

  /** Which part of the ranking is returned. */
  get limitConfig(): Limit {
    return this.parts.limit;
  }

  /** What of each record is returned. */
  get selectConfig(): Select {
    return this.parts.select;
  }

  /**
   * The search as JSON.
   *
   * @returns A plain object.
   */
  toPayload(): SearchPayload {
    const { where, rank, groupBy, limit, select } = this.parts;
    return {
      limit: limit.toJSON(),
      select: select.toJSON(),
      ...(where && { filter: where.toJSON() }),
      ...(rank && { rank: rank.toJSON() }),
      ...(groupBy && { group_by: groupBy.toJSON() }),
    };
  }

  private with(changes: Partial<Search["parts"]>): Search {
    const { where, rank, groupBy, limit, select } = { ...this.parts, ...changes };
    return new Search({ where, rank, groupBy, limit, select });
  }
}

/** What is accepted as a search. */
export type SearchLike = Search | SearchInit;

/**
 * Reads a search.
 *
 * @param input - A search, or its parts.
 * @returns The search.
 */
export function toSearch(input: SearchLike): Search {
  return input instanceof Search ? input : new Search(input);
}

function isIterable(value: unknown): value is Iterable<SelectKeyInput> {
  return typeof (value as Iterable<SelectKeyInput> | null)?.[Symbol.iterator] === "function";
}
