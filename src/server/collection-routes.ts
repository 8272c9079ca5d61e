import { type CollectionConfiguration, checkUpdate, type StoredConfigurationUpdate, settle } from "../configuration.js";
import type { EmbeddingFunctionConfiguration } from "../embedding-function.js";
import { refusalOf, unprocessable } from "../errors.js";
import { validateName } from "../names.js";
import { parseFailure } from "../native.js";
import { type SchemaJson, vectorConfig } from "../schema-json.js";
import type { CollectionMetadata } from "../types.js";
import { HttpError } from "./http-error.js";
import type { AppSettings } from "./options.js";
import { DONE, pageOf, pathParameter, type Reply, type Route, type Service } from "./route.js";

/** What native code leaves to be judged here of the creation of a collection. */
interface CreateOutline {
  name: string;
  metadata: CollectionMetadata | null;
  configuration: CollectionConfiguration | null;
  schema: SchemaJson | null;
}

/** What native code leaves to be judged here of the update of a collection. */
interface UpdateOutline {
  new_name: string | null;
  /** Keys of the new metadata. */
  keys: string[] | null;
  new_configuration: StoredConfigurationUpdate | null;
}

/** Routes about collections as a whole. */
export function collectionRoutes(service: Service): Route[] {
  const { handle, bodies, settings, collections } = service;
  const tag = "Collections" as const;
  const database = "/api/v2/tenants/:tenant/databases/:database";
  const path = `${database}/collections`;
  return [
    {
      tag,
      method: "GET",
      path,
      summary: "The collections of a database, by id.",
      query: ["limit", "offset"],
      reply: "Collections",
      async handle(c) {
        const { limit, offset } = pageOf(c);
        const [tenant, name] = [pathParameter(c, "tenant"), pathParameter(c, "database")];
        return { body: await (await handle.open()).listCollections(tenant, name, limit, offset) };
      },
    },
    {
      tag,
      method: "POST",
      path,
      summary: "Creates a collection; with `get_or_create`, returns an existing one as it is.",
      body: "CreateCollection",
      reply: "Collection",
      writes: true,
      handle(c) {
        const [tenant, name] = [pathParameter(c, "tenant"), pathParameter(c, "database")];
        return bodies.with(c, async (body): Promise<Reply> => {
          const { configuration, schema } = judgeCreate(JSON.parse(body.createOutline()), settings);
          const native = await handle.open();
          return { body: await native.createCollectionFrom(tenant, name, body, configuration, schema) };
        });
      },
    },
    {
      tag,
      method: "GET",
      path: `${database}/collections_count`,
      summary: "Number of collections in a database.",
      reply: "Count",
      async handle(c) {
        const [tenant, name] = [pathParameter(c, "tenant"), pathParameter(c, "database")];
        return { body: String(await (await handle.open()).countCollections(tenant, name)) };
      },
    },
    {
      tag,
      method: "GET",
      path: `${path}/by-id/:collection`,
      summary: "A collection by its UUID.",
      reply: "Collection",
      async handle(c) {
        const id = pathParameter(c, "collection");
        const [tenant, name] = [pathParameter(c, "tenant"), pathParameter(c, "database")];
        return { body: await collectionById(service, id, tenant, name) };
      },
    },
    {
      tag,
      method: "GET",
      path: `${path}/:collection`,
      summary: "A collection by its name.",
      reply: "Collection",
      async handle(c) {
        const native = await handle.open();
        const [tenant, name] = [pathParameter(c, "tenant"), pathParameter(c, "database")];
        return { body: await native.getCollection(tenant, name, pathParameter(c, "collection")) };
      },
    },
    {
      tag,
      method: "PUT",
      path: `${path}/:collection`,
      summary: "Changes the name, the metadata or the configuration of a collection, which is named by its UUID.",
      body: "UpdateCollection",
      writes: true,
      handle(c) {
        const id = pathParameter(c, "collection");
        const [tenant, name] = [pathParameter(c, "tenant"), pathParameter(c, "database")];
        return bodies.with(c, async (body) => {
          const approved = judgeUpdate(JSON.parse(body.updateOutline()), settings);
          await collections.open(id, tenant, name);
          await (await handle.open()).updateCollectionFrom(id, body, approved);
          return DONE;
        });
      },
    },
    {
      tag,
      method: "DELETE",
      path: `${path}/:collection`,
      summary: "Deletes a collection, which is named by its name.",
      writes: true,
      async handle(c) {
        const native = await handle.open();
        const [tenant, name] = [pathParameter(c, "tenant"), pathParameter(c, "database")];
        await native.deleteCollection(tenant, name, pathParameter(c, "collection"));
        return DONE;
      },
    },
    {
      tag,
      method: "GET",
      path: "/api/v2/collections/:name",
      summary: "Not offered: resource names are Chroma Cloud's.",
      global: true,
      handle() {
        throw new HttpError(501, "Resource names of collections are Chroma Cloud's; ask for the name or the UUID");
      },
    },
  ];
}

async function collectionById({ handle }: Service, id: string, tenant: string, database: string): Promise<string> {
  const native = await handle.open();
  let text: string;
  try {
    text = await native.getCollectionById(id);
  } catch (error) {
    const failure = parseFailure(error);
    if (failure?.code === "INVALID_ARGUMENT") {
      throw new HttpError(400, "Validation error: collection_id: Invalid collection ID format, expected UUID");
    }
    // Chroma ends the sentence here without a full stop.
    if (failure?.code === "NOT_FOUND") throw new HttpError(404, failure.message.replace(/\.$/, ""));
    throw error;
  }
  const row: { id: string; tenant: string; database: string } = JSON.parse(text);
  if (row.tenant !== tenant || row.database !== database) {
    throw new HttpError(404, `Collection [${row.id}] does not exist`);
  }
  return text;
}

/** The configuration and the schema to store. */
function judgeCreate(
  { name, metadata, configuration, schema }: CreateOutline,
  settings: AppSettings,
): { configuration: string; schema: string } {
  throwAll([...metadataFaults("metadata", metadata && Object.keys(metadata)), ...nameFaults("name", name)]);
  if (configuration?.hnsw && configuration.spann) {
    throw new HttpError(400, "Multiple vector index configurations provided");
  }
  checkEmbeddingFunction("configuration.embedding_function", configuration?.embedding_function);
  if (!settings.extended) {
    checkChromaOnly("configuration.hnsw", configuration?.hnsw);
    if (schema?.defaults && schema.keys) {
      const { space, hnsw } = vectorConfig(schema);
      checkChromaOnly("schema", { space, ...hnsw });
    }
  }
  // Chroma takes no notice of what it does not know here.
  const { versions, ...chroma } = configuration ?? {};
  const settled = settle(
    settings.extended && versions ? { ...chroma, versions } : chroma,
    metadata,
    schema ?? undefined,
    "collections",
  );
  return { configuration: JSON.stringify(settled.configuration), schema: JSON.stringify(settled.schema) };
}

/** The changes of the configuration, but for the embedding function. */
function judgeUpdate({ new_name, keys, new_configuration }: UpdateOutline, settings: AppSettings): string {
  throwAll([...metadataFaults("new_metadata", keys), ...(new_name === null ? [] : nameFaults("new_name", new_name))]);
  const update = new_configuration ?? {};
  checkEmbeddingFunction("new_configuration.embedding_function", update.embedding_function);
  if (!settings.extended) checkChromaOnly("new_configuration.hnsw", update.hnsw);
  // Chroma takes no notice of what it does not know here.
  const { versions, ...chroma } = update;
  const { hnsw, versions: retention } = checkUpdate(settings.extended && versions ? { ...chroma, versions } : chroma);
  return JSON.stringify({ hnsw, versions: retention });
}

/** Chroma tells all that its rules find in one body. */
export function throwAll(faults: string[]): void {
  if (faults.length > 0) throw new HttpError(400, `Validation error: ${faults.join("\n")}`);
}

/** What is wrong with a name, in Chroma's words. */
export function nameFaults(field: string, name: string): string[] {
  try {
    validateName(name, "collections", field);
    return [];
  } catch (error) {
    const refusal = refusalOf(error);
    if (refusal === undefined) throw error;
    return [refusal.message.replace("Validation error: ", "")];
  }
}

function metadataFaults(field: string, keys: string[] | null): string[] {
  if (keys === null) return [];
  if (keys.length === 0) return [`${field}: Metadata cannot be empty`];
  for (const key of keys) {
    if (key === "") return [`${field}: Metadata key cannot be empty`];
    if (key.startsWith("#") || key.startsWith("$")) {
      return [`${field}: Metadata key cannot start with '#' or '$': ${key}`];
    }
  }
  return [];
}

/** An embedding function is data here: of one of Chroma's three forms, and never looked into. */
function checkEmbeddingFunction(where: string, given: EmbeddingFunctionConfiguration | null | undefined): void {
  if (given === null || given === undefined) return;
  const { type, name, config } = given as { type?: unknown; name?: unknown; config?: unknown };
  if (type === "legacy" || type === "unknown") return;
  if (type !== "known") throw unprocessable(`${where}: expected a type of known, legacy or unknown`);
  if (typeof name !== "string") throw unprocessable(`${where}: missing field \`name\``);
  if (config === undefined) throw unprocessable(`${where}: missing field \`config\``);
}

const CHROMA_SPACES = ["l2", "cosine", "ip"];

/** What Chroma does not know of an index's parameters. */
function checkChromaOnly(where: string, parameters: object | null | undefined): void {
  const { space, quantization } = (parameters ?? {}) as { space?: unknown; quantization?: unknown };
  if (quantization !== undefined) throw unprocessable(`${where}.quantization: unknown field \`quantization\``);
  if (typeof space === "string" && !CHROMA_SPACES.includes(space)) {
    throw unprocessable(
      `${where}.space: unknown variant \`${space}\`, expected one of ${CHROMA_SPACES.map((name) => `\`${name}\``).join(", ")}`,
    );
  }
}
