/** What was done in one part of a collection to answer a query. */
export interface PartExplanation {
  /** A sealed segment, or records in memory that are not sealed yet. */
  kind: "segment" | "head";
  /** UUID of the segment, and the name of its folder; null for the head. */
  id: string | null;
  /** Rows of the part, tombstones among them. */
  rows: number;
  /** Rows that were deleted or replaced. */
  tombstones: number;
  /** Rows that `where`, `whereDocument`, `ids` and tombstones leave. */
  allowed: number;
  /**
   * `"exact"`: every allowed row compared in full precision. `"scan"`: every allowed row compared by its code, the best again in
   * full precision. `"walk"`: through the graph. `"none"`: nothing is allowed.
   */
  plan: "exact" | "scan" | "walk" | "none";
  /** Rows that a walk may compare before a scan takes its place; null without a limit. */
  visitBudget: number | null;
  /** Whether a scan took the place of the walk. */
  fellBack: boolean;
  /** How the index codes vectors; null without an index. */
  quantization: string | null;
  /** Rows compared by their codes, and those that a scan kept out by a shorter look. */
  scored: number;
  /** Rows compared in full precision. */
  rescored: number;
  /** Hits, before those of all parts are merged. */
  hits: number;
  /** Whether the allowed rows were remembered from an earlier query with the same filter. */
  filterRemembered: boolean;
  /** Time from the filter to the allowed rows. */
  filterMicroseconds: number;
  /** Time to open the index, where it was not open, and to choose the plan. */
  openMicroseconds: number;
  /** Time of the search. */
  searchMicroseconds: number;
}

/** How a query was answered. */
export interface QueryExplanation {
  /** Candidates that walks keep. */
  ef: number;
  /** Whether a query predicted to take as long is answered on the calling thread rather than on another. */
  onCallingThread: boolean;
  /** What the planner predicted for all parts, on one thread. */
  predictedMicroseconds: number;
  /** Time to check the request and to plan. */
  prepareMicroseconds: number;
  /** What was done in each part, oldest first. */
  parts: PartExplanation[];
}
