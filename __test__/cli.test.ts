import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { type Finished, finish } from "./support/child.js";
import { chromaDirectory, expectedCollections } from "./support/chroma-directory.js";
import { openClient, temporaryFolder, temporaryPath } from "./support/folder.js";

const MAIN = fileURLToPath(new URL("../dist/src/cli/main.js", import.meta.url));

/** Starts the program. */
function start(
  args: string[],
  { env = {}, input }: { env?: Record<string, string>; input?: string } = {},
): ChildProcess {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { ...process.env, ...env },
    stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  child.stdin?.end(input);
  return child;
}

function run(args: string[], more?: { env?: Record<string, string>; input?: string }): Promise<Finished> {
  return finish(start(args, more));
}

async function json(args: string[]): Promise<unknown> {
  const { stdout, stderr, code } = await run([...args, "--json"]);
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout);
}

/** A database with a collection of some segments, tombstones and a head. */
async function sampleDatabase(): Promise<string> {
  const path = temporaryPath();
  const client = openClient(path);
  const notes = await client.createCollection({ name: "notes", metadata: { ratio: 2 }, embeddingFunction: null });
  const ids = Array.from({ length: 3_000 }, (_, i) => `id-${i}`);
  const embeddings = ids.map((_, i) => [Math.cos(i), Math.sin(i), i / 3_000]);
  await notes.add({
    ids,
    embeddings,
    documents: ids.map((id) => `text of ${id}`),
    metadatas: ids.map((_, i) => ({ i })),
  });
  await notes.compact();
  await notes.delete({ ids: ids.slice(0, 5) });
  await client.close();
  return path;
}

test("help, versions and wrong command lines have their exit codes", async () => {
  const help = await run(["--help"]);
  expect(help.code).toBe(0);
  const commands = [...help.stdout.matchAll(/^ {2}([a-z]+) {2}/gm)].map(([, name]) => name as string);
  expect(commands).toEqual(
    expect.arrayContaining(["serve", "import", "export", "inspect", "query", "compact", "check", "version"]),
  );
  const helps = await Promise.all(commands.map((command) => run([command, "--help"])));
  for (const [i, { stdout, code }] of helps.entries()) {
    expect(code).toBe(0);
    expect(stdout).toContain(`Usage: ferrochrome ${commands[i]}`);
    expect(stdout).toContain("--json");
  }
  expect(await json(["version"])).toMatchObject({
    version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
    isa: expect.any(String),
  });
  for (const wrong of [[], ["nonsense"], ["inspect"], ["inspect", "--paht", "x"], ["query", "--path", ".", "x"]]) {
    const { code, stdout, stderr } = await run(wrong);
    expect(code, wrong.join(" ")).toBe(2);
    expect(stdout + stderr).toMatch(/ferrochrome/);
  }
});

test("a directory of Chroma is imported, inspected, queried, checked and compacted", async () => {
  const from = await chromaDirectory("1.5.9");
  const to = temporaryPath();
  const imported = await run(["import", "--from", from, "--to", to]);
  expect(imported).toMatchObject({ code: 0, stderr: "" });
  expect(imported.stdout).toMatch(/254 records imported/);
  expect(imported.stdout).toMatch(/acme\/archive\/plain/);

  const again = await run(["import", "--from", from, "--to", to]);
  expect(again.code).toBe(2);
  expect(again.stderr).toMatch(/has a collection .* already/);
  expect(await json(["import", "--from", from, "--to", to, "--existing", "merge"])).toMatchObject({
    imported: 0,
    existing: 254,
  });

  const inspected = (await json(["inspect", "--path", to])) as { collections: { name: string; tenant: string }[] };
  expect(inspected.collections).toHaveLength(expectedCollections("1.5.9").length);
  expect(inspected.collections.find(({ tenant }) => tenant === "acme")).toMatchObject({
    name: "plain",
    records: 16,
    dimension: 8,
  });

  const query = ["query", "--path", to, "-c", "flushed-l2", "--embedding", "[1,0,0,0,0,0,0,0]", "-n", "3"];
  const rows = (await json([...query, "--where", '{"rank":{"$gt":20}}'])) as {
    id: string;
    metadata: { rank: number };
  }[];
  expect(rows).toHaveLength(3);
  expect(rows.every(({ metadata }) => metadata.rank > 20)).toBe(true);
  expect((await run(["query", "--path", to, "-c", "plain", "--embedding", "[1]"])).code).toBe(2);
  expect((await run([...query, "-c", "plain"])).code).toBe(2);
  expect((await run(["query", "--path", to, "-c", "missing", "--embedding", "[1]"])).code).toBe(3);

  expect(await json(["check", "--path", to])).toMatchObject({ ok: true });
  expect(await json(["compact", "--path", to, "-c", "configured"])).toMatchObject({
    collections: [{ collection: "configured" }],
  });
}, 60_000);

test("a pipe gets no progress bar and no control characters", async () => {
  const { stdout, stderr } = await run(["import", "--from", await chromaDirectory("1.0.20"), "--to", temporaryPath()]);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there.
  expect(stdout + stderr).not.toMatch(/[\r\u001b]/);
  expect(stderr).toBe("");
});

test("inspect tells segments, tombstones and parameters; check finds a flipped byte", async () => {
  const path = await sampleDatabase();
  const { collections } = (await json(["inspect", "--path", path])) as { collections: Record<string, unknown>[] };
  expect(collections[0]).toMatchObject({
    name: "notes",
    records: 2_995,
    dimension: 3,
    head: { records: 0 },
    segments: [{ rows: 3_000, tombstones: 5, bytes: expect.any(Number), index: { metric: "l2" } }],
  });
  const text = await run(["inspect", "--path", path]);
  expect(text.stdout).toMatch(/notes\s+l2\s+3\s+2,995/);

  const segments = join(path, "segments");
  const segment = readdirSync(segments).find((name) => existsSync(join(segments, name, "vectors.arrow"))) as string;
  const vectors = join(segments, segment, "vectors.arrow");
  const bytes = readFileSync(vectors);
  const middle = bytes.length >> 1;
  bytes[middle] = (bytes[middle] as number) ^ 1;
  writeFileSync(vectors, bytes);
  const checked = await run(["check", "--path", path, "--json"]);
  expect(checked.code).toBe(5);
  expect(JSON.parse(checked.stdout)).toMatchObject({
    ok: false,
    collections: [{ damage: [expect.stringContaining("vectors.arrow")] }],
  });
});

test("an export comes back as it was, integers and floats apart", async () => {
  const to = temporaryPath();
  await run(["import", "--from", await chromaDirectory("1.5.9"), "--to", to, "-c", "flushed-cosine"]);
  const file = join(temporaryFolder(), "records.jsonl");
  const exported = await run(["export", "--path", to, "-c", "flushed-cosine", "--to", file]);
  expect(exported).toMatchObject({ code: 0, stderr: "" });
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  const expected = expectedCollections("1.5.9").find(({ name }) => name === "flushed-cosine");
  expect(lines).toHaveLength((expected?.ids.length ?? 0) + 1);
  expect(lines[0]).toContain('"ratio":2.0');
  const line = lines.find((each) => each.includes('"id":"id-8"')) as string;
  expect(line).toContain('"rank":8,');
  expect(line).toContain('"weight":8.0');
  expect(line).toContain('"shares":[0.5,8.0]');
  expect(line).toContain(`"large":${2 ** 53 + 8}`);

  const copy = temporaryPath();
  expect((await run(["import", "--from", file, "--to", copy])).code).toBe(0);
  const again = join(temporaryFolder(), "again.jsonl");
  await run(["export", "--path", copy, "-c", "flushed-cosine", "--to", again]);
  const records = (path: string): string[] => readFileSync(path, "utf8").split("\n").slice(1);
  expect(records(again)).toEqual(records(file));
  const [first, second] = [openClient(to), openClient(copy)];
  const settings = async (client: typeof first): Promise<unknown> => {
    const { metadata, configuration, schema } = await client.getCollection({ name: "flushed-cosine" });
    return { metadata, configuration, schema: schema?.serializeToJSON() };
  };
  expect(await settings(second)).toEqual(await settings(first));

  expect((await run(["export", "--path", to, "-c", "flushed-cosine", "--to", file])).code).toBe(2);
  expect((await run(["export", "--path", to, "-c", "missing", "--to", `${file}2`])).code).toBe(3);
  expect(existsSync(`${file}2`)).toBe(false);
  const piped = await run(["export", "--path", to, "-c", "flushed-cosine", "--to", "-"]);
  expect(piped.stdout).toBe(readFileSync(file, "utf8"));
}, 60_000);

test.each(["arrow", "parquet"])(
  "a collection goes to a .%s file and back, with its settings",
  async (format) => {
    const to = temporaryPath();
    await run(["import", "--from", await chromaDirectory("1.5.9"), "--to", to, "-c", "flushed-cosine"]);
    const [file, lines] = [join(temporaryFolder(), `records.${format}`), join(temporaryFolder(), "records.jsonl")];
    const exporting = ["export", "--path", to, "-c", "flushed-cosine", "--to"];
    const exported = await run([...exporting, file, "--compression", "zstd", "--json"]);
    expect(exported).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(exported.stdout)).toMatchObject({
      collection: "flushed-cosine",
      bytes: readFileSync(file).length,
    });
    expect((await run([...exporting, file])).code).toBe(2);
    expect((await run([...exporting, file, "--force"])).code).toBe(0);
    expect((await run([...exporting, "-", "--format", format])).code).toBe(2);
    const copy = temporaryPath();
    const imported = await run(["import", "--from", file, "--to", copy]);
    expect(imported, imported.stderr).toMatchObject({ code: 0 });
    const named = ["-c", "other", "--columns", '{"embedding":"missing"}'];
    const wrong = await run(["import", "--from", file, "--to", copy, ...named]);
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining("no column `missing`") });
    await run([...exporting, lines]);
    const again = join(temporaryFolder(), "again.jsonl");
    await run(["export", "--path", copy, "-c", "flushed-cosine", "--to", again]);
    expect(readFileSync(again, "utf8")).toBe(readFileSync(lines, "utf8"));
  },
  60_000,
);

test("lines without a description need a name, and a bad line is named", async () => {
  const to = temporaryPath();
  const input = '{"id":"a","embedding":[1,2]}\n{"id":"b","embedding":[3,4],"metadata":{"k":1}}\n';
  expect((await run(["import", "--from", "-", "--to", to], { input })).code).toBe(2);
  const named = await run(["import", "--from", "-", "--to", to, "-c", "named"], { input });
  expect(named, named.stderr).toMatchObject({ code: 0 });
  expect(
    await openClient(to)
      .getCollection({ name: "named" })
      .then((named) => named.count()),
  ).toBe(2);
  const bad = await run(["import", "--from", "-", "--to", temporaryPath(), "-c", "bad"], {
    input: `${input}{"id":3}\n`,
  });
  expect(bad.code).toBe(2);
  expect(bad.stderr).toMatch(/Line 3 is no record/);
});

test("records that are left out make the exit code 6, a refused pickle 5, what is missing 3, a locked database 4", async () => {
  const from = await chromaDirectory("1.5.9");
  const folder = readdirSync(from).find((name) => existsSync(join(from, name, "index_metadata.pickle"))) as string;
  truncateSync(join(from, folder, "header.bin"), 10);
  const damaged = await run(["import", "--from", from, "--to", temporaryPath()]);
  expect(damaged.code).toBe(6);
  expect(damaged.stdout).toMatch(/missing-vector: \d+/);
  writeFileSync(join(from, folder, "index_metadata.pickle"), "cos\nsystem\n.");
  const to = temporaryPath();
  const refused = await run(["import", "--from", from, "--to", to, "--json"]);
  expect(refused.code).toBe(5);
  expect(JSON.parse(refused.stdout)).toMatchObject({ error: { name: "UntrustedFileError" } });
  expect(existsSync(to)).toBe(false);
  expect((await run(["import", "--from", join(from, "missing"), "--to", to])).code).toBe(3);
  expect((await run(["inspect", "--path", to])).code).toBe(3);
  const held = openClient(to);
  await held.heartbeat();
  expect((await run(["compact", "--path", to])).code).toBe(4);
});

test("FERROCHROME_PATH stands for --path", async () => {
  const path = await sampleDatabase();
  const { stdout, code } = await run(["inspect", "--json"], { env: { FERROCHROME_PATH: path } });
  expect(code).toBe(0);
  expect(JSON.parse(stdout).collections).toHaveLength(1);
});

test("Ctrl-C stops an import after a batch; what was written stays, and the import can be resumed", async () => {
  const folder = temporaryFolder();
  const file = join(folder, "many.jsonl");
  const rows = 60_000;
  const vector = JSON.stringify(Array.from({ length: 32 }, (_, i) => i / 7));
  const lines = Array.from({ length: rows }, (_, i) => `{"id":"id-${i}","embedding":${vector},"metadata":{"i":${i}}}`);
  writeFileSync(file, `${lines.join("\n")}\n`);
  const to = join(folder, "db");
  mkdirSync(to);
  const child = start(["import", "--from", file, "--to", to, "-c", "many"]);
  const finished = finish(child);
  // The log grows with the first batch.
  const begun = (): boolean =>
    readdirSync(to).some((name) => /wal$/.test(name) && statSync(join(to, name)).size > 200_000);
  while (!begun() && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 5));
  child.kill("SIGINT");
  const { code, stderr } = await finished;
  expect(code, stderr).toBe(130);
  expect(stderr).toMatch(/Stopping/);
  const client = openClient(to);
  const count = await (await client.getCollection({ name: "many" })).count();
  expect(count).toBeGreaterThan(0);
  expect(count % 1_000).toBe(0);
  await client.close();
  const resumed = await run(["import", "--from", file, "--to", to, "-c", "many", "--existing", "merge", "--json"]);
  expect(resumed.code, resumed.stderr).toBe(0);
  expect(JSON.parse(resumed.stdout)).toMatchObject({ records: rows, existing: count, imported: rows - count });
}, 60_000);

test("Ctrl-C stops a compaction at once, and nothing is lost; --secure leaves nothing of what was deleted", async () => {
  const path = temporaryPath();
  const rows = 40_000;
  const dimension = 64;
  const client = openClient(path);
  const notes = await client.createCollection({ name: "notes", embeddingFunction: null });
  const embeddings = Float32Array.from({ length: rows * dimension }, (_, i) => Math.sin(i * i));
  const ids = Array.from({ length: rows }, (_, i) => `id-${i}-`);
  await notes.add({ ids, embeddings, dimension });
  await notes.delete({ ids: ["id-7-"] });
  await client.close();
  const segments = join(path, "segments");
  const before = readdirSync(segments);
  const child = start(["compact", "--path", path]);
  const finished = finish(child);
  const begun = (): boolean => readdirSync(segments).some((name) => name.endsWith(".staging"));
  while (!begun() && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 2));
  child.kill("SIGINT");
  const { code, stdout, stderr } = await finished;
  expect(code, stderr).toBe(130);
  expect(stdout).toBe("");
  expect(readdirSync(segments).toSorted()).toEqual(before.toSorted());

  expect(await json(["compact", "--path", path, "--secure"])).toMatchObject({
    collections: [{ collection: "notes", after: { segments: 1, tombstones: 0 } }],
  });
  const files = readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const holds = (text: string) =>
    files.filter(({ parentPath, name }) => readFileSync(join(parentPath, name)).includes(text));
  expect(holds("id-7-")).toEqual([]);
  expect(holds("id-8-")).not.toEqual([]);
  const again = openClient(path);
  expect(await (await again.getCollection({ name: "notes" })).count()).toBe(rows - 1);
}, 60_000);

test("serve answers until Ctrl-C, and closes the database", async () => {
  const path = await sampleDatabase();
  const child = start(["serve", "--json"], {
    env: { FERROCHROME_PATH: path, FERROCHROME_PORT: "0", FERROCHROME_TOKEN: "secret,with comma" },
  });
  const finished = finish(child);
  const [line] = (await once(child.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
  const { url } = JSON.parse(line.toString()) as { url: string };
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  const collections = `${url}/api/v2/tenants/default_tenant/databases/default_database/collections`;
  expect((await fetch(collections)).status).toBe(401);
  const answer = await fetch(collections, { headers: { "x-chroma-token": "secret,with comma" } });
  expect(await answer.json()).toMatchObject([{ name: "notes" }]);
  child.kill("SIGINT");
  const { code, stderr } = await finished;
  expect(code, stderr).toBe(0);
  // The lock is free.
  expect(await json(["compact", "--path", path])).toMatchObject({ collections: [{ collection: "notes" }] });

  const open = await run(["serve", "--path", path, "--host", "0.0.0.0", "--port", "0"]);
  expect(open.code).toBe(2);
  expect(open.stderr).toMatch(/Other machines can reach/);
  expect((await run(["serve", "--path", path, "--parity", "chroma-9"])).code).toBe(2);
  expect((await run(["serve"], { env: { FERROCHROME_ALLOW_RESET: "perhaps" } })).code).toBe(2);
});

test("snapshot copies a database that another process may be writing to, and restore puts it back", async () => {
  const path = await sampleDatabase();
  const [copy, again] = [join(temporaryFolder(), "copy"), join(temporaryFolder(), "again")];
  const writer = openClient(path);
  await (await writer.getCollection({ name: "notes" })).count();
  expect(await json(["snapshot", "--path", path, "--to", copy])).toMatchObject({ to: copy });
  expect((await run(["snapshot", "--path", path, "--to", copy])).code).toBe(2);
  const replaced = await run(["restore", "--from", copy, "--path", path, "--replace"]);
  expect(replaced.code).toBe(4);
  await writer.close();
  expect((await run(["restore", "--from", copy, "--path", path])).code).toBe(2);
  expect(await json(["restore", "--from", copy, "--path", again])).toMatchObject({ path: again });
  expect((await run(["check", "--path", again])).code).toBe(0);
  const { stdout, code } = await run(["restore", "--from", copy, "--path", path, "--replace"]);
  expect([stdout, code]).toEqual([expect.stringMatching(/^.*: \d+ segments, /), 0]);
  expect((await run(["restore", "--from", path])).code).toBe(2);
});
