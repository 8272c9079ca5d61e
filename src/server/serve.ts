import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { ChromaClient } from "../client.js";
import type { DatabaseOptions } from "../database.js";
import { ChromaValueError } from "../errors.js";
import { buildApp } from "./app.js";
import { hostName } from "./hosts.js";
import { type AppOptions, isLoopback, readAppOptions } from "./options.js";

/** How long a server waits, in milliseconds. */
export interface ServerTimeouts {
  /** For the headers of a request. Default 20,000. */
  headers?: number | undefined;
  /** For a whole request. Default 300,000. */
  request?: number | undefined;
  /** For anything to move on a connection, also while a reply is being worked out or read. Default 600,000. */
  idle?: number | undefined;
  /** For the next request on a connection. Default 65,000. */
  keepAlive?: number | undefined;
  /** For requests that are under way when the server closes; then they are cut off. Default 10,000. */
  close?: number | undefined;
}

/** Where {@link serve} listens and what it serves. */
export interface ServeOptions extends AppOptions {
  /** Folder of the database, made if it does not exist; null: in memory. It is closed with the server. Either this or `client`. */
  path?: string | URL | null | undefined;
  /** How the database of `path` is opened. */
  databaseOptions?: DatabaseOptions | undefined;
  /** The client whose database is served. It stays open when the server closes. Either this or `path`. */
  client?: ChromaClient | undefined;
  /** Name or address to listen on. Default `127.0.0.1`, which only programs on this machine can reach. */
  host?: string | undefined;
  /** Port to listen on; 0 is any free one. Default 8000. */
  port?: number | undefined;
  /**
   * Whether to listen on an address that other machines can reach although no credentials are asked for. Default false: that is
   * refused.
   */
  allowUnauthenticated?: boolean | undefined;
  /** How long the server waits for clients. */
  timeouts?: ServerTimeouts | undefined;
  /** Most connections at once; further ones are closed at once. Default 1,024. */
  maxConnections?: number | undefined;
}

/** A server that listens. */
export interface ChromaServer {
  /** Where it listens, such as `http://127.0.0.1:8000`. */
  readonly url: string;
  /** Name or address that it listens on. */
  readonly host: string;
  /** Port that it listens on. */
  readonly port: number;
  /**
   * Takes no more requests, waits for those under way, and closes the database if the server opened it. Further calls wait for the
   * same.
   */
  close(): Promise<void>;
  /** As {@link ChromaServer.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

const DEFAULT_TIMEOUTS = { headers: 20_000, request: 300_000, idle: 600_000, keepAlive: 65_000, close: 10_000 };

/**
 * Serves Chroma's HTTP API over Node's own HTTP server.
 *
 * @param options - What to serve, where, and to whom.
 * @returns The server, once it listens and the database is open.
 * @throws ChromaValueError for an option that is wrong, or for an address that other machines can reach without credentials; whatever
 * opening the database throws; Node's error if it cannot listen.
 *
 * @example
 * ```ts
 * await using server = await serve({ path: "./my-db", port: 8000 });
 * console.log(`Chroma's API at ${server.url}`);
 * ```
 */
export async function serve(options: ServeOptions): Promise<ChromaServer> {
  const { host = "127.0.0.1", port = 8000, maxConnections = 1024 } = options;
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new ChromaValueError(`Expected 'port' to be an integer from 0 to 65535, but got ${String(port)}`);
  }
  if (typeof host !== "string" || host === "") {
    throw new ChromaValueError("Expected 'host' to be a name or an address");
  }
  const settings = readAppOptions(options);
  const guarded = settings.credentials.length > 0;
  if (!isLoopback(host) && !guarded && options.allowUnauthenticated !== true) {
    throw new ChromaValueError(
      `Other machines can reach '${host}', and whoever reaches the server may read and delete everything: set tokens or basic credentials, listen on 127.0.0.1, or say 'allowUnauthenticated: true'`,
    );
  }
  // Who has credentials to show is no page that a name was pointed at this machine for.
  if (options.allowedHosts === undefined && guarded && !isLoopback(host)) settings.allowedHosts = null;
  settings.allowedHosts?.add(hostName(host));
  const timeouts = readTimeouts(options.timeouts ?? {});

  const owned = options.client === undefined;
  const client = options.client ?? openClient(options);
  await client.handle.open();
  const server = createServer(
    {
      headersTimeout: timeouts.headers,
      requestTimeout: timeouts.request,
      keepAliveTimeout: timeouts.keepAlive,
      connectionsCheckingInterval: Math.min(5_000, Math.max(50, timeouts.headers / 4)),
    },
    getRequestListener(buildApp(client, settings).fetch as never, { overrideGlobalObjects: false }),
  );
  server.timeout = timeouts.idle;
  server.maxConnections = maxConnections;
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, host, resolve);
    });
  } catch (error) {
    if (owned) await client.close();
    throw error;
  }

  const stop = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    // A connection that was busy a moment ago would otherwise be kept for its client's next request.
    const sweep = setInterval(() => server.closeIdleConnections(), 20);
    const cutOff = setTimeout(() => server.closeAllConnections(), timeouts.close);
    await closed;
    clearInterval(sweep);
    clearTimeout(cutOff);
    if (owned) await client.close();
  };
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= stop();
    return closing;
  };
  const address = server.address() as AddressInfo;
  const urlHost = host.includes(":") ? `[${host}]` : host;
  return {
    url: `http://${urlHost}:${address.port}`,
    host,
    port: address.port,
    close,
    [Symbol.asyncDispose]: close,
  };
}

function openClient({ path, databaseOptions }: ServeOptions): ChromaClient {
  if (path === undefined) {
    throw new ChromaValueError("Expected `path`, the folder of a database, null for one in memory, or `client`");
  }
  return new ChromaClient({ ...databaseOptions, path });
}

function readTimeouts(given: ServerTimeouts): typeof DEFAULT_TIMEOUTS {
  const timeouts = { ...DEFAULT_TIMEOUTS };
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(timeouts, name)) {
      const known = Object.keys(timeouts).join(", ");
      throw new ChromaValueError(`Unknown timeout '${name}', expected one of ${known}`);
    }
    if (value === undefined) continue;
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new ChromaValueError(
        `Expected 'timeouts.${name}' to be a positive number of milliseconds, but got ${String(value)}`,
      );
    }
    timeouts[name as keyof ServerTimeouts] = value;
  }
  return timeouts;
}
