//! The program on a disk that fails: at the n-th operation, for each n, once or from then on.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use ferrochrome_engine::Durability;
use ferrochrome_testing::{Control, kinds};
use ferrochrome_types::{Code, Error};

use crate::check::{check, check_files};
use crate::model::{self, State};
use crate::scripts::Script;
use crate::steps::{Program, Step};

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

impl Fault {
    /// How many operations fail.
    pub fn count(self) -> u64 {
        if self.forever { u64::MAX / 2 } else { 1 }
    }
}

/// What a database should hold while steps fail.
#[derive(Debug, Default)]
struct Known {
    state: State,
    /// States that failed steps would have led to. Their commits may lie in the log until another one takes their place, and the
    /// next opening may find one of them: a step that failed is there whole or not at all.
    perhaps: Vec<State>,
}

impl Known {
    /// Takes notice of what was found; `opened` says whether by an opening that came after a failure.
    fn found(&mut self, found: State, opened: bool) -> Result<(), String> {
        if found == self.state {
            return Ok(());
        }
        if let Some(state) = self.perhaps.iter().find(|state| opened && **state == found) {
            self.state = state.clone();
            return Ok(());
        }
        Err(format!("{:?} was acknowledged, {found:?} is there", self.state))
    }
}

/// What to run, and where.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The program.
    pub script: Script,
    /// The shim.
    pub control: &'a Control,
    /// Where it works; emptied first.
    pub root: &'a Path,
    /// Its durability.
    pub durability: Durability,
}

impl Run<'_> {
    /// Runs the program with its n-th operation failing. Returns whether it came so far.
    ///
    /// # Errors
    /// Which promise was broken.
    pub fn with_fault(self, fault: Fault, n: u64) -> Result<bool, String> {
        if self.root.exists() {
            fs::remove_dir_all(self.root).map_err(|e| e.to_string())?;
        }
        if self.script.has_several() {
            fs::create_dir_all(self.root).map_err(|e| e.to_string())?;
            return self.until_a_copy_fails(fault, n);
        }
        let mut program = Program::new(self.script, self.root, self.durability);
        let mut known = Known::default();
        self.fail(fault, n)?;
        for step in self.script.steps() {
            // A seal that failed is tried again after some seconds: nothing to wait for.
            if step.fits(&known.state) && !step.waits() {
                take(&mut program, &step, &mut known, fault).map_err(|e| format!("{step:?}: {e}"))?;
            }
        }
        let failed = self.heal()?;
        recover(&mut program, self.root, &mut known)?;
        // Closed or not, nothing is lost.
        if n.is_multiple_of(2) {
            program.close().map_err(|e| format!("closing: {e}"))?;
        }
        drop(program);
        check(self.script, self.root, &[known.state], 0..=0, true)
            .map_err(|e| format!("opened again: {e}"))?;
        Ok(failed)
    }

    /// The same for a program that makes copies: it ends with the first step that fails. Operations count from its first copy on.
    fn until_a_copy_fails(self, fault: Fault, n: u64) -> Result<bool, String> {
        let mut program = Program::new(self.script, self.root, self.durability);
        let mut states = vec![State::new()];
        let mut counting = false;
        for step in self.script.steps() {
            if step.copies() && !counting {
                self.fail(fault, n)?;
                counting = true;
            }
            let mut after = states.last().cloned().unwrap_or_default();
            step.apply(&mut after);
            let outcome = program.run(&step);
            states.push(after);
            match outcome {
                Ok(()) => _ = states.drain(..states.len() - 1),
                Err(e) => {
                    check_error(&e, fault).map_err(|e| format!("{step:?}: {e}"))?;
                    break;
                }
            }
        }
        let failed = self.heal()?;
        // What the failure left is found by an opening that does not know of it.
        let _ = program.close();
        drop(program);
        check(self.script, self.root, &states, 0..=states.len() - 1, true)
            .map_err(|e| format!("opened again: {e}"))?;
        Ok(failed)
    }

    fn fail(self, fault: Fault, n: u64) -> Result<(), String> {
        self.control.fail(n, fault.count(), fault.errno, fault.kinds).map_err(|e| e.to_string())
    }

    fn heal(self) -> Result<bool, String> {
        Ok(self.control.heal().map_err(|e| e.to_string())?.failed > 0)
    }
}

/// Takes a step, which may fail: with an error that says so, and wholly.
fn take(program: &mut Program, step: &Step, known: &mut Known, fault: Fault) -> Result<(), String> {
    if !program.is_open() {
        match program.database() {
            Ok(database) => {
                let found = model::read(&database).map_err(|e| format!("opened, but unreadable: {e}"));
                known.found(found?, true)?;
            }
            Err(e) => return check_error(&e, fault),
        }
        if !step.fits(&known.state) {
            return Ok(());
        }
    }
    let mut after = known.state.clone();
    step.apply(&mut after);
    match program.run(step) {
        Ok(()) => {
            let commits = known.state != after;
            known.state = after;
            if commits {
                known.perhaps.clear();
            }
        }
        Err(e) => {
            check_error(&e, fault)?;
            let opened = matches!(step, Step::Reopen);
            // Without an open database there is nothing to read now; it is checked after the next opening.
            if program.is_open() {
                let database = program.database().map_err(|e| e.to_string())?;
                let found = model::read(&database).map_err(|later| format!("failed ({e}), then {later}"))?;
                if found == after {
                    known.state = after;
                } else {
                    known.found(found, opened).map_err(|wrong| format!("failed ({e}): {wrong}"))?;
                    known.perhaps.push(after);
                }
            }
        }
    }
    Ok(())
}

fn check_error(e: &Error, fault: Fault) -> Result<(), String> {
    match e.code() {
        Code::Io => Ok(()),
        // SQLite takes a medium that cannot be read for damage.
        Code::Corrupted if fault.kinds & kinds::READ != 0 => Ok(()),
        code => Err(format!("the failure of the disk was reported as {code:?}: {e}")),
    }
}

/// Once the disk works again, everything that was acknowledged can be read and writes are possible.
fn recover(program: &mut Program, folder: &Path, known: &mut Known) -> Result<(), String> {
    let opened = !program.is_open();
    let database = program.database().map_err(|e| format!("opening on a disk that works again: {e}"))?;
    let found = model::read(&database).map_err(|e| format!("reading on a disk that works again: {e}"))?;
    known.found(found, opened)?;
    let began = Instant::now();
    for step in Script::More.steps() {
        loop {
            match program.run(&step) {
                Ok(()) => break,
                Err(e) if began.elapsed() > RECOVERY => {
                    return Err(format!("{step:?} on a disk that works again: {e}"));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
        step.apply(&mut known.state);
    }
    let database = program.database().map_err(|e| e.to_string())?;
    check_files(folder, &database)
}
