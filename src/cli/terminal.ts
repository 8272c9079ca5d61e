/** What commands print: results to the standard output, everything else to the standard error. */

/** A stream of a process. */
export interface OutputStream {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): boolean;
  once(event: "drain", listener: () => void): unknown;
}

const BAR_CELLS = 24;
const REDRAW_MILLISECONDS = 80;

/** The two streams. */
export class Terminal {
  readonly asJson: boolean;
  private readonly out: OutputStream;
  private readonly err: OutputStream;
  private bar = false;
  private drawn = 0;

  constructor(out: OutputStream, err: OutputStream, asJson: boolean) {
    this.out = out;
    this.err = err;
    this.asJson = asJson;
  }

  /** A line of the result. */
  line(text = ""): void {
    this.clear();
    this.out.write(`${text}\n`);
  }

  /** The result as one JSON document. */
  json(value: unknown): void {
    this.line(JSON.stringify(value));
  }

  /** Text of the result; waits while the reader is slower. */
  async write(text: string): Promise<void> {
    if (!this.out.write(text)) await new Promise<void>((resolve) => this.out.once("drain", resolve));
  }

  /** A line for the person, not for a program. */
  note(text: string): void {
    this.clear();
    this.err.write(`${text}\n`);
  }

  /** Rows of cells, aligned; numbers to the right. */
  table(head: string[], rows: (string | number)[][]): void {
    const cells = rows.map((row) => row.map((cell) => (typeof cell === "number" ? cell.toLocaleString("en") : cell)));
    const widths = head.map((title, i) => Math.max(title.length, ...cells.map((row) => row[i]?.length ?? 0)));
    const isNumber = head.map((_, i) => rows.length > 0 && rows.every((row) => typeof row[i] === "number"));
    const line = (row: string[]): string =>
      row
        .map((cell, i) => (isNumber[i] ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
        .join("  ")
        .trimEnd();
    this.line(line(head));
    for (const row of cells) this.line(line(row));
  }

  /** Draws a progress bar; only on a terminal. */
  progress(label: string, done: number, total: number): void {
    if (!this.err.isTTY) return;
    const now = Date.now();
    if (done < total && now - this.drawn < REDRAW_MILLISECONDS) return;
    this.drawn = now;
    this.bar = true;
    const share = total > 0 ? Math.min(1, done / total) : 1;
    const filled = Math.round(share * BAR_CELLS);
    const bar = `[${"#".repeat(filled)}${"-".repeat(BAR_CELLS - filled)}]`;
    const figures = `${Math.floor(share * 100)} %  ${done.toLocaleString("en")} of ${total.toLocaleString("en")}`;
    const text = `${bar} ${figures}  ${label}`;
    this.err.write(`\r${text.slice(0, Math.max(20, (this.err.columns || 80) - 1))}\x1b[K`);
  }

  /** Removes the progress bar. */
  clear(): void {
    if (!this.bar) return;
    this.err.write("\r\x1b[K");
    this.bar = false;
  }
}

/** Bytes as people read them. */
export function humanBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const CONTROL_CHARACTERS = /[\u0000-\u001f\u007f-\u009f]/g;

/** A text that does not control the terminal, whoever wrote it. */
export function printable(text: string): string {
  const escaped = (character: string): string => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  return text.replace(CONTROL_CHARACTERS, escaped);
}
