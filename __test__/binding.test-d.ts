import { expectTypeOf, test } from "vitest";
import type * as generated from "../binding/native.cjs";
import type { NativeBatch, NativeCancel, NativeCollection, NativeDatabase } from "../src/native.js";

test("the addon exports what the facade expects of it", () => {
  expectTypeOf<generated.NativeDatabase>().toExtend<NativeDatabase>();
  expectTypeOf<generated.NativeCollection>().toExtend<NativeCollection>();
  expectTypeOf<generated.NativeBatch>().toExtend<NativeBatch>();
  expectTypeOf<generated.NativeCancel>().toExtend<NativeCancel>();
  expectTypeOf<typeof generated.NativeDatabase.open>().toExtend<
    (path: string | null, options: string) => Promise<NativeDatabase>
  >();
  expectTypeOf<typeof generated.buildInfo>().toEqualTypeOf<() => string>();
});
