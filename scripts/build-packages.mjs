// After tsc: the stand-in for the chromadb package (packages/chromadb), and CommonJS beside ECMAScript modules for both.
//
// Node loads one copy of each package, whether it is imported or required: the condition `module-sync` of their `exports` gives
// both the ECMAScript modules. The CommonJS bundles are for what cannot require those, such as Jest and older bundlers.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
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

/** Bundles the ECMAScript modules of `dist` as CommonJS, and gives them declarations that TypeScript takes for CommonJS. */
async function addCommonJs(dist) {
  const bundle = await rolldown({
    input: join(dist, "index.js"),
    platform: "node",
    external: /^[^./]/,
    onLog: (_level, log) => {
      throw new Error(log.message);
    },
  });
  await bundle.write({ file: join(dist, "index.cjs"), format: "cjs", exports: "named" });
  await bundle.close();
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
for (const folder of [root, standIn]) await addCommonJs(join(folder, "dist"));
