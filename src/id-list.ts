/** The ids that a request names, on their way to native code. */
import { binding, type NativeCollection, type NativeIds } from "./native.js";
import { validateIDs } from "./validate.js";

/** So many ids cross packed; fewer cross faster within the JSON of their request. */
const MANY_IDS = 64;
/** Looking up so many takes longer than handing a part of the work to another thread. */
const LONG_LIST = 2_048;
/** Most bytes of memory that is kept to pack ids in. */
const MOST_KEPT_BYTES = 4 << 20;
/** Bytes that a UTF-16 code unit takes in UTF-8 at most. */
const UTF8_PER_UNIT = 3;
/** Strings cannot be longer than twice this. */
const MOST_JOINED_UNITS = 1 << 28;

/** Ids as a request hands them over: within its JSON, or beside it. */
export interface NamedIds {
  /** For the JSON of the request. */
  listed?: string[] | undefined;
  /** For the call. It can be given to one call only. */
  packed: NativeIds | null;
  /** Memory that `packed` takes until the call is done, at least. */
  bytes: number;
}

/** No ids were asked for. */
export const NO_IDS: NamedIds = { packed: null, bytes: 0 };

/**
 * Checks that ids are a non-empty array of different strings, and makes them ready to cross: in one pass over their characters
 * where they are many. Whether they differ is then seen in native code, in a fraction of the time that a `Set` takes.
 *
 * @throws ChromaValueError as {@link validateIDs}.
 */
export function namedIds(ids: string[]): NamedIds {
  const named = idsToLookUp(ids);
  if (named.packed?.areDistinct() === false) validateIDs(ids);
  return named;
}

/**
 * As {@link namedIds}, for a query: whether many ids differ is seen as they are looked up, and a query with equal ones fails. What
 * is wrong is then told by {@link validateIDs}. A thread of `native` that will help to look many ids up is woken up meanwhile.
 */
export function idsToLookUp(ids: string[], native?: NativeCollection): NamedIds {
  if (ids?.length >= LONG_LIST) native?.expectQueries();
  const packed = Array.isArray(ids) && ids.length >= MANY_IDS ? pack(ids) : null;
  if (packed !== null) return packed;
  validateIDs(ids);
  return { listed: ids, packed: null, bytes: 0 };
}

/** The memory that ids are packed in, kept for the next time. */
let keptText = new Uint8Array(0);
let keptEnds = new Uint32Array(0);

/** The ids packed, or null where they are not all strings of text. */
function pack(ids: string[]): NamedIds | null {
  const { length } = ids;
  const ends = keptEnds.length < length ? new Uint32Array(length) : keptEnds;
  if (ends.byteLength <= MOST_KEPT_BYTES) keptEnds = ends;
  const text = writeAscii(ids, ends) ?? writeText(ids, ends);
  if (text === undefined) return null;
  const packed = binding().NativeIds.pack(text, ends.subarray(0, length));
  return { packed, bytes: text.length + length * ends.BYTES_PER_ELEMENT };
}

/** Memory for a text of `bytes` at most. */
function textOf(bytes: number): Uint8Array {
  if (bytes <= keptText.length) return keptText;
  const text = new Uint8Array(bytes);
  if (bytes <= MOST_KEPT_BYTES) keptText = text;
  return text;
}

/**
 * The ids one after the other, and in `ends` where each ends; undefined where they have other characters than ASCII's. The engine
 * joins strings, and writes the whole, in a fraction of the time that a loop over their characters takes.
 */
function writeAscii(ids: string[], ends: Uint32Array): Uint8Array | undefined {
  let joined = "";
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i];
    if (typeof id !== "string" || joined.length > MOST_JOINED_UNITS) return undefined;
    joined += id;
    ends[i] = joined.length;
  }
  const text = textOf(joined.length);
  const { read, written } = encoder.encodeInto(joined, text);
  // A character that is not ASCII's takes more bytes than units.
  return read === joined.length && written === joined.length ? text.subarray(0, written) : undefined;
}

const encoder = new TextEncoder();

/** As {@link writeAscii}, for any text; undefined where an id is none, as half of a surrogate pair is not. */
function writeText(ids: string[], ends: Uint32Array): Uint8Array | undefined {
  let most = 0;
  for (const id of ids) {
    if (typeof id !== "string" || !id.isWellFormed()) return undefined;
    most += id.length * UTF8_PER_UNIT;
  }
  const text = textOf(most);
  let end = 0;
  for (const [i, id] of ids.entries()) {
    end += encoder.encodeInto(id, text.subarray(end)).written;
    ends[i] = end;
  }
  return text.subarray(0, end);
}
