import { spawn, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { finish } from "../support/child.js";
import { temporaryFolder } from "../support/folder.js";

const INDEX = new URL("../../dist/index.js", import.meta.url).href;
const SHIM = fileURLToPath(new URL("../../crates/testing/shim/file_system_shim.c", import.meta.url));
const EIO = 5;
const ENOSPC = 28;
/** Opening to create, writing, setting a length. */
const SPACE = 1 | 2 | 4;
const SYNC = 8;

/** Works while the disk is full, or syncs fail; then the disk works again. */
const PROGRAM = `
  import { writeFileSync } from "node:fs";
  import { PersistentClient } from ${JSON.stringify(INDEX)};
  const [path, control, errno, kinds] = JSON.parse(process.env.ARGUMENTS);
  const command = (text) => writeFileSync(control, text);
  const outcome = (promise) => promise.then(() => "done", (error) => ({ name: error.name, message: error.message }));
  const client = new PersistentClient({ path, durability: "full", sealRows: 4 });
  const collection = await client.createCollection({ name: "notes", embeddingFunction: null });
  await collection.add({ ids: ["a", "b"], embeddings: [[1], [2]], documents: ["x", "y"] });
  command("fail 1 1000000 " + errno + " " + kinds);
  const during = {
    add: await outcome(collection.add({ ids: ["c"], embeddings: [[3]] })),
    delete: await outcome(collection.delete({ ids: ["a"] })),
    modify: await outcome(collection.modify({ metadata: { x: 1 } })),
    compact: await outcome(collection.compact()),
    create: await outcome(client.createCollection({ name: "more", embeddingFunction: null })),
    ids: (await collection.get()).ids,
    nearest: (await collection.query({ queryEmbeddings: [[1.9]], nResults: 1 })).ids,
  };
  command("heal");
  const after = {
    add: await outcome(collection.add({ ids: ["d"], embeddings: [[4]] })),
    compact: await outcome(collection.compact()),
    ids: (await collection.get()).ids,
    close: await outcome(client.close()),
  };
  const again = new PersistentClient({ path });
  const reopened = (await (await again.getCollection({ name: "notes" })).get()).ids;
  await again.close();
  console.log(JSON.stringify({ during, after, reopened }));
`;

/** The library that is preloaded, or why there is none. */
function buildShim(folder: string): string | undefined {
  if (process.platform !== "linux") return undefined;
  const library = join(folder, "shim.so");
  const built = spawnSync(process.env.CC ?? "cc", ["-shared", "-fPIC", "-o", library, SHIM, "-ldl", "-lpthread"]);
  return built.status === 0 ? library : undefined;
}

test.each([
  ["full", ENOSPC, SPACE],
  ["failing at every sync", EIO, SYNC],
])(
  "on a disk that is %s writes are refused with the reason, reads go on, and so does everything once it works",
  async (_how, errno, kinds) => {
    const folder = temporaryFolder();
    const library = buildShim(folder);
    if (library === undefined) return console.warn("skipped: the shim needs Linux and a C compiler");
    const control = join(folder, "control");
    writeFileSync(control, "");
    const path = join(folder, "db");
    const child = spawn(process.execPath, ["--input-type=module", "--eval", PROGRAM], {
      env: {
        ...process.env,
        LD_PRELOAD: library,
        FERROCHROME_SHIM_ROOT: path,
        FERROCHROME_SHIM_CONTROL: control,
        ARGUMENTS: JSON.stringify([path, control, errno, kinds]),
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const { stdout, stderr } = await finish(child);
    expect(stderr).toBe("");
    const { during, after, reopened } = JSON.parse(stdout);
    for (const call of ["add", "delete", "modify", "compact", "create"]) {
      expect(during[call], call).toMatchObject({ name: "ChromaServerError", message: expect.any(String) });
    }
    expect(during.ids).toEqual(["a", "b"]);
    expect(during.nearest).toEqual([["b"]]);
    expect(after).toEqual({ add: "done", compact: "done", ids: ["a", "b", "d"], close: "done" });
    expect(reopened).toEqual(["a", "b", "d"]);
  },
);
