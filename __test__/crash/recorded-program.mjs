// A program that works on a database through the package's API under the shim of crates/testing, and tells the shim what it asks for
// and what was acknowledged, so that both stand in the trace of its file operations. crates/crash/tests/typescript_api.rs runs
// it, and reads the calls in src/calls.rs. Arguments: the folder of the database, its durability.
import { writeFileSync } from "node:fs";
import { PersistentClient } from "../../dist/index.js";

const [path, durability] = process.argv.slice(2);
const mark = (text) => writeFileSync(process.env.FERROCHROME_SHIM_CONTROL, `mark ${text}`);

/** Makes a call on a collection, with a mark before it and one once it is acknowledged. */
async function told(call, perform) {
  mark(`started ${JSON.stringify(call)}`);
  const result = await perform();
  mark(`acknowledged ${call.collection}`);
  return result;
}

/** Records `from..to` in this version, as `model.rs` in crates/crash expects them. */
function records(from, to, version) {
  const numbers = Array.from({ length: to - from }, (_, i) => from + i);
  return {
    ids: numbers.map((number) => `record-${number}`),
    embeddings: numbers.map((number) => [number, version, 1, -0.5]),
    documents: numbers.map((number) => `document ${number} in version ${version}; `.repeat(12)),
    metadatas: numbers.map((number) => ({ tag: number % 4, version })),
  };
}

const write = (collection, kind, from, to, version) =>
  told({ collection: collection.name, call: "write", kind, from, to, version }, () =>
    collection[kind](records(from, to, version)),
  );

const remove = (collection, from, to) =>
  told({ collection: collection.name, call: "delete", from, to }, () =>
    collection.delete({ ids: records(from, to, 0).ids }),
  );

const create = (client, name) =>
  told({ collection: name, call: "create" }, () => client.createCollection({ name, embeddingFunction: null }));

const fork = (collection, name) =>
  told({ collection: name, call: "fork", of: collection.name }, () => collection.fork({ name }));

const keep = (collection, label) =>
  told({ collection: collection.name, call: "version", label }, () => collection.createVersion({ label }));

const drop = (client, name) => told({ collection: name, call: "drop" }, () => client.deleteCollection({ name }));

/** Several calls under way at once, which seal and merge as they go. */
async function change(collection, round) {
  const at = round * 12;
  const calls = [
    write(collection, "add", at, at + 8, 1),
    write(collection, "upsert", at + 4, at + 12, 2),
    remove(collection, at, at + 2),
    write(collection, "update", at, at + 6, 3),
  ];
  if (round % 2 === 1) calls.push(collection.compact());
  await Promise.all(calls);
}

const open = () => new PersistentClient({ path, durability, sealRows: 10 });

const client = open();
const [left, right] = await Promise.all([create(client, "left"), create(client, "right")]);
await Promise.all([change(left, 0), change(right, 0)]);
// The fork is asked for while writes to both are under way.
const changes = [change(left, 1), change(right, 1)];
const draft = await fork(left, "draft");
await Promise.all([...changes, write(draft, "upsert", 3, 9, 4), remove(left, 12, 16), keep(right, "before")]);
await Promise.all([change(draft, 2), change(left, 2), right.compact()]);
await Promise.all([drop(client, "left"), write(right, "upsert", 0, 14, 5), draft.compact()]);
await client.close();

const again = open();
const [draftAgain, rightAgain] = await Promise.all(
  ["draft", "right"].map((name) => again.getCollection({ name, embeddingFunction: null })),
);
const second = fork(rightAgain, "second");
await Promise.all([change(draftAgain, 3), change(rightAgain, 3), second]);
await Promise.all([drop(again, "right"), write(await second, "add", 60, 64, 1)]);
await Promise.all([draftAgain.compact({ secure: true }), (await second).compact()]);
await write(draftAgain, "upsert", 0, 2, 6);
await again.close();
