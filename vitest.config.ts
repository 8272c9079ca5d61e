import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["__test__/**/*.test.ts"],
    globalSetup: ["__test__/support/build.ts"],
    // Frameworks, and what they import as `chromadb`, are loaded by Node as in a program.
    server: { deps: { external: [/\/packages\/chromadb\/dist\//, /\/frameworks\/stand-in\//, /\/dist\/(src|index)/] } },
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    typecheck: { enabled: true, include: ["__test__/*.test-d.ts"], tsconfig: "tsconfig.json" },
  },
});
