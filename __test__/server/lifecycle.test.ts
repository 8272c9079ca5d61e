import { createServer, request as httpRequest } from "node:http";
import { connect } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { describe, expect, onTestFinished, test } from "vitest";
import { EphemeralClient, PersistentClient } from "../../index.js";
import { createApp, serve } from "../../src/server.js";
import { temporaryPath } from "../support/folder.js";
import { type Ask, COLLECTIONS, createCollection, post, startServer } from "../support/server.js";

/** A collection with enough records, and a query with enough vectors, that the answer takes a while. */
async function slowQuery(ask: Ask): Promise<{ path: string; body: string }> {
  const path = await createCollection(ask);
  const dim = 128;
  const vector = (i: number): number[] => Array.from({ length: dim }, (_, d) => ((i * 31 + d * 17) % 101) / 100);
  const ids = Array.from({ length: 4_000 }, (_, i) => `id-${i}`);
  const added = await ask(`${path}/add`, post({ ids, embeddings: ids.map((_, i) => vector(i)) }));
  expect(added.status).toBe(201);
  const query_embeddings = Array.from({ length: 6_000 }, (_, i) => vector(i + 7));
  return { path: `${path}/query`, body: JSON.stringify({ query_embeddings, include: ["distances"] }) };
}

describe("a request that its client abandons", () => {
  test("stops its search, where a signal says so", async () => {
    const client = EphemeralClient();
    onTestFinished(() => client.close());
    const app = createApp(client);
    const ask: Ask = async (path, init) => app.fetch(new Request(`http://localhost${path}`, init));
    const { path, body } = await slowQuery(ask);
    const abort = new AbortController();
    const answer = ask(path, { ...post(body), signal: abort.signal });
    setTimeout(() => abort.abort(), 5);
    expect((await answer).status).toBe(499);
  });

  test("stops its search, where the connection is closed", async () => {
    const client = EphemeralClient();
    onTestFinished(() => client.close());
    const app = createApp(client);
    const ask: Ask = async (path, init) => app.fetch(new Request(`http://localhost${path}`, init));
    const { path, body } = await slowQuery(ask);
    let told: (status: number) => void = () => {};
    const status = new Promise<number>((resolve) => {
      told = resolve;
    });
    const answer = async (request: Request, env: unknown): Promise<Response> => {
      const response = await app.fetch(request, env as never);
      told(response.status);
      return response;
    };
    const server = createServer(getRequestListener(answer as never, { overrideGlobalObjects: false }));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as { port: number };
    const request = httpRequest({ port, host: "127.0.0.1", path, method: "POST" });
    request.on("error", () => {});
    request.end(body, () => setTimeout(() => request.destroy(), 5));
    expect(await status).toBe(499);
  });

  test("is told while it is still being read", async () => {
    const server = await startServer();
    const path = await createCollection(server.ask);
    const socket = connect(server.port, server.host);
    socket.write(`POST ${path}/add HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"ids":["a"]`);
    await new Promise((resolve) => setTimeout(resolve, 20));
    socket.destroy();
    // Nothing of it is left: the server closes without waiting for the rest.
    await server.close();
  });
});

describe("closing", () => {
  test("waits for requests that are under way, then frees the folder", async () => {
    const path = temporaryPath();
    const server = await serve({ path, port: 0 });
    const ask: Ask = (route, init) => fetch(server.url + route, init);
    const { path: route, body } = await slowQuery(ask);
    const answer = ask(route, post(body));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const closed = server.close();
    expect(server.close()).toBe(closed);
    const response = await answer;
    expect(response.status).toBe(200);
    expect(((await response.json()) as { ids: unknown[] }).ids.length).toBe(6_000);
    await closed;
    await expect(ask("/api/v2/version")).rejects.toThrow();
    const client = new PersistentClient({ path });
    expect(await client.countCollections()).toBe(1);
    await client.close();
  });

  test("cuts off what takes too long", async () => {
    const server = await serve({ path: null, port: 0, timeouts: { close: 50 } });
    const socket = connect(server.port, server.host);
    const ended = new Promise((resolve) => socket.once("close", resolve));
    socket.on("error", () => {});
    socket.write(`POST ${COLLECTIONS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{`);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await server.close();
    await ended;
  });

  test("leaves a client open that was given to the server", async () => {
    const client = EphemeralClient();
    onTestFinished(() => client.close());
    const server = await startServer({ client });
    await createCollection(server.ask);
    await server.close();
    expect(await client.countCollections()).toBe(1);
  });

  test("of the client's database is a 503", async () => {
    const client = EphemeralClient();
    const server = await startServer({ client });
    const path = await createCollection(server.ask);
    expect((await server.ask(`${path}/count`)).status).toBe(200);
    await client.close();
    for (const route of [`${path}/count`, COLLECTIONS, "/api/v2/healthcheck"]) {
      expect((await server.ask(route)).status).toBe(503);
    }
  });
});

describe("connections", () => {
  test("by the hundred are served at once", async () => {
    const server = await startServer();
    const path = await createCollection(server.ask);
    await server.ask(`${path}/add`, post({ ids: ["a"], embeddings: [[1, 2]] }));
    const body = JSON.stringify({ query_embeddings: [[1, 2]], include: [] });
    const one = (): Promise<number> =>
      new Promise((resolve, reject) => {
        const options = { port: server.port, host: server.host, path: `${path}/query`, method: "POST", agent: false };
        const request = httpRequest(options, (response) => {
          response.resume().on("end", () => resolve(response.statusCode ?? 0));
        });
        request.on("error", reject).end(body);
      });
    const statuses = await Promise.all(Array.from({ length: 500 }, one));
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
  });

  test("are kept for further requests", async () => {
    const server = await startServer();
    const socket = connect(server.port, server.host);
    onTestFinished(() => void socket.destroy());
    let text = "";
    socket.on("data", (data) => {
      text += data.toString();
    });
    for (let i = 1; i <= 3; i++) {
      socket.write("GET /api/v2/version HTTP/1.1\r\nHost: localhost\r\n\r\n");
      while (text.split('"1.0.0"').length <= i) await new Promise((resolve) => socket.once("data", resolve));
    }
    expect(text.match(/HTTP\/1\.1 200 OK/g)?.length).toBe(3);
  });

  test("of clients that do not go on are closed", async () => {
    const server = await startServer({ timeouts: { headers: 100, request: 200, idle: 300, keepAlive: 100 } });
    for (const text of [
      "",
      "GET /api/v2/version HTTP/1.1\r\nHost: loc",
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
    ]) {
      const socket = connect(server.port, server.host);
      socket.on("error", () => {}).resume();
      if (text !== "") socket.write(text);
      await new Promise((resolve) => socket.once("close", resolve));
    }
  });

  test("survive what is no HTTP", async () => {
    const server = await startServer();
    for (const text of [
      "\0\0\0\0\r\n\r\n",
      "GET\r\n\r\n",
      "GET / HTTP/9.9\r\n\r\n",
      `GET /${"x".repeat(100_000)} HTTP/1.1\r\n\r\n`,
    ]) {
      const socket = connect(server.port, server.host);
      socket.on("error", () => {}).resume();
      socket.write(text);
      await new Promise((resolve) => socket.once("close", resolve));
    }
    for (const path of ["/%", "/api/v2/tenants/%ff", "/api/v2/tenants/%00", "//evil.example/api", "/\\..\\x"]) {
      const socket = connect(server.port, server.host);
      socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
      socket.on("error", () => {});
      const reply = await new Promise<string>((resolve) => {
        let all = "";
        socket.on("data", (data) => {
          all += data.toString();
        });
        socket.on("close", () => resolve(all));
      });
      expect(reply).toMatch(/^HTTP\/1\.1 (4\d\d|200) /);
    }
    expect((await server.ask("/api/v2/version")).status).toBe(200);
  });
});

test("a server that cannot listen says why and frees the folder", async () => {
  const path = temporaryPath();
  const first = await startServer();
  await expect(serve({ path, port: first.port })).rejects.toThrow("EADDRINUSE");
  const client = new PersistentClient({ path });
  await client.heartbeat();
  await client.close();
  await expect(serve({ path: null, port: 99_999 })).rejects.toThrow("integer from 0 to 65535");
  await expect(serve({})).rejects.toThrow("Expected `path`");
  await expect(serve({ path: null, timeouts: { header: 1 } as never })).rejects.toThrow("Unknown timeout 'header'");
  await expect(serve({ path: null, limits: { body: 1 } as never })).rejects.toThrow("Unknown limit 'body'");
});
