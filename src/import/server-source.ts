import { ChromaConnectionError, ChromaForbiddenError, ChromaUnauthorizedError, ChromaValueError } from "../errors.js";
import { binding, toError } from "../native.js";
import type { FoundProblem } from "./report.js";
import type { BatchReport, ImportSource, SourceCollection, SourceContents, SourceReader } from "./source.js";
import type { TargetCollection } from "./target.js";

/** Records of a page. With vectors as text, a page of long ones has some ten megabytes. */
const PAGE_ROWS = 500;
/** Characters of a page after which the next has half as many records. */
const LARGE_PAGE = 32 << 20;

/** Databases and collections of a list. */
const LIST_LIMIT = 1_000;

const DEFAULT_TENANT = "default_tenant";

/** How a server is asked. */
export interface ServerOptions {
  tenant: string | undefined;
  headers: Record<string, string> | undefined;
  signal: AbortSignal | undefined;
}

/** A running Chroma server with API v2. */
export class ServerSource implements ImportSource {
  readonly name: string;
  private readonly base: URL;
  private readonly tenant: string;
  private readonly headers: Record<string, string>;
  private readonly signal: AbortSignal | undefined;

  constructor(url: URL, { tenant, headers, signal }: ServerOptions) {
    this.base = new URL(url.href.replace(/\/+$/, ""));
    // A password in the URL belongs into a header, and into no message.
    const { username, password } = this.base;
    this.base.username = "";
    this.base.password = "";
    const basic = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString("base64");
    this.headers = { ...(username ? { authorization: `Basic ${basic}` } : {}), ...headers };
    this.name = this.base.href;
    this.tenant = tenant ?? DEFAULT_TENANT;
    this.signal = signal;
  }

  async contents(): Promise<SourceContents> {
    const databases: { name: string }[] = [];
    await this.pages(`${this.tenantPath()}/databases`, (text) => {
      const page = parseList<{ name: string }>(text, this.name);
      databases.push(...page);
      return page.length;
    });
    const collections: SourceCollection[] = [];
    for (const { name: database } of databases) {
      const found: SourceCollection[] = [];
      await this.pages(`${this.databasePath(database)}/collections`, (text) => {
        const page = parseCollections(text);
        found.push(...page.map((each) => ({ ...each, tenant: this.tenant, database })));
        return page.length;
      });
      for (const collection of found) {
        collection.records = Number(await this.request("GET", `${this.collectionPath(collection)}/count`));
      }
      collections.push(...found.sort((a, b) => (a.name < b.name ? -1 : 1)));
    }
    return {
      tenants: [this.tenant],
      databases: databases.map(({ name }) => ({ tenant: this.tenant, name })),
      collections,
    };
  }

  /** Nothing of a server is run here. */
  async check(): Promise<void> {}

  async reader(collection: SourceCollection): Promise<SourceReader> {
    let offset = 0;
    let pageRows = PAGE_ROWS;
    const next = async (target: TargetCollection, limit: number): Promise<BatchReport> => {
      const rows = Math.min(limit, pageRows);
      const body = await this.request("POST", `${this.collectionPath(collection)}/get`, {
        limit: rows,
        offset,
        include: ["embeddings", "documents", "metadatas", "uris"],
      });
      offset += rows;
      if (body.length > LARGE_PAGE) pageRows = Math.max(1, rows >> 1);
      return this.write(target, body, rows);
    };
    return { total: collection.records, next };
  }

  private async write(target: TargetCollection, body: string, rows: number): Promise<BatchReport> {
    let reply: { read: number; imported: number; withoutVector: string[] };
    try {
      reply = JSON.parse(await target.native.addServerPage(body));
    } catch (failure) {
      throw toError(failure, `import from ${this.name}`);
    }
    const problems = reply.withoutVector.map(
      (id): FoundProblem => ({
        kind: "missing-vector",
        id,
        message: "the server gave no vector for it; the record is left out",
      }),
    );
    return {
      read: reply.read,
      leftOut: problems.length,
      imported: reply.imported,
      done: reply.read < rows,
      problems,
      counts: problems.length > 0 ? { "missing-vector": problems.length } : {},
    };
  }

  private tenantPath(): string {
    return `/api/v2/tenants/${encodeURIComponent(this.tenant)}`;
  }

  private databasePath(database: string): string {
    return `${this.tenantPath()}/databases/${encodeURIComponent(database)}`;
  }

  private collectionPath({ database, id }: SourceCollection): string {
    return `${this.databasePath(database)}/collections/${encodeURIComponent(id)}`;
  }

  /** Reads a list to its end; `read` returns how many entries a page has. */
  private async pages(path: string, read: (text: string) => number): Promise<void> {
    for (let offset = 0; ; offset += LIST_LIMIT) {
      if (read(await this.request("GET", `${path}?limit=${LIST_LIMIT}&offset=${offset}`)) < LIST_LIMIT) return;
    }
  }

  /** The text of a successful answer. */
  private async request(method: "GET" | "POST", path: string, body?: unknown): Promise<string> {
    this.signal?.throwIfAborted();
    let response: Response;
    let text: string;
    try {
      response = await fetch(this.base.href.replace(/\/$/, "") + path, {
        method,
        headers: { ...this.headers, ...(body === undefined ? {} : { "content-type": "application/json" }) },
        body: body === undefined ? null : JSON.stringify(body),
        signal: this.signal ?? null,
        // Tokens do not follow a redirection to another host.
        redirect: "error",
      });
      text = await response.text();
    } catch (error) {
      this.signal?.throwIfAborted();
      const cause = error instanceof Error ? (error.cause ?? error) : error;
      throw new ChromaConnectionError(`${this.name} cannot be reached: ${(cause as Error).message}`, error);
    }
    if (response.ok) return text;
    throw this.refusal(response.status, path, text);
  }

  private refusal(status: number, path: string, text: string): Error {
    const answer = `${this.name} answered ${path} with status ${status}: ${text.slice(0, 200)}`;
    if (status === 401) return new ChromaUnauthorizedError(`${answer}. Pass its token in \`headers\``);
    if (status === 403) return new ChromaForbiddenError(answer);
    if (status === 404 || status === 405) {
      return new ChromaValueError(
        `${answer}. Is it a Chroma server of version 0.5.16 or later, with API v2, and does it have the tenant '${this.tenant}'?`,
      );
    }
    return new ChromaConnectionError(answer);
  }
}

function parseList<T>(text: string, server: string): T[] {
  try {
    const list = JSON.parse(text);
    if (Array.isArray(list)) return list;
  } catch {
    // Said below.
  }
  throw new ChromaConnectionError(`${server} gave a list that is none: ${text.slice(0, 200)}`);
}

function parseCollections(text: string): SourceCollection[] {
  let read: string;
  try {
    read = binding().readServerCollections(text);
  } catch (failure) {
    throw toError(failure, "import");
  }
  return (JSON.parse(read) as SourceCollection[]).map((collection) => ({
    ...collection,
    segmentMetadata: "null",
    records: 0,
    problems: [],
  }));
}
