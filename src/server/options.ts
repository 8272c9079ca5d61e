import { isIP } from "node:net";
import { ChromaValueError } from "../errors.js";
import { type Credential, readCredentials, type TenantGrant } from "./credentials.js";

/** Who may do what with a token. */
export interface TokenOptions extends TenantGrant {
  /** The token, as clients send it in `Authorization: Bearer` or `X-Chroma-Token`. */
  token: string;
}

/** Who may do what with a name and a password. */
export interface BasicOptions extends TenantGrant {
  /** Name of the user; must not contain a colon. */
  username: string;
  /** Password of the user. */
  password: string;
}

/** What requests may ask for at most. */
export interface ServerLimits {
  /** Bytes of a request's body, also after it was unpacked. Default 41,943,040 (40 MiB), as Chroma's. */
  bodyBytes?: number | undefined;
  /** Bytes of all bodies that are in memory at once; further requests get a 503. Default 512 MiB. */
  pendingBytes?: number | undefined;
  /** Records, ids or query vectors in one request; clients are told this number as `max_batch_size`. Default 100,000; at most 262,144. */
  records?: number | undefined;
  /** Results of one query request: query vectors times `n_results`, or times the records that there are. Default 10,000,000. */
  results?: number | undefined;
  /** Bytes of a reply. Default 512 MiB. */
  replyBytes?: number | undefined;
}

/** How the app of {@link createApp} behaves. */
export interface AppOptions {
  /**
   * `"extended"` (default): what Ferrochrome has beyond Chroma works over HTTP too. `"chroma-1.5"`: what a local Chroma server of that
   * version refuses is refused, in its words.
   */
  parity?: "extended" | "chroma-1.5" | undefined;
  /** Whether `POST /api/v2/reset` deletes everything. Default false: it is refused. */
  allowReset?: boolean | undefined;
  /** Tokens that let a request in. With neither tokens nor basic credentials, every request is let in. */
  tokens?: (string | TokenOptions)[] | undefined;
  /** Names and passwords that let a request in. */
  basic?: BasicOptions[] | undefined;
  /**
   * Names by which the server may be asked, without port, against DNS rebinding; addresses and `localhost` always may. `"any"`
   * switches the check off. Default: the host that it listens on; any, if that is not a loopback address and requests need credentials.
   */
  allowedHosts?: string[] | "any" | undefined;
  /**
   * Origins of web pages that may ask, such as `"http://localhost:5173"`. Default none: a page of another origin is refused. `"*"` is
   * every page and needs credentials.
   */
  cors?: string[] | undefined;
  /** What requests may ask for at most. */
  limits?: ServerLimits | undefined;
  /**
   * Called with each error that is not the client's fault, and with the id that the reply has in its header `chroma-trace-id`. Default:
   * such errors are not reported.
   */
  onError?: ((error: unknown, traceId: string) => void) | undefined;
}

/** The options of an app, checked and complete. */
export interface AppSettings {
  extended: boolean;
  allowReset: boolean;
  credentials: Credential[];
  /** Names in lower case; null: any. */
  allowedHosts: Set<string> | null;
  cors: string[];
  limits: Required<{ [Name in keyof ServerLimits]: number }>;
  onError: (error: unknown, traceId: string) => void;
}

const DEFAULT_LIMITS = {
  bodyBytes: 40 << 20,
  pendingBytes: 512 << 20,
  records: 100_000,
  results: 10_000_000,
  replyBytes: 512 << 20,
};

/** As `limits::MAX_BODY_ROWS` in Rust. */
const MOST_RECORDS = 1 << 18;

/**
 * Checks the options of an app and fills in defaults.
 *
 * @throws ChromaValueError naming the option.
 */
export function readAppOptions(options: AppOptions): AppSettings {
  const { parity = "extended", allowReset = false, cors = [], allowedHosts = [] } = options;
  if (parity !== "extended" && parity !== "chroma-1.5") {
    throw new ChromaValueError(`Expected 'parity' to be "extended" or "chroma-1.5", but got ${String(parity)}`);
  }
  if (typeof allowReset !== "boolean") {
    throw new ChromaValueError(`Expected 'allowReset' to be a boolean, but got ${typeof allowReset}`);
  }
  const credentials = readCredentials(options.tokens ?? [], options.basic ?? []);
  checkOrigins(cors, credentials.length > 0);
  return {
    extended: parity === "extended",
    allowReset,
    credentials,
    allowedHosts: allowedHosts === "any" ? null : new Set(allowedHosts.map((name) => name.toLowerCase())),
    cors,
    limits: readLimits(options.limits ?? {}),
    onError: options.onError ?? (() => {}),
  };
}

function readLimits(given: ServerLimits): AppSettings["limits"] {
  const limits = { ...DEFAULT_LIMITS };
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(limits, name)) {
      const known = Object.keys(limits).join(", ");
      throw new ChromaValueError(`Unknown limit '${name}', expected one of ${known}`);
    }
    if (value === undefined) continue;
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new ChromaValueError(`Expected 'limits.${name}' to be a positive integer, but got ${String(value)}`);
    }
    limits[name as keyof ServerLimits] = value;
  }
  if (limits.records > MOST_RECORDS) {
    throw new ChromaValueError(`Expected 'limits.records' to be at most ${MOST_RECORDS}, but got ${limits.records}`);
  }
  return limits;
}

function checkOrigins(origins: string[], guarded: boolean): void {
  for (const origin of origins) {
    if (origin === "*") {
      if (guarded) continue;
      throw new ChromaValueError(
        "'cors: [\"*\"]' lets every web page that is open in a browser on this machine read and write the database: name the origins, or set tokens",
      );
    }
    if (!isOrigin(origin)) {
      throw new ChromaValueError(
        `Expected 'cors' to hold origins such as "http://localhost:5173", but got ${JSON.stringify(origin)}`,
      );
    }
  }
}

function isOrigin(text: string): boolean {
  try {
    return new URL(text).origin === text;
  } catch {
    return false;
  }
}

/** Whether only programs on this machine can reach a server that listens on `host`. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase();
  if (isIP(name) === 4) return name.startsWith("127.");
  return name === "localhost" || name.endsWith(".localhost") || name === "::1";
}
