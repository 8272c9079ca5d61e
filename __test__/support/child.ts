import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";

const INDEX = new URL("../../dist/index.js", import.meta.url).href;

/** Starts a Node process that runs `script`, in which `ferrochrome` is the package and `args` are the arguments; as `user`, if given. */
export function startNode(script: string, args: unknown[], user?: number): ChildProcess {
  const source = `import * as ferrochrome from ${JSON.stringify(INDEX)};\nconst args = ${JSON.stringify(args)};\n${script}`;
  return spawn(process.execPath, ["--input-type=module", "--eval", source], {
    cwd: fileURLToPath(new URL("../../", import.meta.url)),
    stdio: ["ignore", "pipe", "pipe"],
    ...(user === undefined ? {} : { uid: user, gid: user }),
  });
}

/** What a process printed, and how it ended. */
export interface Finished {
  stdout: string;
  stderr: string;
  code: number | null;
}

/** Waits for the end of a process. */
export async function finish(child: ChildProcess): Promise<Finished> {
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (data) => {
    stdout += data;
  });
  child.stderr?.on("data", (data) => {
    stderr += data;
  });
  const [code] = await once(child, "close");
  return { stdout, stderr, code };
}

/** Runs `script` to its end; see {@link startNode}. */
export function runNode(script: string, args: unknown[], user?: number): Promise<Finished> {
  return finish(startNode(script, args, user));
}

/** Lets a child work until it has printed something, then kills it after `delay` ms; returns what it printed. */
export async function killed(child: ChildProcess, delay: number): Promise<string> {
  let printed = "";
  let errors = "";
  child.stderr?.on("data", (data) => {
    errors += data;
  });
  await new Promise<void>((resolve) => {
    child.stdout?.on("data", (data) => {
      printed += data;
      resolve();
    });
    child.once("close", () => resolve());
  });
  await new Promise((resolve) => setTimeout(resolve, delay));
  child.kill("SIGKILL");
  await new Promise((resolve) => child.once("close", resolve));
  expect(errors).toBe("");
  return printed;
}
