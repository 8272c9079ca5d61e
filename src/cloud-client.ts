/** Clients of Chroma Cloud. */
import { AdminClient } from "./admin.js";
import { ChromaClient } from "./client.js";
import { ChromaValueError } from "./errors.js";
import type { LenientOptions } from "./lenient.js";

const HOST = "api.trychroma.com";
const PORT = 443;

/** Arguments of {@link AdminCloudClient}. */
export interface AdminCloudClientArgs {
  /** Key of the user. Default: the environment variable `CHROMA_API_KEY`. */
  apiKey?: string | undefined;
  /** Default `api.trychroma.com`. */
  host?: string | undefined;
  /** Default 443. */
  port?: number | undefined;
  /** Further options of `fetch`. */
  fetchOptions?: RequestInit | undefined;
}

/** Arguments of {@link CloudClient}. */
export interface CloudClientArgs extends AdminCloudClientArgs {
  /** Default: the environment variable `CHROMA_TENANT`, or the key's tenant. */
  tenant?: string | undefined;
  /** Default: the environment variable `CHROMA_DATABASE`, or the key's database where it has one only. */
  database?: string | undefined;
  /** As for {@link ChromaClient}. Default false. */
  lenient?: boolean | LenientOptions | undefined;
}

/**
 * A client of Chroma Cloud, over HTTPS.
 *
 * @example
 * ```ts
 * const client = new CloudClient({ apiKey: "ck-…" });
 * ```
 */
export class CloudClient extends ChromaClient {
  /**
   * @param args - Key and database.
   * @throws ChromaValueError when there is no key.
   */
  constructor(args: CloudClientArgs = {}) {
    const { tenant, database, lenient } = args;
    // Empty names are asked of the server, where the environment does not tell them.
    super({ ...cloudServer(args), tenant: tenant ?? "", database: database ?? "", lenient });
  }
}

/** Manages tenants and databases of Chroma Cloud. */
export class AdminCloudClient extends AdminClient {
  /**
   * @param args - The key.
   * @throws ChromaValueError when there is no key.
   */
  constructor(args: AdminCloudClientArgs = {}) {
    super(cloudServer(args));
  }
}

function cloudServer({ apiKey, host, port, fetchOptions }: AdminCloudClientArgs) {
  const key = apiKey || process.env.CHROMA_API_KEY;
  if (!key) {
    throw new ChromaValueError(
      "Missing API key. Please provide it to the CloudClient constructor or set your CHROMA_API_KEY environment variable",
    );
  }
  return { host: host || HOST, port: port || PORT, ssl: true, headers: { "x-chroma-token": key }, fetchOptions };
}
