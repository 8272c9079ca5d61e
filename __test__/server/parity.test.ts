import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EphemeralClient } from "../../index.js";
import { createApp } from "../../src/server.js";
import { type Answer, askAll } from "./corpus.mjs";

const recorded: Record<string, Answer> = JSON.parse(readFileSync(new URL("recorded.json", import.meta.url), "utf8"));

/** Metadata of a record that has none: null, always. Chroma says `{}` where the record has an URI, or had metadata once. */
const noMetadata = (answer: Answer): Answer => ({ ...answer, text: answer.text.replaceAll("{}", "null") });

const says = (message: string, status?: number, error?: string) => (answer: Answer) => {
  const body = { error: error ?? JSON.parse(answer.text).error, message };
  return { ...answer, status: status ?? answer.status, text: JSON.stringify(body) };
};

/** Answers that differ on purpose: what they are made of the recorded ones. */
const DIFFERENT: Record<string, (recorded: Answer) => Answer> = {
  "POST get: get": noMetadata,
  "POST get: get all columns": noMetadata,
  "POST get: get updated": noMetadata,
  "POST query: query": noMetadata,
  "POST query: query all columns": noMetadata,
  "POST get: get, huge integer": says(
    "Invalid where clause: the integer 18446744073709551615 does not fit 64 bits with a sign, at most 9223372036854775807 does",
  ),
  "POST get: get, byte regex": says("Byte pattern is not allowed"),
  // Chroma lets SQLite's own error through.
  "PUT {id}: modify, taken name": says("Collection [meta] already exists", 409, "ChromaError"),
};

/** What Chroma says of a body of a wrong shape; behind it come words of its parser, in the place of which are ours. */
const WRONG_SHAPE = "Failed to deserialize the JSON body into the target type: ";

/** JSON whose numbers are compared as they are written: 1 is not 1.0. */
function readJson(text: string): unknown {
  const marked = text.replace(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g, (token) =>
    token.startsWith('"') ? token : `"number ${token}"`,
  );
  return JSON.parse(marked);
}

let answers: Record<string, Answer>;
const client = EphemeralClient();

beforeAll(async () => {
  const app = createApp(client, { parity: "chroma-1.5" });
  answers = await askAll((url, init) => app.fetch(new Request(url, init)), "http://localhost");
});
afterAll(() => client.close());

describe("with parity to Chroma, the answer is Chroma's to", () => {
  test.each(Object.keys(recorded))("%s", (name) => {
    const expected = (DIFFERENT[name] ?? ((answer) => answer))(recorded[name] as Answer);
    const actual = answers[name] as Answer;
    const head = ({ status, type, trace, allow }: Answer): unknown => ({ status, type, trace, allow });
    expect({ ...(head(actual) as object), text: actual.text }).toMatchObject(head(expected) as object);
    if (expected.text === "") expect(actual.text).toBe("");
    else if (expected.status === 422) expect(JSON.parse(actual.text).message).toContain(WRONG_SHAPE);
    else expect(readJson(actual.text)).toEqual(readJson(expected.text));
  });
});
