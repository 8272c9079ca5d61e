/** Packages that are not dependencies: found where a program installed them, loaded only when they are needed. */
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

/**
 * Loads a package if it is installed: beside this one, or, where this one is linked from another folder, beside the program.
 *
 * @returns What it exports; undefined when it is not installed.
 * @throws Whatever the package itself throws while it is loaded.
 */
export async function importInstalled(name: string): Promise<Record<string, unknown> | undefined> {
  try {
    return await import(name);
  } catch (error) {
    if (!isNotFound(error, name)) throw error;
  }
  const file = resolveFromProgram(name);
  return file === undefined ? undefined : import(pathToFileURL(file).href);
}

function resolveFromProgram(name: string): string | undefined {
  const program = process.argv[1];
  if (program === undefined) return undefined;
  try {
    return createRequire(pathToFileURL(program)).resolve(name);
  } catch {
    return undefined;
  }
}

/** Whether an import failed for want of this package rather than of one that it needs. */
function isNotFound(error: unknown, name: string): boolean {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  if (typeof message !== "string" || !(message.includes(`'${name}'`) || message.includes(`"${name}"`))) return false;
  // Vite puts a module that throws this in place of an optional peer that is not installed.
  const left = message.startsWith("Could not resolve ");
  return left || code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND";
}
