/** From the arguments of a client to its database. */
import type { Connection } from "./connection.js";
import { DatabaseHandle, type DatabaseOptions, databaseOptionNames } from "./database.js";
import { ChromaValueError } from "./errors.js";
import { LocalConnection } from "./local-connection.js";
import { endpointOf, isServerUrl, type ServerArgs } from "./remote/endpoint.js";
import { RemoteConnection } from "./remote/remote-connection.js";

/** What a client is told of its database. */
export interface ConnectArgs extends DatabaseOptions, ServerArgs {
  /** Folder, URL of a server, or null for memory. */
  path?: string | URL | null | undefined;
}

/**
 * The database that a client asks for: a folder, memory, or a server.
 *
 * @throws ChromaValueError when an option is not valid, or is for local databases only and a server is asked for.
 */
export function connect(args: ConnectArgs): Connection {
  const { path, host, port, ssl } = args;
  if (path === undefined || isServerUrl(path)) return connectToServer(args, path);
  if (host !== undefined || port !== undefined || ssl !== undefined) {
    throw new ChromaValueError(
      "Give either `path`, the folder of a local database, or the `host`, `port` and `ssl` of a server, not both",
    );
  }
  return new LocalConnection(new DatabaseHandle(path, args));
}

function connectToServer(args: ConnectArgs, url: string | URL | undefined): Connection {
  const endpoint = endpointOf(args, url);
  const local = databaseOptionNames.find((name) => args[name] !== undefined);
  if (local !== undefined) {
    throw new ChromaValueError(
      `'${local}' is for local databases, but the client is for the server ${endpoint.baseUrl}: give it a \`path\`, the folder of a database, or leave '${local}' out`,
    );
  }
  return new RemoteConnection(endpoint);
}
