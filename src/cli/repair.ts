import { stat } from "node:fs/promises";
import { resolvePath } from "../database.js";
import { ChromaNotFoundError } from "../errors.js";
import { type RepairReport, repairDatabase } from "../repair.js";
import { type Command, DATABASE_OPTION, EXIT, type Invocation } from "./command.js";
import { shownName } from "./databases.js";
import { printable, type Terminal } from "./terminal.js";

/** Ids of lost records that are printed for each segment; `--json` and the report in the quarantine have all. */
const SHOWN_IDS = 20;

/** Repairs files. */
export const repairCommand: Command = {
  name: "repair",
  summary: "build anew what is damaged, put the damaged files into a quarantine, and say what was lost",
  details: `Nothing is deleted. --dry-run changes nothing and says what would be done. Ends with exit code ${EXIT.incomplete} where records
were lost.`,
  options: {
    ...DATABASE_OPTION,
    "dry-run": { type: "boolean", help: "change nothing, and say what would be done" },
  },
  run: repair,
};

async function repair({ options, terminal, signal }: Invocation): Promise<number> {
  const path = resolvePath(options.required("path"));
  const exists = await stat(path).catch(() => undefined);
  if (exists === undefined) throw new ChromaNotFoundError(`${path} does not exist`);
  const report = await repairDatabase(path, {
    dryRun: options.flag("dry-run"),
    signal,
    onProgress: ({ rows, total }) => terminal.progress("rows", rows, total),
  });
  if (terminal.asJson) terminal.json(report);
  else print(report, terminal);
  const losesRecords = report.collections.some(
    ({ segments, lostBatches, adopted }) => adopted || lostBatches.length > 0 || segments.some(({ lost }) => lost > 0),
  );
  return losesRecords || report.catalog.length > 0 ? EXIT.incomplete : EXIT.done;
}

function print(report: RepairReport, terminal: Terminal): void {
  if (!report.damaged) {
    terminal.line("ok: there is nothing to repair");
    return;
  }
  for (const { message } of report.catalog) terminal.line(`catalog: ${printable(message)}`);
  for (const collection of report.collections) {
    terminal.line(`${printable(shownName(collection))}:`);
    if (collection.adopted)
      terminal.line("  its segments were found without the catalog: records that were deleted may be there again");
    for (const { findings, kept, lost, lostIds } of collection.segments) {
      for (const { message } of findings) terminal.line(`  ${printable(message)}`);
      terminal.line(`    ${kept} records kept, ${lost} lost`);
      for (const id of lostIds.slice(0, SHOWN_IDS)) terminal.line(`    lost: ${printable(id)}`);
      if (lostIds.length > SHOWN_IDS) terminal.line(`    and ${lostIds.length - SHOWN_IDS} more`);
    }
    for (const { seq, quarantined } of collection.lostBatches)
      terminal.line(`  batch ${seq} of the log ${quarantined ? "lies in the quarantine" : "is lost"}`);
    for (const note of collection.notes) terminal.line(`  ${printable(note)}`);
  }
  if (report.dryRun) terminal.line("Nothing was changed");
  else if (report.quarantine !== null) terminal.line(`The damaged files lie in ${report.quarantine}`);
}
