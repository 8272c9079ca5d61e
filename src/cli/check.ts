import { DatabaseCorruptedError } from "../errors.js";
import { type Command, DATABASE_OPTION, EXIT, type Invocation } from "./command.js";
import { COLLECTION_OPTION, chosenCollections, openRecords, shownName, withDatabase } from "./databases.js";
import { humanBytes, printable } from "./terminal.js";

interface Finding {
  collection: string;
  segments: number;
  bytes: number;
  damage: string[];
}

/** Verifies files. */
export const checkCommand: Command = {
  name: "check",
  summary: "compare every block of every file with its checksum",
  details: `Reads only; another process may be writing meanwhile. Ends with exit code ${EXIT.damaged} where something is damaged.`,
  options: {
    ...DATABASE_OPTION,
    tenant: { type: "string", value: "NAME", help: "only this tenant" },
    database: { type: "string", value: "NAME", help: "only this database" },
    collection: COLLECTION_OPTION,
  },
  run: (invocation) => withDatabase(invocation, true, (client) => check(invocation, client)),
};

async function check(
  { options, terminal, signal }: Invocation,
  client: Parameters<typeof openRecords>[0],
): Promise<number> {
  const chosen = await chosenCollections(client, options);
  const findings: Finding[] = [];
  for (const [i, entry] of chosen.entries()) {
    signal.throwIfAborted();
    terminal.progress(printable(entry.name), i, chosen.length);
    const finding: Finding = { collection: shownName(entry), segments: 0, bytes: 0, damage: [] };
    findings.push(finding);
    try {
      const native = await openRecords(client, entry.id);
      const segments: { bytes: number; damage: string | null }[] = JSON.parse(
        await client.handle.call("check", () => native.verify()),
      );
      finding.segments = segments.length;
      finding.bytes = segments.reduce((sum, { bytes }) => sum + bytes, 0);
      finding.damage = segments.flatMap(({ damage }) => damage ?? []);
    } catch (error) {
      // A collection that does not open does not keep the others from being checked.
      if (!(error instanceof DatabaseCorruptedError)) throw error;
      finding.damage.push(error.message);
    }
  }
  const isWhole = findings.every(({ damage }) => damage.length === 0);
  if (terminal.asJson) terminal.json({ ok: isWhole, collections: findings });
  else {
    for (const { collection, segments, bytes, damage } of findings) {
      const figures = `${segments} segments, ${humanBytes(bytes)}`;
      terminal.line(`${printable(collection)}: ${damage.length === 0 ? "ok" : "DAMAGED"} (${figures})`);
      for (const message of damage) terminal.line(`  ${printable(message)}`);
    }
  }
  return isWhole ? EXIT.done : EXIT.damaged;
}
