import { compactNative } from "../compaction.js";
import { type Command, DATABASE_OPTION, EXIT, type Invocation } from "./command.js";
import { COLLECTION_OPTION, chosenCollections, openRecords, shownName, withDatabase } from "./databases.js";
import { humanBytes, printable } from "./terminal.js";

interface Sizes {
  segments: { bytes: number; tombstones: number }[];
}

/** Merges segments. */
export const compactCommand: Command = {
  name: "compact",
  summary: "merge the segments of each collection into one without tombstones, with its final index",
  details: "Ctrl-C stops at once. Nothing is lost: a collection that was not finished stays as it was.",
  options: {
    ...DATABASE_OPTION,
    tenant: { type: "string", value: "NAME", help: "only this tenant" },
    database: { type: "string", value: "NAME", help: "only this database" },
    collection: COLLECTION_OPTION,
    secure: {
      type: "boolean",
      help: "write everything anew, so that nothing of deleted records is left in the folder",
    },
  },
  run: (invocation) => withDatabase(invocation, false, (client) => compact(invocation, client)),
};

async function compact(
  { options, terminal, signal }: Invocation,
  client: Parameters<typeof openRecords>[0],
): Promise<number> {
  const chosen = await chosenCollections(client, options);
  const secure = options.flag("secure");
  const compacted: { collection: string; before: Figures; after: Figures }[] = [];
  try {
    for (const [i, entry] of chosen.entries()) {
      const native = await openRecords(client, entry.id);
      const sizes = async (): Promise<Sizes> => JSON.parse(await client.handle.call("stats", () => native.stats()));
      const before = await sizes();
      const place = `${printable(entry.name)} (${i + 1} of ${chosen.length})`;
      await client.handle.call("compact", () =>
        compactNative(native, {
          secure,
          signal,
          onProgress: ({ stage, done, total }) => terminal.progress(`${stage} ${place}`, done, total),
        }),
      );
      compacted.push({ collection: shownName(entry), before: figures(before), after: figures(await sizes()) });
    }
  } finally {
    if (!terminal.asJson) {
      for (const { collection, before, after } of compacted) {
        terminal.line(`${printable(collection)}: ${shown(before)} -> ${shown(after)}`);
      }
    }
  }
  if (terminal.asJson) terminal.json({ collections: compacted });
  return EXIT.done;
}

type Figures = { segments: number; tombstones: number; bytes: number };

function figures({ segments }: Sizes): Figures {
  const sum = (of: (segment: Sizes["segments"][number]) => number): number =>
    segments.reduce((total, segment) => total + of(segment), 0);
  return { segments: segments.length, tombstones: sum((each) => each.tombstones), bytes: sum((each) => each.bytes) };
}

function shown({ segments, tombstones, bytes }: Figures): string {
  return `${segments} segments, ${tombstones} tombstones, ${humanBytes(bytes)}`;
}
