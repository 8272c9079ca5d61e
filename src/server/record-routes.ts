import type { Context } from "hono";
import { unprocessable } from "../errors.js";
import { binding, type NativeBodyLimits, type NativeCancel, type NativeCollection, parseFailure } from "../native.js";
import { onAbandoned } from "./abandoned.js";
import type { AppEnv } from "./app-env.js";
import { nameFaults, throwAll } from "./collection-routes.js";
import { HttpError } from "./http-error.js";
import { DONE, pathParameter, type Reply, type Route, type Service } from "./route.js";

const NOT_SUPPORTED = "Operation is not implemented or not supported";

/** Routes about the records of a collection, which is named by its UUID. */
export function recordRoutes(service: Service): Route[] {
  const { settings } = service;
  const path = "/api/v2/tenants/:tenant/databases/:database/collections/:collection";
  const tag = "Records" as const;
  const post = (name: string, rest: Pick<Route, "summary" | "handle"> & Partial<Route>): Route => ({
    tag,
    method: "POST",
    path: `${path}/${name}`,
    ...rest,
  });
  const refused = (status: number, message: string) => (): never => {
    throw new HttpError(status, message);
  };
  const write = (operation: "add" | "update" | "upsert", success: number) => (c: Context<AppEnv>) =>
    withCollection(service, c, operation, async (collection, body, limits) => {
      await collection.writeBody(operation, body, limits);
      return success === 200 ? DONE : { ...DONE, status: success };
    });
  return [
    post("add", {
      summary: "Adds records; known ids are left alone.",
      body: "Add",
      writes: true,
      success: 201,
      handle: write("add", 201),
    }),
    post("update", {
      summary: "Changes records; unknown ids are left alone.",
      body: "Update",
      writes: true,
      handle: write("update", 200),
    }),
    post("upsert", {
      summary: "Changes records, adding those that are new.",
      body: "Add",
      writes: true,
      handle: write("upsert", 200),
    }),
    post("delete", {
      summary: "Deletes records by id, by a filter, or by both.",
      body: "Delete",
      reply: "Deleted",
      writes: true,
      handle: (c) =>
        withCollection(service, c, "delete", async (collection, body, limits) => ({
          body: `{"deleted":${await collection.deleteBody(body, limits)}}`,
        })),
    }),
    post("get", {
      summary: "Reads records in the order of their insertion.",
      body: "Get",
      reply: "GetResult",
      handle: (c) =>
        withCollection(service, c, "get", (collection, body, limits) =>
          cancellable(c, (cancel) => collection.answerGet(body, limits, cancel)),
        ),
    }),
    post("query", {
      summary: "Finds the records nearest to each query vector.",
      body: "Query",
      reply: "QueryResult",
      query: ["limit", "offset"],
      handle: (c) =>
        withCollection(service, c, "query", (collection, body, limits) =>
          cancellable(c, (cancel) => collection.answerQuery(body, limits, cancel)),
        ),
    }),
    {
      tag,
      method: "GET",
      path: `${path}/count`,
      summary: "Number of records. A read level is accepted; all are the same here.",
      query: ["read_level"],
      reply: "Count",
      handle: (c) => withNative(service, c, (collection) => ({ body: String(collection.count()) })),
    },
    {
      tag,
      method: "GET",
      path: `${path}/indexing_status`,
      summary: "How much of the collection has its final index. Not offered with parity to Chroma.",
      reply: "IndexingStatus",
      handle: settings.extended
        ? (c) => withNative(service, c, (collection) => ({ body: collection.indexingStatus() }))
        : refused(500, "Method scout_logs is not implemented"),
    },
    post("search", {
      summary: "Not offered.",
      handle: refused(
        501,
        "Error executing plan: Not implemented: Search operation is not implemented for local executor",
      ),
    }),
    post("fork", {
      summary: "Copies the collection under a new name. Not offered with parity to Chroma.",
      body: "Fork",
      reply: "Collection",
      writes: true,
      handle: settings.extended
        ? (c) => fork(service, c)
        : refused(501, "Collection forking is unsupported for local chroma"),
    }),
    {
      tag,
      method: "GET",
      path: `${path}/fork_count`,
      summary: "Number of forks in the collection's family. Not offered with parity to Chroma.",
      reply: "ForkCount",
      handle: settings.extended
        ? (c) => forkCount(service, c)
        : refused(501, "Count forks is unsupported for local chroma"),
    },
    post("functions/attach", {
      summary: "Not offered.",
      writes: true,
      handle: refused(
        501,
        `Tonic error: code: '${NOT_SUPPORTED}', message: " Attached Function operations not yet implemented in SqliteSysDb"`,
      ),
    }),
    {
      tag,
      method: "GET",
      path: `${path}/functions/:name`,
      summary: "Not offered: there are no attached functions.",
      handle: refused(404, "Attached function not found"),
    },
    post("attached_functions/:name/detach", {
      summary: "Not offered.",
      writes: true,
      handle: refused(501, `Tonic error: code: '${NOT_SUPPORTED}', message: "Not implemented"`),
    }),
  ];
}

/** Copies the collection of a request, which belongs to its tenant and database. */
function fork(service: Service, c: Context<AppEnv>): Promise<Reply> {
  const { id, tenant, database } = placeOf(c);
  return service.bodies.with(c, async (body) => {
    const { new_name: name }: { new_name: string | null } = JSON.parse(body.updateOutline());
    if (name === null) throw unprocessable("missing field `new_name`");
    throwAll(nameFaults("new_name", name));
    await service.collections.open(id, tenant, database);
    return { body: await (await service.handle.open()).forkCollection(id, null, name) };
  });
}

async function forkCount(service: Service, c: Context<AppEnv>): Promise<Reply> {
  const { id, tenant, database } = placeOf(c);
  await service.collections.open(id, tenant, database);
  return { body: `{"count":${await (await service.handle.open()).forkCount(id)}}` };
}

function placeOf(c: Context<AppEnv>): { id: string; tenant: string; database: string } {
  return {
    id: pathParameter(c, "collection"),
    tenant: pathParameter(c, "tenant"),
    database: pathParameter(c, "database"),
  };
}

type Operation = "add" | "update" | "upsert" | "get" | "query" | "delete";
type Body = Parameters<NativeCollection["writeBody"]>[1];

/** Reads the body, finds the collection and works on both. What is wrong in the form of a body is told before anything about the collection. */
function withCollection(
  service: Service,
  c: Context<AppEnv>,
  operation: Operation,
  work: (collection: NativeCollection, body: Body, limits: NativeBodyLimits) => Reply | Promise<Reply>,
): Promise<Reply> {
  const { records: rows, results, replyBytes } = service.settings.limits;
  return service.bodies.with(c, (body) =>
    withNative(
      service,
      c,
      (collection) => work(collection, body, { rows, results, replyBytes }),
      () => body.check(operation),
    ),
  );
}

/** Finds the collection of a request and works on it; `orElse` is asked first where there is none. */
async function withNative(
  { collections }: Service,
  c: Context<AppEnv>,
  work: (collection: NativeCollection) => Reply | Promise<Reply>,
  orElse?: () => void,
): Promise<Reply> {
  const id = pathParameter(c, "collection");
  const [tenant, database] = [pathParameter(c, "tenant"), pathParameter(c, "database")];
  let collection = collections.find(id, tenant, database);
  if (collection === undefined) {
    try {
      collection = await collections.open(id, tenant, database);
    } catch (error) {
      orElse?.();
      throw error;
    }
  }
  try {
    return await work(collection);
  } catch (error) {
    if (parseFailure(error)?.code === "NOT_FOUND") collections.forget(id);
    throw error;
  }
}

/** Runs a read that is cancelled when its client goes away. */
async function cancellable(
  c: Context<AppEnv>,
  read: (cancel: NativeCancel) => Uint8Array | Promise<Uint8Array>,
): Promise<Reply> {
  const cancel = new (binding().NativeCancel)();
  const reply = read(cancel);
  if (reply instanceof Uint8Array) return { body: reply };
  const stop = onAbandoned(c, () => cancel.cancel());
  try {
    return { body: await reply };
  } finally {
    stop();
  }
}
