import { expectTypeOf, test } from "vitest";
import type * as generated from "../binding/native.cjs";
import type {
  NativeBatch,
  NativeCancel,
  NativeChromaReader,
  NativeChromaSource,
  NativeCollection,
  NativeDatabase,
  NativeDatabaseCopy,
  NativeExport,
} from "../src/native.js";

test("the addon exports what the facade expects of it", () => {
  expectTypeOf<generated.NativeDatabase>().toExtend<NativeDatabase>();
  expectTypeOf<generated.NativeDatabaseCopy>().toExtend<NativeDatabaseCopy>();
  expectTypeOf<generated.NativeCollection>().toExtend<NativeCollection>();
  expectTypeOf<generated.NativeBatch>().toExtend<NativeBatch>();
  expectTypeOf<generated.NativeCancel>().toExtend<NativeCancel>();
  expectTypeOf<typeof generated.NativeDatabase.open>().toExtend<
    (path: string | null, options: string) => Promise<NativeDatabase>
  >();
  expectTypeOf<generated.NativeChromaSource>().toExtend<NativeChromaSource>();
  expectTypeOf<generated.NativeChromaReader>().toExtend<NativeChromaReader>();
  expectTypeOf<generated.NativeExport>().toExtend<NativeExport>();
  expectTypeOf<typeof generated.NativeChromaSource.open>().toExtend<(path: string) => Promise<NativeChromaSource>>();
  expectTypeOf<typeof generated.readServerCollections>().toEqualTypeOf<(body: string) => string>();
  expectTypeOf<typeof generated.buildInfo>().toEqualTypeOf<() => string>();
});
