/** Bytes handed to native code and not written yet, from which further writes wait. */
const LIMIT = 64 << 20;

/**
 * Bounds the memory of writes that nobody awaits: they wait for their turn as what the program gave them, without a copy.
 */
export class Backlog {
  private bytes = 0;
  private waiting: (() => void)[] = [];

  /** Waits until there is room for one more write, whatever its size. */
  async room(): Promise<void> {
    while (this.bytes >= LIMIT) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  /** Counts `bytes` until `written` settles. */
  async during<T>(bytes: number, written: Promise<T>): Promise<T> {
    this.bytes += bytes;
    try {
      return await written;
    } finally {
      this.bytes -= bytes;
      const waiting = this.waiting;
      this.waiting = [];
      for (const resume of waiting) resume();
    }
  }
}
