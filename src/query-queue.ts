import type { QueryMemory } from "./embeddings.js";
import { SLICE_MS, setImmediate } from "./event-loop.js";
import { binding, type NativeCollection, type NativeIds, type NativeReply } from "./native.js";

/** A query that waits to be handed over or answered. */
interface WaitingQuery {
  native: NativeCollection;
  memory: QueryMemory;
  dimension: number;
  request: string;
  ids: NativeIds | null;
  resolve: (reply: NativeReply | Promise<NativeReply>) => void;
  reject: (failure: unknown) => void;
}

/** So many queries of one turn are begun together, and then twice as many each time: before the program has asked for the last. */
const FIRST_GROUP = 4;

const settled = Promise.resolve();

/**
 * Hands over together what was asked for together: queries that a program starts without awaiting each are answered by all
 * threads at once, and one that is awaited alone is answered on the calling thread, which is fastest.
 *
 * Answers on the calling thread come in microtasks; so that a program that only awaits queries does not keep timers and
 * sockets waiting, one in a few milliseconds comes a turn of the event loop later. Of several, the second half comes a turn
 * later, and other threads find it while the program reads the first half and asks again.
 */
export class QueryQueue {
  private waiting: WaitingQuery[] = [];
  /** What was handed over and is not answered yet. */
  private begun: BegunQueries | undefined;
  private groupSize = FIRST_GROUP;
  private flushIsDue = false;
  private turnBegan = 0;
  private turnIsWatched = false;

  /** The native reply to a query. */
  ask(
    native: NativeCollection,
    memory: QueryMemory,
    dimension: number,
    request: string,
    ids: NativeIds | null,
  ): Promise<NativeReply> {
    return new Promise((resolve, reject) => {
      const { waiting } = this;
      waiting.push({ native, memory, dimension, request, ids, resolve, reject });
      if (this.flushIsDue) {
        // Wakes a thread up that shares them, while the next are made ready.
        if (waiting.length === 2 && this.begun === undefined) native.expectQueries();
        else if (waiting.length === this.groupSize) this.begin();
        return;
      }
      this.flushIsDue = true;
      if (this.turnIsOverdue()) setImmediate(this.flush);
      // As `queueMicrotask` does, without its resource for asynchronous hooks.
      else settled.then(this.flush);
    });
  }

  private begin(): void {
    this.begun ??= new BegunQueries();
    this.begun.begin(this.waiting);
    this.waiting = [];
    this.groupSize *= 2;
  }

  /** Hands over all that waits, and answers what was asked first. */
  private readonly flush = (): void => {
    this.flushIsDue = false;
    const only = this.waiting[0];
    if (this.begun === undefined && this.waiting.length === 1 && only !== undefined) {
      this.waiting = [];
      answerAlone(only);
      return;
    }
    if (only !== undefined) this.begin();
    this.groupSize = FIRST_GROUP;
    if (this.begun?.finish()) {
      this.flushIsDue = true;
      setImmediate(this.flush);
    } else this.begun = undefined;
  };

  /** Answers all that was asked for. */
  answerAll(): void {
    while (this.waiting.length > 0 || this.begun !== undefined) this.flush();
  }

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

function answerAlone({ native, memory, dimension, request, ids, resolve, reject }: WaitingQuery): void {
  try {
    resolve(native.query(memory.vectors, dimension, request, ids));
  } catch (failure) {
    reject(failure);
  }
}

/** Queries of which several threads answer those that are short. */
class BegunQueries {
  private readonly native = new (binding().NativeQueries)();
  /** Those that `finish` answers, in order. */
  private readonly unanswered: WaitingQuery[] = [];

  begin(group: WaitingQuery[]): void {
    let replies: (NativeReply | Promise<NativeReply> | null)[];
    try {
      replies = this.native.begin(
        group.map(({ native }) => native),
        group.map(({ memory }) => memory.vectors),
        group.map(({ dimension }) => dimension),
        group.map(({ request }) => request),
        group.map(({ ids }) => ids),
      );
    } catch (failure) {
      for (const { reject } of group) reject(failure);
      return;
    }
    group.forEach((query, i) => {
      const reply = replies[i];
      if (reply === null) this.unanswered.push(query);
      else settle(query, reply);
    });
  }

  /** Answers the first half or more; returns whether there are others. */
  finish(): boolean {
    let replies: NativeReply[];
    try {
      replies = this.native.finish(this.unanswered.map(({ memory }) => memory.vectors));
    } catch (failure) {
      for (const { reject } of this.unanswered) reject(failure);
      return false;
    }
    // None are the answer where there are none left.
    const answered = this.unanswered.splice(0, replies.length || this.unanswered.length);
    answered.forEach((query, i) => {
      settle(query, replies[i]);
    });
    return this.unanswered.length > 0;
  }
}

function settle({ resolve, reject }: WaitingQuery, reply: NativeReply | Promise<NativeReply> | undefined): void {
  if (reply === undefined) reject(new Error("native code left a query without a reply"));
  // How native code tells a failure among replies.
  else if (typeof reply === "string" && reply.startsWith("!")) reject(new Error(reply));
  else resolve(reply);
}
