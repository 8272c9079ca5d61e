import { describe, expect, test } from "vitest";
import { validateName } from "../src/names.js";

const refusal = (name: unknown, field?: string): string => {
  try {
    validateName(name, "collections", field);
  } catch (error) {
    expect(error).toMatchObject({ name: "ChromaClientError" });
    return (error as Error).message;
  }
  throw new Error(`${String(name)} was accepted`);
};

describe("names", () => {
  test.each(["abc", "A1.b-c_d", "a".repeat(512), "123", "tenant+name", "1.2.3"])("%s is accepted", (name) => {
    expect(() => validateName(name, "collections")).not.toThrow();
  });

  test.each([
    "",
    "ab",
    "-abc",
    "abc-",
    "a b",
    "a/b/c",
    "../etc",
    "näme",
    "a\0bc",
    "a".repeat(513),
    "a+b+c",
    "abc+",
    7,
    null,
  ])("%j is refused", (name) => {
    expect(refusal(name)).toContain(
      "Validation error: name: Expected a name containing 3-512 characters from [a-zA-Z0-9._-], starting and ending with a character in [a-zA-Z0-9]. Got: ",
    );
  });

  test("two periods and IP addresses have messages of their own", () => {
    expect(refusal("a..b")).toBe(
      "Bad request to collections with status: Validation error: name: Expected a name that does not contains two consecutive periods (..). Got a..b",
    );
    expect(refusal("127.0.0.1", "new_name")).toBe(
      "Bad request to collections with status: Validation error: new_name: Expected a name that is not a valid ip address. Got 127.0.0.1",
    );
  });
});
