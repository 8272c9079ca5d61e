// The stores that the benches measure. Each module of this folder adapts one of them to the same interface:
//
//   name                      as the tables show it
//   variants                  label -> the store's own settings; each variant is measured by itself
//   durability                what an acknowledged batch survives
//   storesRecords             whether it stores documents and metadata, and so can filter
//   searchesExactly           whether its query takes `exact`, to compare with every row
//   connect()                 imports the package; throws NotInstalled when that is not possible here
//   create(path, variant, { rows, keys, dimension? })   an empty store at `path`, a folder; `keys` are the metadata keys with
//                             their types, "string" or "integer"
//   open(path, variant)       the store that `create`, `insert` and `finish` left there
//
// and a store, once created or opened, has
//
//   insert(batch)             { firstRow, ids, documents, metadatas, vectors, dimension } (see dataset.mjs), acknowledged when it settles
//   finish()                  everything indexed, and saved where saving is a step of its own
//   efs                       the search widths worth measuring; [null] for a store that has none and ignores it
//   prepareQuery(vector)      the form in which the store takes a query; not timed
//   prepareFilter(filter)     the store's own form of { where?, whereDocument?, ids? }; not timed. Null when it has none
//   query(prepared, { k, ef, filter?, records? })   the ids, nearest first; with documents and metadata when `records`.
//                             May return a promise. The store also fetches distances, always.
//   queryInFlight             the same, where a store has a second form for several at a time
//   prepareBatch(vectors), queryBatch(prepared, { k, ef })   one call for many queries, where a store has it; the ids of each
//   close()
export const STORES = ["ferrochrome", "hnswlib-node", "usearch", "zvec", "lancedb", "sqlite-vec", "chromadb"];

/** Neighbours a row is linked to, and candidates while building, wherever a store lets them be chosen. */
export const M = 16;
export const EF_CONSTRUCTION = 200;

/** A store that cannot be measured here; its message says what is missing. */
export class NotInstalled extends Error {}

/** Imports a package, or says that it is not installed. */
export async function importPackage(specifier, hint = "npm run bench -- install-peers") {
  try {
    return await import(specifier);
  } catch (error) {
    if (error.code === "ERR_MODULE_NOT_FOUND") throw new NotInstalled(`not installed (${hint})`);
    throw new NotInstalled(`does not load: ${error.message.split("\n")[0]}`);
  }
}

/** The adapter of a store. */
export async function loadStore(name) {
  return (await import(`./${name}.mjs`)).default;
}
