/** What of a query crosses to native code as JSON. */
import type { QueryArgs, SearchParams } from "./collection.js";
import { ChromaValueError } from "./errors.js";
import type { NamedIds } from "./id-list.js";
import type { Include } from "./types.js";

/** A request for all records, which programs make again and again with other vectors. */
interface PlainRequest {
  nResults: number;
  include: readonly Include[];
  text: string;
}

let lastPlain: PlainRequest | undefined;

/**
 * The JSON of a query.
 *
 * @throws ChromaValueError when a search parameter is not of its type.
 */
export function encodeQuery(args: QueryArgs, { listed: ids }: NamedIds, include: Include[]): string {
  const { nResults, searchParams, where, whereDocument } = args;
  if (searchParams || ids || where || whereDocument) {
    return encode(nResults ?? 10, include, { ...searchParameters(searchParams), ids, where, whereDocument });
  }
  return plain(nResults ?? 10, include);
}

function plain(nResults: number, include: Include[]): string {
  if (lastPlain?.nResults !== nResults || !isSame(lastPlain.include, include)) {
    lastPlain = { nResults, include: [...include], text: encode(nResults, include, {}) };
  }
  return lastPlain.text;
}

function isSame(left: readonly Include[], right: readonly Include[]): boolean {
  return left.length === right.length && left.every((column, i) => column === right[i]);
}

function encode(
  nResults: number,
  include: Include[],
  { whereDocument, ...rest }: SearchParams & Pick<QueryArgs, "ids" | "where" | "whereDocument">,
): string {
  return JSON.stringify({ n_results: nResults, ...rest, where_document: whereDocument, include });
}

function searchParameters(params: SearchParams | undefined): SearchParams {
  if (params === undefined) return {};
  const { ef, exact } = params;
  if (ef !== undefined && (!Number.isSafeInteger(ef) || ef < 1)) {
    throw new ChromaValueError(`Expected 'searchParams.ef' to be a positive integer, but got ${String(ef)}`);
  }
  if (exact !== undefined && typeof exact !== "boolean") {
    throw new ChromaValueError(`Expected 'searchParams.exact' to be a boolean, but got ${typeof exact}`);
  }
  return { ef, exact };
}
