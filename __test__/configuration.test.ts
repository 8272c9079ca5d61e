import { describe, expect, test } from "vitest";
import type { CollectionConfiguration, CollectionMetadata } from "../index.js";
import { checkUpdate, settle } from "../src/configuration.js";

const settled = (configuration: object, metadata?: CollectionMetadata): CollectionConfiguration =>
  settle(configuration as CollectionConfiguration, metadata, undefined, "collections").configuration;

const DEFAULTS = {
  space: "l2",
  ef_construction: 100,
  ef_search: 100,
  max_neighbors: 16,
  resize_factor: 1.2,
  sync_threshold: 1000,
};

describe("the stored configuration", () => {
  test("is complete", () => {
    expect(settled({})).toEqual({ hnsw: DEFAULTS, spann: null, embedding_function: null });
    expect(settled({ hnsw: { space: "ip", ef_search: null } }).hnsw).toEqual({ ...DEFAULTS, space: "ip" });
  });

  test("tells the quantization where it was set", () => {
    expect(settled({ hnsw: { quantization: "int8" } }).hnsw).toEqual({ ...DEFAULTS, quantization: "int8" });
    expect(settled({ hnsw: { quantization: null } }).hnsw).toEqual(DEFAULTS);
  });

  test.each(["l1", "hamming", "jaccard", "hellinger", "jensen-shannon"])(
    "takes space %s wherever one is given",
    (space) => {
      const expected = { ...DEFAULTS, space };
      expect(settled({ hnsw: { space } }).hnsw).toEqual(expected);
      expect(settled({ spann: { space } }).hnsw).toEqual(expected);
      expect(settled({}, { "hnsw:space": space }).hnsw).toEqual(expected);
    },
  );

  test("reports odd values as they were given", () => {
    expect(settled({ hnsw: { max_neighbors: 0, ef_search: 0 } }).hnsw).toMatchObject({
      max_neighbors: 0,
      ef_search: 0,
    });
  });

  test("keeps of SPANN only the space", () => {
    expect(settled({ spann: { space: "cosine", search_nprobe: 7 } })).toMatchObject({
      hnsw: { ...DEFAULTS, space: "cosine" },
      spann: null,
    });
  });

  test.each([
    [{ hnsw: { M: 7 } }, "unknown field `M`"],
    [{ hnsw: { space: "manhattan" } }, "expected one of l2, cosine, ip, l1, hamming, jaccard, hellinger"],
    [{ hnsw: { space: "L1" } }, "configuration.hnsw.space: expected one of l2, cosine, ip, l1, hamming"],
    [{ hnsw: { ef_search: 1.5 } }, "configuration.hnsw.ef_search: expected a non-negative number, but got 1.5"],
    [{ hnsw: { ef_search: -1 } }, "configuration.hnsw.ef_search"],
    [{ hnsw: { quantization: "int2" } }, "configuration.hnsw.quantization: expected one of auto, int4, int8, none"],
    [{ hnsw: 7 }, "configuration.hnsw: expected an object"],
    [{ spann: { nprobe: 7 } }, "configuration.spann: unknown field `nprobe`"],
    [{ spann: { search_nprobe: "x" } }, "configuration.spann.search_nprobe: expected a non-negative number"],
    [{ spann: 7 }, "configuration.spann: expected an object"],
  ])("refuses %j", (configuration, message) => {
    expect(() => settled(configuration)).toThrow(message);
    expect(() => settled(configuration)).toThrow("Failed to deserialize the JSON body into the target type");
  });

  test("takes what collection metadata say, unless a parameter is given", () => {
    const metadata = { "hnsw:space": "cosine", "hnsw:M": 32, "hnsw:search_ef": 50, topic: "x" };
    expect(settled({}, metadata).hnsw).toEqual({ ...DEFAULTS, space: "cosine", max_neighbors: 32, ef_search: 50 });
    expect(settled({ hnsw: { ef_search: 9 } }, metadata).hnsw).toEqual({ ...DEFAULTS, ef_search: 9 });
  });

  test("does not look for HNSW parameters in the metadata of who asks for SPANN", () => {
    expect(settled({ spann: { space: "ip" } }, { "hnsw:M": 32 }).hnsw).toEqual({ ...DEFAULTS, space: "ip" });
    expect(settled({ spann: {} }, { "hnsw:space": "cosine", "hnsw:nonsense": 1 }).hnsw).toEqual(DEFAULTS);
  });

  test.each([{ "hnsw:nonsense": 1 }, { "hnsw:M": "x" }, { "hnsw:space": "x" }, { "hnsw:batch_size": 1 }])(
    "refuses metadata %j",
    (metadata) => {
      expect(() => settled({}, metadata as CollectionMetadata)).toThrow(
        "Bad request to collections with status: Failed to parse hnsw parameters from segment metadata",
      );
    },
  );
});

describe("a change of the configuration", () => {
  test("has what may change", () => {
    const hnsw = { ef_search: 7, num_threads: 2, batch_size: 9, quantization: "none" } as const;
    expect(checkUpdate({ hnsw })).toEqual({ hnsw });
    expect(checkUpdate({ spann: { ef_search: 7 } })).toEqual({ hnsw: {} });
    expect(checkUpdate({ embedding_function: { type: "legacy" } }).embedding_function).toEqual({ type: "legacy" });
  });

  test("refuses unknown parameters of SPANN", () => {
    expect(() => checkUpdate({ spann: { nprobe: 7 } as never })).toThrow(
      "new_configuration.spann: unknown field `nprobe`",
    );
  });

  test("refuses an unknown quantization", () => {
    expect(() => checkUpdate({ hnsw: { quantization: "best" as never } })).toThrow(
      'new_configuration.hnsw.quantization: expected one of auto, int4, int8, none, but got "best"',
    );
  });

  test.each(["space", "ef_construction", "nonsense"])("refuses %s", (field) => {
    expect(() => checkUpdate({ hnsw: { [field]: 7 } })).toThrow(`unknown field \`${field}\``);
  });
});
