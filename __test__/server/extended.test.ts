import { describe, expect, test } from "vitest";
import { type Ask, COLLECTIONS, createCollection, post, read, startServer } from "../support/server.js";

describe("beyond Chroma", () => {
  test("spaces, codes and the progress of indexing", async () => {
    const { ask } = await startServer();
    const configuration = { hnsw: { space: "l1", quantization: "none" } };
    const path = await createCollection(ask, "manhattan", { configuration });
    await ask(`${path}/add`, post({ ids: ["a"], embeddings: [[1, 2]] }));
    const found = await read(ask(`${path}/query`, post({ query_embeddings: [[4, 6]], include: ["distances"] })));
    expect(found.body).toMatchObject({ distances: [[7]] });
    expect((await read(ask(`${path}/indexing_status`))).body).toMatchObject({ total_ops: 1 });
    expect((await read(ask("/api/v2/pre-flight-checks"))).body).toMatchObject({ max_batch_size: 100_000 });
  });

  test("forks, within the tenant and the database of the collection only", async () => {
    const { ask } = await startServer();
    const path = await createCollection(ask, "source");
    await ask(`${path}/add`, post({ ids: ["a"], embeddings: [[1, 2]] }));
    const forked = await read(ask(`${path}/fork`, post({ new_name: "copy" })));
    expect(forked).toMatchObject({ status: 200, body: { name: "copy", dimension: 2, version: 0 } });
    expect(await read(ask(`${path}/fork_count`))).toEqual({ status: 200, body: { count: 1 } });
    expect((await read(ask(`${path}/fork`, post({ new_name: "copy" })))).status).toBe(409);
    expect((await read(ask(`${path}/fork`, post({ new_name: "x" })))).status).toBe(400);
    expect((await read(ask(`${path}/fork`, post({})))).status).toBe(422);
    const elsewhere = path.replace("default_database", "elsewhere");
    expect((await read(ask(`${elsewhere}/fork`, post({ new_name: "stolen" })))).status).toBe(404);
    expect((await read(ask(`${elsewhere}/fork_count`))).status).toBe(404);
  });

  test("versions that are kept automatically", async () => {
    const { ask } = await startServer();
    const configuration = { versions: { keep: 3 } };
    const created = await read(ask(COLLECTIONS, post({ name: "kept", configuration })));
    expect(created.body).toMatchObject({ configuration_json: { versions: { keep: 3 } } });
    const { id } = created.body as { id: string };
    const modify = (body: object): Promise<Response> =>
      ask(`${COLLECTIONS}/${id}`, { ...post({ new_configuration: body }), method: "PUT" });
    expect((await modify({ versions: { keep: 1, max_age_seconds: 60 } })).status).toBe(200);
    expect((await read(ask(`${COLLECTIONS}/kept`))).body).toMatchObject({
      configuration_json: { versions: { keep: 1, max_age_seconds: 60 } },
    });
    expect((await modify({ versions: { keep: 1.5 } })).status).toBe(422);
    const wrong = { versions: { keep: "many" } };
    expect((await read(ask(COLLECTIONS, post({ name: "other", configuration: wrong })))).status).toBe(422);
  });

  test("is refused with parity to Chroma", async () => {
    const { ask } = await startServer({ parity: "chroma-1.5" });
    const create = async (more: object): Promise<number> =>
      (await ask(COLLECTIONS, post({ name: "notes", ...more }))).status;
    const vector = (config: object): object => ({
      schema: { defaults: {}, keys: { "#embedding": { float_list: { vector_index: { enabled: true, config } } } } },
    });
    expect(await create({ configuration: { hnsw: { space: "l1" } } })).toBe(422);
    expect(await create({ configuration: { hnsw: { quantization: "none" } } })).toBe(422);
    expect(await create(vector({ space: "hamming" }))).toBe(422);
    expect(await create(vector({ hnsw: { quantization: "int8" } }))).toBe(422);
    expect(await create(vector({ space: "cosine" }))).toBe(200);
    const ignored = await read(ask(COLLECTIONS, post({ name: "plain", configuration: { versions: { keep: 3 } } })));
    expect((ignored.body as { configuration_json: object }).configuration_json).not.toHaveProperty("versions");
    const { id } = ignored.body as { id: string };
    expect((await read(ask(`${COLLECTIONS}/${id}/fork`, post({ new_name: "copy" })))).status).toBe(501);
    expect((await read(ask(`${COLLECTIONS}/${id}/fork_count`))).status).toBe(501);
  });
});

describe("numbers", () => {
  /** The text of a get of all columns. */
  async function roundTrip(ask: Ask, add: string): Promise<string> {
    const path = await createCollection(ask);
    expect((await ask(`${path}/add`, post(add))).status).toBe(201);
    return (await ask(`${path}/get`, post({ include: ["metadatas", "embeddings"] }))).text();
  }

  test("keep their form from body to body", async () => {
    const { ask } = await startServer();
    const metadata =
      '{"a":1,"b":1.0,"c":9223372036854775807,"d":-9223372036854775808,"e":0.1,"f":[1.0,2.0],"g":1e+300}';
    const text = await roundTrip(
      ask,
      `{"ids":["x"],"embeddings":[[0.1,1e-7,-0.0,16777216]],"metadatas":[${metadata}]}`,
    );
    expect(text).toContain(`"metadatas":[${metadata}]`);
    expect(text).toContain('"embeddings":[[0.1,1e-7,-0.0,16777216.0]]');
  });

  test("are the shortest that mean the same", async () => {
    const { ask } = await startServer();
    const bytes = Buffer.from(new Float32Array([0.1, 1 / 3, 3.4028235e38, 1e-45]).buffer).toString("base64");
    const text = await roundTrip(ask, `{"ids":["x"],"embeddings":["${bytes}"]}`);
    expect(text).toContain('"embeddings":[[0.1,0.33333334,3.4028235e+38,1e-45]]');
  });
});

describe("the description of the API", () => {
  test("names every route and every schema that it refers to", async () => {
    const { ask } = await startServer({ tokens: ["a token of the test"] });
    const text = await (await ask("/openapi.json")).text();
    const api = JSON.parse(text);
    expect(api.openapi).toBe("3.1.0");
    expect(Object.keys(api.paths).length).toBeGreaterThan(25);
    const query = api.paths["/api/v2/tenants/{tenant}/databases/{database}/collections/{collection}/query"].post;
    expect(query.requestBody.content["application/json"].schema.$ref).toBe("#/components/schemas/Query");
    for (const [, name] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
      expect(api.components.schemas).toHaveProperty([name as string]);
    }
  });

  test("is a page that needs nothing else", async () => {
    const { ask } = await startServer();
    for (const path of ["/docs", "/docs/"]) {
      const response = await ask(path);
      expect(response.headers.get("content-security-policy")).toContain("default-src 'none'");
      const html = await response.text();
      expect(html).toContain("/api/v2/tenants/{tenant}/databases/{database}/collections");
      expect(html).not.toMatch(/<script|<link|https?:/);
    }
  });
});

test("HEAD is answered as GET is, without a body", async () => {
  const { ask } = await startServer();
  const response = await ask("/api/v2/version", { method: "HEAD" });
  expect([response.status, await response.text()]).toEqual([200, ""]);
});
