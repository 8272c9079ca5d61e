/** Texts in ranking expressions, which must be embedded before a search can be run. */
import type { RankLiteral } from "./rank-expression.js";

/** Turns a text into a vector, sparse or not, for the vectors of a key. */
export type EmbedText = (text: string, key: string) => Promise<unknown>;

/** Whether a ranking expression asks for the neighbours of a text. */
export function hasTextQuery(rank: unknown): boolean {
  if (typeof rank !== "object" || rank === null) return false;
  return Object.entries(rank).some(([name, value]) => (name === "$knn" ? hasText(value) : hasTextQuery(value)));
}

/** The ranking expression with vectors in place of texts. */
export async function embedTextQueries(rank: RankLiteral, embed: EmbedText): Promise<RankLiteral> {
  return (await withVectors(rank, embed)) as RankLiteral;
}

async function withVectors(rank: unknown, embed: EmbedText): Promise<unknown> {
  if (Array.isArray(rank)) return Promise.all(rank.map((part) => withVectors(part, embed)));
  if (typeof rank !== "object" || rank === null) return rank;
  const parts = Object.entries(rank).map(async ([name, value]): Promise<[string, unknown]> => {
    if (name !== "$knn") return [name, await withVectors(value, embed)];
    if (!hasText(value)) return [name, value];
    return [name, { ...value, query: await embed(value.query, value.key ?? "#embedding") }];
  });
  return Object.fromEntries(await Promise.all(parts));
}

function hasText(knn: unknown): knn is { query: string; key?: string } {
  return typeof (knn as { query?: unknown } | null)?.query === "string";
}
