//! The program under the shim.
//!
//! ```text
//! ferrochrome-crash record <script> <root> normal|full        runs a script, with a mark around each step
//! ferrochrome-crash clocks <script> <root> normal|full        runs a script while the wall clock jumps back and forth
//! ferrochrome-crash fail <script> <root> normal|full <errno> <kinds> once|forever <n>
//!     records a script, with its n-th operation failing, until a step that changes something fails; does not close the
//!     database then
//! ferrochrome-crash faults <script> <root> normal|full <errno> <kinds> once|forever <first> <stride>
//!     runs a script with operation <first>, <first> + <stride>, ... failing until one run has no such operation, and prints
//!     how many runs that took
//! ferrochrome-crash repair <root>                             repairs a database
//! ```

use std::io::Write;
use std::path::Path;

use ferrochrome_crash::check::repair;
use ferrochrome_crash::faults::{Fault, Run};
use ferrochrome_crash::ledger::{ACKNOWLEDGED, STARTED};
use ferrochrome_crash::model::{State, read};
use ferrochrome_crash::scripts::Script;
use ferrochrome_crash::steps::{Program, Step, states};
use ferrochrome_engine::Durability;
use ferrochrome_testing::Control;

fn main() -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["repair", root] = arguments.as_slice() {
        return repair(Path::new(root)).map_err(|e| e.to_string());
    }
    let control = Control::of_this_process().ok_or("this program runs under the shim only")?;
    let [command, script, root, durability, more @ ..] = arguments.as_slice() else {
        return Err(format!("{arguments:?} is no command"));
    };
    let script =
        Script::ALL.into_iter().find(|one| one.name() == *script).ok_or("there is no such script")?;
    let run = Run { script, control: &control, root: Path::new(root), durability: parse(durability)? };
    match (*command, more) {
        ("record", []) => record(run),
        ("clocks", []) => with_a_wild_clock(run),
        ("fail", [errno, kinds, how_long, n]) => {
            record_failure(run, fault(errno, kinds, how_long)?, number(n)?)
        }
        ("faults", [errno, kinds, how_long, first, stride]) => {
            let fault = fault(errno, kinds, how_long)?;
            let runs = faults(run, fault, number(first)?, number(stride)?)?;
            writeln!(std::io::stdout(), "{runs}").map_err(|e| e.to_string())
        }
        _ => Err(format!("{arguments:?} is no command")),
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|e| format!("{text}: {e}"))
}

fn fault(errno: &str, kinds: &str, how_long: &str) -> Result<Fault, String> {
    let (errno, kinds) = (number(errno)? as i32, number(kinds)? as u32);
    Ok(Fault { errno, kinds, forever: how_long == "forever" })
}

fn parse(durability: &str) -> Result<Durability, String> {
    match durability {
        "normal" => Ok(Durability::Normal),
        "full" => Ok(Durability::Full),
        _ => Err(format!("{durability} is no durability")),
    }
}

fn record(run: Run<'_>) -> Result<(), String> {
    let mut program = Program::new(run.script, run.root, run.durability);
    for step in run.script.steps() {
        run.control.mark(STARTED).map_err(|e| e.to_string())?;
        program.run(&step).map_err(|e| format!("{step:?}: {e}"))?;
        run.control.mark(ACKNOWLEDGED).map_err(|e| e.to_string())?;
    }
    program.close().map_err(|e| e.to_string())
}

/// Years into the future and before 1970, more and more.
fn with_a_wild_clock(run: Run<'_>) -> Result<(), String> {
    const YEAR: i64 = 365 * 24 * 60 * 60;
    let mut program = Program::new(run.script, run.root, run.durability);
    let steps = run.script.steps();
    let states = states(&State::new(), &steps);
    for ((step, expected), years) in steps.iter().zip(&states[1..]).zip(0..) {
        let seconds = if years % 2 == 0 { years * YEAR } else { -2 * years * YEAR };
        run.control.move_clock(seconds).map_err(|e| e.to_string())?;
        program.run(step).map_err(|e| format!("{step:?}: {e}"))?;
        let database = program.database().map_err(|e| e.to_string())?;
        let found = read(&database).map_err(|e| format!("{step:?}: {e}"))?;
        if found != *expected {
            return Err(format!("after {step:?} it holds {found:?}"));
        }
    }
    program.close().map_err(|e| e.to_string())
}

fn record_failure(run: Run<'_>, fault: Fault, n: u64) -> Result<(), String> {
    let mut program = Program::new(run.script, run.root, run.durability);
    run.control.fail(n, fault.count(), fault.errno, fault.kinds).map_err(|e| e.to_string())?;
    for step in run.script.steps() {
        run.control.mark(STARTED).map_err(|e| e.to_string())?;
        let compacts = matches!(step, Step::Compact(_) | Step::SecureCompact(_));
        // Background work that failed is tried again after some seconds: nothing to wait for.
        if !step.waits() && program.run(&step).is_err() && !compacts {
            return Ok(());
        }
        run.control.mark(ACKNOWLEDGED).map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn faults(run: Run<'_>, fault: Fault, first: u64, stride: u64) -> Result<u64, String> {
    for runs in 0.. {
        let n = first + runs * stride;
        let failed = run.with_fault(fault, n);
        if !failed.map_err(|e| format!("operation {n} failed with {fault:?}: {e}"))? {
            return Ok(runs);
        }
    }
    Ok(0)
}
