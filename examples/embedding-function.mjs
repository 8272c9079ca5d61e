// An embedding function of one's own: registered under a name, stored with the collection, found again when it is opened.
import { EphemeralClient, registerEmbeddingFunction } from "ferrochrome";

/** Counts letter pairs: no model, but enough to find words that are spelt alike. */
class LetterPairs {
  static buildFromConfig(config) {
    return new LetterPairs(config.dimension);
  }

  name = "letter_pairs";

  constructor(dimension = 64) {
    this.dimension = dimension;
  }

  async generate(texts) {
    return texts.map((text) => {
      const counts = new Array(this.dimension).fill(0);
      for (let i = 1; i < text.length; i++) {
        counts[(text.charCodeAt(i - 1) * 31 + text.charCodeAt(i)) % this.dimension] += 1;
      }
      return counts;
    });
  }

  getConfig() {
    return { dimension: this.dimension };
  }
}

registerEmbeddingFunction("letter_pairs", LetterPairs);
const client = EphemeralClient();
const words = await client.createCollection({ name: "words", embeddingFunction: new LetterPairs() });
await words.add({ ids: ["1", "2", "3"], documents: ["chromium", "chrome", "molybdenum"] });

const found = await client.getCollection({ name: "words" });
const nearest = await found.query({ queryTexts: ["chrom"], nResults: 2 });
console.log(nearest.documents[0]);
await client.close();
