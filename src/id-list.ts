/** The ids that a request names, on their way to native code. */
import { binding, type NativeIds } from "./native.js";
import { validateIDs } from "./validate.js";

/** So many ids cross packed; fewer cross faster within the JSON of their request. */
const MANY_IDS = 64;
/** Most bytes of memory that is kept to pack ids in. */
const MOST_KEPT_BYTES = 4 << 20;
/** Bytes that a UTF-16 code unit takes in UTF-8 at most. */
const UTF8_PER_UNIT = 3;
const LAST_ASCII = 0x7f;

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
  const packed = Array.isArray(ids) && ids.length >= MANY_IDS ? pack(ids) : null;
  if (packed !== null) return packed;
  validateIDs(ids);
  return { listed: ids, packed: null, bytes: 0 };
}

/** The memory that ids are packed in, kept for the next time. */
let keptText = new Uint8Array(0);
let keptEnds = new Uint32Array(0);

/** The ids packed, or null where they are not all different strings of text. */
function pack(ids: string[]): NamedIds | null {
  const { length } = ids;
  let text = keptText;
  const ends = keptEnds.length < length ? new Uint32Array(length) : keptEnds;
  let end = 0;
  for (let i = 0; i < length; i++) {
    const id = ids[i];
    if (typeof id !== "string") return null;
    const most = end + id.length * UTF8_PER_UNIT;
    if (most > text.length) {
      const larger = new Uint8Array(2 * most);
      larger.set(text.subarray(0, end));
      text = larger;
    }
    const next = writeAscii(id, text, end) ?? writeText(id, text, end);
    if (next === undefined) return null;
    end = next;
    ends[i] = end;
  }
  if (text.length <= MOST_KEPT_BYTES) keptText = text;
  if (ends.byteLength <= MOST_KEPT_BYTES) keptEnds = ends;
  const packed = binding().NativeIds.pack(text.subarray(0, end), ends.subarray(0, length));
  return packed && { packed, bytes: end + length * ends.BYTES_PER_ELEMENT };
}

/** Writes an id at `start` and returns where it ends, or undefined where it has other characters than ASCII's. */
function writeAscii(id: string, text: Uint8Array, start: number): number | undefined {
  const { length } = id;
  let seen = 0;
  for (let i = 0; i < length; i++) {
    const unit = id.charCodeAt(i);
    seen |= unit;
    text[start + i] = unit;
  }
  return seen > LAST_ASCII ? undefined : start + length;
}

const encoder = new TextEncoder();

/** As {@link writeAscii}, for any text; undefined where the id is none, as half of a surrogate pair is not. */
function writeText(id: string, text: Uint8Array, start: number): number | undefined {
  if (!id.isWellFormed()) return undefined;
  return start + encoder.encodeInto(id, text.subarray(start)).written;
}
