module.exports = require("../../../packages/chromadb/dist/index.cjs");
