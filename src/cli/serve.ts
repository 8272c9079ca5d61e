import { resolvePath } from "../database.js";
import { type Command, DATABASE_OPTION, EXIT, type Invocation, UsageError } from "./command.js";

const PARITIES = ["extended", "chroma-1.5"] as const;
const DURABILITIES = ["normal", "full"] as const;

/** Serves Chroma's HTTP API until Ctrl-C. */
export const serveCommand: Command = {
  name: "serve",
  summary: "serve Chroma's HTTP API, for Chroma's clients",
  details: `Listens on 127.0.0.1 unless --host says otherwise; other addresses need a --token or --basic. Ctrl-C ends the requests under way and closes
the database. Credentials are better given in the environment, where other users of the machine do not see them.`,
  options: {
    ...DATABASE_OPTION,
    "in-memory": { type: "boolean", help: "serve an empty database in memory instead of --path" },
    host: {
      type: "string",
      value: "HOST",
      help: "name or address to listen on (default: 127.0.0.1)",
      env: "FERROCHROME_HOST",
    },
    port: { type: "string", value: "PORT", help: "port, 0 for any (default: 8000)", env: "FERROCHROME_PORT" },
    token: {
      type: "string",
      multiple: true,
      value: "TOKEN",
      help: "token that requests must bring; may be repeated",
      env: "FERROCHROME_TOKEN",
    },
    basic: {
      type: "string",
      multiple: true,
      value: "NAME:PASSWORD",
      help: "credentials that requests may bring instead",
      env: "FERROCHROME_BASIC",
    },
    "allow-unauthenticated": {
      type: "boolean",
      help: "listen on any address without credentials",
      env: "FERROCHROME_ALLOW_UNAUTHENTICATED",
    },
    "allow-reset": {
      type: "boolean",
      help: "let clients delete everything by reset()",
      env: "FERROCHROME_ALLOW_RESET",
    },
    parity: {
      type: "string",
      value: "HOW",
      help: `${PARITIES.join(" (default) or ")}: refuse what local Chroma refuses`,
      env: "FERROCHROME_PARITY",
    },
    cors: {
      type: "string",
      multiple: true,
      value: "ORIGIN",
      help: "origin of web pages that may ask; may be repeated",
      env: "FERROCHROME_CORS",
    },
    "allowed-host": {
      type: "string",
      multiple: true,
      value: "NAME",
      help: "further name by which requests may ask for the server",
      env: "FERROCHROME_ALLOWED_HOST",
    },
    durability: {
      type: "string",
      value: "HOW",
      help: `${DURABILITIES.join(" (default) or ")}`,
      env: "FERROCHROME_DURABILITY",
    },
  },
  run: serveUntilStopped,
};

async function serveUntilStopped({ options, terminal, signal }: Invocation): Promise<number> {
  const inMemory = options.flag("in-memory");
  if (inMemory && options.text("path") !== undefined) throw new UsageError("give either --path or --in-memory");
  // Here, so that other commands need not wait for what a server needs.
  const { serve } = await import("../server/serve.js");
  const server = await serve({
    path: inMemory ? null : resolvePath(options.required("path")),
    databaseOptions: { durability: options.choice("durability", DURABILITIES) },
    host: options.text("host"),
    port: options.count("port"),
    tokens: options.texts("token"),
    basic: options.texts("basic")?.map(basicOf),
    allowUnauthenticated: options.flag("allow-unauthenticated"),
    allowReset: options.flag("allow-reset"),
    parity: options.choice("parity", PARITIES),
    cors: options.list("cors"),
    allowedHosts: options.list("allowed-host"),
    onError: (error, traceId) =>
      terminal.note(`${traceId}  ${error instanceof Error ? (error.stack ?? error.message) : error}`),
  });
  if (terminal.asJson) terminal.json({ url: server.url, host: server.host, port: server.port });
  else terminal.line(`Chroma's API at ${server.url}. Ctrl-C stops`);
  if (!signal.aborted) await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
  await server.close();
  return EXIT.done;
}

function basicOf(text: string): { username: string; password: string } {
  const at = text.indexOf(":");
  if (at < 1) throw new UsageError("--basic needs NAME:PASSWORD");
  return { username: text.slice(0, at), password: text.slice(at + 1) };
}
