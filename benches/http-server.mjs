// A Ferrochrome server in a process of its own, for the http bench: node benches/http-server.mjs <folder>. Tells its parent where it is.
import { serve } from "../dist/src/server.js";

const server = await serve({ path: process.argv[2], port: 0 });
process.send({ port: server.port });
process.once("message", async () => {
  await server.close();
  process.exit(0);
});
