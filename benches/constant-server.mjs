// A server that works on nothing: node benches/constant-server.mjs <port>. Each address is asked of the server at that port once, and
// the reply given again to every later request. What a client gets of it is the most that it could get of any server: requests are not
// even parsed beyond their first line and their length.
import { createServer } from "node:net";

const HEAD_END = "\r\n\r\n";
const LENGTH = /\r\ncontent-length: *(\d+)/i;

const replies = new Map();

/** The bytes of the reply of the server at that port. */
async function ask(method, url, body) {
  const headers = { "content-type": "application/json" };
  const answer = await fetch(`http://127.0.0.1:${process.argv[2]}${url}`, { method, headers, body });
  const replied = Buffer.from(await answer.arrayBuffer());
  const head = `HTTP/1.1 ${answer.status} ${answer.statusText}\r\ncontent-type: application/json\r\ncontent-length: ${replied.length}`;
  return Buffer.concat([Buffer.from(head + HEAD_END), replied]);
}

/** The first request that lies whole in `bytes`: its first line, its body, and where it ends; or null. */
function firstRequest(bytes) {
  const headLength = bytes.indexOf(HEAD_END);
  if (headLength < 0) return null;
  const head = bytes.latin1Slice(0, headLength);
  const start = headLength + HEAD_END.length;
  const end = start + Number(LENGTH.exec(head)?.[1] ?? 0);
  if (bytes.length < end) return null;
  const [method, url] = head.split(" ", 2);
  return { method, url, body: bytes.subarray(start, end), end };
}

const server = createServer({ noDelay: true }, (socket) => {
  let bytes = Buffer.alloc(0);
  socket.on("error", () => socket.destroy());
  socket.on("data", async (chunk) => {
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    const request = firstRequest(bytes);
    if (request === null) return;
    // A client sends its next request on a connection when it has the reply to this one.
    bytes = bytes.subarray(request.end);
    const key = `${request.method} ${request.url}`;
    const known = replies.get(key);
    if (known) {
      socket.write(known);
      return;
    }
    const reply = await ask(request.method, request.url, request.method === "GET" ? undefined : request.body);
    replies.set(key, reply);
    socket.write(reply);
  });
});
process.once("message", () => process.exit(0));
server.listen(0, "127.0.0.1", () => process.send({ port: server.address().port }));
