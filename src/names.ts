/** What may be the name of a collection, a database or a tenant. */
import { isIP } from "node:net";
import { badRequest } from "./errors.js";

const MAX_NAME_LENGTH = 512;
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9._-]{1,510}[a-zA-Z0-9]$/;

/**
 * Checks the name of a collection or a database: 3 to 512 of `[A-Za-z0-9._-]`, a letter or digit at both ends, no `..`, no
 * IP address. One `+` may set off a topology prefix; both sides are then checked.
 *
 * @param field - Name of the field in the message.
 * @throws ChromaClientError with the server's message.
 */
export function validateName(name: unknown, route: string, field = "name"): asserts name is string {
  const parts = typeof name === "string" ? name.split("+") : [];
  if (parts.length < 1 || parts.length > 2 || (name as string).length > MAX_NAME_LENGTH) {
    throw badName(route, field, name);
  }
  for (const part of parts) {
    if (!NAME.test(part)) throw badName(route, field, name);
    if (part.includes("..")) {
      throw badRequest(
        route,
        `Validation error: ${field}: Expected a name that does not contains two consecutive periods (..). Got ${part}`,
      );
    }
    if (isIP(part) !== 0) {
      throw badRequest(
        route,
        `Validation error: ${field}: Expected a name that is not a valid ip address. Got ${part}`,
      );
    }
  }
}

function badName(route: string, field: string, name: unknown): Error {
  const got = typeof name === "string" ? name : typeof name;
  return badRequest(
    route,
    `Validation error: ${field}: Expected a name containing 3-512 characters from [a-zA-Z0-9._-], starting and ending with a character in [a-zA-Z0-9]. Got: ${got}`,
  );
}

/**
 * Checks the name of a tenant: at least 3 characters.
 *
 * @throws ChromaClientError when it is shorter.
 */
export function validateTenantName(name: unknown, route: string): asserts name is string {
  if (typeof name !== "string" || name.length < 3) {
    throw badRequest(route, "tenant name must be at least 3 characters");
  }
}

/**
 * Checks the name of a database that is asked for: at least 3 characters.
 *
 * @throws ChromaClientError when it is shorter.
 */
export function validateDatabaseName(name: string, route: string): void {
  if (name.length < 3) throw badRequest(route, "database name must be at least 3 characters");
}
