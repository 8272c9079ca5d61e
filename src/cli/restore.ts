import { restoreSnapshot } from "../snapshot.js";
import { type Command, DATABASE_OPTION, EXIT } from "./command.js";
import { humanBytes, printable } from "./terminal.js";

/** Makes a database of a snapshot. */
export const restoreCommand: Command = {
  name: "restore",
  summary: "make a database of a snapshot, and compare every byte with its checksum",
  details: `The snapshot stays as it is. Ends with exit code ${EXIT.damaged} where it is damaged; the database is then as it was.`,
  options: {
    from: { type: "string", value: "DIR", help: "folder of the snapshot" },
    ...DATABASE_OPTION,
    replace: { type: "boolean", help: "take the place of the database that is there; nobody may have it open" },
  },
  async run({ options, terminal, signal }) {
    const path = options.required("path");
    const done = await restoreSnapshot(options.required("from"), path, {
      replace: options.flag("replace"),
      signal,
      onProgress: ({ segments, total }) => terminal.progress("segments", segments, total),
    });
    if (terminal.asJson) terminal.json({ path, ...done });
    else terminal.line(`${printable(path)}: ${done.segments} segments, ${humanBytes(done.bytes)}`);
    return EXIT.done;
  },
};
