// Filters on metadata and documents, in get, query and delete. Everything stays in memory.
import { EphemeralClient } from "ferrochrome";

const client = EphemeralClient();
const books = await client.createCollection({ name: "books", embeddingFunction: null });
await books.add({
  ids: ["a", "b", "c", "d"],
  embeddings: new Float32Array([0, 0, 1, 0, 0, 1, 1, 1]),
  dimension: 2,
  documents: ["A field guide to lichens", "Mosses of the north", "The chemistry of rust", "Rust for the patient"],
  metadatas: [{ year: 1998, tags: ["nature"] }, { year: 2004 }, { year: 2011, tags: ["metal"] }, { year: 2023 }],
});

const recent = await books.get({ where: { $and: [{ year: { $gte: 2000 } }, { year: { $lt: 2020 } }] } });
console.log("2000 to 2019:", recent.ids);

const tagged = await books.get({ where: { tags: { $contains: "metal" } } });
console.log("tagged metal:", tagged.ids);

// The complement also holds for records that lack the key.
const untagged = await books.get({ where: { tags: { $not_contains: "metal" } } });
console.log("not tagged metal:", untagged.ids);

const nearest = await books.query({
  queryEmbeddings: [[1, 1]],
  nResults: 10,
  whereDocument: { $regex: "(?i)\\brust\\b" },
});
console.log("about rust, nearest first:", nearest.ids[0]);

const { deleted } = await books.delete({ whereDocument: { $contains: "Mosses" } });
console.log(`deleted ${deleted}, ${await books.count()} left`);
await client.close();
