/** Errors as replies in Chroma's form. */
import { randomBytes } from "node:crypto";
import { DatabaseClosedError, refusalOf } from "../errors.js";
import { parseFailure } from "../native.js";

/** The names by which Chroma's clients choose the class of an error. */
export type ErrorName = "InvalidArgumentError" | "NotFoundError" | "InternalError" | "ChromaError" | "AuthError";

/** A failure whose reply is known. */
export class HttpError extends Error {
  /** HTTP status of the reply. */
  readonly status: number;
  /** Name of the error in the reply. */
  readonly errorName: ErrorName;

  constructor(status: number, message: string, errorName: ErrorName = nameOf(status)) {
    super(message);
    this.status = status;
    this.errorName = errorName;
  }
}

function nameOf(status: number): ErrorName {
  if (status === 400) return "InvalidArgumentError";
  if (status === 404) return "NotFoundError";
  return status === 500 ? "InternalError" : "ChromaError";
}

/** HTTP statuses of native code's failures; 500 for all others. */
const STATUSES: Record<string, number> = {
  INVALID_ARGUMENT: 400,
  LIMIT_EXCEEDED: 400,
  UNPROCESSABLE: 422,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  NO_SPACE: 507,
  READ_ONLY: 403,
  UNSUPPORTED: 501,
  CLOSED: 503,
  LOCKED: 503,
  // Nobody is there any more to read it.
  CANCELLED: 499,
};

/** The failure as a reply; undefined for an error that nobody foresaw. */
export function toHttpError(error: unknown): HttpError | undefined {
  if (error instanceof HttpError) return error;
  const native = parseFailure(error);
  if (native !== undefined) return new HttpError(STATUSES[native.code] ?? 500, native.message);
  const refusal = refusalOf(error);
  if (refusal !== undefined) return new HttpError(refusal.status, refusal.message);
  return error instanceof DatabaseClosedError ? new HttpError(503, error.message) : undefined;
}

/** The id of a failure, by which its reply and the server's report of it are brought together. */
export function newTraceId(): string {
  return randomBytes(16).toString("hex");
}

/** The reply to a request that failed. */
export function errorResponse(error: HttpError, traceId: string): Response {
  const headers: Record<string, string> = { "content-type": "application/json", "chroma-trace-id": traceId };
  if (error.status === 401) headers["www-authenticate"] = 'Basic realm="chroma", charset="UTF-8"';
  if (error.status === 503) headers["retry-after"] = "1";
  const body = JSON.stringify({ error: error.errorName, message: error.message });
  return new Response(body, { status: error.status, headers });
}

/** The reply to a request that there is no route for: without a body, as Chroma's. */
export function emptyResponse(status: 404 | 405, headers: Record<string, string> = {}): Response {
  return new Response(null, { status, headers: { ...headers, "chroma-trace-id": newTraceId() } });
}
