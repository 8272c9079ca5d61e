import { describe, expect, test } from "vitest";
import {
  Abs,
  Aggregate,
  Div,
  EphemeralClient,
  Exp,
  GroupBy,
  K,
  Key,
  Knn,
  Limit,
  Log,
  Max,
  MaxK,
  Min,
  MinK,
  Mul,
  RankExpression,
  Rrf,
  Search,
  SearchResult,
  Select,
  Sub,
  Sum,
  toSearch,
  Val,
  WhereExpression,
} from "../index.js";

const json = (expression: { toJSON(): unknown } | undefined): unknown => expression?.toJSON();

describe("filters", () => {
  test.each([
    [K("a").eq(1), { a: { $eq: 1 } }],
    [K("a").ne("x"), { a: { $ne: "x" } }],
    [K("a").gt(1), { a: { $gt: 1 } }],
    [K("a").gte(1), { a: { $gte: 1 } }],
    [K("a").lt(1), { a: { $lt: 1 } }],
    [K("a").lte(1), { a: { $lte: 1 } }],
    [K("a").isIn(new Set([1, 2])), { a: { $in: [1, 2] } }],
    [K.ID.notIn(["x"]), { "#id": { $nin: ["x"] } }],
    [K.DOCUMENT.contains("x"), { "#document": { $contains: "x" } }],
    [K("tags").notContains(3), { tags: { $not_contains: 3 } }],
    [K.DOCUMENT.regex("^x"), { "#document": { $regex: "^x" } }],
    [K.DOCUMENT.notRegex("^x"), { "#document": { $not_regex: "^x" } }],
  ])("by operators: %#", (filter, expected) => {
    expect(filter.toJSON()).toEqual(expected);
    expect(json(WhereExpression.from(expected))).toEqual(expected);
  });

  test("are joined flat, in the order in which they were written", () => {
    const [a, b, c] = [K("a").eq(1), K("b").eq(2), K("c").eq(3)];
    const [ja, jb, jc] = [a, b, c].map((part) => part.toJSON());
    expect(a.and(b).and(c).toJSON()).toEqual({ $and: [ja, jb, jc] });
    expect(a.and(b.and(c)).toJSON()).toEqual({ $and: [ja, jb, jc] });
    expect(a.or(b).or(c.and(a)).toJSON()).toEqual({ $or: [ja, jb, { $and: [jc, ja] }] });
    expect(a.and(null)).toBe(a);
    expect(a.or({ b: 2 }).toJSON()).toEqual({ $or: [ja, jb] });
  });

  test("are read from JSON", () => {
    expect(WhereExpression.from(undefined)).toBeUndefined();
    expect(json(WhereExpression.from({ a: [1, 2] }))).toEqual({ a: { $eq: [1, 2] } });
    expect(json(WhereExpression.from({ $and: [{ a: 1 }] }))).toEqual({ a: { $eq: 1 } });
    expect(json(WhereExpression.from({ $or: [{ $or: [{ a: 1 }, { b: 2 }] }, { c: 3 }] }))).toEqual({
      $or: [{ a: { $eq: 1 } }, { b: { $eq: 2 } }, { c: { $eq: 3 } }],
    });
  });

  test.each([
    ["x", "Where input must be a WhereExpression or plain object"],
    [{}, "Where dictionary must contain exactly one field"],
    [{ a: 1, b: 2 }, "Where dictionary must contain exactly one field"],
    [{ a: { $gt: 1, $lt: 2 } }, 'Operator dictionary for field "a" must contain exactly one operator'],
    [{ a: { $like: "x" } }, "Unsupported where operator: $like"],
    [{ $and: [], b: 2 }, "$and cannot be combined with other keys"],
    [{ $and: [] }, "$and must be a non-empty array"],
    [{ $or: {} }, "$or must be a non-empty array"],
    [{ $or: [{ a: 1 }, null] }, "Invalid where clause at index 1"],
  ])("refuse %j", (input, message) => {
    expect(() => WhereExpression.from(input as never)).toThrow(message);
  });

  test("check their operands", () => {
    expect(() => K("a").isIn([])).toThrow("$in requires at least one value");
    expect(() => K.DOCUMENT.contains(1)).toThrow("K.DOCUMENT.contains requires a string value");
    expect(() => K.DOCUMENT.notContains(true)).toThrow("K.DOCUMENT.notContains requires a string value");
    expect(() => K.DOCUMENT.regex(/x/ as never)).toThrow("$regex requires a string pattern");
  });

  test("nested too deep are refused rather than read forever", () => {
    let filter: object = { a: 1 };
    for (let i = 0; i < 100_000; i++) filter = { $and: [filter, { b: 1 }] };
    expect(() => WhereExpression.from(filter as never)).toThrow("nested at most 64 deep");
  });
});

describe("rankings", () => {
  const knn = Knn({ query: [1, 2] });
  const leaf = { $knn: { query: [1, 2], key: "#embedding", limit: 128 } };

  test("of nearest neighbours", () => {
    expect(knn.toJSON()).toEqual(leaf);
    const all = Knn({ query: Float32Array.of(0.5), key: K("v"), limit: 3, default: 9, returnRank: true });
    expect(all.toJSON()).toEqual({ $knn: { query: [0.5], key: "v", limit: 3, default: 9, return_rank: true } });
    expect(Knn({ query: "iron", default: null }).toJSON()).toEqual({ $knn: { ...leaf.$knn, query: "iron" } });
    const sparse = { indices: [1, 7], values: [0.5, 0.25] };
    expect(Knn({ query: sparse, key: "s" }).toJSON()).toEqual({ $knn: { query: sparse, key: "s", limit: 128 } });
  });

  test("are arithmetic", () => {
    const two = { $val: 2 };
    expect(knn.add(2, 3).toJSON()).toEqual({ $sum: [leaf, two, { $val: 3 }] });
    expect(knn.add(2).add(3).toJSON()).toEqual({ $sum: [leaf, two, { $val: 3 }] });
    expect(knn.add()).toBe(knn);
    expect(knn.subtract(2).toJSON()).toEqual({ $sub: { left: leaf, right: two } });
    expect(knn.multiply(2).negate().toJSON()).toEqual({ $mul: [leaf, two, { $val: -1 }] });
    expect(knn.divide(2).abs().exp().log().toJSON()).toEqual({
      $log: { $exp: { $abs: { $div: { left: leaf, right: two } } } },
    });
    expect(knn.max(2).min(3).toJSON()).toEqual({ $min: [{ $max: [leaf, two] }, { $val: 3 }] });
    expect(Sum(1, 2).toJSON()).toEqual({ $sum: [{ $val: 1 }, two] });
    expect(Sum(knn)).toBe(knn);
    expect(Sub(1, 2).toJSON()).toEqual({ $sub: { left: { $val: 1 }, right: two } });
    expect(Mul(Mul(1, 2), 2).toJSON()).toEqual({ $mul: [{ $val: 1 }, two, two] });
    expect(Div(1, 2).toJSON()).toEqual({ $div: { left: { $val: 1 }, right: two } });
    expect([Abs(2), Exp(2), Log(2)].map(json)).toEqual([{ $abs: two }, { $exp: two }, { $log: two }]);
    expect(Max(1, 2).toJSON()).toEqual({ $max: [{ $val: 1 }, two] });
    expect(Min(1, { $custom: [1] }).toJSON()).toEqual({ $min: [{ $val: 1 }, { $custom: [1] }] });
  });

  test("are fused by reciprocal ranks", () => {
    const term = (weight: number) => ({
      $div: { left: { $val: weight }, right: { $sum: [leaf, { $val: 60 }] } },
    });
    expect(Rrf({ ranks: [knn, knn] }).toJSON()).toEqual({ $mul: [{ $sum: [term(1), term(1)] }, { $val: -1 }] });
    expect(Rrf({ ranks: [knn] }).toJSON()).toEqual({ $mul: [term(1), { $val: -1 }] });
    expect(Rrf({ ranks: [knn, knn], weights: [3, 1], normalize: true }).toJSON()).toEqual({
      $mul: [{ $sum: [term(0.75), term(0.25)] }, { $val: -1 }],
    });
  });

  test.each([
    [() => Rrf({ ranks: [knn], k: 0 }), "Rrf k must be a positive integer"],
    [() => Rrf({ ranks: [] }), "Rrf requires at least one rank expression"],
    [() => Rrf({ ranks: [knn], weights: [1, 2] }), "Number of weights must match number of ranks"],
    [() => Rrf({ ranks: [knn], weights: [-1] }), "Weights must be non-negative numbers"],
    [
      () => Rrf({ ranks: [knn], weights: [0], normalize: true }),
      "Weights must sum to a positive value when normalize=true",
    ],
    [() => Sum(), "Sum requires at least one rank expression"],
    [() => Mul(1, undefined), "Mul operand 1 must be a rank expression"],
    [() => knn.subtract(null), "subtract operand must be a rank expression"],
    [() => Val(Number.NaN), "Val requires a numeric value"],
    [() => Knn({ query: [1], limit: 0 }), "Knn limit must be a positive integer"],
    [() => Knn({ query: [1, Number.NaN] }), "Dense query vector values must be finite numbers"],
    [() => Knn({ query: 7 as never }), "Knn query must be a vector, a sparse vector or a text"],
    [() => Knn({ query: [1], key: 7 as never }), "Knn key must be a string or Key instance"],
    [() => Knn({ query: [1], default: Number.POSITIVE_INFINITY }), "Knn default must be a number"],
    [() => RankExpression.from("x" as never), "Rank input must be a RankExpression, number, or plain object"],
  ])("refuse what is wrong: %#", (make, message) => {
    expect(make).toThrow(message);
  });
});

describe("grouping, limit and selection", () => {
  test("a group keeps its best", () => {
    const grouping = { keys: ["a"], aggregate: { $min_k: { keys: ["#score"], k: 2 } } };
    expect(new GroupBy([K("a")], Aggregate.minK([K.SCORE], 2)).toJSON()).toEqual(grouping);
    expect(json(GroupBy.from(grouping))).toEqual(grouping);
    expect(Aggregate.from({ $max_k: { keys: ["b"], k: 1 } })).toBeInstanceOf(MaxK);
    expect(new MaxK([new Key("b")], 1).toJSON()).toEqual({ $max_k: { keys: ["b"], k: 1 } });
  });

  test.each([
    [() => new GroupBy([], Aggregate.minK(["a"], 1)), "GroupBy keys cannot be empty"],
    [() => new MinK([], 1), "MinK keys cannot be empty"],
    [() => Aggregate.minK(["a"], 0), "MinK k must be positive"],
    [() => Aggregate.maxK(["a"], Number.NaN), "MaxK k must be positive"],
    [() => GroupBy.from({ aggregate: {} } as never), "GroupBy requires 'keys' array"],
    [() => GroupBy.from({ keys: ["a"] } as never), "GroupBy requires 'aggregate'"],
    [() => GroupBy.from("x" as never), "GroupBy input must be a GroupBy instance or plain object"],
    [() => Aggregate.from({} as never), "Aggregate input must be an Aggregate instance"],
    [() => Aggregate.from({ $min_k: {} } as never), "$min_k requires 'keys' array and 'k'"],
    [() => new Limit({ offset: -1 }), "Limit offset must be a non-negative integer"],
    [() => new Limit({ limit: 0 }), "Limit must be a positive integer when provided"],
    [() => Limit.from("x" as never), "Invalid limit input"],
    [() => new Select([1 as never]), "Select keys must be strings or Key instances"],
    [() => Select.from(7 as never), "Unsupported select input"],
  ])("refuse what is wrong: %#", (make, message) => {
    expect(make).toThrow(message);
  });

  test("limits and selections", () => {
    expect(json(Limit.from(5, 2))).toEqual({ offset: 2, limit: 5 });
    expect(json(Limit.from(null))).toEqual({ offset: 0 });
    expect(Select.all().values).toEqual(["#document", "#embedding", "#metadata", "#score"]);
    expect(json(Select.from({ keys: ["a", K("a"), K.SCORE] }))).toEqual({ keys: ["a", "#score"] });
  });
});

describe("searches", () => {
  test("are made of parts, and never changed", () => {
    const empty = new Search();
    expect(empty.toPayload()).toEqual({ limit: { offset: 0 }, select: { keys: [] } });
    const full = empty
      .where({ a: 1 })
      .rank(Val(1))
      .groupBy({ keys: ["a"], aggregate: { $min_k: { keys: ["#score"], k: 1 } } })
      .limit(3, 1)
      .select("a", K.SCORE);
    expect(full.toPayload()).toEqual({
      filter: { a: { $eq: 1 } },
      rank: { $val: 1 },
      group_by: { keys: ["a"], aggregate: { $min_k: { keys: ["#score"], k: 1 } } },
      limit: { offset: 1, limit: 3 },
      select: { keys: ["a", "#score"] },
    });
    expect(empty.toPayload()).toEqual({ limit: { offset: 0 }, select: { keys: [] } });
    expect(full.where(undefined).whereClause).toBe(full.whereClause);
    expect(full.selectAll().selectConfig.values).toHaveLength(4);
    expect(full.select(["b"]).select().selectConfig.values).toEqual([]);
    expect(toSearch(full)).toBe(full);
    expect(toSearch({ limit: 2 }).limitConfig.limit).toBe(2);
  });

  test("results come as columns and as rows", () => {
    const result = new SearchResult({
      ids: [["a", "b"], ["c"]],
      documents: [["x", null], null],
      scores: [[0.5, 1]],
      metadatas: [[{ n: 1 }, null], null],
      select: [["#document"], []],
    });
    expect(result.embeddings).toEqual([null, null]);
    expect(result.scores).toEqual([[0.5, 1], null]);
    expect(result.rows()).toEqual([
      [
        { id: "a", document: "x", score: 0.5, metadata: { n: 1 } },
        { id: "b", score: 1 },
      ],
      [{ id: "c" }],
    ]);
  });

  test("are not done by a local database yet", async () => {
    await using client = EphemeralClient();
    const collection = await client.createCollection({ name: "search", embeddingFunction: null });
    await expect(collection.search(new Search())).rejects.toThrow("search() is not implemented yet in ferrochrome");
    await expect(collection.search([])).rejects.toThrow("At least one search payload must be provided.");
    const handle = client.collection(collection.id);
    await expect(handle.search({ rank: Sum(1, Knn({ query: "text" })) })).rejects.toThrow(
      "requires an embedding function",
    );
  });
});
