import { ServerResponse } from "node:http";
import type { HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { type Context, Hono } from "hono";
import { cors } from "hono/cors";
import type { ChromaClient } from "../client.js";
import type { AppEnv } from "./app-env.js";
import { BodyReader } from "./body.js";
import { collectionRoutes } from "./collection-routes.js";
import { authenticate, authorize } from "./credentials.js";
import { DOCS_HEADERS, docsPage } from "./docs-page.js";
import { checkHost, checkOrigin } from "./hosts.js";
import { emptyResponse, errorResponse, HttpError, newTraceId, toHttpError } from "./http-error.js";
import { OpenCollections } from "./open-collections.js";
import { openApi } from "./openapi.js";
import { type AppOptions, type AppSettings, readAppOptions } from "./options.js";
import { recordRoutes } from "./record-routes.js";
import type { Reply, Route, Service } from "./route.js";
import { systemRoutes } from "./system-routes.js";
import { tenantRoutes } from "./tenant-routes.js";

/** Chroma's HTTP API as one function from request to response, for any host that speaks the Fetch standard. */
export interface ChromaApp {
  /**
   * Answers a request.
   *
   * @param request - The request.
   * @param env - Node's own request and response where there are any, as `@hono/node-server` passes them.
   * @returns The response; a failure is a response too.
   */
  fetch(request: Request, env?: HttpBindings): Response | Promise<Response>;
}

/**
 * Chroma's HTTP API, version 2, over the database of a client.
 *
 * @param client - Whose database is served. It stays open when the app is dropped.
 * @param options - Who may do what.
 * @returns The app.
 * @throws ChromaValueError for an option that is wrong.
 *
 * @example
 * ```ts
 * const app = createApp(new PersistentClient({ path: "./my-db" }));
 * const response = await app.fetch(new Request("http://localhost/api/v2/version"));
 * ```
 */
export function createApp(client: ChromaClient, options: AppOptions = {}): ChromaApp {
  return buildApp(client, readAppOptions(options));
}

/**
 * As {@link createApp}, from options that were read already.
 *
 * @internal
 */
export function buildApp(client: ChromaClient, settings: AppSettings): ChromaApp {
  const { handle } = client;
  const bodies = new BodyReader(settings.limits);
  const service: Service = { handle, settings, bodies, collections: new OpenCollections(handle) };
  const routes = [
    ...systemRoutes(service),
    ...tenantRoutes(service),
    ...collectionRoutes(service),
    ...recordRoutes(service),
  ];
  const app = new Hono<AppEnv>();
  app.onError((error) => failed(error, settings));
  app.notFound(() => emptyResponse(404));
  guard(app, settings, new Set(routes.filter((route) => route.open).map((route) => route.path)));
  // Where there are headers to add, the reply must pass by what adds them.
  const respond = settings.cors.length === 0 ? respondDirectly : respondOrdinarily;
  for (const route of routes) register(app, route, respond);
  registerDocuments(app, routes);
  registerV1(app);
  refuseOtherMethods(app, routes);
  return { fetch: (request, env) => app.fetch(request, env ?? {}) };
}

function failed(error: unknown, { onError }: AppSettings): Response {
  const traceId = newTraceId();
  const known = toHttpError(error);
  if (known === undefined || known.status === 500) onError(error, traceId);
  const message = "Internal error; the server's report of it has the id of the header chroma-trace-id";
  return errorResponse(known ?? new HttpError(500, message), traceId);
}

/** What every request must pass before its address is looked at, and long before its body is read. */
function guard(app: Hono<AppEnv>, settings: AppSettings, open: Set<string>): void {
  const { allowedHosts, credentials, cors: origins } = settings;
  app.use((c, next) => {
    const host = c.req.header("host") ?? new URL(c.req.url).host;
    checkHost(host, allowedHosts);
    checkOrigin(c.req.header("origin"), host, origins);
    return next();
  });
  if (origins.length > 0) {
    app.use(
      cors({
        origin: origins.includes("*") ? "*" : origins,
        allowMethods: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        allowHeaders: ["authorization", "x-chroma-token", "content-type", "content-encoding"],
        exposeHeaders: ["chroma-trace-id"],
        maxAge: 600,
      }),
    );
  }
  const documents = new Set(["/docs", "/docs/", "/openapi.json"]);
  app.use((c, next) => {
    if (!open.has(c.req.path) && !documents.has(c.req.path)) {
      c.set(
        "grant",
        authenticate(credentials, (name) => c.req.header(name)),
      );
    }
    return next();
  });
}

function register(app: Hono<AppEnv>, route: Route, respond: typeof respondOrdinarily): void {
  const { writes = false, global = false, open = false } = route;
  app.on(route.method, route.path, async (c) => {
    if (!open) authorize(c.get("grant"), { tenant: c.req.param("tenant"), writes, global });
    return respond(c, await route.handle(c));
  });
}

const JSON_HEADERS = { "content-type": "application/json", "x-content-type-options": "nosniff" };

function respondOrdinarily(c: Context<AppEnv>, { body, status = 200 }: Reply): Response {
  return c.body(body as string, status as 200, JSON_HEADERS);
}

/** Writes to Node's response where there is one: a `Response` in between costs as much as a short query. */
function respondDirectly(c: Context<AppEnv>, reply: Reply): Response {
  const { outgoing } = c.env;
  if (!(outgoing instanceof ServerResponse)) return respondOrdinarily(c, reply);
  const { body, status = 200 } = reply;
  outgoing.writeHead(status, { ...JSON_HEADERS, "content-length": Buffer.byteLength(body) });
  outgoing.end(body);
  return RESPONSE_ALREADY_SENT;
}

/** The description of the API, for programs and for people. */
function registerDocuments(app: Hono<AppEnv>, routes: Route[]): void {
  let description: string | undefined;
  let page: string | undefined;
  app.get("/openapi.json", (c) => {
    description ??= JSON.stringify(openApi(routes));
    return c.body(description, 200, JSON_HEADERS);
  });
  for (const path of ["/docs", "/docs/"]) {
    app.get(path, (c) => {
      page ??= docsPage(openApi(routes));
      return c.body(page, 200, DOCS_HEADERS);
    });
  }
}

/** The first version of the API, which Chroma no longer serves either. */
function registerV1(app: Hono<AppEnv>): void {
  const methods = ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"];
  app.on(methods, "/api/v1/*", () => {
    const headers = { "content-type": "application/json", "chroma-trace-id": newTraceId() };
    const body = { error: "Unimplemented", message: "The v1 API is deprecated. Please use /v2 apis" };
    return new Response(JSON.stringify(body), { status: 410, headers });
  });
  app.all("/api/v1/*", () => emptyResponse(405, { allow: "GET,HEAD,PUT,PATCH,DELETE,OPTIONS" }));
}

function refuseOtherMethods(app: Hono<AppEnv>, routes: Route[]): void {
  for (const path of new Set(routes.map((route) => route.path))) {
    const methods = routes.filter((route) => route.path === path).map((route) => route.method as string);
    const order = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
    const allowed = order.filter((method) => methods.includes(method === "HEAD" ? "GET" : method));
    app.all(path, () => emptyResponse(405, { allow: allowed.join(",") }));
  }
}
