import { type Command, DATABASE_OPTION, EXIT, type Invocation } from "./command.js";
import {
  type CatalogEntry,
  COLLECTION_OPTION,
  chosenCollections,
  openRecords,
  shownName,
  withDatabase,
} from "./databases.js";
import { humanBytes, printable, type Terminal } from "./terminal.js";

interface SegmentStats {
  id: string;
  rows: number;
  tombstones: number;
  bytes: number;
  index: {
    metric: string;
    quantization: string;
    rescoreDepth: number;
    recall: number | null;
    graph: { m: number; efConstruction: number; topLevel: number } | null;
  } | null;
}

interface CollectionStats {
  records: number;
  dimension: number | null;
  head: { records: number; bytes: number };
  segments: SegmentStats[];
}

/** Says what a database consists of. */
export const inspectCommand: Command = {
  name: "inspect",
  summary: "list collections, segments, sizes, tombstones and index parameters",
  details: "Reads only; another process may be writing meanwhile.",
  options: {
    ...DATABASE_OPTION,
    tenant: { type: "string", value: "NAME", help: "only this tenant" },
    database: { type: "string", value: "NAME", help: "only this database" },
    collection: COLLECTION_OPTION,
  },
  run: (invocation) => withDatabase(invocation, true, (client) => inspect(invocation, client)),
};

async function inspect(
  { options, terminal, signal }: Invocation,
  client: Parameters<typeof openRecords>[0],
): Promise<number> {
  const inspected: { entry: CatalogEntry; stats: CollectionStats }[] = [];
  for (const entry of await chosenCollections(client, options)) {
    signal.throwIfAborted();
    const native = await openRecords(client, entry.id);
    inspected.push({ entry, stats: JSON.parse(await client.handle.call("stats", () => native.stats())) });
  }
  if (terminal.asJson) {
    terminal.json({
      path: client.handle.path,
      collections: inspected.map(({ entry, stats }) => ({
        tenant: entry.tenant,
        database: entry.database,
        name: entry.name,
        id: entry.id,
        metadata: entry.metadata,
        configuration: entry.configuration_json,
        ...stats,
      })),
    });
    return EXIT.done;
  }
  print(terminal, inspected);
  return EXIT.done;
}

function print(terminal: Terminal, inspected: { entry: CatalogEntry; stats: CollectionStats }[]): void {
  terminal.table(
    ["collection", "space", "dim", "records", "in head", "segments", "tombstones", "size"],
    inspected.map(({ entry, stats }) => [
      printable(shownName(entry)),
      entry.configuration_json.hnsw?.space ?? "l2",
      stats.dimension ?? "-",
      stats.records,
      stats.head.records,
      stats.segments.length,
      stats.segments.reduce((sum, { tombstones }) => sum + tombstones, 0),
      humanBytes(stats.segments.reduce((sum, { bytes }) => sum + bytes, 0)),
    ]),
  );
  for (const { entry, stats } of inspected) {
    const {
      max_neighbors: m,
      ef_construction: efConstruction,
      ef_search: efSearch,
    } = entry.configuration_json.hnsw ?? {};
    terminal.line();
    terminal.line(`${printable(shownName(entry))}  ${entry.id}`);
    terminal.line(`max_neighbors ${m}, ef_construction ${efConstruction}, ef_search ${efSearch}`);
    if (stats.segments.length === 0) continue;
    terminal.table(
      ["segment", "rows", "tombstones", "size", "codes", "rescored", "recall", "graph"],
      stats.segments.map(({ id, rows, tombstones, bytes, index }) => [
        id,
        rows,
        tombstones,
        humanBytes(bytes),
        index?.quantization ?? "-",
        index?.rescoreDepth ?? "-",
        index?.recall?.toFixed(3) ?? "-",
        index?.graph ? `m ${index.graph.m}, ef ${index.graph.efConstruction}` : "-",
      ]),
    );
  }
}
