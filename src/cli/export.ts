import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { exportRecords } from "../import/record-file.js";
import { type Command, DATABASE_OPTION, EXIT, type Invocation, PLACE_OPTIONS, UsageError } from "./command.js";
import { oneCollection, withDatabase } from "./databases.js";
import { printable } from "./terminal.js";

/** Writes a collection to a file. */
export const exportCommand: Command = {
  name: "export",
  summary: "write a collection to a .jsonl file",
  details: `The first line describes the collection, each further one is a record: {"id", "embedding", "document"?, "metadata"?, "uri"?}. The
records are those of one moment; another process may be writing meanwhile. ferrochrome import reads the file.`,
  options: {
    ...DATABASE_OPTION,
    collection: { type: "string", multiple: true, short: "c", value: "NAME", help: "the collection" },
    ...PLACE_OPTIONS,
    to: { type: "string", value: "FILE", help: "the file, which must not exist; - is the standard output" },
    force: { type: "boolean", help: "replace the file if it exists" },
  },
  run: (invocation) => withDatabase(invocation, true, (client) => exportCollection(invocation, client)),
};

async function exportCollection(
  { options, terminal, signal }: Invocation,
  client: Parameters<typeof oneCollection>[0],
): Promise<number> {
  const to = options.required("to");
  const { id, name } = await oneCollection(client, options);
  const progress = (done: number, total: number): void => terminal.progress(printable(name), done, total);
  const common = { handle: client.handle, id, signal, onProgress: progress };
  if (to === "-") {
    if (terminal.asJson) throw new UsageError("--json and --to - both need the standard output");
    await exportRecords({ ...common, write: (text) => terminal.write(text) });
    return EXIT.done;
  }
  const records = await toFile(to, options.flag("force"), (write) => exportRecords({ ...common, write }));
  if (terminal.asJson) terminal.json({ collection: name, records, to });
  else terminal.line(`${records.toLocaleString("en")} records written to ${to}`);
  return EXIT.done;
}

/** Writes a file under another name first, so that there is never half of one. */
async function toFile(
  path: string,
  replace: boolean,
  fill: (write: (text: string) => Promise<void>) => Promise<number>,
): Promise<number> {
  const partial = `${path}.partial-${process.pid}`;
  // Claims the name, unless it may be replaced.
  if (!replace) await claim(path);
  const file = createWriteStream(partial, { flags: "wx" });
  const failed = new Promise<never>((_, reject) => file.once("error", reject));
  failed.catch(() => {});
  try {
    const records = await fill(async (text) => {
      if (!file.write(text)) await Promise.race([once(file, "drain"), failed]);
    });
    file.end();
    await Promise.race([once(file, "close"), failed]);
    await rename(partial, path);
    return records;
  } catch (error) {
    file.destroy();
    await rm(partial, { force: true });
    if (!replace) await rm(path, { force: true });
    throw error;
  }
}

async function claim(path: string): Promise<void> {
  const file = createWriteStream(path, { flags: "wx" });
  file.end();
  try {
    await once(file, "close");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new UsageError(`${path} exists already: choose another file, or give --force`);
  }
}
