/** Where a server is, from the arguments of a client. */
import { ChromaValueError } from "../errors.js";

/** How a server is reached. All parts may be absent. */
export interface ServerArgs {
  /** Name or address of the server. Default `localhost`. */
  host?: string | undefined;
  /** TCP port of the server. Default 8000. */
  port?: number | undefined;
  /** Speaks HTTPS. Default false. */
  ssl?: boolean | undefined;
  /** Sent with every request, for example `{ "x-chroma-token": "…" }` or `{ Authorization: "Bearer …" }`. */
  headers?: Record<string, string> | undefined;
  /** Further options of `fetch`, for example a `dispatcher` or a `signal`. */
  fetchOptions?: RequestInit | undefined;
  /** Chroma's older way to give a token: `credentials`, with `tokenHeaderType` `X_CHROMA_TOKEN` or `AUTHORIZATION`. Prefer `headers`. */
  auth?: Record<string, string> | undefined;
}

/** A server, and what goes with every request to it. */
export interface Endpoint {
  /** Scheme, host, port and, where there is one, the path before `/api/v2`; without a slash at its end. */
  baseUrl: string;
  headers: Record<string, string> | undefined;
  fetchOptions: RequestInit;
}

/** Whether the path of a client is the URL of a server rather than a folder. */
export function isServerUrl(path: unknown): path is string | URL {
  if (path instanceof URL) return path.protocol === "http:" || path.protocol === "https:";
  return typeof path === "string" && /^https?:\/\//i.test(path);
}

/**
 * The server that a client asks for.
 *
 * @param url - Its URL, where the client was given one instead of host, port and ssl.
 * @throws ChromaValueError when a part is not valid.
 */
export function endpointOf(args: ServerArgs, url?: string | URL): Endpoint {
  const { headers, fetchOptions = {}, auth } = args;
  return {
    baseUrl: url === undefined ? hostUrl(args) : givenUrl(url, args),
    headers: withToken(headers, auth),
    fetchOptions,
  };
}

function hostUrl({ host = "localhost", port = 8000, ssl = false }: ServerArgs): string {
  if (typeof host !== "string" || !/^[^\s/?#@\\]+$/.test(host)) {
    throw new ChromaValueError(
      `Expected 'host' to be the name or address of a server, without scheme and path, but got ${JSON.stringify(host)}. A whole URL goes into 'path'`,
    );
  }
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new ChromaValueError(`Expected 'port' to be an integer from 0 to 65535, but got ${String(port)}`);
  }
  if (typeof ssl !== "boolean") throw new ChromaValueError(`Expected 'ssl' to be a boolean, but got ${typeof ssl}`);
  const name = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
  const text = `${ssl ? "https" : "http"}://${name}:${port}`;
  if (!URL.canParse(text)) throw new ChromaValueError(`Expected 'host' to be the name or address of a server: ${text}`);
  return text;
}

function givenUrl(url: string | URL, { host, port, ssl }: ServerArgs): string {
  if (host !== undefined || port !== undefined || ssl !== undefined) {
    throw new ChromaValueError("Give the server either as 'path', a URL, or by 'host', 'port' and 'ssl', not both");
  }
  if (!URL.canParse(String(url))) throw new ChromaValueError(`'${String(url)}' is not a valid URL of a server`);
  const { origin, pathname, username, password } = new URL(url);
  if (username !== "" || password !== "") {
    throw new ChromaValueError("Give credentials in 'headers', not in the URL of the server");
  }
  return origin + pathname.replace(/\/+$/, "");
}

function withToken(
  headers: Record<string, string> | undefined,
  auth: Record<string, string> | undefined,
): Record<string, string> | undefined {
  const { credentials, tokenHeaderType } = auth ?? {};
  if (!credentials) return headers;
  if (tokenHeaderType === "X_CHROMA_TOKEN") return { "x-chroma-token": credentials, ...headers };
  if (tokenHeaderType === "AUTHORIZATION") return { authorization: `Bearer ${credentials}`, ...headers };
  return headers;
}
