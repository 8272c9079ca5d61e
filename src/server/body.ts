/** Reading the body of a request into native memory. */
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import type { Context } from "hono";
import { binding, type NativeBody } from "../native.js";
import type { AppEnv } from "./app-env.js";
import { HttpError } from "./http-error.js";
import type { AppSettings } from "./options.js";

/** Room that a body is given at once. For more, what a client announces does not count, but what it sends. */
const FIRST_BYTES = 1 << 20;

const JSON_TYPE = /^application\/(?:[^\s;]+\+)?json\s*(?:;|$)/i;

/** Bounds the memory of all bodies that are being read or worked on. */
export class BodyBudget {
  private bytes = 0;
  private readonly most: number;

  constructor(most: number) {
    this.most = most;
  }

  take(bytes: number): void {
    if (this.bytes + bytes > this.most) {
      throw new HttpError(503, "Too many large requests are under way: try again in a moment");
    }
    this.bytes += bytes;
  }

  give(bytes: number): void {
    this.bytes -= bytes;
  }
}

/** Reads bodies within the limits of a server. */
export class BodyReader {
  private readonly budget: BodyBudget;
  private readonly most: number;

  constructor(limits: AppSettings["limits"]) {
    this.budget = new BodyBudget(limits.pendingBytes);
    this.most = limits.bodyBytes;
  }

  /**
   * Reads the body of a request and works on it.
   *
   * @throws HttpError 415 if it is not JSON, 413 if it is too large, 503 if there is no room for it now, 400 if it ends too early.
   */
  async with<T>(c: Context<AppEnv>, work: (body: NativeBody) => T | Promise<T>): Promise<T> {
    const type = c.req.header("content-type");
    if (type !== undefined && !JSON_TYPE.test(type)) {
      throw new HttpError(415, "Expected request with `Content-Type: application/json`");
    }
    const expected = Number(c.req.header("content-length") ?? 0);
    if (expected > this.most) throw this.tooLarge();
    const body = new (binding().NativeBody)(Math.min(expected, FIRST_BYTES) || 0);
    let bytes = 0;
    const push = (chunk: Uint8Array): void => {
      if (bytes + chunk.byteLength > this.most) throw this.tooLarge();
      this.budget.take(chunk.byteLength);
      bytes += chunk.byteLength;
      body.push(chunk);
    };
    try {
      await readInto(push, c);
      return await work(body);
    } finally {
      this.budget.give(bytes);
    }
  }

  private tooLarge(): HttpError {
    return new HttpError(413, `The body is larger than ${this.most} bytes: send the records in several requests`);
  }
}

async function readInto(push: (chunk: Uint8Array) => void, c: Context<AppEnv>): Promise<void> {
  const encoding = c.req.header("content-encoding")?.trim().toLowerCase() ?? "identity";
  const incoming = c.env?.incoming;
  if (encoding === "identity" && incoming !== undefined) return readIncoming(push, incoming);
  const source = incoming ?? (c.req.raw.body && Readable.fromWeb(c.req.raw.body as never));
  if (source === null) return;
  if (encoding === "identity") return readStream(push, source);
  if (encoding !== "gzip" && encoding !== "x-gzip") {
    throw new HttpError(415, `Expected a body without encoding or with 'gzip', but got '${encoding}'`);
  }
  const unpacked = createGunzip();
  source.once("error", (error) => unpacked.destroy(error));
  source.pipe(unpacked);
  try {
    await readStream(push, unpacked);
  } catch (error) {
    source.unpipe(unpacked);
    throw error;
  }
}

async function readStream(push: (chunk: Uint8Array) => void, stream: Readable): Promise<void> {
  try {
    for await (const chunk of stream) push(chunk);
  } catch (error) {
    if (error instanceof HttpError) throw error;
    throw new HttpError(400, `The body cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** As `readStream`, without an asynchronous iterator, which costs as much as a short query. */
function readIncoming(push: (chunk: Uint8Array) => void, incoming: IncomingMessage): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: unknown): void => {
      incoming.off("data", onData).off("end", onEnd).off("error", onError).off("close", onClose);
      if (error === undefined) resolve();
      else reject(error);
    };
    const onData = (chunk: Uint8Array): void => {
      try {
        push(chunk);
      } catch (error) {
        incoming.pause();
        settle(error);
      }
    };
    const onEnd = (): void => settle();
    const onError = (error: Error): void => settle(new HttpError(400, `The body cannot be read: ${error.message}`));
    const onClose = (): void => settle(new HttpError(400, "The body ended too early"));
    incoming.on("data", onData).on("end", onEnd).on("error", onError).on("close", onClose);
  });
}
