/** Which names a server answers to, and which web pages may ask it. */
import { isIP } from "node:net";
import { HttpError } from "./http-error.js";

/**
 * Refuses a request that was sent to a name that is not the server's: a web page whose name was pointed at this machine (DNS
 * rebinding) would be of the same origin. An address cannot be pointed elsewhere.
 *
 * @param host - The header `Host`, or the host of the request's address.
 * @param allowed - Names in lower case; null: any.
 * @throws HttpError 403.
 */
export function checkHost(host: string | undefined, allowed: Set<string> | null): void {
  if (allowed === null) return;
  const name = hostName(host ?? "");
  if (name === "localhost" || name.endsWith(".localhost") || isIP(name) !== 0 || allowed.has(name)) return;
  throw new HttpError(403, `The server does not answer to the host name '${name}': add it to its allowed hosts`);
}

/** The name or address in `name:port`, in lower case and without brackets. */
export function hostName(host: string): string {
  const [, bracketed, plain] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(host) ?? [];
  return (bracketed ?? plain ?? host).toLowerCase();
}

/**
 * Refuses a request that a web page of another origin sent. A browser sends simple requests without asking before, and a page
 * needs no reply to do harm.
 *
 * @param origin - The header `Origin`.
 * @param host - The header `Host`.
 * @param allowed - Origins that may ask; `*` is all.
 * @throws HttpError 403.
 */
export function checkOrigin(origin: string | undefined, host: string | undefined, allowed: string[]): void {
  if (origin === undefined || allowed.includes("*") || allowed.includes(origin)) return;
  if (/^https?:\/\//.test(origin) && origin.replace(/^https?:\/\//, "") === host) return;
  throw new HttpError(403, `The server does not answer to web pages of '${origin}': add it to its CORS origins`);
}
