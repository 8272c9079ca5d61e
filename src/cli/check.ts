import { stat } from "node:fs/promises";
import { resolvePath } from "../database.js";
import { ChromaNotFoundError } from "../errors.js";
import { type CheckedSegment, checkDatabase, type Finding } from "../repair.js";
import { type Command, DATABASE_OPTION, EXIT, type Invocation } from "./command.js";
import { COLLECTION_OPTION, shownName } from "./databases.js";
import { humanBytes, printable } from "./terminal.js";

/** Verifies files. */
export const checkCommand: Command = {
  name: "check",
  summary: "compare every block of every file with its checksum, and the files with one another",
  details: `Reads only; another process may be writing meanwhile. Ends with exit code ${EXIT.damaged} where something is damaged.`,
  options: {
    ...DATABASE_OPTION,
    tenant: { type: "string", value: "NAME", help: "only this tenant" },
    database: { type: "string", value: "NAME", help: "only this database" },
    collection: COLLECTION_OPTION,
  },
  run: check,
};

async function check({ options, terminal, signal }: Invocation): Promise<number> {
  const path = resolvePath(options.required("path"));
  const exists = await stat(path).catch(() => undefined);
  if (exists === undefined) throw new ChromaNotFoundError(`${path} does not exist`);
  const report = await checkDatabase(path, {
    signal,
    onProgress: ({ rows, total }) => terminal.progress("rows", rows, total),
  });
  const [tenant, database, names] = [options.text("tenant"), options.text("database"), options.list("collection")];
  const chosen = report.collections.filter(
    (each) =>
      (tenant ?? each.tenant) === each.tenant &&
      (database ?? each.database) === each.database &&
      (names?.includes(each.name) ?? true),
  );
  const missing = names?.filter((name) => !chosen.some((each) => each.name === name)) ?? [];
  if (missing.length > 0 && report.catalog.length === 0)
    throw new ChromaNotFoundError(`There is no collection ${missing.join(", ")}`);
  const findings = chosen.map((each) => described(shownName(each), each.segments, each.findings));
  if (report.catalog.length > 0)
    findings.push(described("the catalog and all segments", report.segments, report.catalog));
  const isWhole = findings.every(({ damage }) => damage.length === 0);
  if (terminal.asJson) terminal.json({ ok: isWhole, collections: findings, garbage: report.garbage });
  else {
    for (const { collection, segments, bytes, damage } of findings) {
      const figures = `${segments} segments, ${humanBytes(bytes)}`;
      terminal.line(`${printable(collection)}: ${damage.length === 0 ? "ok" : "DAMAGED"} (${figures})`);
      for (const message of damage) terminal.line(`  ${printable(message)}`);
    }
    for (const { folder } of report.garbage) terminal.line(`segments/${printable(folder)} belongs to nothing`);
    if (!isWhole) terminal.note("ferrochrome repair --dry-run tells what can be saved");
  }
  return isWhole ? EXIT.done : EXIT.damaged;
}

function described(collection: string, segments: CheckedSegment[], findings: Finding[]) {
  return {
    collection,
    segments: segments.length,
    bytes: segments.reduce((sum, { bytes }) => sum + bytes, 0),
    damage: [...findings, ...segments.flatMap((segment) => segment.findings)].map(({ message }) => message),
  };
}
