// After tsc: the stand-in for the chromadb package (packages/chromadb), few modules in the place of many, and CommonJS beside
// ECMAScript modules for both.
//
// What tsc emitted is bundled into one module per entry of the package and those that entries share, so that an import reads a
// handful of files: a third of the time.
//
// Node loads one copy of each package, whether it is imported or required: the condition `module-sync` of their `exports` gives
// both the ECMAScript modules. The CommonJS bundles are for what cannot require those, such as Jest and older bundlers.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

const root = fileURLToPath(new URL("../", import.meta.url));
const standIn = join(root, "packages/chromadb");

/** Lets the stand-in find `ferrochrome` where npm would put it. */
function linkPackage() {
  const link = join(standIn, "node_modules/ferrochrome");
  if (existsSync(link)) return;
  mkdirSync(join(standIn, "node_modules"), { recursive: true });
  symlinkSync(root, link, "junction");
}

function compile(project) {
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  const { status } = spawnSync(process.execPath, [tsc, "-p", project], { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}

async function bundle(input, output) {
  const bundled = await rolldown({
    input,
    platform: "node",
    external: /^[^./]/,
    onLog: (_level, log) => {
      throw new Error(log.message);
    },
  });
  await bundled.write(output);
  await bundled.close();
}

/** The modules of `dist` that the package's exports and programs name, by their path in it without extension. */
function entries(folder) {
  const dist = join(folder, "dist");
  const { exports, bin = {} } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const leaves = (value) => (typeof value === "string" ? [value] : Object.values(value).flatMap(leaves));
  const files = new Set([...leaves(exports), ...leaves(bin)].filter((file) => file.endsWith(".js")));
  return Object.fromEntries(
    [...files].map((file) => [relative(dist, join(folder, file)).slice(0, -".js".length), join(folder, file)]),
  );
}

/** Replaces the modules of `dist` by a bundle of each entry and chunks of what entries share. */
async function bundleModules(folder) {
  const dist = join(folder, "dist");
  const staging = join(folder, "dist.bundled");
  await bundle(entries(folder), { dir: staging, format: "es", chunkFileNames: "chunks/[name].js" });
  const modules = readdirSync(dist, { recursive: true }).filter((file) => file.endsWith(".js"));
  for (const file of modules) rmSync(join(dist, file));
  cpSync(staging, dist, { recursive: true });
  rmSync(staging, { recursive: true });
}

/** Bundles the package's main module as CommonJS, and gives it declarations that TypeScript takes for CommonJS. */
async function addCommonJs(folder) {
  const dist = join(folder, "dist");
  await bundle(join(dist, "index.js"), { file: join(dist, "index.cjs"), format: "cjs", exports: "named" });
  const isDeclaration = (path) => !/\.[^/\\]+$/.test(path) || path.endsWith(".d.ts");
  const declarations = join(dist, "cjs");
  for (const name of ["index.d.ts", "src"]) {
    const from = join(dist, name);
    if (existsSync(from)) cpSync(from, join(declarations, name), { recursive: true, filter: isDeclaration });
  }
  writeFileSync(join(declarations, "package.json"), '{ "type": "commonjs" }\n');
}

linkPackage();
compile(join(standIn, "tsconfig.json"));
for (const folder of [root, standIn]) {
  await bundleModules(folder);
  await addCommonJs(folder);
}
