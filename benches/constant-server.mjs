// A server that works on nothing: node benches/constant-server.mjs <port>. Each address is asked of the server at that port once, and
// the reply given again to every later request. What a client gets of it is the most that it could get of any server.
import { createServer } from "node:http";

const replies = new Map();

async function ask(method, url, body) {
  const headers = { "content-type": "application/json" };
  const answer = await fetch(`http://127.0.0.1:${process.argv[2]}${url}`, { method, headers, body });
  return { status: answer.status, body: Buffer.from(await answer.arrayBuffer()) };
}

const server = createServer(async (request, response) => {
  const { method, url } = request;
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const key = `${method} ${url}`;
  if (!replies.has(key)) replies.set(key, ask(method, url, method === "GET" ? undefined : Buffer.concat(chunks)));
  const { status, body } = await replies.get(key);
  response.writeHead(status, { "content-type": "application/json", "content-length": body.length });
  response.end(body);
});
process.once("message", () => process.exit(0));
server.listen(0, "127.0.0.1", () => process.send({ port: server.address().port }));
