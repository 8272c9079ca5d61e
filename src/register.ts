/**
 * Answers the stock `chromadb` client in process: `import "ferrochrome/register"`, then
 * `new ChromaClient({ host: "ferrochrome.local" })` works on a folder, without a server and without a socket.
 *
 * The package `chromadb` (3.x) sends each request through the global `fetch`. This module puts a function in its place that answers
 * requests to the reserved host `ferrochrome.local`, whatever their port, through the same app as the server, and passes on all
 * others. The folder is that of the environment variable `FERROCHROME_PATH`, or `./chroma`, opened by the first request; call
 * {@link register} for another.
 *
 * @module ferrochrome/register
 */
import { ChromaClient } from "./client.js";
import { ChromaValueError } from "./errors.js";
import { type ChromaApp, createApp } from "./server/app.js";
import type { AppOptions } from "./server/options.js";

/** The host that is answered in process. The name is reserved: nothing on a network has to have it. */
export const REGISTERED_HOST = "ferrochrome.local";

/** What {@link register} answers with. */
export interface RegisterOptions extends Pick<AppOptions, "parity" | "allowReset" | "limits" | "onError"> {
  /** Folder of the database, made if it does not exist; null: in memory. Default: `FERROCHROME_PATH`, or `./chroma`. */
  path?: string | URL | null | undefined;
  /** The client whose database answers, in the place of `path`. It stays open after {@link unregister}. */
  client?: ChromaClient | undefined;
}

/** What answers the host in this process, and the `fetch` that it stands before. */
interface Registration {
  app: ChromaApp;
  client: ChromaClient;
  owned: boolean;
  original: typeof fetch;
}

/** One for the process, although the module may be loaded twice: two would stand before one another. */
const KEY = Symbol.for("ferrochrome.register");
const shared = globalThis as { [KEY]?: Registration | undefined };

/**
 * Answers requests to {@link REGISTERED_HOST} with a database, in the place of what answered them before.
 *
 * @param options - Which database, and how.
 * @throws ChromaValueError when both `path` and `client` are given, or another option is wrong.
 */
export function register(options: RegisterOptions = {}): void {
  if (options.client !== undefined && options.path !== undefined) {
    throw new ChromaValueError("Expected `path` or `client`, but got both");
  }
  const owned = options.client === undefined;
  const path = options.path === undefined ? (process.env.FERROCHROME_PATH ?? "./chroma") : options.path;
  const client = options.client ?? new ChromaClient({ path });
  const { parity, allowReset, limits, onError } = options;
  const app = createApp(client, { parity, allowReset, limits, onError, allowedHosts: [REGISTERED_HOST] });
  const before = shared[KEY];
  shared[KEY] = { app, client, owned, original: before?.original ?? globalThis.fetch };
  if (before === undefined) globalThis.fetch = answering;
  else if (before.owned) void before.client.close();
}

/**
 * Gives the host up again, restores the global `fetch`, and closes the database if {@link register} opened it.
 */
export async function unregister(): Promise<void> {
  const registration = shared[KEY];
  if (registration === undefined) return;
  shared[KEY] = undefined;
  // Somebody may have put another function before ours meanwhile, which goes on calling it.
  if (globalThis.fetch === answering) globalThis.fetch = registration.original;
  if (registration.owned) await registration.client.close();
}

/** As `fetch`, but for the reserved host. */
const answering: typeof fetch = async (input, init) => {
  const registration = shared[KEY];
  const { app } = registration ?? {};
  if (app === undefined || hostOf(input) !== REGISTERED_HOST) {
    return (registration?.original ?? originalFetch)(input, init);
  }
  const request = new Request(input, init);
  request.signal.throwIfAborted();
  const response = await app.fetch(request);
  request.signal.throwIfAborted();
  return response;
};

const originalFetch = globalThis.fetch;

function hostOf(input: string | URL | Request): string | undefined {
  const url = input instanceof Request ? input.url : String(input);
  return URL.canParse(url) ? new URL(url).hostname : undefined;
}

if (shared[KEY] === undefined) register();
