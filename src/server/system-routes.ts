import { DEFAULT_TENANT } from "../client.js";
import { HttpError } from "./http-error.js";
import type { Route, Service } from "./route.js";

/** Most records in one write of a local Chroma server. */
const CHROMA_BATCH_SIZE = 5461;

/** The version of the API, which is what Chroma's server answers; clients want three numbers. */
export const API_VERSION = "1.0.0";

/** Routes about the server as a whole. */
export function systemRoutes({ handle, settings }: Service): Route[] {
  const heartbeat = (): { body: string } => {
    const nanoseconds = BigInt(Date.now()) * 1_000_000n + (process.hrtime.bigint() % 1_000_000n);
    return { body: `{"nanosecond heartbeat":${nanoseconds}}` };
  };
  const system = { tag: "System", method: "GET" } as const;
  return [
    {
      ...system,
      path: "/api/v2",
      summary: "The time in nanoseconds.",
      reply: "Heartbeat",
      open: true,
      handle: heartbeat,
    },
    {
      ...system,
      path: "/api/v2/heartbeat",
      summary: "The time in nanoseconds.",
      reply: "Heartbeat",
      open: true,
      handle: heartbeat,
    },
    {
      ...system,
      path: "/api/v2/healthcheck",
      summary: "Whether the database is open; 503 if it cannot be opened.",
      reply: "Health",
      open: true,
      async handle() {
        try {
          await handle.open();
          return { body: '{"is_executor_ready":true,"is_log_client_ready":true}' };
        } catch {
          return { status: 503, body: '{"is_executor_ready":false,"is_log_client_ready":false}' };
        }
      },
    },
    {
      ...system,
      path: "/api/v2/version",
      summary: "Version of the API.",
      reply: "Version",
      handle: () => ({ body: JSON.stringify(API_VERSION) }),
    },
    {
      ...system,
      path: "/api/v2/pre-flight-checks",
      summary: "What a client may send at once.",
      reply: "PreflightChecks",
      handle() {
        const most = settings.extended ? settings.limits.records : Math.min(CHROMA_BATCH_SIZE, settings.limits.records);
        return { body: JSON.stringify({ max_batch_size: most, supports_base64_encoding: true }) };
      },
    },
    {
      ...system,
      path: "/api/v2/auth/identity",
      summary: "Who the client is, and where it should work.",
      reply: "Identity",
      handle(c) {
        const { userId, tenants, database } = c.get("grant");
        return {
          body: JSON.stringify({ user_id: userId, tenant: tenants?.[0] ?? DEFAULT_TENANT, databases: [database] }),
        };
      },
    },
    {
      tag: "System",
      method: "POST",
      path: "/api/v2/reset",
      summary: "Deletes everything, where the server allows it.",
      writes: true,
      global: true,
      reply: "True",
      async handle() {
        if (!settings.allowReset) throw new HttpError(403, "Reset is disabled by config");
        await (await handle.open()).reset();
        return { body: "true" };
      },
    },
  ];
}
