/** Who may do what: tokens and passwords, compared in constant time. */
import { createHash, timingSafeEqual } from "node:crypto";
import { ChromaValueError } from "../errors.js";
import { HttpError } from "./http-error.js";
import type { BasicOptions, TokenOptions } from "./options.js";

/** What a token or a password permits. */
export interface TenantGrant {
  /** Tenants that may be used; the first one is what clients that ask get as theirs. Default: every tenant. */
  tenants?: string[] | undefined;
  /** The database that clients that ask get as theirs. Default `default_database`. */
  database?: string | undefined;
  /** Whether only reading is permitted. Default false. */
  readOnly?: boolean | undefined;
  /** Name that clients that ask get as theirs. Default empty, or the user name. */
  userId?: string | undefined;
}

/** A grant, complete. */
export interface Grant {
  userId: string;
  /** Null: every tenant. */
  tenants: string[] | null;
  database: string;
  readOnly: boolean;
}

/** A secret and what it permits. */
export interface Credential {
  scheme: "token" | "basic";
  /** Of the token, or of name, colon and password. */
  digest: Buffer;
  grant: Grant;
}

/** What everybody may who is asked for no credentials. */
export const EVERYTHING: Grant = { userId: "", tenants: null, database: "default_database", readOnly: false };

/** Shortest token and password. */
const SHORTEST_SECRET = 8;

/**
 * Credentials from the options.
 *
 * @throws ChromaValueError for a token or a password that is too short to be a secret, and for other wrong values.
 */
export function readCredentials(tokens: (string | TokenOptions)[], basic: BasicOptions[]): Credential[] {
  const fromTokens = tokens.map((entry): Credential => {
    const options = typeof entry === "string" ? { token: entry } : entry;
    checkSecret("token", options.token);
    return { scheme: "token", digest: digest(options.token), grant: readGrant(options, "") };
  });
  const fromPasswords = basic.map((options): Credential => {
    const { username, password } = options;
    if (typeof username !== "string" || username === "" || username.includes(":")) {
      throw new ChromaValueError("Expected 'username' to be a string without a colon, at least one character long");
    }
    checkSecret("password", password);
    return { scheme: "basic", digest: digest(`${username}:${password}`), grant: readGrant(options, username) };
  });
  return [...fromTokens, ...fromPasswords];
}

function checkSecret(what: string, secret: unknown): void {
  if (typeof secret !== "string" || secret.length < SHORTEST_SECRET || secret.trim() !== secret) {
    throw new ChromaValueError(
      `Expected a ${what} to be a string of at least ${SHORTEST_SECRET} characters, without spaces around it`,
    );
  }
}

function readGrant(options: TenantGrant, userId: string): Grant {
  const { tenants } = options;
  if (tenants !== undefined && (!Array.isArray(tenants) || tenants.length === 0)) {
    throw new ChromaValueError("Expected 'tenants' to be a non-empty array of names; leave it out for every tenant");
  }
  return {
    userId: options.userId ?? userId,
    tenants: tenants ?? null,
    database: options.database ?? EVERYTHING.database,
    readOnly: options.readOnly ?? false,
  };
}

function digest(secret: string): Buffer {
  return createHash("sha256").update(secret).digest();
}

/**
 * What a request may, by its headers. All credentials are compared, whichever fits, so that the time tells nothing.
 *
 * @throws HttpError 401 if there are credentials and the request has none of them.
 */
export function authenticate(
  credentials: Credential[],
  header: (name: "authorization" | "x-chroma-token") => string | undefined,
): Grant {
  if (credentials.length === 0) return EVERYTHING;
  const given = givenSecret(header("authorization"), header("x-chroma-token"));
  let grant: Grant | undefined;
  if (given !== undefined) {
    const givenDigest = digest(given.secret);
    for (const credential of credentials) {
      const equal = timingSafeEqual(credential.digest, givenDigest);
      if (equal && credential.scheme === given.scheme) grant = credential.grant;
    }
  }
  if (grant === undefined) throw new HttpError(401, "Unauthorized", "AuthError");
  return grant;
}

function givenSecret(
  authorization: string | undefined,
  chromaToken: string | undefined,
): { scheme: Credential["scheme"]; secret: string } | undefined {
  // Chroma's own header first: the other may be meant for a proxy in between.
  if (chromaToken) return { scheme: "token", secret: chromaToken.replace(/^bearer +/i, "") };
  const [, scheme, value] = /^(bearer|basic) +(.+)$/i.exec(authorization ?? "") ?? [];
  if (scheme === undefined || value === undefined) return undefined;
  if (scheme.toLowerCase() === "bearer") return { scheme: "token", secret: value };
  return { scheme: "basic", secret: Buffer.from(value, "base64").toString("utf8") };
}

/** What a request wants to do. */
export interface Intent {
  /** The tenant in its address. */
  tenant: string | undefined;
  /** Whether it changes something. */
  writes: boolean;
  /** Whether it concerns more than one tenant. */
  global: boolean;
}

/**
 * Whether a grant permits what a request wants.
 *
 * @throws HttpError 403 if not.
 */
export function authorize(grant: Grant, { tenant, writes, global }: Intent): void {
  const foreign = grant.tenants !== null && (global || (tenant !== undefined && !grant.tenants.includes(tenant)));
  if (foreign || (writes && grant.readOnly)) throw new HttpError(403, "Forbidden", "AuthError");
}
