/** Damage to texts, as a fuzzer makes it, for property tests. */
import fc from "fast-check";

/** What a program that reads JSON may not expect. */
const VALUES = [
  null,
  true,
  0,
  -1,
  0.5,
  2 ** 32,
  1e308,
  "",
  "a",
  [],
  [null],
  [[]],
  [[null]],
  {},
  { a: {} },
  { length: 9 },
];

/** One step of damage. Places are fractions of the length, so that they fit every text. */
const edit = fc.oneof(
  fc.record({ kind: fc.constant("cut" as const), at: fraction() }),
  fc.record({ kind: fc.constant("set" as const), at: fraction(), code: fc.integer({ min: 0, max: 0xffff }) }),
  fc.record({ kind: fc.constant("insert" as const), at: fraction(), text: fc.string({ maxLength: 8 }) }),
  fc.record({ kind: fc.constant("remove" as const), at: fraction(), length: fc.integer({ min: 1, max: 12 }) }),
  fc.record({ kind: fc.constant("repeat" as const), at: fraction(), length: fc.integer({ min: 1, max: 40 }) }),
  fc.record({
    kind: fc.constant("value" as const),
    at: fraction(),
    value: fc.oneof(fc.constantFrom<unknown>(...VALUES), fc.jsonValue({ maxDepth: 2 })),
  }),
);

/** Up to three steps of damage. */
export const edits = fc.array(edit, { minLength: 1, maxLength: 3 });

/** A step of damage. */
export type Edit = typeof edit extends fc.Arbitrary<infer T> ? T : never;

function fraction(): fc.Arbitrary<number> {
  return fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
}

/** The text after all steps. */
export function damaged(text: string, steps: Edit[]): string {
  return steps.reduce(damagedOnce, text);
}

function damagedOnce(text: string, step: Edit): string {
  const at = Math.floor(step.at * text.length);
  switch (step.kind) {
    case "cut":
      return text.slice(0, at);
    case "set":
      return text.slice(0, at) + String.fromCharCode(step.code) + text.slice(at + 1);
    case "insert":
      return text.slice(0, at) + step.text + text.slice(at);
    case "remove":
      return text.slice(0, at) + text.slice(at + step.length);
    case "repeat":
      return text.slice(0, at + step.length) + text.slice(at);
    case "value":
      return withValue(text, step.at, step.value);
  }
}

/** The first line's JSON with another value in one place, if it is JSON. */
function withValue(text: string, at: number, value: unknown): string {
  const end = text.indexOf("\n");
  const json = end < 0 ? text : text.slice(0, end);
  let places = 0;
  const count = (): number => places++;
  try {
    JSON.parse(json, count);
    const chosen = Math.floor(at * places);
    places = 0;
    const changed = JSON.parse(json, (_key, old) => (count() === chosen ? value : old));
    return JSON.stringify(changed) + (end < 0 ? "" : text.slice(end));
  } catch {
    return text;
  }
}

/** Tries a property so many times, and on until `FUZZ_SECONDS` seconds have passed. */
export async function tryOut(property: fc.IRawProperty<unknown>, numRuns: number): Promise<void> {
  const end = Date.now() + fuzzSeconds() * 1000;
  do await fc.assert(property, { numRuns });
  while (Date.now() < end);
}

/** `FUZZ_SECONDS`; 0 where it is not set. */
export function fuzzSeconds(): number {
  return Number(process.env.FUZZ_SECONDS ?? 0);
}
