// The filters that are measured: every share beside every relation to the queries, and every kind of filter.
import { GROUPS, nearKey, QUANTILES, queryGroups } from "./filter-keys.mjs";

/** Shares of the rows that the grid's filters admit. */
export const SHARES = [0.5, 0.1, 0.06, 0.01, 0.005, 0.001, 0.0001];

/** Queries that a cell of the grid is asked with, but for those of groups. */
export const CELL_QUERIES = 200;

const quantile = (share) => Math.max(1, Math.round(share * QUANTILES));
const below = (key, share) => ({ [key]: { $lt: quantile(share) } });
const from = (key, share) => ({ [key]: { $gte: QUANTILES - quantile(share) } });
const both = (a, b) => ({ $and: [a, b] });

/** Relation to the query -> the filter on one key that admits `share` of the rows; `group` is the query's group. */
const RELATIONS = {
  random: (share) => below("bucket", share),
  correlated: (share, group) => below(nearKey(group), share),
  "anti-correlated": (share, group) => from(nearKey(group), share),
};

const isGrouped = (relation) => relation !== "random";

/** One filter on all queries of a cell, or one a group of queries. */
const parts = (relation, filterOf) =>
  isGrouped(relation)
    ? Array.from({ length: GROUPS }, (_, group) => ({ group, filter: filterOf(group) }))
    : [{ group: null, filter: filterOf(null) }];

/** The grid: shares, relations, one and two keys. With two keys each admits the square root of the share. */
const gridCells = () =>
  Object.entries(RELATIONS).flatMap(([relation, where]) =>
    SHARES.flatMap((share) => [
      { kind: `${relation}, one key`, parts: parts(relation, (group) => ({ where: where(share, group) })) },
      {
        kind: `${relation}, two keys`,
        parts: parts(relation, (group) => {
          const each = Math.sqrt(share);
          return { where: both(where(each, group), below("shard", each)) };
        }),
      },
    ]),
  );

/** Ranges in the middle of a key with as many values as rows. */
const rangeCells = (rows) =>
  SHARES.map((share) => {
    const first = Math.floor((rows * (1 - share)) / 2);
    const last = first + Math.max(1, Math.round(rows * share));
    return single("range", { where: both({ serial: { $gte: first } }, { serial: { $lt: last } }) });
  });

/** Every so-many-th id: the same list with each query, and one that differs from all before it. */
const idCells = ({ ids }) => {
  const list = (share) => ({ ids: ids.filter((_, row) => row % Math.round(1 / share) === 0) });
  const same = [0.1, 0.01, 0.001, 0.0001].map((share) => single("ids", list(share)));
  const differing = [0.1, 0.01].map((share) => single("ids, another list each", list(share), { varies: true }));
  return [...same, ...differing];
};

const single = (kind, filter, more) => ({ kind, parts: [{ group: null, filter, ...more }] });

/** A list of the same ids that differs from those for other numbers: it begins elsewhere. */
export const otherList = ({ ids }, number) => {
  const first = number % ids.length;
  return { ids: [...ids.slice(first), ...ids.slice(0, first)] };
};

const firstBuckets = (count) => ({ bucket: { $in: Array.from({ length: count }, (_, value) => value) } });

/** Other operators, and WordNet's own keys and words, which correlate with the vectors. */
const KINDS = [
  single("$in", { where: firstBuckets(100) }),
  single("$in", { where: firstBuckets(10) }),
  single("$in", { where: firstBuckets(1) }),
  single("$in", { where: { domain: { $in: ["noun.animal", "noun.plant", "noun.food"] } } }),
  single("$ne", { where: { bucket: { $ne: 0 } } }),
  single("$ne", { where: { domain: { $ne: "noun.artifact" } } }),
  single("$ne", { where: { pos: { $ne: "noun" } } }),
  single("own keys", { where: { pos: "noun" } }),
  single("own keys", { where: { domain: "noun.artifact" } }),
  single("own keys", { where: { domain: "noun.animal" } }),
  single("own keys", { where: { domain: "verb.body" } }),
  single("own keys", { where: both({ links: { $gte: 5 } }, { links: { $lte: 8 } }) }),
  single("own keys", { where: both({ pos: "verb" }, { words: { $gte: 3 } }) }),
  single("whereDocument", { whereDocument: { $contains: "ing" } }),
  single("whereDocument", { whereDocument: { $contains: "water" } }),
  single("whereDocument", { whereDocument: { $contains: "breath" } }),
  single("where and whereDocument", { where: { pos: "verb" }, whereDocument: { $contains: "water" } }),
];

/**
 * All cells over `entries`: `{ kind, parts: [{ filter, varies, queries }] }`, where `queries` are the numbers of the queries that
 * the filter is asked with, and a filter that varies is another list of the same ids each time. `count` is the number of queries
 * there are.
 */
export function filterCells(entries, count) {
  const groups = queryGroups();
  const all = Array.from({ length: Math.min(count, CELL_QUERIES) }, (_, query) => query);
  const perGroup = Math.max(1, Math.ceil(all.length / GROUPS));
  const cells = [...gridCells(), ...rangeCells(entries.ids.length), ...idCells(entries), ...KINDS];
  return cells.map(({ kind, parts }) => ({
    kind,
    parts: parts.map(({ group, filter, varies }) => ({
      filter,
      varies,
      queries: group === null ? all : groups[group].members.slice(0, perGroup),
    })),
  }));
}

const comparisons = {
  $eq: (value, operand) => value === operand,
  $ne: (value, operand) => value !== operand,
  $gt: (value, operand) => value > operand,
  $gte: (value, operand) => value >= operand,
  $lt: (value, operand) => value < operand,
  $lte: (value, operand) => value <= operand,
  $in: (value, operands) => operands.includes(value),
};

/** Whether metadata satisfies a `where` as Chroma defines it, for the operators used above. */
function satisfies(where, metadata) {
  const [[key, test]] = Object.entries(where);
  if (key === "$and") return test.every((part) => satisfies(part, metadata));
  if (typeof test !== "object") return metadata[key] === test;
  const [[operator, operand]] = Object.entries(test);
  return comparisons[operator](metadata[key], operand);
}

/** One byte a row: whether it satisfies the filter. */
export function filterMask({ where, whereDocument, ids }, entries) {
  const named = ids && new Set(ids);
  return Uint8Array.from(entries.ids, (id, row) =>
    Number(
      (!named || named.has(id)) &&
        (!where || satisfies(where, entries.metadatas[row])) &&
        (!whereDocument || entries.documents[row].includes(whereDocument.$contains)),
    ),
  );
}

/** A filter as a table shows it. */
export function filterLabel({ where, whereDocument, ids }) {
  const shorten = (part) => {
    const text = JSON.stringify(part);
    return text.length > 90 ? `${text.slice(0, 80)}...` : text;
  };
  const named = ids && `${ids.length} ids`;
  return [named, where && shorten(where), whereDocument && shorten(whereDocument)].filter(Boolean).join(" ");
}
