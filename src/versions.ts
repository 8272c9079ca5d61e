/** Versions of a local collection: what is listed of them, and how they are named. */
import { ChromaNotFoundError, ChromaValueError } from "./errors.js";

/** A state of a collection that is kept and can be read again. */
export interface Version {
  /** Names the state for ever: the number of write calls that had changed the collection. Grows from version to version. */
  version: number;
  /** What the caller of {@link Collection.createVersion} called it. */
  label: string | undefined;
  /** When it was made. */
  createdAt: Date;
  /** Number of records. */
  count: number;
  /** Whether the collection's setting made it, and may delete it. */
  automatic: boolean;
}

/** Longest label, in UTF-16 code units. */
const MOST_LABEL = 512;

/** A version as native code describes it. */
export function readVersion(text: string): Version {
  return versionOf(JSON.parse(text));
}

/** Versions as native code lists them, oldest first. */
export function readVersions(text: string): Version[] {
  return (JSON.parse(text) as VersionJson[]).map(versionOf);
}

interface VersionJson {
  version: number;
  label: string | null;
  createdAt: number;
  count: number;
  automatic: boolean;
}

function versionOf({ version, label, createdAt, count, automatic }: VersionJson): Version {
  return { version, label: label ?? undefined, createdAt: new Date(createdAt), count, automatic };
}

/**
 * Checks a label.
 *
 * @throws ChromaValueError when it is no string of 1 to 512 characters.
 */
export function checkLabel(label: unknown): void {
  if (label === undefined) return;
  if (typeof label !== "string" || label === "" || label.length > MOST_LABEL) {
    const got = typeof label === "string" ? `one of ${label.length}` : typeof label;
    throw new ChromaValueError(`Expected 'label' to be a string of 1 to ${MOST_LABEL} characters, but got ${got}`);
  }
}

/**
 * The number of a version that is named by its number or its label; of several with one label the newest.
 *
 * @param list - Asked for the versions where a label is given.
 * @throws ChromaValueError when `version` is neither; ChromaNotFoundError when no version has the label.
 */
export async function versionNumber(version: number | string, list: () => Promise<Version[]>): Promise<number> {
  if (typeof version === "string") {
    const found = (await list()).findLast(({ label }) => label === version);
    if (found === undefined) throw new ChromaNotFoundError(`The collection has no version with the label '${version}'`);
    return found.version;
  }
  if (!Number.isSafeInteger(version) || version < 0) {
    throw new ChromaValueError(
      `Expected 'version' to be the number or the label of a version, but got ${String(version)}`,
    );
  }
  return version;
}
