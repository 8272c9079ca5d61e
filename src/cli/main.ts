#!/usr/bin/env node
/** The program `ferrochrome`: finds the command, runs it, and turns its outcome into an exit code. */
import {
  BindingLoadError,
  ChromaClientError,
  ChromaNotFoundError,
  ChromaUniqueError,
  ChromaValueError,
  DatabaseCorruptedError,
  DatabaseLockedError,
  UntrustedFileError,
} from "../errors.js";
import { checkCommand } from "./check.js";
import { type Command, EXIT, helpOf, readOptions, UsageError } from "./command.js";
import { compactCommand } from "./compact.js";
import { exportCommand } from "./export.js";
import { importCommand } from "./import.js";
import { inspectCommand } from "./inspect.js";
import { queryCommand } from "./query.js";
import { repairCommand } from "./repair.js";
import { restoreCommand } from "./restore.js";
import { serveCommand } from "./serve.js";
import { snapshotCommand } from "./snapshot.js";
import { Terminal } from "./terminal.js";
import { versionCommand } from "./version.js";

const COMMANDS: Command[] = [
  serveCommand,
  importCommand,
  exportCommand,
  inspectCommand,
  queryCommand,
  compactCommand,
  checkCommand,
  repairCommand,
  snapshotCommand,
  restoreCommand,
  versionCommand,
];

function help(): string {
  const width = Math.max(...COMMANDS.map(({ name }) => name.length));
  return [
    "Usage: ferrochrome <command> [options]",
    "",
    ...COMMANDS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    "",
    "ferrochrome <command> --help says more.",
    "",
  ].join("\n");
}

/** The exit code of a failure. */
function exitCode(error: unknown): number {
  if (error instanceof UsageError || error instanceof ChromaValueError) return EXIT.usage;
  if (error instanceof ChromaClientError || error instanceof ChromaUniqueError) return EXIT.usage;
  if (error instanceof ChromaNotFoundError) return EXIT.notFound;
  if (error instanceof DatabaseLockedError) return EXIT.locked;
  if (error instanceof DatabaseCorruptedError || error instanceof UntrustedFileError) return EXIT.damaged;
  return EXIT.failed;
}

/** What is said of a failure: its sentence, and for what is not expected where it came from. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // The message of these is for compatibility; their cause says what is missing or there.
  const cause = error.cause as { message?: unknown } | undefined;
  const isGeneral = error instanceof ChromaNotFoundError || error instanceof ChromaUniqueError;
  if (isGeneral && typeof cause?.message === "string") return cause.message;
  const isBug = error.constructor === TypeError || error.constructor === RangeError || error instanceof ReferenceError;
  return isBug && !(error instanceof BindingLoadError) ? (error.stack ?? error.message) : error.message;
}

async function main(args: string[]): Promise<number> {
  const [name, ...rest] = args;
  const terminal = new Terminal(process.stdout, process.stderr, rest.includes("--json"));
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    terminal.line(help().trimEnd());
    return name === undefined ? EXIT.usage : EXIT.done;
  }
  const command = name === "--version" || name === "-v" ? versionCommand : COMMANDS.find((each) => each.name === name);
  if (command === undefined) {
    terminal.note(`ferrochrome has no command '${name}'. ferrochrome --help lists them`);
    return EXIT.usage;
  }
  if (rest.includes("--help") || rest.includes("-h")) {
    terminal.line(helpOf(command).trimEnd());
    return EXIT.done;
  }
  const interruption = new AbortController();
  const interrupt = (): void => {
    // What is written in one piece is whole or not there, so the second time nothing need be waited for.
    if (interruption.signal.aborted) process.exit(EXIT.interrupted);
    terminal.note("Stopping: what was begun is completed, or undone, first. Again to stop at once");
    interruption.abort(new Error("interrupted"));
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  try {
    const options = readOptions(command, rest, process.env);
    const code = await command.run({ options, terminal, signal: interruption.signal });
    // A server is meant to run until it is stopped.
    const isStopped = interruption.signal.aborted && code === EXIT.done && command !== serveCommand;
    return isStopped ? EXIT.interrupted : code;
  } catch (error) {
    if (interruption.signal.aborted && error === interruption.signal.reason) {
      terminal.note("Stopped");
      return EXIT.interrupted;
    }
    const code = exitCode(error);
    if (terminal.asJson) terminal.json({ error: { name: (error as Error).name, message: describe(error) } });
    terminal.note(`ferrochrome ${command.name}: ${describe(error)}`);
    if (error instanceof UsageError) terminal.note(`ferrochrome ${command.name} --help lists the options`);
    return code;
  } finally {
    terminal.clear();
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}

// A reader that has seen enough, such as `head`, ends the program as it ends others.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  process.exit(error.code === "EPIPE" ? EXIT.done : EXIT.failed);
});
process.exitCode = await main(process.argv.slice(2));
