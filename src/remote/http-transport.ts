/** Requests to a Chroma server: JSON over `fetch`, with the server's failures as Chroma's error classes. */
import {
  ChromaClientError,
  ChromaConnectionError,
  ChromaForbiddenError,
  ChromaNotFoundError,
  ChromaQuotaExceededError,
  ChromaRateLimitError,
  ChromaServerError,
  ChromaUnauthorizedError,
  ChromaUniqueError,
  ChromaValueError,
} from "../errors.js";
import type { Endpoint } from "./endpoint.js";

/** What goes with a request beside its path. */
export interface RequestParts {
  /** Query parameters; undefined ones are left out. */
  query?: Record<string, string | number | undefined>;
  /** Sent as JSON. */
  body?: unknown;
  /** Stops the request; it then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

type Method = "GET" | "POST" | "PUT" | "DELETE";

/** Sends requests to one server. */
export class HttpTransport {
  private readonly endpoint: Endpoint;

  constructor(endpoint: Endpoint) {
    this.endpoint = endpoint;
  }

  /** Headers that go with every request. */
  get headers(): Record<string, string> | undefined {
    return this.endpoint.headers;
  }

  /**
   * Sends a request and reads the JSON that comes back.
   *
   * @param path - Segments below `/api/v2`, as they are; they are encoded here.
   * @throws ChromaConnectionError when the server cannot be reached, one of Chroma's error classes when it refuses.
   */
  async request<T>(method: Method, path: string[], { query, body, signal }: RequestParts = {}): Promise<T> {
    const url = this.url(path, query);
    const { fetchOptions } = this.endpoint;
    const headers = new Headers(fetchOptions.headers);
    for (const [name, value] of Object.entries(this.endpoint.headers ?? {})) headers.set(name, value);
    if (body !== undefined) headers.set("content-type", "application/json");
    const stops = [fetchOptions.signal, signal].filter((stop) => stop != null);
    const init: RequestInit = {
      // Chroma's servers do not redirect, and whoever else does must not be sent the token.
      redirect: "manual",
      ...fetchOptions,
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      signal: stops.length > 0 ? AbortSignal.any(stops) : null,
    };
    try {
      // `fetch` is looked up at each call, so that programs may replace it.
      const response = await fetch(new Request(url, init));
      const text = await response.text();
      if (!response.ok) throw failure(url, response, text);
      return parse(text, url) as T;
    } catch (error) {
      const stopped = stops.find((stop) => stop.aborted);
      if (stopped) throw stopped.reason;
      throw isNetworkFailure(error) ? unreachable(error) : error;
    }
  }

  private url(path: string[], query: RequestParts["query"] = {}): string {
    // These would name another resource once the path is normalised.
    const unusable = path.find((segment) => typeof segment !== "string" || /^\.{0,2}$/.test(segment));
    if (unusable !== undefined) {
      throw new ChromaValueError(`Expected names and ids to be strings of text, but got ${JSON.stringify(unusable)}`);
    }
    const url = new URL(`${this.endpoint.baseUrl}/api/v2/${path.map(encodeURIComponent).join("/")}`);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    return url.href;
  }
}

function parse(text: string, url: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ChromaServerError(`The answer of ${url} is not JSON: is this a Chroma server?`, cause);
  }
}

/** What fetch and the reading of an answer reject with when the connection fails. */
function isNetworkFailure(error: unknown): boolean {
  return error instanceof TypeError || (error as { name?: unknown } | null)?.name === "FetchError";
}

function unreachable(cause: unknown): ChromaConnectionError {
  return new ChromaConnectionError(
    "Failed to connect to chromadb. Make sure your server is running and try again. If you are running from a browser, make sure that your chromadb instance is configured to allow requests from the current origin using the CHROMA_SERVER_CORS_ALLOW_ORIGINS environment variable. For a database in process, give the client a `path`.",
    cause,
  );
}

interface ErrorBody {
  error?: string;
  message?: string;
}

/** The error class for an answer that is not a success; its cause is the server's own text. */
function failure(url: string, response: Response, text: string): Error {
  const { status, statusText } = response;
  const body = errorBody(text);
  const cause = body.message ?? body.error;
  switch (status) {
    case 400:
      return new ChromaClientError(`Bad request to ${url} with status: ${body.message || "Bad Request"}`, cause);
    case 401:
      return new ChromaUnauthorizedError("Unauthorized", cause);
    case 403:
      return new ChromaForbiddenError("You do not have permission to access the requested resource.", cause);
    case 404:
      return new ChromaNotFoundError("The requested resource could not be found", cause);
    case 409:
      return new ChromaUniqueError("The resource already exists", cause);
    case 422:
      return unprocessable(body.message, cause);
    case 429:
      return new ChromaRateLimitError("Rate limit exceeded", cause);
    default: {
      const location = response.headers.get("location");
      if (status >= 300 && status < 400 && location !== null) {
        return new ChromaServerError(`${url} redirects to ${location}: give the client that address`, cause);
      }
      return new ChromaServerError(body.message || body.error || `${status}: ${statusText}`, cause);
    }
  }
}

function unprocessable(message: string | undefined, cause: unknown): Error {
  if (message && /^(Quota|Billing limit) exceeded/.test(message)) return new ChromaQuotaExceededError(message, cause);
  return new ChromaClientError(message || "Unprocessable Entity", cause);
}

function errorBody(text: string): ErrorBody {
  try {
    const { error, message } = (JSON.parse(text) ?? {}) as Record<string, unknown>;
    return {
      ...(typeof error === "string" && { error }),
      ...(typeof message === "string" && { message }),
    };
  } catch {
    return {};
  }
}
