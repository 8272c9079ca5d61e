/** How commands find databases and collections. */
import { stat } from "node:fs/promises";
import { type ChromaClient, PersistentClient } from "../client.js";
import type { CollectionJson } from "../connection.js";
import { resolvePath } from "../database.js";
import { ChromaNotFoundError } from "../errors.js";
import type { NativeCollection } from "../native.js";
import { type Invocation, type OptionSpec, type Options, UsageError } from "./command.js";

/** The option that chooses collections. */
export const COLLECTION_OPTION: OptionSpec = {
  type: "string",
  multiple: true,
  short: "c",
  value: "NAME",
  help: "only this collection; may be repeated (default: all)",
};

/**
 * Runs `use` with a client of the database in `--path`, which must be there, and closes it.
 *
 * @param readOnly - Whether another process may be writing meanwhile.
 */
export async function withDatabase<T>(
  { options }: Invocation,
  readOnly: boolean,
  use: (client: ChromaClient) => Promise<T>,
): Promise<T> {
  const path = resolvePath(options.required("path"));
  const exists = await stat(path).catch(() => undefined);
  if (exists === undefined) throw new ChromaNotFoundError(`${path} does not exist`);
  const { tenant, database } = options.place();
  const client = new PersistentClient({ path, readOnly, tenant, database });
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

/** A collection, as the catalog describes it. */
export interface CatalogEntry extends CollectionJson {
  dimension: number | null;
}

/**
 * The collections that `--tenant`, `--database` and `--collection` choose, by tenant, database and name.
 *
 * @throws ChromaNotFoundError for a name that is not there.
 */
export async function chosenCollections(client: ChromaClient, options: Options): Promise<CatalogEntry[]> {
  const text = await client.handle.call("collections", (native) => native.allCollections());
  const [tenant, database] = [options.text("tenant"), options.text("database")];
  const names = options.list("collection");
  const chosen = (JSON.parse(text) as CatalogEntry[]).filter(
    (each) =>
      (tenant ?? each.tenant) === each.tenant &&
      (database ?? each.database) === each.database &&
      (names?.includes(each.name) ?? true),
  );
  const missing = names?.filter((name) => !chosen.some((each) => each.name === name)) ?? [];
  if (missing.length > 0) throw new ChromaNotFoundError(`There is no collection ${missing.join(", ")}`);
  const key = (each: CatalogEntry): string => [each.tenant, each.database, each.name].join("\0");
  return chosen.sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

/** The one collection that `--collection` names. */
export async function oneCollection(client: ChromaClient, options: Options): Promise<CatalogEntry> {
  const names = options.list("collection");
  if (names?.length !== 1) throw new UsageError("--collection must name one collection");
  const chosen = await chosenCollections(client, options);
  if (chosen.length > 1)
    throw new UsageError("several databases have a collection of that name: give --tenant and --database");
  return chosen[0] as CatalogEntry;
}

/** Opens the records of a collection. */
export function openRecords(client: ChromaClient, id: string): Promise<NativeCollection> {
  return client.handle.call(`collections/${id}`, (native) => native.openCollection(id));
}

/** A collection's name, with its database where that is not the default one. */
export function shownName({ tenant, database, name }: { tenant: string; database: string; name: string }): string {
  return tenant === "default_tenant" && database === "default_database" ? name : `${tenant}/${database}/${name}`;
}
