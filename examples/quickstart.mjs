// The shortest whole program: open a folder, write, ask, close. The folder is a temporary one, so that it can be run again.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PersistentClient } from "ferrochrome";

const path = await mkdtemp(join(tmpdir(), "quickstart-"));
const client = new PersistentClient({ path });
const metals = await client.createCollection({
  name: "metals",
  embeddingFunction: null,
  configuration: { hnsw: { space: "cosine" } },
});
await metals.add({
  ids: ["iron", "chromium", "gold"],
  embeddings: [[0.9, 0.1, 0], [0.8, 0.3, 0.1], [0, 0.2, 1]],
  documents: ["rusts", "shines and does not rust", "never rusts"],
  metadatas: [{ symbol: "Fe", number: 26 }, { symbol: "Cr", number: 24 }, { symbol: "Au", number: 79 }],
});
const nearest = await metals.query({ queryEmbeddings: [[0.8, 0.3, 0.1]], nResults: 2 });
for (const row of nearest.rows()[0]) {
  console.log(`${row.id} (${row.metadata.symbol}) at ${row.distance}: ${row.document}`);
}
await client.close();
await rm(path, { recursive: true });
