//! The program under the shim.
//!
//! ```text
//! ferrochrome-crash record <folder> normal|full        runs the program, with a mark around each step
//! ferrochrome-crash continue <folder> normal|full      the same with the short program, on a folder that survived something
//! ferrochrome-crash clocks <folder> normal|full        runs the program while the wall clock jumps back and forth
//! ferrochrome-crash fail <folder> normal|full <errno> <kinds> once|forever <n>
//!     records the program, with its n-th operation failing, until a step that changes something fails; does not close the
//!     database then
//! ferrochrome-crash faults <folder> normal|full <errno> <kinds> once|forever <first> <stride>
//!     runs the program with operation <first>, <first> + <stride>, ... failing until one run has no such operation, and
//!     prints how many runs that took
//! ```

use std::io::Write;
use std::path::{Path, PathBuf};

use ferrochrome_crash::faults::{Fault, run_with_fault};
use ferrochrome_crash::ledger::{ACKNOWLEDGED, STARTED};
use ferrochrome_crash::model::{State, read};
use ferrochrome_crash::steps::{Program, Step, more_steps, options, states, steps};
use ferrochrome_engine::Durability;
use ferrochrome_testing::Control;

fn main() -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let control = Control::of_this_process().ok_or("this program runs under the shim only")?;
    match arguments.as_slice() {
        ["record", folder, durability] => record(&control, folder, parse(durability)?, &steps()),
        ["continue", folder, durability] => record(&control, folder, parse(durability)?, &more_steps()),
        ["clocks", folder, durability] => with_a_wild_clock(&control, folder, parse(durability)?),
        ["fail", folder, durability, errno, kinds, how_long, n] => {
            let fault = fault(errno, kinds, how_long)?;
            record_failure(&control, folder, parse(durability)?, fault, number(n)?)
        }
        ["faults", folder, durability, errno, kinds, how_long, first, stride] => {
            let fault = fault(errno, kinds, how_long)?;
            let runs = faults(
                &control,
                Path::new(folder),
                parse(durability)?,
                fault,
                number(first)?,
                number(stride)?,
            )?;
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

fn record(control: &Control, folder: &str, durability: Durability, steps: &[Step]) -> Result<(), String> {
    let mut program = Program::new(PathBuf::from(folder), options(durability));
    for step in steps {
        control.mark(STARTED).map_err(|e| e.to_string())?;
        program.run(step).map_err(|e| format!("{step:?}: {e}"))?;
        control.mark(ACKNOWLEDGED).map_err(|e| e.to_string())?;
    }
    program.close().map_err(|e| e.to_string())
}

/// Years into the future and before 1970, more and more.
fn with_a_wild_clock(control: &Control, folder: &str, durability: Durability) -> Result<(), String> {
    const YEAR: i64 = 365 * 24 * 60 * 60;
    let mut program = Program::new(PathBuf::from(folder), options(durability));
    let steps = steps();
    let states = states(&State::new(), &steps);
    for ((step, expected), years) in steps.iter().zip(&states[1..]).zip(0..) {
        let seconds = if years % 2 == 0 { years * YEAR } else { -2 * years * YEAR };
        control.move_clock(seconds).map_err(|e| e.to_string())?;
        program.run(step).map_err(|e| format!("{step:?}: {e}"))?;
        let database = program.database().map_err(|e| e.to_string())?;
        let found = read(&database).map_err(|e| format!("{step:?}: {e}"))?;
        if found != *expected {
            return Err(format!("after {step:?} it holds {found:?}"));
        }
    }
    program.close().map_err(|e| e.to_string())
}

fn record_failure(
    control: &Control,
    folder: &str,
    durability: Durability,
    fault: Fault,
    n: u64,
) -> Result<(), String> {
    let mut program = Program::new(PathBuf::from(folder), options(durability));
    control.fail(n, fault.count(), fault.errno, fault.kinds).map_err(|e| e.to_string())?;
    for step in steps() {
        control.mark(STARTED).map_err(|e| e.to_string())?;
        // Background work that failed is tried again after some seconds: nothing to wait for.
        if !matches!(step, Step::Settle(_))
            && program.run(&step).is_err()
            && !matches!(step, Step::Compact(_))
        {
            return Ok(());
        }
        control.mark(ACKNOWLEDGED).map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn faults(
    control: &Control,
    folder: &Path,
    durability: Durability,
    fault: Fault,
    first: u64,
    stride: u64,
) -> Result<u64, String> {
    for run in 0.. {
        let n = first + run * stride;
        let failed = run_with_fault(control, folder, durability, fault, n);
        if !failed.map_err(|e| format!("operation {n} failed with {fault:?}: {e}"))? {
            return Ok(run);
        }
    }
    Ok(0)
}
