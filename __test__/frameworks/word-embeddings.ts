/** A small deterministic embedding: texts that share words are near to one another. */

/** Values per vector. */
export const DIMENSION = 64;

/** The vector of a text, of unit length. */
export function embedText(text: string): number[] {
  const vector = new Array<number>(DIMENSION).fill(0);
  for (const word of text.toLowerCase().match(/[a-z]+/g) ?? []) {
    let hash = 7;
    for (const letter of word) hash = (hash * 31 + letter.charCodeAt(0)) % 65_521;
    vector[hash % DIMENSION] = (vector[hash % DIMENSION] as number) + 1;
  }
  const norm = Math.hypot(...vector) || 1;
  return vector.map((value) => value / norm);
}

/** Vectors of texts. */
export const embedTexts = async (texts: string[]): Promise<number[][]> => texts.map(embedText);
