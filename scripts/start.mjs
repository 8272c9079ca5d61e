// `npm start`: builds what is missing, loads the bundled sample of WordNet into ./demo-db (once), and asks it a few
// questions. Progress goes to stderr, results to stdout.
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { DIMENSION, ENTRIES, readEntries, readSentences } from "../demo/sample.mjs";
import { PreparationError, prepare } from "./prepare.mjs";

const path = fileURLToPath(new URL("../demo-db", import.meta.url));
const shownPath = `./${relative(process.cwd(), path)}`;
const BATCH = 500;
const NEAREST = 4;

/** The questions: the beginning of a bundled sentence, and the filters to put to it. */
const QUESTIONS = [
  { sentence: "the sun shone through a rift" },
  { sentence: "a common syntax error" },
  { sentence: "nobody will get everything", where: { pos: "verb" } },
  {
    sentence: "a large room volumed",
    where: { $and: [{ domain: { $in: ["noun.artifact", "noun.communication"] } }, { links: { $gte: 3 } }] },
  },
  { sentence: "a tramcar carries coal", whereDocument: { $contains: "mine" } },
  {
    sentence: "severe headaches are one",
    where: { pos: { $ne: "noun" } },
    whereDocument: { $or: [{ $contains: "pain" }, { $contains: "ache" }] },
  },
];

const bold = (text) => (process.stdout.isTTY ? `\x1b[1m${text}\x1b[0m` : text);
const dim = (text) => (process.stdout.isTTY ? `\x1b[2m${text}\x1b[0m` : text);
const milliseconds = (since) => performance.now() - since;

/** Shows how far loading is: a bar that redraws itself on a terminal, a line every fifth elsewhere. */
function showProgress(done, total, started) {
  const rate = Math.round(done / (milliseconds(started) / 1000));
  if (process.stderr.isTTY) {
    const filled = Math.round((done / total) * 30);
    const bar = "█".repeat(filled) + "░".repeat(30 - filled);
    process.stderr.write(`\r  ${bar} ${done}/${total}  ${rate} entries/s ${done === total ? "\n" : ""}`);
  } else if (done % (total / 5) === 0) {
    process.stderr.write(`  ${done}/${total} entries\n`);
  }
}

/**
 * Loads every entry. `upsert` makes this right for an empty collection and for one that an interrupted load left
 * half filled: each batch is in the database whole or not at all.
 */
async function load(collection) {
  const { records, embeddings } = readEntries();
  const started = performance.now();
  for (let row = 0; row < records.length; row += BATCH) {
    const batch = records.slice(row, row + BATCH);
    await collection.upsert({
      ids: batch.map((record) => record.id),
      documents: batch.map((record) => record.document),
      metadatas: batch.map((record) => record.metadata),
      embeddings: embeddings.subarray(row * DIMENSION, (row + batch.length) * DIMENSION),
      dimension: DIMENSION,
    });
    showProgress(row + batch.length, records.length, started);
  }
  console.log(`Loaded ${records.length} entries in ${(milliseconds(started) / 1000).toFixed(1)} s.`);
}

async function openLoaded(client) {
  const started = performance.now();
  const collection = await client.getOrCreateCollection({
    name: "wordnet",
    configuration: { hnsw: { space: "cosine" } },
    embeddingFunction: null,
  });
  const count = await collection.count();
  if (count >= ENTRIES) {
    console.log(`Opened ${shownPath} with ${count} entries in ${milliseconds(started).toFixed(0)} ms.`);
  } else {
    console.log(
      count === 0
        ? `Loading WordNet into ${shownPath}`
        : `${shownPath} holds ${count} of ${ENTRIES} entries: completing it`,
    );
    await load(collection);
  }
  return collection;
}

async function ask(collection, sentence, { where, whereDocument }) {
  const started = performance.now();
  const result = await collection.query({
    queryEmbeddings: [sentence.embedding],
    nResults: NEAREST,
    include: ["documents", "metadatas", "distances"],
    ...(where && { where }),
    ...(whereDocument && { whereDocument }),
  });
  const took = milliseconds(started).toFixed(2);

  console.log(`\n${bold(`"${sentence.text}"`)} ${dim(`${took} ms`)}`);
  if (where) console.log(`  where ${JSON.stringify(where)}`);
  if (whereDocument) console.log(`  whereDocument ${JSON.stringify(whereDocument)}`);
  for (const { distance, document, metadata } of result.rows()[0]) {
    console.log(`  ${distance.toFixed(3)}  ${document} ${dim(`[${metadata.domain}]`)}`);
  }
}

async function main() {
  prepare((step) => process.stderr.write(`${step} ...\n`));
  const { PersistentClient } = await import("../dist/index.js");
  const client = new PersistentClient({ path });
  try {
    const collection = await openLoaded(client);
    const sentences = readSentences();
    for (const { sentence: beginning, ...filters } of QUESTIONS) {
      await ask(
        collection,
        sentences.find(({ text }) => text.startsWith(beginning)),
        filters,
      );
    }
  } finally {
    await client.close();
  }
  console.log(`
Next:
  npm start                  opens ${shownPath} again instead of loading it
  README.md                  fifteen lines that do the same in your own program
  npm run bench -- search    recall against speed, beside other stores (needs the full data set)
  rm -r ${shownPath}            starts afresh`);
}

// A reader that closes the pipe early (`npm start | head`) has seen enough.
process.stdout.on("error", (error) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});

try {
  await main();
} catch (error) {
  const expected = error instanceof PreparationError || error.name === "DatabaseLockedError";
  if (!expected) throw error;
  process.stderr.write(`\n${error.message}\n`);
  process.exitCode = 1;
}
