import { type Command, DATABASE_OPTION, EXIT } from "./command.js";
import { withDatabase } from "./databases.js";
import { humanBytes, printable } from "./terminal.js";

/** Copies a database while it may be in use. */
export const snapshotCommand: Command = {
  name: "snapshot",
  summary: "make a consistent copy of a database, which another process may be writing to",
  details:
    "The copy is a database itself. Files are linked where both folders are on one file system, so that it takes hardly any space.",
  options: {
    ...DATABASE_OPTION,
    to: { type: "string", value: "DIR", help: "folder of the copy, empty or missing" },
  },
  run: (invocation) =>
    withDatabase(invocation, true, async (client) => {
      const { options, terminal, signal } = invocation;
      const to = options.required("to");
      const done = await client.snapshot(to, {
        signal,
        onProgress: ({ segments, total }) => terminal.progress("segments", segments, total),
      });
      if (terminal.asJson) terminal.json({ to, ...done });
      else terminal.line(`${printable(to)}: ${done.segments} segments, ${humanBytes(done.bytes)}`);
      return EXIT.done;
    }),
};
