/** What of a query crosses to native code as JSON. */
import type { QueryArgs, SearchParams } from "./collection.js";
import { ChromaValueError } from "./errors.js";
import type { NamedIds } from "./id-list.js";
import type { Include } from "./types.js";

/** A request without a filter, which programs make again and again with other vectors. */
interface PlainRequest {
  nResults: number;
  ef: number | undefined;
  exact: boolean | undefined;
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
  const { searchParams, where, whereDocument } = args;
  const nResults = args.nResults ?? 10;
  const { ef, exact } = searchParams ?? NO_PARAMETERS;
  const isPlain = !(ids || where || whereDocument);
  if (isPlain && lastPlain !== undefined && isSame(lastPlain, nResults, ef, exact, include)) return lastPlain.text;
  checkSearchParameters(ef, exact);
  const text = JSON.stringify({ n_results: nResults, ef, exact, ids, where, where_document: whereDocument, include });
  if (isPlain) lastPlain = { nResults, ef, exact, include: [...include], text };
  return text;
}

const NO_PARAMETERS: SearchParams = {};

function isSame(
  last: PlainRequest,
  nResults: number,
  ef: number | undefined,
  exact: boolean | undefined,
  include: Include[],
): boolean {
  if (last.nResults !== nResults || last.ef !== ef || last.exact !== exact) return false;
  return last.include.length === include.length && last.include.every((column, i) => column === include[i]);
}

function checkSearchParameters(ef: unknown, exact: unknown): void {
  if (ef !== undefined && (!Number.isSafeInteger(ef) || (ef as number) < 1)) {
    throw new ChromaValueError(`Expected 'searchParams.ef' to be a positive integer, but got ${String(ef)}`);
  }
  if (exact !== undefined && typeof exact !== "boolean") {
    throw new ChromaValueError(`Expected 'searchParams.exact' to be a boolean, but got ${typeof exact}`);
  }
}
