// The exact answers that recall is judged by, computed once and kept in benches/results.
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ALL_QUERIES, ALL_ROWS, K, readEntries, readExactNeighbors, readQueries, readRecords } from "./dataset.mjs";
import { exactNeighbors, exactNeighborsOfStream } from "./exact.mjs";
import { filterCells, filterLabel, filterMask } from "./filter-grid.mjs";
import { withFilterKeys } from "./filter-keys.mjs";
import { vectorBlocks } from "./scale-data.mjs";

const idsOf = (answers, ids) => answers.map((found) => found.map((row) => ids[row]));

/** Rows of the exact nearest of each query, without a filter: among WordNet's entries, or where `rows` is more, those and their copies. */
export function exactRows({ rows, queries }) {
  if (rows === ALL_ROWS) return readExactNeighbors(queries, K);
  return exactNeighborsOfStream(vectorBlocks(rows), readQueries(queries), K, 1)[0];
}

/** Ids of the exact nearest entries of each query. */
const searchTruth = (settings) => idsOf(exactRows(settings), readRecords(settings.rows).ids);

/** Parts in groups of those that are asked with the same queries: distances are computed once for all filters of a group. */
function withSameQueries(parts) {
  const groups = new Map();
  for (const part of parts) {
    const key = part.queries.join();
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(part);
  }
  return groups.values();
}

/** The cells of the filter grid with the ids that each query must find. */
function filterTruth({ rows, queries }) {
  const entries = withFilterKeys(readEntries(rows));
  const vectors = readQueries(ALL_QUERIES);
  const cells = filterCells(entries, queries);
  const parts = cells.flatMap((cell) => cell.parts);
  for (const asked of withSameQueries(parts)) {
    const masks = asked.map(({ filter }) => filterMask(filter, entries));
    const chosen = asked[0].queries.map((query) => vectors[query]);
    const answers = exactNeighbors(entries.vectors, chosen, K, masks);
    for (const [i, part] of asked.entries()) {
      part.matching = masks[i].reduce((sum, byte) => sum + byte, 0);
      part.ids = idsOf(answers[i], entries.ids);
    }
  }
  const matching = ({ parts }) => parts.reduce((sum, part) => sum + part.matching, 0) / parts.length;
  return cells.map((cell) => ({
    kind: cell.kind,
    share: matching(cell) / rows,
    filter: filterLabel(cell.parts[0].filter),
    parts: cell.parts,
  }));
}

const TRUTHS = { search: searchTruth, filters: filterTruth };

/** Writes the exact answers of a kind into `folder` unless they are there, and returns the file. */
export function ensureTruth(kind, settings, folder, say) {
  const file = join(
    folder,
    `exact-${kind === "filters" ? "filter-cells" : kind}-${settings.rows}-${settings.queries}.json`,
  );
  if (existsSync(file)) return file;
  say(`Computing exact answers (${kind}, ${settings.rows} rows)`);
  writeFileSync(file, JSON.stringify(TRUTHS[kind](settings)));
  return file;
}
