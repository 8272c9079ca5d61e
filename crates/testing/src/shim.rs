//! The shim that records and disturbs what a program does to files; see `shim/file_system_shim.c`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = include_str!("../shim/file_system_shim.c");
const ROOT: &str = "FERROCHROME_SHIM_ROOT";
const TRACE: &str = "FERROCHROME_SHIM_TRACE";
const CONTROL: &str = "FERROCHROME_SHIM_CONTROL";

/// Kinds of operations that can be made to fail; they may be or-ed.
pub mod kinds {
    /// Opening a file that may be created or emptied by it.
    pub const OPEN: u32 = 1;
    /// Writing.
    pub const WRITE: u32 = 2;
    /// Changing a file's length.
    pub const TRUNCATE: u32 = 4;
    /// Syncing a file or a folder.
    pub const SYNC: u32 = 8;
    /// Renaming, linking and removing files, making and removing folders.
    pub const NAMES: u32 = 16;
    /// Opening for reading, and reading.
    pub const READ: u32 = 32;
    /// Of the writes that fail the first writes half, as on a disk that fills up.
    pub const SHORT: u32 = 64;
    /// Everything that changes something.
    pub const CHANGES: u32 = OPEN | WRITE | TRUNCATE | SYNC | NAMES;
}

/// The compiled shim.
#[derive(Clone, Debug)]
pub struct Shim {
    library: PathBuf,
}

impl Shim {
    /// Compiles the shim into `folder`.
    ///
    /// # Errors
    /// Why it cannot be used here: another system than Linux, or no C compiler. Tests that need it are skipped then, and say so.
    pub fn build(folder: &Path) -> Result<Self, String> {
        if !cfg!(all(target_os = "linux", target_env = "gnu")) {
            return Err("it needs Linux and glibc".to_owned());
        }
        let (source, library) = (folder.join("file_system_shim.c"), folder.join("file_system_shim.so"));
        fs::write(&source, SOURCE).map_err(|e| format!("{}: {e}", source.display()))?;
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let arguments = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"];
        let mut compile = Command::new(&compiler);
        compile.args(arguments).arg(&library).arg(&source).args(["-ldl", "-lpthread"]);
        match compile.output() {
            Err(e) => Err(format!("the C compiler `{compiler}` cannot be run: {e}")),
            Ok(output) if !output.status.success() => panic!("{}", String::from_utf8_lossy(&output.stderr)),
            Ok(_) => Ok(Shim { library }),
        }
    }

    /// A command for `program` under the shim, which watches `root`. `control` is where the program commands it.
    ///
    /// # Errors
    /// If the control file cannot be made, or `root` is not a folder.
    pub fn command(
        &self,
        program: &Path,
        root: &Path,
        control: &Path,
        trace: Option<&Path>,
    ) -> io::Result<Command> {
        fs::write(control, "")?;
        let mut command = Command::new(program);
        command.env("LD_PRELOAD", &self.library);
        command.env(ROOT, root.canonicalize()?).env(CONTROL, control.canonicalize()?);
        if let Some(trace) = trace {
            command.env(TRACE, trace);
        }
        Ok(command)
    }
}

/// How a program under the shim commands it.
#[derive(Clone, Debug)]
pub struct Control {
    file: PathBuf,
}

/// What failed since the last [`Control::fail`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Operations of the chosen kinds.
    pub operations: u64,
    /// How many of them failed.
    pub failed: u64,
}

impl Control {
    /// The control of this process; `None` if it does not run under the shim.
    pub fn of_this_process() -> Option<Self> {
        std::env::var_os(CONTROL).map(|file| Control { file: file.into() })
    }

    /// Puts a mark into the trace.
    ///
    /// # Errors
    /// Of the control file.
    pub fn mark(&self, text: &str) -> io::Result<()> {
        self.command(&format!("mark {text}")).map(|_| ())
    }

    /// Numbers operations of these [`kinds`] from 1 on, and fails `count` of them from `first` on with the error `errno`.
    ///
    /// # Errors
    /// Of the control file.
    pub fn fail(&self, first: u64, count: u64, errno: i32, kinds: u32) -> io::Result<()> {
        self.command(&format!("fail {first} {count} {errno} {kinds}")).map(|_| ())
    }

    /// Lets everything succeed again, and says what failed.
    ///
    /// # Errors
    /// Of the control file.
    pub fn heal(&self) -> io::Result<Faults> {
        self.command("heal")
    }

    /// Moves the wall clock by so many seconds from the true time.
    ///
    /// # Errors
    /// Of the control file.
    pub fn move_clock(&self, seconds: i64) -> io::Result<()> {
        self.command(&format!("clock {seconds}")).map(|_| ())
    }

    fn command(&self, text: &str) -> io::Result<Faults> {
        OpenOptions::new().write(true).open(&self.file)?.write_all(text.as_bytes())?;
        let state = fs::read_to_string(&self.file)?;
        let mut numbers = state.split_ascii_whitespace().map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(operations)), Some(Ok(failed))) => Ok(Faults { operations, failed }),
            _ => Err(io::Error::other(format!("the shim left `{state}` in its control file"))),
        }
    }
}
