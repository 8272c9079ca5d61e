import { readdirSync, readFileSync } from "node:fs";
import http from "node:http";
import { connect, Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { EphemeralClient } from "../../index.js";
import { binding } from "../../src/native.js";
import { createApp, serve } from "../../src/server.js";
import { temporaryFolder } from "../support/folder.js";
import { type Ask, COLLECTIONS, createCollection, post, read, startServer } from "../support/server.js";

const SECRET = "s3cret-token-of-the-test";

/** Packages that Chroma would load for a stored embedding function. Here nothing may ask for them. */
const loaded = vi.hoisted(() => [] as string[]);
vi.mock("@chroma-core/default-embed", () => {
  loaded.push("default-embed");
  return { DefaultEmbeddingFunction: class {} };
});
vi.mock("@chroma-core/openai", () => {
  loaded.push("openai");
  return { OpenAIEmbeddingFunction: class {} };
});

afterEach(() => vi.restoreAllMocks());

/** An app over a database in memory, asked without a socket. */
function startApp(options: Parameters<typeof createApp>[1] = {}): Ask {
  const client = EphemeralClient();
  onTestFinished(() => client.close());
  const app = createApp(client, options);
  return async (path, init) => app.fetch(new Request(`http://localhost${path}`, init));
}

/** The answer to a request with any headers, `Host` among them, which `fetch` does not let a program set. */
function askRaw(
  url: string,
  headers: Record<string, string>,
  method = "GET",
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk) => {
        text += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    request.on("error", reject).end();
  });
}

describe("a stored embedding function is data", () => {
  const evil = (port: number): object[] => [
    { type: "known", name: "default", config: {} },
    {
      type: "known",
      name: "openai",
      config: { api_key_env_var: "HOME", url: `http://127.0.0.1:${port}/`, model: "x" },
    },
    { type: "known", name: "sentence_transformer", config: { model_name: "evil/model", trust_remote_code: true } },
    { type: "known", name: "../../etc/passwd", config: { path: "/etc/passwd" } },
    { type: "legacy" },
    { type: "unknown" },
  ];

  test("creating, updating, reading and using a collection loads nothing and calls nobody", async () => {
    const trap = http.createServer((_, response) => response.end());
    await new Promise<void>((resolve) => trap.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void trap.close());
    let trapped = 0;
    trap.on("connection", () => trapped++);
    const called = vi.spyOn(globalThis, "fetch");
    const connected = vi.spyOn(Socket.prototype, "connect");
    const ask = startApp();
    const functions = evil((trap.address() as { port: number }).port);
    for (const [i, embedding_function] of functions.entries()) {
      const path = await createCollection(ask, `collection-${i}`, { configuration: { embedding_function } });
      expect((await ask(`${COLLECTIONS}/collection-${i}`)).status).toBe(200);
      const update = { new_configuration: { embedding_function: functions[(i + 1) % functions.length] } };
      expect((await ask(path, { ...post(update), method: "PUT" })).status).toBe(200);
      expect((await ask(`${path}/add`, post({ ids: ["a"], embeddings: [[1]], documents: ["x"] }))).status).toBe(201);
      const found = await read(ask(`${path}/query`, post({ query_embeddings: [[1]] })));
      expect(found.body).toMatchObject({ ids: [["a"]] });
    }
    const listed = (await (await ask(COLLECTIONS)).json()) as object[];
    expect(listed.length).toBe(functions.length);
    expect(loaded).toEqual([]);
    expect(trapped).toBe(0);
    expect(called).not.toHaveBeenCalled();
    expect(connected).not.toHaveBeenCalled();
  });

  test("its numbers come back as they were given", async () => {
    const ask = startApp();
    const config = '{"one":1.0,"big":9223372036854775807,"nested":{"config":{"embedding_function":2.50}}}';
    const body = `{"name":"notes","configuration":{"embedding_function":{"type":"known","name":"x","config":${config}}}}`;
    const text = await (await ask(COLLECTIONS, post(body))).text();
    expect(text).toContain('"one":1.0');
    expect(text).toContain('"big":9223372036854775807');
    const { id } = JSON.parse(text);
    await ask(`${COLLECTIONS}/${id}`, { ...post('{"new_configuration":{"hnsw":{"ef_search":7}}}'), method: "PUT" });
    expect(await (await ask(`${COLLECTIONS}/notes`)).text()).toContain('"one":1.0');
  });
});

describe("credentials", () => {
  const tokens = [SECRET, { token: "reader-of-acme-only", tenants: ["acme"], readOnly: true, userId: "reader" }];
  const basic = [{ username: "ann", password: "pass:word-1", tenants: ["acme", "other"], database: "archive" }];
  const start = (): Ask => startApp({ tokens, basic });
  const auth = (value: string): RequestInit => ({ headers: { authorization: value } });
  const ann = `Basic ${Buffer.from("ann:pass:word-1").toString("base64")}`;
  const denied = { status: 401, body: { error: "AuthError", message: "Unauthorized" } };

  test.each<[string, RequestInit]>([
    ["Bearer", auth(`Bearer ${SECRET}`)],
    ["Bearer in other letters", auth(`bEARER  ${SECRET}`)],
    ["X-Chroma-Token", { headers: { "x-chroma-token": SECRET } }],
    ["X-Chroma-Token beside a proxy's own", { headers: { "x-chroma-token": SECRET, authorization: "Basic eDp5" } }],
    ["Basic", auth(ann)],
  ])("let in: %s", async (_, init) => {
    expect((await start()("/api/v2/version", init)).status).toBe(200);
  });

  test.each<[string, RequestInit]>([
    ["none", {}],
    ["another token", auth("Bearer something-else")],
    ["a part of the token", auth(`Bearer ${SECRET.slice(0, -1)}`)],
    ["more than the token", auth(`Bearer ${SECRET}x`)],
    ["the token without a scheme", auth(SECRET)],
    ["the token as a password", auth(`Basic ${Buffer.from(SECRET).toString("base64")}`)],
    ["the password as a token", auth("Bearer ann:pass:word-1")],
    ["another password", auth(`Basic ${Buffer.from("ann:pass:word-2").toString("base64")}`)],
    ["no base64", auth("Basic \u00a7\u00a7")],
    ["an empty token", { headers: { "x-chroma-token": "" } }],
  ])("turned away: %s", async (_, init) => {
    expect(await read(start()("/api/v2/version", init))).toEqual(denied);
  });

  test("are asked for before the body is read, and on every route but those of liveness", async () => {
    const ask = start();
    expect(await read(ask(COLLECTIONS, post("{")))).toEqual(denied);
    expect(await read(ask(COLLECTIONS, post("x", { "content-type": "text/plain" })))).toEqual(denied);
    for (const path of ["/api/v2/reset", "/api/v2/tenants", `${COLLECTIONS}/x/query`]) {
      expect((await ask(path, post({}))).status).toBe(401);
    }
    expect((await ask("/api/v2/nothing")).status).toBe(401);
    for (const path of ["/api/v2", "/api/v2/heartbeat", "/api/v2/healthcheck"]) {
      expect((await ask(path)).status).toBe(200);
    }
  });

  test("a body is not waited for where credentials are missing", async () => {
    const server = await startServer({ tokens: [SECRET] });
    const socket = connect(server.port, server.host);
    socket.write(`POST ${COLLECTIONS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n{`);
    const reply = await new Promise<string>((resolve) => socket.once("data", (data) => resolve(data.toString())));
    expect(reply).toMatch(/^HTTP\/1\.1 401 /);
    socket.destroy();
  });

  test("decide which tenants may be used", async () => {
    const ask = start();
    const all = { authorization: `Bearer ${SECRET}` };
    const reader = { authorization: "Bearer reader-of-acme-only" };
    const forbidden = { status: 403, body: { error: "AuthError", message: "Forbidden" } };
    await ask("/api/v2/tenants", post({ name: "acme" }, all));
    await ask("/api/v2/tenants/acme/databases", post({ name: "archive" }, all));
    const acme = "/api/v2/tenants/acme/databases/archive/collections";
    expect((await ask(acme, { headers: reader })).status).toBe(200);
    expect(await read(ask(acme, post({ name: "notes" }, reader)))).toEqual(forbidden);
    expect(await read(ask(COLLECTIONS, { headers: reader }))).toEqual(forbidden);
    expect(await read(ask("/api/v2/tenants/default_tenant", { headers: reader }))).toEqual(forbidden);
    expect(await read(ask("/api/v2/tenants", post({ name: "mine" }, { authorization: ann })))).toEqual(forbidden);
    expect(await read(ask("/api/v2/reset", post({}, { authorization: ann })))).toEqual(forbidden);
    expect((await ask(acme, post({ name: "notes" }, { authorization: ann }))).status).toBe(200);
    const identity = async (headers: Record<string, string>): Promise<unknown> =>
      (await ask("/api/v2/auth/identity", { headers })).json();
    expect(await identity(reader)).toEqual({ user_id: "reader", tenant: "acme", databases: ["default_database"] });
    expect(await identity({ authorization: ann })).toEqual({ user_id: "ann", tenant: "acme", databases: ["archive"] });
  });

  test("are checked when they are configured", () => {
    const client = EphemeralClient();
    for (const [options, message] of [
      [{ tokens: ["short"] }, "at least 8 characters"],
      [{ tokens: [" with spaces around "] }, "without spaces around"],
      [{ basic: [{ username: "a:b", password: "long enough" }] }, "without a colon"],
      [{ tokens: [{ token: SECRET, tenants: [] }] }, "non-empty array"],
    ] as const) {
      expect(() => createApp(client, options as never)).toThrow(message);
    }
  });
});

describe("a collection's UUID under another name", () => {
  test("is as unknown as one that does not exist", async () => {
    const ask = startApp();
    await ask("/api/v2/tenants/other/databases", post({ name: "default_database" }));
    await ask("/api/v2/tenants/default_tenant/databases", post({ name: "second" }));
    const own = await createCollection(ask);
    await ask(`${own}/add`, post({ ids: ["a"], embeddings: [[1]] }));
    const id = own.slice(own.lastIndexOf("/") + 1);
    const unknown = "22222222-2222-4222-8222-222222222222";
    const requests: [string, RequestInit][] = [
      ["/count", {}],
      ["/indexing_status", {}],
      ["/get", post({})],
      ["/query", post({ query_embeddings: [[1]] })],
      ["/add", post({ ids: ["b"], embeddings: [[1]] })],
      ["/update", post({ ids: ["a"], documents: ["x"] })],
      ["/upsert", post({ ids: ["a"], embeddings: [[1]] })],
      ["/delete", post({ ids: ["a"] })],
      ["", { ...post({ new_name: "taken" }), method: "PUT" }],
    ];
    for (const foreign of [
      "other/databases/default_database",
      "default_tenant/databases/second",
      "no/databases/none",
    ]) {
      const collections = `/api/v2/tenants/${foreign}/collections`;
      for (const [path, init] of requests) {
        const refused = await read(ask(`${collections}/${id}${path}`, init));
        const missing = await read(ask(`${collections}/${unknown}${path}`, init));
        expect(refused.status).toBe(404);
        expect(JSON.stringify(refused).replaceAll(id, unknown)).toBe(JSON.stringify(missing));
      }
      const byId = await read(ask(`${collections}/by-id/${id}`));
      const missing = await read(ask(`${collections}/by-id/${unknown}`));
      expect(JSON.stringify(byId).replaceAll(id, unknown)).toBe(JSON.stringify(missing));
    }
    expect(await (await ask(`${own}/count`)).text()).toBe("1");
  });
});

test("names never become paths", async () => {
  const folder = temporaryFolder();
  const server = await startServer({ path: `${folder}/db` });
  const names = ["..", "../x", "a/../../b", "%2e%2e", "a%2F..%2F..%2Fb", "nul\0byte", "C:\\x", "CON", "a".repeat(513)];
  names.push("\u0430\u0440\u0440le", "a..b", "/etc/passwd", "~root");
  for (const name of names) {
    const tenant = encodeURIComponent(name);
    await server.ask(COLLECTIONS, post({ name }));
    await server.ask("/api/v2/tenants", post({ name }));
    await server.ask(`/api/v2/tenants/${tenant}/databases`, post({ name }));
    await server.ask(`/api/v2/tenants/${tenant}/databases/${tenant}/collections`, post({ name: "notes" }));
    const { status } = await server.ask(`${COLLECTIONS}/${tenant}`);
    expect([200, 404]).toContain(status);
  }
  await server.close();
  expect(readdirSync(folder)).toEqual(["db"]);
  const allowed = /^(LOCK|catalog\.sqlite(-wal|-shm)?|segments)$/;
  expect(readdirSync(`${folder}/db`).filter((name) => !allowed.test(name))).toEqual([]);
});

describe("who can reach the server", () => {
  test("only programs on this machine, unless told otherwise", async () => {
    const server = await startServer();
    expect(server.url).toBe(`http://127.0.0.1:${server.port}`);
    for (const host of ["0.0.0.0", "::", "192.168.1.1", "example.org"]) {
      await expect(serve({ path: null, host, port: 0 })).rejects.toThrow("Other machines can reach");
    }
    for (const options of [{ tokens: [SECRET] }, { allowUnauthenticated: true }]) {
      await startServer({ host: "0.0.0.0", ...options });
    }
  });

  test("not under a name that was pointed at this machine", async () => {
    const server = await startServer({ allowedHosts: ["Known.example"] });
    const path = `${server.url}/api/v2/version`;
    for (const host of ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example"]) {
      const { status, text } = await askRaw(path, { host });
      expect([status, JSON.parse(text).error]).toEqual([403, "ChromaError"]);
    }
    for (const host of ["localhost:1", "127.0.0.1", "[::1]:8000", "known.EXAMPLE:80", "app.localhost"]) {
      expect((await askRaw(path, { host })).status).toBe(200);
    }
  });

  test("under any name where others may come with credentials", async () => {
    const server = await startServer({ host: "0.0.0.0", tokens: [SECRET] });
    const headers = { host: "db.example", "x-chroma-token": SECRET };
    expect((await askRaw(`http://127.0.0.1:${server.port}/api/v2/version`, headers)).status).toBe(200);
  });

  test("not a web page of another origin", async () => {
    const server = await startServer();
    const path = `${server.url}/api/v2/tenants`;
    const send = (origin: string): Promise<Response> =>
      fetch(path, { method: "POST", body: new Blob(['{"name":"from-a-page"}']), headers: { origin } });
    for (const origin of ["https://evil.example", "null", `http://127.0.0.1:${server.port}.evil.example`]) {
      expect((await send(origin)).status).toBe(403);
    }
    expect((await server.ask("/api/v2/tenants/from-a-page")).status).toBe(404);
    expect((await send(server.url)).status).toBe(200);
  });

  test("web pages of the origins that are listed", async () => {
    const origin = "http://localhost:5173";
    const server = await startServer({ cors: [origin], tokens: [SECRET] });
    const preflight = await server.ask(COLLECTIONS, {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": "POST", "access-control-request-headers": "content-type" },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-origin")).toBe(origin);
    expect(preflight.headers.get("access-control-allow-credentials")).toBeNull();
    const answer = await server.ask("/api/v2/version", { headers: { origin, "x-chroma-token": SECRET } });
    expect([answer.status, answer.headers.get("access-control-allow-origin")]).toEqual([200, origin]);
    const refused = await server.ask("/api/v2/version", { headers: { origin } });
    expect([refused.status, refused.headers.get("access-control-allow-origin")]).toEqual([401, origin]);
    const foreign = { method: "OPTIONS", headers: { origin: "https://evil.example" } };
    expect((await server.ask(COLLECTIONS, foreign)).headers.get("access-control-allow-origin")).toBeNull();
  });

  test("not every web page without credentials", () => {
    const client = EphemeralClient();
    expect(() => createApp(client, { cors: ["*"] })).toThrow("lets every web page");
    expect(() => createApp(client, { cors: ["*"], tokens: [SECRET] })).not.toThrow();
    expect(() => createApp(client, { cors: ["localhost:5173"] })).toThrow("origins such as");
  });
});

describe("input", () => {
  test("ids are compared, never interpreted", async () => {
    const ask = startApp();
    const path = await createCollection(ask);
    const ids = ["'; DROP TABLE log; --", '"', "%", "_", '{"$where":1}', "\u001f", "a\nb", "\u{1f980}", "' OR '1'='1"];
    const embeddings = ids.map((_, i) => [i, 1]);
    expect((await ask(`${path}/add`, post({ ids, embeddings }))).status).toBe(201);
    for (const id of ids) {
      expect((await read(ask(`${path}/get`, post({ ids: [id] })))).body).toMatchObject({ ids: [id] });
    }
    await ask(`${path}/delete`, post({ ids: ["%"] }));
    expect(await (await ask(`${path}/count`)).text()).toBe(String(ids.length - 1));
  });

  test("metadata keys are data", async () => {
    const ask = startApp();
    const path = await createCollection(ask);
    const keys = ["__proto__", "constructor", "toString", "hasOwnProperty", "prototype"];
    const metadata = `{${keys.map((key) => `"${key}":"polluted"`).join(",")}}`;
    await ask(`${path}/add`, post(`{"ids":["a"],"embeddings":[[1]],"metadatas":[${metadata}]}`));
    const text = await (await ask(`${path}/get`, post({}))).text();
    for (const key of keys) expect(text).toContain(`"${key}":"polluted"`);
    const created = await ask(COLLECTIONS, post(`{"name":"keys","metadata":${metadata}}`));
    expect(await created.text()).toContain('"__proto__":"polluted"');
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    expect(String({})).toBe("[object Object]");
  });

  test.each([
    ["nested repetitions", "(a{1,1000}){1,1000}"],
    ["a long pattern", "x".repeat(1 << 20)],
    ["many alternatives", Array.from({ length: 10_000 }, (_, i) => `w${i}`).join("|")],
  ])("a regular expression is bounded: %s", async (_, $regex) => {
    const ask = startApp();
    const path = await createCollection(ask);
    await ask(`${path}/add`, post({ ids: ["a"], embeddings: [[1]], documents: ["a".repeat(10_000)] }));
    const { status, body } = await read(ask(`${path}/get`, post({ where_document: { $regex } })));
    expect(status).toBe(400);
    expect((body as { error: string }).error).toBe("InvalidArgumentError");
  });

  test("filters, numbers of results and vectors are bounded", async () => {
    const ask = startApp({ limits: { records: 100, results: 50, replyBytes: 10_000 } });
    const path = await createCollection(ask);
    const status = async (route: string, body: unknown): Promise<number> =>
      (await ask(path + route, post(body))).status;
    const ids = Array.from({ length: 60 }, (_, i) => `id-${i}`);
    const documents = ids.map(() => "x".repeat(1_000));
    await ask(`${path}/add`, post({ ids, embeddings: ids.map((_, i) => [i, 1]), documents }));
    let deep: object = { k: 1 };
    for (let i = 0; i < 65; i++) deep = { $and: [deep] };
    expect(await status("/get", { where: deep })).toBe(400);
    expect(await status("/get", `{"where":${'{"$and":['.repeat(5_000)}1${"]}".repeat(5_000)}}`)).toBe(400);
    expect(await status("/get", { where: { k: { $in: [`${"x".repeat(5 << 20)}`] } } })).toBe(400);
    expect(await status("/query", { query_embeddings: [[1, 1]], n_results: 1_000_000_000 })).toBe(400);
    expect(await status("/query", { query_embeddings: [[1, 1]], n_results: 50, include: [] })).toBe(200);
    expect(await status("/query", { query_embeddings: [[1, 1]], n_results: 4294967296 })).toBe(422);
    expect(await status("/get", { ids: Array.from({ length: 101 }, String) })).toBe(400);
    expect(await status("/get", {})).toBe(400);
    expect(await status("/get", { limit: 5 })).toBe(200);
    expect(await status("/add", { ids: ["v"], embeddings: [Array(8_193).fill(1)] })).toBe(400);
    for (const text of ["AADAfwAAwH8=", "AACAfwAAgD8=", "!!!"]) {
      expect(await status("/add", { ids: ["nan"], embeddings: [text] })).toBe(400);
    }
    expect(await (await ask(`${path}/count`)).text()).toBe("60");
  });

  test("a body has a largest size, packed or not, announced or not", async () => {
    const server = await startServer({ limits: { bodyBytes: 10_000 } });
    const path = await createCollection(server.ask);
    const text = JSON.stringify({ ids: ["a"], embeddings: [[1]], documents: ["x".repeat(20_000)] });
    const gzip = { "content-encoding": "gzip", "content-type": "application/json" };
    expect((await server.ask(`${path}/add`, post(text))).status).toBe(413);
    const bomb = { method: "POST", headers: gzip, body: gzipSync("0".repeat(10 << 20)) };
    expect((await server.ask(`${path}/add`, bomb)).status).toBe(413);
    const stream = new Blob([text]).stream();
    const streamed = { method: "POST", body: stream, duplex: "half", headers: { "content-type": "application/json" } };
    expect((await server.ask(`${path}/add`, streamed as RequestInit)).status).toBe(413);
    const fits = gzipSync(JSON.stringify({ ids: ["a"], embeddings: [[1]] }));
    expect((await server.ask(`${path}/add`, { method: "POST", headers: gzip, body: fits })).status).toBe(201);
    const broken = { method: "POST", headers: gzip, body: fits.subarray(0, 20) };
    expect((await server.ask(`${path}/add`, broken)).status).toBe(400);
    const deflate = { method: "POST", headers: { ...gzip, "content-encoding": "br" }, body: fits };
    expect((await server.ask(`${path}/add`, deflate)).status).toBe(415);
  });

  test("bodies in memory have a largest size together", async () => {
    const server = await startServer({ limits: { pendingBytes: 1_000 } });
    const path = await createCollection(server.ask);
    const large = { ids: ["a"], embeddings: [[1]], documents: ["x".repeat(2_000)] };
    const refused = await server.ask(`${path}/add`, post(large));
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
    expect((await server.ask(`${path}/add`, post({ ids: ["a"], embeddings: [[1]] }))).status).toBe(201);
  });

  test("reset is off unless allowed", async () => {
    expect(await read(startApp()("/api/v2/reset", post({})))).toEqual({
      status: 403,
      body: { error: "ChromaError", message: "Reset is disabled by config" },
    });
    expect(await read(startApp({ allowReset: true })("/api/v2/reset", post({})))).toEqual({ status: 200, body: true });
  });

  test("native code survives what is no body", () => {
    const { NativeBody } = binding();
    const body = new NativeBody(0);
    for (const chunk of [undefined, null, 3, "text", {}, [], new Proxy({}, {}), new Float32Array(3)]) {
      expect(() => body.push(chunk as never)).toThrow();
    }
    const shrinking = new ArrayBuffer(8);
    const view = new Uint8Array(shrinking);
    structuredClone(shrinking, { transfer: [shrinking] });
    body.push(view);
    expect(() => body.check("get")).toThrow("Failed to parse the request body as JSON");
    expect(() => body.check("nothing")).toThrow("unknown operation");
    expect(() => new NativeBody(Number.NaN)).not.toThrow();
  });

  test("errors that nobody foresaw tell the client nothing but where to look", async () => {
    const reports: [unknown, string][] = [];
    const client = EphemeralClient();
    const app = createApp(client, { onError: (error, traceId) => reports.push([error, traceId]) });
    vi.spyOn(client.handle, "open").mockRejectedValue(new Error("/secret/path is gone"));
    const response = await app.fetch(new Request(`http://localhost${COLLECTIONS}`));
    const text = await response.text();
    expect(response.status).toBe(500);
    expect(text).not.toContain("secret");
    expect(reports.map(([, traceId]) => traceId)).toEqual([response.headers.get("chroma-trace-id")]);
  });
});

test("installing the package runs no script", () => {
  const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  for (const hook of ["preinstall", "install", "postinstall", "prepare"])
    expect(manifest.scripts).not.toHaveProperty(hook);
});
