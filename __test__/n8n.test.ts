import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const server = new URL("../src/server.ts", import.meta.url).href;
const missing = existsSync(fileURLToPath(server)) ? undefined : "there is no server in src/server.ts";

/**
 * The calls of an n8n workflow: "HTTP Request" nodes with JSON bodies, and the Chroma node's list of collections. Each step says
 * what is sent, and what of the answer the next steps read. `ID` stands for the collection's id.
 */
const WORKFLOW: { call: string; body?: unknown; status?: number; answer: unknown }[] = [
  { call: "GET heartbeat", answer: { "nanosecond heartbeat": expect.any(Number) } },
  {
    call: "POST collections",
    body: { name: "n8n", get_or_create: true, metadata: { source: "n8n" } },
    answer: { id: expect.any(String), name: "n8n", metadata: { source: "n8n" } },
  },
  { call: "GET collections?limit=100&offset=0", answer: [{ name: "n8n" }] },
  {
    call: "POST collections/ID/upsert",
    body: {
      ids: ["a", "b"],
      embeddings: [
        [0.1, 0.9],
        [0.9, 0.1],
      ],
      documents: ["a letter", "iron"],
      metadatas: [{ loc: 1 }, { loc: 2, source: "blob" }],
    },
    answer: {},
  },
  { call: "GET collections/ID/count", answer: 2 },
  {
    call: "POST collections/ID/query",
    body: {
      query_embeddings: [[1, 0]],
      n_results: 4,
      where: { source: "blob" },
      include: ["documents", "metadatas", "distances"],
    },
    answer: { ids: [["b"]], documents: [["iron"]], metadatas: [[{ loc: 2, source: "blob" }]], embeddings: null },
  },
  { call: "POST collections/ID/get", body: { ids: ["a"] }, answer: { ids: ["a"], documents: ["a letter"] } },
  {
    // The node's own message for wrong embeddings looks for this text.
    call: "POST collections/ID/query",
    body: { query_embeddings: [[1, 0, 0]] },
    status: 400,
    answer: { message: "Collection expecting embedding with dimension of 2, got 3" },
  },
  { call: "POST collections/ID/delete", body: { ids: ["a"] }, answer: { deleted: 1 } },
  { call: "DELETE collections/n8n", answer: {} },
  { call: "GET collections/n8n", status: 404, answer: { error: "NotFoundError" } },
];

const name = "the calls of an n8n workflow are answered";

test.skipIf(missing !== undefined)(missing === undefined ? name : `${name} (skipped: ${missing})`, async () => {
  const { serve } = await import(server);
  const started: { url: string; close(): Promise<void> } = await serve({ path: null, port: 0 });
  try {
    let id = "";
    for (const { call, body, status = 200, answer } of WORKFLOW) {
      const [method = "", path = ""] = call.replace("ID", id).split(" ");
      const scope = path === "heartbeat" ? "" : "tenants/default_tenant/databases/default_database/";
      const response = await fetch(`${started.url}/api/v2/${scope}${path}`, {
        method,
        headers: { "content-type": "application/json" },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      const answered = (await response.json()) as { id?: string };
      if (typeof answer === "object") expect([call, answered]).toMatchObject([call, answer]);
      else expect([call, answered]).toEqual([call, answer]);
      expect([call, response.status]).toEqual([call, status]);
      id = answered.id ?? id;
    }
  } finally {
    await started.close();
  }
});
