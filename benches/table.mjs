// Prints results as an aligned table.

const number = (digits) => (value) =>
  value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** How a column shows its values. */
export const formats = {
  text: String,
  integer: number(0),
  tenths: number(1),
  hundredths: number(2),
  thousandths: number(3),
  recall: (value) => value.toFixed(4),
  percent: (value) => `${(value * 100).toPrecision(value < 0.995 ? 2 : 3)} %`,
};

/**
 * Lines of an aligned table. `columns` are `{ title, key, format }`; text stands left, numbers right, and a value
 * that a row does not have is shown as a dash.
 */
export function tableLines(columns, rows) {
  const shown = rows.map((row) => columns.map(({ key, format }) => (row[key] == null ? "-" : format(row[key]))));
  const widths = columns.map(({ title }, i) => Math.max(title.length, ...shown.map((cells) => cells[i].length)));
  const align = (cell, i) => (columns[i].format === formats.text ? cell.padEnd(widths[i]) : cell.padStart(widths[i]));
  const line = (cells) => cells.map(align).join("  ").trimEnd();
  const rule = widths.map((width) => "-".repeat(width)).join("  ");
  return [line(columns.map(({ title }) => title)), rule, ...shown.map(line)];
}

/** A replacer for JSON.stringify that keeps the name of a column's format. */
export const formatNames = (_key, value) =>
  typeof value === "function" ? Object.keys(formats).find((name) => formats[name] === value) : value;
