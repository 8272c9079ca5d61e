// node __test__/server/record.mjs <url>: writes the answers of a Chroma server with an empty database to recorded.json.
import { writeFileSync } from "node:fs";
import { askAll } from "./corpus.mjs";

const answers = await askAll(fetch, process.argv[2] ?? "http://127.0.0.1:8000");
writeFileSync(new URL("recorded.json", import.meta.url), `${JSON.stringify(answers, null, 2)}\n`);
