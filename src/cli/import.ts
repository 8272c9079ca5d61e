import { stat } from "node:fs/promises";
import { PersistentClient } from "../client.js";
import { ChromaNotFoundError } from "../errors.js";
import { BATCH_ROWS } from "../files/export-file.js";
import { FILE_FORMATS } from "../files/format.js";
import { type FileColumnNames, fileSource, lineSource } from "../files/record-source.js";
import { importChroma } from "../import/import-chroma.js";
import { importRecords } from "../import/record-file.js";
import type { ImportReport } from "../import/report.js";
import { type Command, EXIT, type Invocation, UsageError } from "./command.js";
import { COLLECTION_OPTION, shownName } from "./databases.js";
import { printable, type Terminal } from "./terminal.js";

/** Problems that are printed; --json has more. */
const PRINTED_PROBLEMS = 20;

/** Imports from Chroma, or from a file. */
export const importCommand: Command = {
  name: "import",
  summary: "import from a directory of Chroma, a running Chroma server, or a file",
  details: `--from is a directory that Chroma 0.4 to 1.5 wrote (it holds chroma.sqlite3), the URL of a running server, a file that ferrochrome export
or another program wrote (lines of JSON, Arrow, Parquet), or - for lines on the standard input. The source is never changed. Damaged records are left out and
reported; then the exit code is ${EXIT.incomplete}. Ctrl-C stops after the batch that is being written; --existing merge goes on from there.`,
  options: {
    from: { type: "string", value: "SOURCE", help: "directory, URL or file" },
    to: {
      type: "string",
      value: "DIR",
      help: "folder of the database, made if it does not exist",
      env: "FERROCHROME_PATH",
    },
    collection: { ...COLLECTION_OPTION, help: "only this collection; of a file: the name to give it" },
    tenant: { type: "string", value: "NAME", help: "only this tenant; of a server: default_tenant" },
    database: { type: "string", value: "NAME", help: "only this database" },
    format: { type: "string", value: "FORMAT", help: `${FILE_FORMATS.join(", ")} (default: by the file's content)` },
    columns: {
      type: "string",
      value: "JSON",
      help: 'names of an Arrow or Parquet file: {"id", "embedding", "document", "uri", "metadata", "ignore": [...]}',
    },
    existing: { type: "string", value: "HOW", help: "collections that are there: refuse (default), skip, merge" },
    token: {
      type: "string",
      value: "TOKEN",
      help: "sent to a server as x-chroma-token",
      env: "FERROCHROME_SOURCE_TOKEN",
    },
    header: { type: "string", multiple: true, value: "NAME:VALUE", help: "sent to a server; may be repeated" },
  },
  async run(invocation) {
    const from = invocation.options.required("from");
    const to = invocation.options.required("to");
    return (await isFile(from)) ? fromFile(invocation, from, to) : fromChroma(invocation, from, to);
  },
};

async function isFile(from: string): Promise<boolean> {
  if (from === "-") return true;
  if (/^https?:/i.test(from)) return false;
  const found = await stat(from).catch(() => undefined);
  if (found === undefined) throw new ChromaNotFoundError(`${from} does not exist`);
  return found.isFile();
}

const EXISTING = ["refuse", "skip", "merge"] as const;

async function fromChroma({ options, terminal, signal }: Invocation, from: string, to: string): Promise<number> {
  const report = await importChroma({
    from,
    to,
    collections: options.list("collection"),
    tenant: options.text("tenant"),
    database: options.text("database"),
    existing: options.choice("existing", EXISTING),
    headers: headersOf(options.texts("header"), options.text("token")),
    signal,
    onProgress: ({ collection, done, total }) => terminal.progress(printable(collection), done, total),
  });
  if (terminal.asJson) terminal.json(report);
  else print(terminal, report, to);
  return Object.keys(report.problemCounts).length === 0 ? EXIT.done : EXIT.incomplete;
}

function headersOf(lines: string[] | undefined, token: string | undefined): Record<string, string> {
  const headers: Record<string, string> = token === undefined ? {} : { "x-chroma-token": token };
  for (const line of lines ?? []) {
    const at = line.indexOf(":");
    if (at < 1) throw new UsageError(`--header needs NAME:VALUE, but got ${JSON.stringify(line)}`);
    headers[line.slice(0, at).trim()] = line.slice(at + 1).trim();
  }
  return headers;
}

function print(terminal: Terminal, report: ImportReport, to: string): void {
  terminal.table(
    ["collection", "records", "imported", "existing", "left out"],
    report.collections.map((each) => [
      `${printable(shownName(each))}${each.skipped ? " (skipped)" : ""}`,
      each.records,
      each.imported,
      each.existing,
      each.leftOut,
    ]),
  );
  terminal.line();
  terminal.line(`${report.imported.toLocaleString("en")} records imported to ${to} in ${report.seconds.toFixed(1)} s`);
  const total = Object.values(report.problemCounts).reduce((sum, count) => sum + count, 0);
  if (total === 0) return;
  terminal.line();
  for (const [kind, count] of Object.entries(report.problemCounts))
    terminal.line(`${kind}: ${count.toLocaleString("en")}`);
  for (const { kind, tenant, database, collection, id, message } of report.problems.slice(0, PRINTED_PROBLEMS)) {
    const where =
      shownName({ tenant, database, name: collection }) + (id === undefined ? "" : ` ${JSON.stringify(id)}`);
    terminal.note(`${kind}  ${printable(where)}: ${printable(message)}`);
  }
  if (total > PRINTED_PROBLEMS)
    terminal.note(`... and ${total - PRINTED_PROBLEMS} more; --json lists 1,000 of each collection`);
}

async function fromFile({ options, terminal, signal }: Invocation, from: string, to: string): Promise<number> {
  const names = options.list("collection");
  if (names !== undefined && names.length > 1) throw new UsageError("a file is one collection: give one --collection");
  const client = new PersistentClient({ path: to });
  try {
    const format = options.choice("format", FILE_FORMATS);
    const columns = options.json<FileColumnNames>("columns");
    const source = from === "-" ? await lineSource(process.stdin) : await fileSource(from, format, columns, BATCH_ROWS);
    const imported = await importRecords({
      handle: client.handle,
      source,
      place: {
        ...(names?.[0] === undefined ? {} : { name: names[0] }),
        ...placeOf(options.text("tenant"), options.text("database")),
      },
      existing: options.choice("existing", EXISTING) ?? "refuse",
      signal,
      onProgress: (done, total) => terminal.progress(from, done, total ?? done),
    });
    if (!terminal.asJson)
      for (const problem of imported.problems) terminal.note(`invalid-setting  ${printable(problem)}`);
    if (terminal.asJson) terminal.json(imported);
    else if (imported.skipped) terminal.line(`${printable(shownName(imported))} is there already; skipped`);
    else
      terminal.line(
        `${imported.imported.toLocaleString("en")} records imported to ${printable(shownName(imported))} in ${to}`,
      );
    return imported.problems.length === 0 ? EXIT.done : EXIT.incomplete;
  } finally {
    await client.close();
  }
}

function placeOf(tenant: string | undefined, database: string | undefined): { tenant?: string; database?: string } {
  return { ...(tenant === undefined ? {} : { tenant }), ...(database === undefined ? {} : { database }) };
}
