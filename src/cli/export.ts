import { ChromaUniqueError } from "../errors.js";
import { exportFile, exportLines, type FileExportReport } from "../files/export-file.js";
import { FILE_FORMATS, type FileCompression } from "../files/format.js";
import { type Command, DATABASE_OPTION, EXIT, type Invocation, PLACE_OPTIONS, UsageError } from "./command.js";
import { oneCollection, withDatabase } from "./databases.js";
import { printable } from "./terminal.js";

const COMPRESSION_CHOICES: FileCompression[] = ["none", "lz4", "zstd", "snappy"];

/** Writes a collection to a file. */
export const exportCommand: Command = {
  name: "export",
  summary: "write a collection to a file of lines of JSON, an Arrow or a Parquet file",
  details: `The file's name says the format: .jsonl, .arrow or .parquet. Of lines, the first describes the collection, each further one is a
record: {"id", "embedding", "document"?, "metadata"?, "uri"?}; the other files have a column for each of these and for each metadata key. The
records are those of one moment; another process may be writing meanwhile. ferrochrome import reads the file.`,
  options: {
    ...DATABASE_OPTION,
    collection: { type: "string", multiple: true, short: "c", value: "NAME", help: "the collection" },
    ...PLACE_OPTIONS,
    to: { type: "string", value: "FILE", help: "the file, which must not exist; - is the standard output, for lines" },
    format: { type: "string", value: "FORMAT", help: `${FILE_FORMATS.join(", ")} (default: by the file's name)` },
    compression: { type: "string", value: "HOW", help: "none; lz4 for Arrow, snappy for Parquet, zstd for both" },
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
  const collection = { handle: client.handle, id };
  const onProgress = ({ done, total }: { done: number; total: number | undefined }): void =>
    terminal.progress(printable(name), done, total ?? done);
  const format = options.choice("format", FILE_FORMATS);
  const compression = options.choice("compression", COMPRESSION_CHOICES);
  if (to === "-") {
    if (terminal.asJson) throw new UsageError("--json and --to - both need the standard output");
    if ((format ?? "jsonl") !== "jsonl") throw new UsageError("--to - writes lines of JSON: give a file for others");
    await exportLines(collection, (text) => terminal.write(text), { signal, onProgress });
    return EXIT.done;
  }
  const overwrite = options.flag("force");
  const written = await exportFile(collection, to, { format, compression, overwrite, signal, onProgress }).catch(
    (error): FileExportReport => {
      if (!(error instanceof ChromaUniqueError)) throw error;
      throw new UsageError(`${to} exists already: choose another file, or give --force`);
    },
  );
  const { records, bytes } = written;
  if (terminal.asJson) terminal.json({ collection: name, records, bytes, to });
  else terminal.line(`${records.toLocaleString("en")} records written to ${to}`);
  return EXIT.done;
}
