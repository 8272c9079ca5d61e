// A Ferrochrome server in a process of its own, for the http bench: node benches/http-server.mjs <folder>. It tells its parent
// where it is, builds the index of everything on "finish", and ends on "stop".
import { PersistentClient } from "../dist/index.js";
import { serve } from "../dist/src/server.js";

const client = new PersistentClient({ path: process.argv[2] });
const server = await serve({ client, port: 0 });

process.on("message", async (message) => {
  if (message === "finish") {
    for (const collection of await client.listCollections()) await collection.compact();
    process.send("finished");
    return;
  }
  await server.close();
  await client.close();
  process.exit(0);
});
process.send({ port: server.port });
