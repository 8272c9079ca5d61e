import { keepRoom } from "./embeddings.js";
import { SLICE_MS } from "./event-loop.js";
import { binding, type NativeCollection, type NativeIds, type NativeReply } from "./native.js";

/** A query that waits for the end of the present turn. */
interface WaitingQuery {
  native: NativeCollection;
  queries: Float32Array;
  dimension: number;
  request: string;
  ids: NativeIds | null;
  resolve: (reply: NativeReply | Promise<NativeReply>) => void;
  reject: (failure: unknown) => void;
}

const settled = Promise.resolve();

/**
 * Hands over together what was asked for together: queries that a program starts without awaiting each are answered by all
 * threads at once, and one that is awaited alone is answered on the calling thread, which is fastest.
 *
 * Answers on the calling thread come in microtasks; so that a program that only awaits queries does not keep timers and
 * sockets waiting, one in a few milliseconds comes a turn of the event loop later.
 */
export class QueryQueue {
  private waiting: WaitingQuery[] = [];
  private turnBegan = 0;
  private turnIsWatched = false;

  /** The native reply to a query. The vectors are the queue's from now on, and another query's afterwards. */
  ask(
    native: NativeCollection,
    queries: Float32Array,
    dimension: number,
    request: string,
    ids: NativeIds | null,
  ): Promise<NativeReply> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ native, queries, dimension, request, ids, resolve, reject });
      // Wakes a thread up that shares them, while the next are made ready.
      if (this.waiting.length === 2) native.expectQueries();
      if (this.waiting.length > 1) return;
      if (this.turnIsOverdue()) setImmediate(this.flush);
      // As `queueMicrotask` does, without its resource for asynchronous hooks.
      else settled.then(this.flush);
    });
  }

  /** Hands over all that waits. */
  readonly flush = (): void => {
    const waiting = this.waiting;
    if (waiting.length === 0) return;
    this.waiting = [];
    const only = waiting[0];
    if (waiting.length === 1 && only !== undefined) {
      try {
        only.resolve(only.native.query(only.queries, only.dimension, only.request, only.ids));
      } catch (failure) {
        only.reject(failure);
      }
    } else answerTogether(waiting);
    for (const { queries } of waiting) keepRoom(queries);
  };

  private turnIsOverdue(): boolean {
    if (this.turnIsWatched) return performance.now() - this.turnBegan > SLICE_MS;
    this.turnIsWatched = true;
    this.turnBegan = performance.now();
    setImmediate(() => {
      this.turnIsWatched = false;
    });
    return false;
  }
}

function answerTogether(waiting: WaitingQuery[]): void {
  let replies: (NativeReply | Promise<NativeReply>)[];
  try {
    replies = binding().NativeCollection.queryTogether(
      waiting.map(({ native }) => native),
      waiting.map(({ queries }) => queries),
      waiting.map(({ dimension }) => dimension),
      waiting.map(({ request }) => request),
      waiting.map(({ ids }) => ids),
    );
  } catch (failure) {
    for (const { reject } of waiting) reject(failure);
    return;
  }
  waiting.forEach(({ resolve, reject }, i) => {
    const reply = replies[i];
    if (reply === undefined) reject(new Error("native code left a query without a reply"));
    // How native code tells a failure among replies.
    else if (typeof reply === "string" && reply.startsWith("!")) reject(new Error(reply));
    else resolve(reply);
  });
}
