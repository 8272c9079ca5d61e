import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import type { Metadata } from "../../index.js";
import { temporaryFolder } from "./folder.js";

const DIRECTORIES = fileURLToPath(new URL("../chroma-directories/", import.meta.url));

/** The versions of Chroma that wrote the directories. */
export const VERSIONS = ["0.4.24", "0.6.3", "1.0.20", "1.5.9"] as const;

/** A version of Chroma. */
export type Version = (typeof VERSIONS)[number];

/** A collection as the Chroma that wrote it answered `get()`. */
export interface ExpectedCollection {
  tenant: string;
  database: string;
  name: string;
  id: string;
  metadata: Metadata | null;
  ids: string[];
  /** Null where Chroma 0.4 itself has lost it. */
  embeddings: (number[] | null)[];
  documents: (string | null)[];
  metadatas: (Metadata | null)[];
  uris: (string | null)[] | null;
}

/** A directory as that version of Chroma left it, removed when the test has finished. */
export async function chromaDirectory(version: Version): Promise<string> {
  const target = join(temporaryFolder(), "chroma");
  for (const [name, bytes] of files(join(DIRECTORIES, version))) {
    const path = join(target, name.replace(/\.gz$/, ""));
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, gunzipSync(bytes));
  }
  return target;
}

/** What that version of Chroma said is in its directory. */
export function expectedCollections(version: Version): ExpectedCollection[] {
  return JSON.parse(gunzipSync(readFileSync(join(DIRECTORIES, `${version}.json.gz`))).toString());
}

/** Digests of all files below a folder, by relative path. */
export function digests(folder: string): [name: string, digest: string][] {
  return [...files(folder)].map(([name, bytes]) => [name, createHash("sha256").update(bytes).digest("hex")]);
}

/** All files below a folder, by relative path. */
export function files(folder: string): Map<string, Buffer> {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).sort();
  const found = names.filter((name) => statSync(join(folder, name)).isFile());
  return new Map(found.map((name) => [name, readFileSync(join(folder, name))]));
}
