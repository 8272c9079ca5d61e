/** Collections as a Chroma server describes them. */
import type { CollectionJson } from "../connection.js";
import { badReply, checkObject } from "../reply-columns.js";

/** What names a collection. */
const NAMES = ["id", "name", "tenant", "database"];

/**
 * A server's description of a collection. Servers before Chroma 1.0 leave out its configuration and its schema.
 *
 * @param from - What was asked, as it appears in messages.
 * @throws ChromaServerError when the answer is none.
 */
export function readCollection(answer: unknown, from: string): CollectionJson {
  const json = checkObject(answer, from);
  const unnamed = NAMES.find((name) => typeof json[name] !== "string");
  if (unnamed !== undefined) throw badReply(from, `'${unnamed}' of a collection is not a string`);
  for (const name of ["metadata", "configuration_json", "schema"]) {
    if (json[name] !== null && json[name] !== undefined) checkObject(json[name], `${from}, '${name}'`);
  }
  const { configuration_json: configuration } = json;
  return { ...(json as unknown as CollectionJson), configuration_json: configuration ?? {} };
}
