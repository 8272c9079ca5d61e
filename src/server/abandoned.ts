import type { Context } from "hono";
import type { AppEnv } from "./app-env.js";

/**
 * Calls `then` when the client goes away before it got its reply.
 *
 * @returns What ends the watch.
 */
export function onAbandoned(c: Context<AppEnv>, then: () => void): () => void {
  const outgoing = c.env?.outgoing;
  if (outgoing === undefined) {
    const { signal } = c.req.raw;
    if (signal.aborted) then();
    signal.addEventListener("abort", then, { once: true });
    return () => signal.removeEventListener("abort", then);
  }
  if (outgoing.destroyed) then();
  outgoing.once("close", then);
  return () => outgoing.off("close", then);
}
