//! The program on a disk that fails: at the n-th operation, for each n, once or from then on.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use ferrochrome_engine::Durability;
use ferrochrome_testing::Control;
use ferrochrome_types::{Code, Error};

use crate::check::{check, check_files};
use crate::model::{self, State};
use crate::steps::{Program, Step, options, steps};

/// How long the database may need to notice that the disk works again: background work rests after a failure.
const RECOVERY: Duration = Duration::from_secs(20);

/// What fails, and how.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The error.
    pub errno: i32,
    /// The kinds of operations.
    pub kinds: u32,
    /// Whether everything after the first failure fails too.
    pub forever: bool,
}

/// Runs the program with its n-th operation failing. Returns whether it came so far.
///
/// # Errors
/// Which promise was broken.
pub fn run_with_fault(
    control: &Control,
    folder: &Path,
    durability: Durability,
    fault: Fault,
    n: u64,
) -> Result<bool, String> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|e| e.to_string())?;
    }
    let mut program = Program::new(folder.to_owned(), options(durability));
    let mut state = State::new();
    let count = if fault.forever { u64::MAX / 2 } else { 1 };
    control.fail(n, count, fault.errno, fault.kinds).map_err(|e| e.to_string())?;
    for step in steps() {
        // A seal that failed is tried again after some seconds: nothing to wait for.
        if step.fits(&state) && !matches!(step, Step::Settle(_)) {
            take(&mut program, &step, &mut state).map_err(|e| format!("{step:?}: {e}"))?;
        }
    }
    let failed = control.heal().map_err(|e| e.to_string())?.failed > 0;
    recover(&mut program, folder, &mut state)?;
    // Closed or not, nothing is lost.
    if n.is_multiple_of(2) {
        program.close().map_err(|e| format!("closing: {e}"))?;
    }
    drop(program);
    check(folder, std::slice::from_ref(&state), 0..=0, true).map_err(|e| format!("opened again: {e}"))?;
    Ok(failed)
}

/// Takes a step, which may fail: with an error that says so, and wholly.
fn take(program: &mut Program, step: &Step, state: &mut State) -> Result<(), String> {
    let mut after = state.clone();
    step.apply(&mut after);
    match program.run(step) {
        Ok(()) => *state = after,
        Err(e) => {
            check_error(&e)?;
            // Without an open database there is nothing to read now; it is checked after the next opening.
            if let Ok(database) = program.database() {
                match model::read(&database) {
                    Ok(found) if found == *state => {}
                    Ok(found) if found == after => *state = after,
                    Ok(found) => return Err(format!("failed ({e}) and left {found:?}")),
                    Err(unreadable) => {
                        return Err(format!("failed ({e}); then nothing can be read: {unreadable}"));
                    }
                }
            }
        }
    }
    Ok(())
}

fn check_error(e: &Error) -> Result<(), String> {
    match e.code() {
        Code::Io => Ok(()),
        code => Err(format!("the failure of the disk was reported as {code:?}: {e}")),
    }
}

/// Once the disk works again, everything that was acknowledged can be read and writes are possible.
fn recover(program: &mut Program, folder: &Path, state: &mut State) -> Result<(), String> {
    let database = program.database().map_err(|e| format!("opening on a disk that works again: {e}"))?;
    let found = model::read(&database).map_err(|e| format!("reading on a disk that works again: {e}"))?;
    if found != *state {
        return Err(format!("{state:?} was acknowledged, {found:?} is there"));
    }
    let began = Instant::now();
    for step in crate::steps::more_steps() {
        loop {
            match program.run(&step) {
                Ok(()) => break,
                Err(e) if began.elapsed() > RECOVERY => {
                    return Err(format!("{step:?} on a disk that works again: {e}"));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
        step.apply(state);
    }
    let database = program.database().map_err(|e| e.to_string())?;
    check_files(folder, &database)
}
