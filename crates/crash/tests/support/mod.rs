//! A folder to work in, and the program under the shim.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod cases;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ferrochrome_crash::scripts::Script;
use ferrochrome_testing::{Operation, Shim, Tree, read_trace, write_tree};
use tempfile::TempDir;

/// Where files live in memory: thousands of databases are written and synced here.
const MEMORY: &str = "/dev/shm";

/// Whether the long form was asked for, with `FERROCHROME_CRASH=long`.
pub fn long() -> bool {
    std::env::var("FERROCHROME_CRASH").is_ok_and(|value| value == "long")
}

/// Tells whoever runs the tests, who sees it with `--nocapture`.
#[expect(clippy::print_stderr, reason = "figures of a run are for whoever asks for them")]
pub fn report(text: &str) {
    eprintln!("{text}");
}

/// A folder of its own, and the shim compiled into it.
pub struct Workplace {
    folder: TempDir,
    shim: Shim,
}

/// What a program did.
pub struct Recorded {
    pub trace: Vec<Operation>,
    /// Where it did it.
    pub folder: PathBuf,
}

impl Workplace {
    /// `None`, and a message, where the shim cannot be used.
    pub fn new() -> Option<Self> {
        let folder = tempfile::tempdir_in(MEMORY).or_else(|_| tempfile::tempdir()).unwrap();
        match Shim::build(folder.path()) {
            Ok(shim) => Some(Workplace { folder, shim }),
            Err(why) => {
                report(&format!("skipped: {why}"));
                None
            }
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command of the program that records, on a folder that holds `first`.
    pub fn record(&self, command: &str, script: Script, arguments: &[&str], first: &Tree) -> Recorded {
        self.record_program(first, |program, root| {
            program.args([command, script.name()]).arg(root).args(arguments);
        })
    }

    /// Repairs the database that `first` is.
    pub fn record_repair(&self, first: &Tree) -> Recorded {
        self.record_program(first, |program, root| {
            program.arg("repair").arg(root);
        })
    }

    fn record_program(&self, first: &Tree, arguments: impl FnOnce(&mut Command, &Path)) -> Recorded {
        let (root, trace) = (self.path().join("recorded"), self.path().join("trace"));
        write_tree(first, &root).unwrap();
        let mut program = self.program(&root, Some(&trace));
        arguments(&mut program, &root);
        finish(&mut program);
        let trace = read_trace(&fs::read(trace).unwrap()).unwrap();
        Recorded { trace, folder: root }
    }

    /// The program under the shim, which watches `root`.
    pub fn program(&self, root: &Path, trace: Option<&Path>) -> Command {
        self.command(Path::new(env!("CARGO_BIN_EXE_ferrochrome-crash")), root, trace)
    }

    /// Another program under the shim, which watches `root`.
    pub fn command(&self, program: &Path, root: &Path, trace: Option<&Path>) -> Command {
        let name = root.file_name().unwrap_or_default().to_string_lossy();
        let control = self.path().join(format!("{name}.control"));
        self.shim.command(program, root, &control, trace).unwrap()
    }
}

/// Runs a command, which succeeds.
pub fn finish(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    output
}
