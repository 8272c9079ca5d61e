//! The program under the shim.
//!
//! ```text
//! ferrochrome-crash record <folder> normal|full        runs the program, with a mark around each step
//! ferrochrome-crash continue <folder> normal|full      the same with the short program, on a folder that survived something
//! ferrochrome-crash faults <folder> normal|full <errno> <kinds> once|forever <first> <stride>
//!     runs the program with operation <first>, <first> + <stride>, ... failing until one run has no such operation, and
//!     prints how many runs that took
//! ```

use std::io::Write;
use std::path::{Path, PathBuf};

use ferrochrome_crash::faults::{Fault, run_with_fault};
use ferrochrome_crash::ledger::{ACKNOWLEDGED, STARTED};
use ferrochrome_crash::steps::{Program, Step, more_steps, options, steps};
use ferrochrome_engine::Durability;
use ferrochrome_testing::Control;

fn main() -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let control = Control::of_this_process().ok_or("this program runs under the shim only")?;
    match arguments.as_slice() {
        ["record", folder, durability] => record(&control, folder, parse(durability)?, &steps()),
        ["continue", folder, durability] => record(&control, folder, parse(durability)?, &more_steps()),
        ["faults", folder, durability, errno, kinds, how_long, first, stride] => {
            let number = |text: &str| text.parse::<u64>().map_err(|e| format!("{text}: {e}"));
            let fault = Fault {
                errno: number(errno)? as i32,
                kinds: number(kinds)? as u32,
                forever: *how_long == "forever",
            };
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
