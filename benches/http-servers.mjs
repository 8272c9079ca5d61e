// The servers that the http bench asks, each a process of its own on 127.0.0.1.
import { fork, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** How long a server may take until it answers, in milliseconds. */
const START_MS = 60_000;

/** Ferrochrome's server over a folder: `{ port, pid, finish, stop }`, where `finish` waits until everything is indexed. */
async function startFerrochrome(folder) {
  const child = fork(here("http-server.mjs"), [folder], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const [{ port }] = await once(child, "message");
  const finish = async () => {
    child.send("finish");
    await once(child, "message");
  };
  return { port, pid: child.pid, finish, stop: () => stopChild(child) };
}

async function stopChild(child) {
  child.send("stop");
  await once(child, "exit");
}

/** A server that gives again what the one at `port` replied: the bound that the client sets. */
export async function startConstant(port) {
  const child = fork(here("constant-server.mjs"), [port], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const [{ port: own }] = await once(child, "message");
  return { port: own, pid: child.pid, stop: () => stopChild(child) };
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

/** Chroma's program: of FERROCHROME_CHROMA, of the benches' Python, or of its package on npm. */
const chromaProgram = () =>
  [process.env.FERROCHROME_CHROMA, here(".venv/bin/chroma"), here("node_modules/.bin/chroma")].find(
    (path) => path && existsSync(path),
  );

/** Chroma's server over a folder, which indexes as it writes; null where it is not installed or does not answer. */
async function startChroma(folder) {
  const program = chromaProgram();
  if (!program) return null;
  const port = await freePort();
  const args = ["run", "--path", folder, "--host", "127.0.0.1", "--port", String(port)];
  const child = spawn(program, args, { stdio: "ignore" });
  const ended = once(child, "exit");
  const stop = async () => {
    child.kill();
    await ended;
  };
  for (const started = Date.now(); Date.now() - started < START_MS; await setTimeout(100)) {
    if (child.exitCode !== null) return null;
    const alive = await fetch(`http://127.0.0.1:${port}/api/v2/heartbeat`).catch(() => null);
    if (alive?.ok) return { port, pid: child.pid, finish: async () => {}, stop };
  }
  await stop();
  return null;
}

/** Name, how it is started, whether its replies are those of the constant server, and what to say where it is not there. */
export const SERVERS = [
  { name: "ferrochrome", start: startFerrochrome, isRepeated: true },
  {
    name: "chromadb",
    start: startChroma,
    missing: "no program `chroma` (pip install chromadb==1.5.9; FERROCHROME_CHROMA names it), or it does not answer",
  },
];
