import { describe, expect, test } from "vitest";
import * as ferrochrome from "../index.js";
import { toError } from "../src/native.js";

const native = (code: string, message = "why"): Error => new Error(`!${JSON.stringify({ code, message })}`);

describe("error classes", () => {
  test("extend Error directly, carry a cause, and are named as in Chroma", () => {
    const cause = new Error("cause");
    for (const ErrorClass of [
      ferrochrome.ChromaConnectionError,
      ferrochrome.ChromaServerError,
      ferrochrome.ChromaClientError,
      ferrochrome.ChromaForbiddenError,
      ferrochrome.ChromaNotFoundError,
      ferrochrome.ChromaValueError,
      ferrochrome.ChromaUniqueError,
      ferrochrome.ChromaQuotaExceededError,
      ferrochrome.ChromaRateLimitError,
      ferrochrome.InvalidCollectionError,
      ferrochrome.InvalidArgumentError,
    ]) {
      const error = new ErrorClass("message", cause);
      expect(Object.getPrototypeOf(ErrorClass)).toBe(Error);
      expect(error).toMatchObject({ name: ErrorClass.name, message: "message" });
      expect(error.cause).toBe(cause);
    }
    expect(new ferrochrome.ChromaUnauthorizedError("m").name).toBe("ChromaAuthError");
    expect(new ferrochrome.ChromaError("Custom", "m", cause)).toMatchObject({ name: "Custom", message: "m" });
  });

  test("createErrorByType knows two names", () => {
    expect(ferrochrome.createErrorByType("InvalidCollection", "m")).toBeInstanceOf(ferrochrome.InvalidCollectionError);
    expect(ferrochrome.createErrorByType("InvalidArgumentError", "m")).toBeInstanceOf(ferrochrome.InvalidArgumentError);
    expect(ferrochrome.createErrorByType("Other", "m")).toBeUndefined();
  });
});

describe("failures of native code", () => {
  test.each([
    ["INVALID_ARGUMENT", "ChromaClientError", "Bad request to collections/x/query with status: why"],
    ["LIMIT_EXCEEDED", "ChromaClientError", "Bad request to collections/x/query with status: why"],
    ["UNPROCESSABLE", "ChromaClientError", "why"],
    ["NOT_FOUND", "ChromaNotFoundError", "The requested resource could not be found"],
    ["ALREADY_EXISTS", "ChromaUniqueError", "The resource already exists"],
    ["CORRUPTED", "DatabaseCorruptedError", "why"],
    ["LOCKED", "DatabaseLockedError", "why"],
    ["UNSAFE_FILE_SYSTEM", "UnsafeFileSystemError", "why"],
    ["READ_ONLY", "ReadOnlyError", "why"],
    ["CLOSED", "DatabaseClosedError", "why"],
    ["CANCELLED", "AbortError", "why"],
    ["IO", "ChromaServerError", "why"],
    ["UNSUPPORTED", "ChromaServerError", "why"],
    ["INTERNAL", "ChromaServerError", "why"],
    ["SOMETHING_NEW", "ChromaServerError", "why"],
  ])("%s becomes %s", (code, name, message) => {
    expect(toError(native(code), "collections/x/query")).toMatchObject({ name, message });
  });

  test("keep the native message as the cause", () => {
    const error = toError(native("NOT_FOUND", "Collection [x] does not exist"), "collections/x") as Error;
    expect(error.cause).toMatchObject({ code: "NOT_FOUND", message: "Collection [x] does not exist" });
  });

  test("anything else passes unchanged", () => {
    for (const failure of [new Error("plain"), new Error("!not json"), "text", undefined]) {
      expect(toError(failure, "route")).toBe(failure);
    }
  });
});
