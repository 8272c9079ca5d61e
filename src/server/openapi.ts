import { buildInfo } from "../native.js";
import type { Route } from "./route.js";

/** A schema in JSON Schema's words. */
interface JsonSchema {
  type?: string;
  description?: string;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema;
  enum?: unknown[];
  oneOf?: JsonSchema[];
  default?: unknown;
  minLength?: number;
  minimum?: number;
  format?: string;
  $ref?: string;
  additionalProperties?: JsonSchema | boolean;
}

/** The description of the API, as far as docs-page.ts reads it. */
export interface OpenApi {
  openapi: string;
  info: { title: string; version: string; description: string };
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, JsonSchema>; securitySchemes: Record<string, object> };
  security: object[];
}

/** One route in the description. */
export interface Operation {
  tags: string[];
  summary: string;
  parameters: { name: string; in: string; required: boolean; schema: JsonSchema }[];
  requestBody?: object;
  responses: Record<string, object>;
  security?: object[];
}

const string: JsonSchema = { type: "string" };
const count: JsonSchema = { type: "integer", minimum: 0 };
const object: JsonSchema = { type: "object", additionalProperties: true };
const numbers: JsonSchema = { type: "array", items: { type: "number" } };
const orNull = (schema: JsonSchema): JsonSchema => ({ oneOf: [schema, { type: "null" }] });
const list = (items: JsonSchema): JsonSchema => ({ type: "array", items });
const ref = (name: string): JsonSchema => ({ $ref: `#/components/schemas/${name}` });
const shape = (properties: Record<string, JsonSchema>, required: string[] = []): JsonSchema => ({
  type: "object",
  properties,
  ...(required.length > 0 && { required }),
});

const include = list({ type: "string", enum: ["distances", "documents", "embeddings", "metadatas", "uris"] });
const filters = {
  ids: list({ type: "string", minLength: 1 }),
  where: { ...object, description: "Filter on metadata" },
  where_document: { ...object, description: "Filter on documents" },
};
const columns = {
  ids: list({ type: "string", minLength: 1 }),
  documents: list(orNull(string)),
  metadatas: list(orNull(object)),
  uris: list(orNull(string)),
};
const embeddings: JsonSchema = {
  description: "Arrays of numbers, or base64 of little-endian 32-bit floats",
  oneOf: [list(numbers), list(string)],
};

const SCHEMAS: Record<string, JsonSchema> = {
  Error: shape({ error: string, message: string }, ["error", "message"]),
  Heartbeat: shape({ "nanosecond heartbeat": { type: "integer" } }),
  Health: shape({ is_executor_ready: { type: "boolean" }, is_log_client_ready: { type: "boolean" } }),
  Version: string,
  True: { type: "boolean", enum: [true] },
  Count: count,
  PreflightChecks: shape({ max_batch_size: count, supports_base64_encoding: { type: "boolean" } }),
  Identity: shape({ user_id: string, tenant: string, databases: list(string) }),
  Named: shape({ name: { type: "string", minLength: 3 } }, ["name"]),
  Tenant: shape({ name: string, resource_name: orNull(string) }),
  Database: shape({ id: { type: "string", format: "uuid" }, name: string, tenant: string }),
  Databases: list(ref("Database")),
  CreateCollection: shape(
    {
      name: { type: "string", minLength: 3 },
      metadata: object,
      configuration: { ...object, description: "hnsw or spann, and embedding_function" },
      schema: { ...object, description: "defaults and keys" },
      get_or_create: { type: "boolean", default: false },
    },
    ["name"],
  ),
  UpdateCollection: shape({ new_name: string, new_metadata: object, new_configuration: object }),
  Collection: shape({
    id: { type: "string", format: "uuid" },
    name: string,
    tenant: string,
    database: string,
    metadata: orNull(object),
    dimension: orNull(count),
    configuration_json: object,
    schema: object,
    version: count,
    log_position: count,
  }),
  Collections: list(ref("Collection")),
  Add: shape({ ...columns, embeddings }, ["ids", "embeddings"]),
  Update: shape({ ...columns, embeddings: { ...embeddings, description: "As for add; null keeps a vector" } }, ["ids"]),
  Delete: shape({ ...filters, limit: { ...count, description: "Only with a filter" } }),
  Deleted: shape({ deleted: count }),
  Get: shape({ ...filters, limit: count, offset: count, include }),
  GetResult: shape({
    ids: list(string),
    embeddings: orNull(list(numbers)),
    documents: orNull(list(orNull(string))),
    uris: orNull(list(orNull(string))),
    metadatas: orNull(list(orNull(object))),
    include,
  }),
  Query: shape({ query_embeddings: list(numbers), n_results: { ...count, default: 10 }, ...filters, include }, [
    "query_embeddings",
  ]),
  QueryResult: shape({
    ids: list(list(string)),
    embeddings: orNull(list(list(numbers))),
    documents: orNull(list(list(orNull(string)))),
    uris: orNull(list(list(orNull(string)))),
    metadatas: orNull(list(list(orNull(object)))),
    distances: orNull(list(list({ type: "number" }))),
    include,
  }),
  Fork: shape({ new_name: string }, ["new_name"]),
  ForkCount: shape({ count }),
  IndexingStatus: shape({
    op_indexing_progress: { type: "number" },
    num_unindexed_ops: count,
    num_indexed_ops: count,
    total_ops: count,
  }),
};

/** The routes in OpenAPI's form, version 3.1. */
export function openApi(routes: Route[]): OpenApi {
  const paths: OpenApi["paths"] = {};
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, "{$1}");
    paths[path] ??= {};
    paths[path][route.method.toLowerCase()] = operation(route, path);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Ferrochrome",
      version: buildInfo().version,
      description: "Chroma's HTTP API, version 2, over a Ferrochrome database.",
    },
    paths,
    components: {
      schemas: SCHEMAS,
      securitySchemes: {
        chromaToken: { type: "apiKey", in: "header", name: "x-chroma-token" },
        bearer: { type: "http", scheme: "bearer" },
        basic: { type: "http", scheme: "basic" },
      },
    },
    security: [{ chromaToken: [] }, { bearer: [] }, { basic: [] }],
  };
}

function operation(route: Route, path: string): Operation {
  const json = (schema: JsonSchema): object => ({ "application/json": { schema } });
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => ({
    name,
    in: "path",
    required: true,
    schema: string,
  }));
  const inQuery = (route.query ?? []).map((name) => ({
    name,
    in: "query",
    required: false,
    schema: name === "read_level" ? string : count,
  }));
  return {
    tags: [route.tag],
    summary: route.summary,
    parameters: [...inPath, ...inQuery],
    ...(route.body && { requestBody: { required: true, content: json(ref(route.body)) } }),
    responses: {
      [route.success ?? 200]: { description: "Done", content: json(route.reply ? ref(route.reply) : object) },
      default: { description: "A failure", content: json(ref("Error")) },
    },
    ...(route.open && { security: [] }),
  };
}
