// Chroma's `where` as an SQL condition, for the stores that take one.

const COMPARISONS = { $eq: "=", $ne: "!=", $gt: ">", $gte: ">=", $lt: "<", $lte: "<=" };

export const literal = (value) => (typeof value === "string" ? `'${value.replaceAll("'", "''")}'` : String(value));

function condition(key, test) {
  if (typeof test !== "object") return `${key} = ${literal(test)}`;
  const [[operator, operand]] = Object.entries(test);
  if (operator === "$in") return `${key} IN (${operand.map(literal).join(", ")})`;
  return `${key} ${COMPARISONS[operator]} ${literal(operand)}`;
}

/** The SQL condition of a `where` that has one key, or `$and` of several. */
function whereToSql(where) {
  const [[key, test]] = Object.entries(where);
  return key === "$and" ? test.map(whereToSql).join(" AND ") : condition(key, test);
}

/**
 * The SQL condition of a filter. `contains(text)` is that of a `whereDocument`, `among(list)` that of `ids`, given as an SQL
 * list.
 */
export function filterToSql({ where, whereDocument, ids }, { contains, among = (list) => `id IN ${list}` }) {
  const named = ids && among(`(${ids.map(literal).join(", ")})`);
  return [named, where && whereToSql(where), whereDocument && contains(whereDocument.$contains)]
    .filter(Boolean)
    .join(" AND ");
}
