/** A server that embeds as OpenAI's API does, with the vectors of word-embeddings.ts. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";
import { embedText } from "./word-embeddings.js";

/** Starts the server on a free port of 127.0.0.1; it is stopped when the test has finished. */
export async function startOpenAi(): Promise<{ url: string; asked: { input: string[]; model: string }[] }> {
  const asked: { input: string[]; model: string }[] = [];
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    const body = JSON.parse(text) as { input: string[]; model: string };
    asked.push(body);
    const data = body.input.map((word, index) => ({ index, object: "embedding", embedding: embedText(word) }));
    const usage = { prompt_tokens: 1, total_tokens: 1 };
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ object: "list", data, model: body.model, usage }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}
