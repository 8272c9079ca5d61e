import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import {
  ChromaConnectionError,
  ChromaUnauthorizedError,
  ChromaValueError,
  EphemeralClient,
  importChroma,
} from "../index.js";

const ID = "6a0f3b0a-7f0e-4d55-9d3c-0c55a6f0a001";
const ROWS = 1_203;

/** A server that answers as Chroma 1.5 does. Texts are written by hand where 1 and 1.0 must differ. */
async function chromaServer(token?: string): Promise<string> {
  const base = "/api/v2/tenants/default_tenant/databases";
  const collection = `{"id":"${ID}","name":"remote","configuration_json":{"hnsw":{"space":"cosine","ef_construction":70,"ef_search":100,"max_neighbors":12,"resize_factor":1.2,"sync_threshold":1000},"spann":null,"embedding_function":{"type":"known","name":"default","config":{}}},"schema":null,"metadata":{"ratio":2.0,"whole":2},"dimension":2,"tenant":"default_tenant","database":"default_database","log_position":0,"version":0}`;
  const server = createServer(async (request, response) => {
    const answer = (status: number, text: string): void => {
      response.writeHead(status, { "content-type": "application/json" }).end(text);
    };
    const path = (request.url ?? "").replace(/\?.*/, "");
    if (token !== undefined && request.headers["x-chroma-token"] !== token)
      return answer(401, '{"error":"Unauthorized"}');
    if (path === base) return answer(200, '[{"id":"0","name":"default_database","tenant":"default_tenant"}]');
    if (path === `${base}/default_database/collections`) return answer(200, `[${collection}]`);
    if (path === `${base}/default_database/collections/${ID}/count`) return answer(200, String(ROWS));
    if (path === `${base}/default_database/collections/${ID}/get`) return answer(200, page(await bodyOf(request)));
    return answer(404, '{"error":"NotFound"}');
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function bodyOf(request: IncomingMessage): Promise<{ limit: number; offset: number; include: string[] }> {
  let text = "";
  for await (const chunk of request) text += chunk;
  return JSON.parse(text);
}

function page({ limit, offset, include }: { limit: number; offset: number; include: string[] }): string {
  expect([...include].sort()).toEqual(["documents", "embeddings", "metadatas", "uris"]);
  const rows = Array.from({ length: Math.max(0, Math.min(limit, ROWS - offset)) }, (_, i) => offset + i);
  const column = (cell: (i: number) => string): string => `[${rows.map(cell).join(",")}]`;
  const embeddings = column((i) => (i === 7 ? "null" : `[0.1,${i}.0]`));
  const metadatas = column((i) => (i % 2 ? "null" : `{"f":${i}.0,"i":${i},"l":[1,2]}`));
  return `{"ids":${column((i) => `"id-${i}"`)},"embeddings":${embeddings},"documents":${column((i) => (i % 3 ? `"doc ${i}"` : "null"))},"metadatas":${metadatas},"uris":${column(() => "null")},"include":[]}`;
}

test("a running server is imported page by page", async () => {
  const client = EphemeralClient();
  const seen: number[] = [];
  const report = await importChroma({ from: await chromaServer(), client, onProgress: ({ done }) => seen.push(done) });
  expect(report).toMatchObject({
    records: ROWS,
    imported: ROWS - 1,
    leftOut: 1,
    problemCounts: { "missing-vector": 1 },
  });
  expect(report.problems).toMatchObject([{ collection: "remote", id: "id-7" }]);
  expect(seen.length).toBeGreaterThan(2);
  const remote = await client.getCollection({ name: "remote" });
  expect(remote.id).toBe(ID);
  expect(remote.configuration).toMatchObject({
    hnsw: { space: "cosine", max_neighbors: 12, ef_construction: 70 },
    embedding_function: { type: "known", name: "default" },
  });
  const got = await remote.get({ ids: ["id-4", "id-1"], include: ["embeddings", "documents", "metadatas"] });
  expect(got.rows()).toMatchObject([
    { id: "id-1", embedding: [0.1, 1], document: "doc 1", metadata: null },
    { id: "id-4", embedding: [0.1, 4], document: "doc 4", metadata: { f: 4, i: 4, l: [1, 2] } },
  ]);
  // $contains tells integers from floats: the array came as integers.
  expect((await remote.get({ where: { l: { $contains: 2 } }, limit: 1 })).ids).toEqual(["id-0"]);
  await client.close();
});

test("tokens are sent, and refusals have their classes", async () => {
  const url = await chromaServer("secret");
  const client = EphemeralClient();
  await expect(importChroma({ from: url, client })).rejects.toThrow(ChromaUnauthorizedError);
  await expect(
    importChroma({ from: url, client, tenant: "other", headers: { "x-chroma-token": "secret" } }),
  ).rejects.toThrow(ChromaValueError);
  const report = await importChroma({ from: url, client, headers: { "x-chroma-token": "secret" } });
  expect(report.imported).toBe(ROWS - 1);
  await expect(importChroma({ from: "http://127.0.0.1:9", client })).rejects.toThrow(ChromaConnectionError);
  await client.close();
});
