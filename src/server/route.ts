import type { Context } from "hono";
import type { DatabaseHandle } from "../database.js";
import type { AppEnv } from "./app-env.js";
import type { BodyReader } from "./body.js";
import { HttpError } from "./http-error.js";
import type { OpenCollections } from "./open-collections.js";
import type { AppSettings } from "./options.js";

/** HTTP methods that routes have. */
export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** What the reply to a request is made of: text that is JSON, or its bytes. */
export interface Reply {
  /** JSON. */
  body: string | Uint8Array;
  /** HTTP status. Default 200. */
  status?: number;
}

/** One route of the API. */
export interface Route {
  method: Method;
  /** Path in hono's form. */
  path: string;
  /** Heading under which it is described. */
  tag: "System" | "Tenants and databases" | "Collections" | "Records";
  /** What it does, in a sentence. */
  summary: string;
  /** Whether it changes something. Default false. */
  writes?: true;
  /** Whether it concerns more than one tenant. Default false. */
  global?: true;
  /** Whether it is answered without credentials. Default false. */
  open?: true;
  /** Name of the schema of its body, in openapi.ts. */
  body?: string;
  /** Name of the schema of its reply, in openapi.ts. Default: any JSON. */
  reply?: string;
  /** Query parameters. */
  query?: readonly ("limit" | "offset" | "read_level")[];
  /** HTTP status of success. Default 200. */
  success?: number;
  handle: (c: Context<AppEnv>) => Reply | Promise<Reply>;
}

/** What the routes of one app share. */
export interface Service {
  handle: DatabaseHandle;
  settings: AppSettings;
  bodies: BodyReader;
  collections: OpenCollections;
}

/** The empty object, which is Chroma's reply to most writes. */
export const DONE: Reply = { body: "{}" };

/**
 * A parameter of the path.
 *
 * @throws HttpError 400 for the name of a database that is too short, as in Chroma.
 */
export function pathParameter(c: Context<AppEnv>, name: "tenant" | "database" | "collection" | "name"): string {
  const value = c.req.param(name) ?? "";
  if (name === "database" && [...value].length < 3) {
    throw new HttpError(400, "database name must be at least 3 characters");
  }
  return value;
}

/** The most that native code takes as a count. */
const MOST = 0xffff_ffff;

/**
 * `limit` and `offset` of a list.
 *
 * @throws HttpError 400 if one is no natural number.
 */
export function pageOf(c: Context<AppEnv>): { limit: number; offset: number } {
  return { limit: countParameter(c, "limit", MOST), offset: countParameter(c, "offset", 0) };
}

function countParameter(c: Context<AppEnv>, name: string, otherwise: number): number {
  const text = c.req.query(name);
  if (text === undefined) return otherwise;
  const fault = (what: string): HttpError => new HttpError(400, `Failed to deserialize query string: ${name}: ${what}`);
  if (text === "") throw fault("cannot parse integer from empty string");
  if (!/^\+?\d+$/.test(text)) throw fault("invalid digit found in string");
  const count = Number(text);
  if (count > MOST) throw fault("number too large to fit in target type");
  return count;
}
