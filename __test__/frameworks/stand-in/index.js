export * from "../../../packages/chromadb/dist/index.js";
