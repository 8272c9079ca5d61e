/** What a command of the command line is, and how its arguments are read. */
import { type ParseArgsConfig, parseArgs } from "node:util";
import type { Terminal } from "./terminal.js";

/** How the program ends. */
export const EXIT = {
  /** Everything was done. */
  done: 0,
  /** Something failed that none of the following is. */
  failed: 1,
  /** The command line is wrong. */
  usage: 2,
  /** A database, collection or file is not there. */
  notFound: 3,
  /** Another process has the database open for writing. */
  locked: 4,
  /** Files are damaged, or were refused. */
  damaged: 5,
  /** It was done, but for records that were left out. */
  incomplete: 6,
  /** Ctrl-C. */
  interrupted: 130,
} as const;

/** An option of a command. */
export interface OptionSpec {
  type: "string" | "boolean";
  /** May be given several times. */
  multiple?: boolean;
  /** One letter. */
  short?: string;
  /** What stands for the value in the help. */
  value?: string;
  /** One line. */
  help: string;
  /** Environment variable that is read where the option is not given. */
  env?: string;
}

/** Values of options, by name. */
export type OptionValues = Record<string, string | boolean | (string | boolean)[] | undefined>;

/** What a command is run with. */
export interface Invocation {
  options: Options;
  terminal: Terminal;
  /** Aborted by Ctrl-C. */
  signal: AbortSignal;
}

/** A command. */
export interface Command {
  name: string;
  /** One line. */
  summary: string;
  /** Paragraphs below the usage. */
  details?: string;
  options: Record<string, OptionSpec>;
  /** Does it; returns the exit code. */
  run(invocation: Invocation): Promise<number>;
}

/** The command line is wrong. */
export class UsageError extends Error {
  override name = "UsageError";
}

const COMMON: Record<string, OptionSpec> = {
  json: { type: "boolean", help: "print one JSON document instead of text" },
  help: { type: "boolean", short: "h", help: "print this help" },
};

/** Options of commands that read or write one database. */
export const DATABASE_OPTION: Record<string, OptionSpec> = {
  path: { type: "string", value: "DIR", help: "folder of the database", env: "FERROCHROME_PATH" },
};

/** Options of commands that may be about one collection. */
export const PLACE_OPTIONS: Record<string, OptionSpec> = {
  tenant: { type: "string", value: "NAME", help: "tenant (default: default_tenant)" },
  database: { type: "string", value: "NAME", help: "database (default: default_database)" },
};

/** The options of one call, checked. */
export class Options {
  private readonly values: OptionValues;

  constructor(values: OptionValues) {
    this.values = values;
  }

  /** A text; undefined where it is not given. */
  text(name: string): string | undefined {
    const value = this.values[name];
    return typeof value === "string" ? value : undefined;
  }

  /** A text that must be given. */
  required(name: string): string {
    const value = this.text(name);
    if (value === undefined || value === "") throw new UsageError(`--${name} is missing`);
    return value;
  }

  /** Texts of an option that may be repeated, as they are. */
  texts(name: string): string[] | undefined {
    const value = this.values[name];
    return Array.isArray(value) ? value.map(String) : undefined;
  }

  /** Texts of an option that may be repeated, or hold several names with commas. */
  list(name: string): string[] | undefined {
    return this.texts(name)
      ?.flatMap((each) => each.split(","))
      .filter((each) => each !== "");
  }

  flag(name: string): boolean {
    return this.values[name] === true;
  }

  /** A whole number that is not negative. */
  count(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    if (!/^\d{1,15}$/.test(text))
      throw new UsageError(`--${name} needs a whole number, but got ${JSON.stringify(text)}`);
    return Number(text);
  }

  /** One of some words. */
  choice<T extends string>(name: string, choices: readonly T[]): T | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const found = choices.find((choice) => choice === text);
    if (found === undefined)
      throw new UsageError(`--${name} needs one of ${choices.join(", ")}, but got ${JSON.stringify(text)}`);
    return found;
  }

  /** JSON. */
  json<T>(name: string): T | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new UsageError(`--${name} is no JSON: ${(error as Error).message}`);
    }
  }

  /** Tenant and database, with Chroma's defaults. */
  place(): { tenant: string; database: string } {
    return { tenant: this.text("tenant") ?? "default_tenant", database: this.text("database") ?? "default_database" };
  }
}

/**
 * Reads the arguments behind the name of a command.
 *
 * @throws UsageError for an unknown option, a missing value, or an argument that is none.
 */
export function readOptions(command: Command, args: string[], environment: NodeJS.ProcessEnv): Options {
  const specs = { ...command.options, ...COMMON };
  const config: NonNullable<ParseArgsConfig["options"]> = {};
  for (const [name, { type, multiple, short }] of Object.entries(specs)) {
    config[name] = { type, ...(multiple ? { multiple } : {}), ...(short ? { short } : {}) };
  }
  let values: OptionValues;
  try {
    values = parseArgs({ args, options: config, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  for (const [name, spec] of Object.entries(specs)) {
    const value = spec.env === undefined ? undefined : environment[spec.env];
    if (value === undefined || value === "" || values[name] !== undefined) continue;
    if (spec.type === "string") values[name] = spec.multiple ? [value] : value;
    else values[name] = flagOf(spec.env as string, value);
  }
  return new Options(values);
}

function flagOf(variable: string, value: string): boolean {
  if (/^(1|true|yes|on)$/i.test(value)) return true;
  if (/^(0|false|no|off)$/i.test(value)) return false;
  throw new UsageError(`${variable} needs true or false, but got ${JSON.stringify(value)}`);
}

/** The help of a command. */
export function helpOf({ name, summary, details, options }: Command): string {
  const specs = Object.entries({ ...options, ...COMMON });
  const left = specs.map(([option, { type, short, value }]) => {
    const long = `--${option}${type === "string" ? ` ${value ?? "TEXT"}` : ""}`;
    return short ? `-${short}, ${long}` : `    ${long}`;
  });
  const width = Math.max(...left.map((text) => text.length));
  const lines = specs.map(([, { help, env }], i) => {
    const text = `  ${(left[i] as string).padEnd(width)}  ${help}`;
    return env === undefined ? text : `${text} [${env}]`;
  });
  return [
    `Usage: ferrochrome ${name} [options]`,
    "",
    summary,
    ...(details ? ["", details] : []),
    "",
    "Options:",
    ...lines,
    "",
  ].join("\n");
}
