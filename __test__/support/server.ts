import { onTestFinished } from "vitest";
import { type ChromaServer, type ServeOptions, serve } from "../../src/server.js";

/** Routes of the collections of the default database. */
export const COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections";

/** What answers requests: an app, or a server behind its address. */
export type Ask = (path: string, init?: RequestInit) => Promise<Response>;

/** A server on a free port, over a database in memory unless told otherwise; closed when the test has finished. */
export async function startServer(options: Partial<ServeOptions> = {}): Promise<ChromaServer & { ask: Ask }> {
  const where = options.client === undefined ? { path: null } : {};
  const server = await serve({ ...where, port: 0, ...options });
  onTestFinished(() => server.close());
  return { ...server, ask: (path, init) => fetch(server.url + path, init) };
}

/** A request with a JSON body. */
export function post(body: unknown, headers: Record<string, string> = {}): RequestInit {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return { method: "POST", body: text, headers: { "content-type": "application/json", ...headers } };
}

/** Creates a collection and returns its route. */
export async function createCollection(ask: Ask, name = "notes", more: object = {}): Promise<string> {
  const response = await ask(COLLECTIONS, post({ name, ...more }));
  const { id } = (await response.json()) as { id: string };
  return `${COLLECTIONS}/${id}`;
}

/** Status and body of a reply. */
export async function read(response: Promise<Response> | Response): Promise<{ status: number; body: unknown }> {
  const { status, ...rest } = await response;
  void rest;
  const text = await (await response).text();
  return { status, body: text === "" ? null : JSON.parse(text) };
}
