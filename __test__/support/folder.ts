import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { type ChromaClient, PersistentClient, type PersistentClientArgs } from "../../index.js";

/** A new empty folder, removed when the test has finished. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "ferrochrome-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Path of a database that does not exist yet, in a folder that is removed when the test has finished. */
export function temporaryPath(): string {
  return join(temporaryFolder(), "db");
}

/** A client that is closed when the test has finished. */
export function openClient(path: string, args: PersistentClientArgs = {}): ChromaClient {
  const client = new PersistentClient({ ...args, path });
  onTestFinished(() => client.close());
  return client;
}
