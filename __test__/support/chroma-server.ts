/** A server that answers as a test tells it, and remembers what it was asked. */
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/** A request as it came. */
export interface Asked {
  method: string;
  /** Path and query. */
  url: string;
  headers: IncomingHttpHeaders;
  /** Read as JSON; undefined without a body. */
  body: unknown;
}

/** What is answered: a status with a body, sent as JSON unless it is a string. Undefined: 404. */
export type Answer = { status?: number; body?: unknown; headers?: Record<string, string> } | undefined;

/** Starts a server on a free port of 127.0.0.1, which is stopped when the test has finished. */
export async function startServer(
  answer: (asked: Asked) => Answer,
): Promise<{ port: number; url: string; asked: Asked[] }> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString();
      const { method = "", url = "", headers } = request;
      const one: Asked = { method, url, headers, body: text === "" ? undefined : JSON.parse(text) };
      asked.push(one);
      const { status = 200, body = {}, headers: extra } = answer(one) ?? { status: 404 };
      response.writeHead(status, { "content-type": "application/json", ...extra });
      response.end(typeof body === "string" ? body : JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  const { port } = server.address() as AddressInfo;
  return { port, url: `http://127.0.0.1:${port}`, asked };
}
