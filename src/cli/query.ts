import type { PersistentClient } from "../client.js";
import type { Include, Where, WhereDocument } from "../types.js";
import { type Command, DATABASE_OPTION, EXIT, type Invocation, PLACE_OPTIONS, UsageError } from "./command.js";
import { oneCollection, withDatabase } from "./databases.js";
import { printable } from "./terminal.js";

const INCLUDES = ["documents", "metadatas", "distances", "embeddings", "uris"] as const;

/** Finds the nearest records. */
export const queryCommand: Command = {
  name: "query",
  summary: "find the records nearest to a vector or a text",
  details: `Reads only; another process may be writing meanwhile. A text is embedded by the collection's own embedding function, whose package
must be installed.`,
  options: {
    ...DATABASE_OPTION,
    collection: { type: "string", multiple: true, short: "c", value: "NAME", help: "the collection" },
    ...PLACE_OPTIONS,
    embedding: { type: "string", value: "JSON", help: "a vector, as [0.1, 0.2, ...]" },
    text: { type: "string", value: "TEXT", help: "a text, instead of a vector" },
    limit: { type: "string", short: "n", value: "N", help: "most results (default: 10)" },
    where: { type: "string", value: "JSON", help: 'filter on metadata, as {"kind": "metal"}' },
    "where-document": { type: "string", value: "JSON", help: 'filter on documents, as {"$contains": "steel"}' },
    include: {
      type: "string",
      multiple: true,
      value: "COLUMN",
      help: `${INCLUDES.join(", ")} (default: the first three)`,
    },
  },
  run: (invocation) => withDatabase(invocation, true, (client) => query(invocation, client)),
};

async function query({ options, terminal, signal }: Invocation, client: PersistentClient): Promise<number> {
  const embedding = options.json<number[]>("embedding");
  const text = options.text("text");
  if ((embedding === undefined) === (text === undefined)) throw new UsageError("give either --embedding or --text");
  const include = (options.list("include") ?? INCLUDES.slice(0, 3)) as Include[];
  const { id } = await oneCollection(client, options);
  const collection = await client.getCollectionById(id);
  const result = await collection.query({
    ...(embedding === undefined ? { queryTexts: [text as string] } : { queryEmbeddings: [embedding] }),
    nResults: options.count("limit") ?? 10,
    where: options.json<Where>("where"),
    whereDocument: options.json<WhereDocument>("where-document"),
    include,
    signal,
  });
  const rows = result.rows()[0] ?? [];
  if (terminal.asJson) {
    terminal.json(rows);
    return EXIT.done;
  }
  for (const { id, distance, document, metadata, uri, embedding } of rows) {
    const parts = [distance?.toPrecision(6), printable(id), document && printable(document)];
    terminal.line(parts.filter((part) => part !== undefined && part !== null).join("  "));
    for (const extra of [metadata, uri, embedding]) {
      if (extra !== undefined && extra !== null) terminal.line(`    ${printable(JSON.stringify(extra))}`);
    }
  }
  return EXIT.done;
}
