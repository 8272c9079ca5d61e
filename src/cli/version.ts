import { buildInfo } from "../native.js";
import { type Command, EXIT } from "./command.js";

/** Says which version this is. */
export const versionCommand: Command = {
  name: "version",
  summary: "print the version, the platform and the instruction set in use",
  options: {},
  async run({ terminal }) {
    const { version, target, isa } = buildInfo();
    if (terminal.asJson) terminal.json({ version, target, isa, node: process.version });
    else terminal.line(`ferrochrome ${version} (${target}, ${isa}, Node ${process.version})`);
    return EXIT.done;
  },
};
