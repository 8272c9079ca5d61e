/**
 * Chroma's HTTP API over a Ferrochrome database: as a function for any host of the Fetch standard, and as a server.
 *
 * @module ferrochrome/server
 */
export { type ChromaApp, createApp } from "./server/app.js";
export type { TenantGrant } from "./server/credentials.js";
export type { AppOptions, BasicOptions, ServerLimits, TokenOptions } from "./server/options.js";
export { type ChromaServer, type ServeOptions, type ServerTimeouts, serve } from "./server/serve.js";
