import type { HttpBindings } from "@hono/node-server";
import type { Grant } from "./credentials.js";

/** What handlers find in their context. */
export interface AppEnv {
  /** Node's request and response; absent where a `Request` came from elsewhere. */
  Bindings: Partial<HttpBindings>;
  /** Set before the handler runs. */
  Variables: {
    /** What the request may. */
    grant: Grant;
  };
}
