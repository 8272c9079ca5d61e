/** What a server answered to one request. */
export interface Answer {
  status: number;
  type: string | null;
  /** Whether the header `chroma-trace-id` is there. */
  trace: boolean;
  allow: string | null;
  text: string;
}

/** Asks a server everything; the answers by the names of their requests. */
export function askAll(
  ask: (url: string, init: RequestInit) => Response | Promise<Response>,
  origin: string,
): Promise<Record<string, Answer>>;
