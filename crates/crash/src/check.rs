//! Opens a database that something happened to, and looks whether it is as it should be.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferrochrome_engine::{
    CheckProgress, Database, DatabaseOptions, Handle, RepairOptions, WriteKind, repair_folder,
};
use ferrochrome_types::{CancelToken, Code, Error};

use crate::model::{self, DATABASE, State};
use crate::scripts::Script;
use crate::steps::batch;

/// Background work may still be removing files after an opening; a leak stays.
const REMOVING: Duration = Duration::from_secs(5);
/// How often that is looked at meanwhile: counted, since a process may be kept from running for as long.
const LOOKS: u32 = 1_000;
const FILES: [&str; 5] = ["LOCK", "catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm", "segments"];

/// Checks that the database of a program in `root` opens, and what it has copied beside it, that they hold one of the `allowed` of
/// `states`, that every block of their files is intact, and that their folders hold nothing that their catalogs do not name. With
/// `goes_on`, also that the database can be written to, and opened once more. Returns which state they hold, the latest if several
/// are equal.
///
/// # Errors
/// What is wrong.
pub fn check(
    script: Script,
    root: &Path,
    states: &[State],
    allowed: RangeInclusive<usize>,
    goes_on: bool,
) -> Result<usize, String> {
    let mut state = 0;
    check_with(script, root, goes_on, |found| {
        let Some(at) = allowed.clone().rev().find(|at| states[*at] == *found) else {
            let elsewhere: Vec<_> = (0..states.len()).filter(|at| states[*at] == *found).collect();
            return Err(format!("it holds state {elsewhere:?}, allowed are {allowed:?}: {found:?}"));
        };
        state = at;
        Ok(())
    })?;
    Ok(state)
}

/// As [`check`]; `judge` says whether what was found may be.
///
/// # Errors
/// What is wrong.
pub fn check_with(
    script: Script,
    root: &Path,
    goes_on: bool,
    judge: impl FnOnce(&State) -> Result<(), String>,
) -> Result<(), String> {
    let opened = Opened::all(script, root)?;
    let found = read(&opened)?;
    judge(&found)?;
    check_opened(&opened)?;
    if goes_on {
        write_more(opened[0].database()?, &found)?;
    }
    close(opened)?;
    if goes_on {
        let opened = Opened::all(script, root).map_err(|e| format!("again: {e}"))?;
        let mut expected = found;
        expected.entry(LATER.to_owned()).or_default().records.extend((0..3).map(|number| (number, 1)));
        let found = read(&opened).map_err(|e| format!("again: {e}"))?;
        if found != expected {
            return Err(format!("after one more write it holds {found:?}"));
        }
        check_opened(&opened)?;
        close(opened)?;
    }
    Ok(())
}

/// Repairs the database in a folder.
///
/// # Errors
/// Of the repair.
pub fn repair(folder: &Path) -> Result<(), Error> {
    let options = RepairOptions { dry_run: false, threads: 1 };
    repair_folder(folder, &options, &CheckProgress::default()).map(|_| ())
}

/// A database of a program.
struct Opened {
    /// What the names of its collections begin with in a [`State`].
    prefix: String,
    folder: PathBuf,
    handle: Handle,
}

impl Opened {
    /// Opens the database that is written to, which comes first, and those beside it.
    fn all(script: Script, root: &Path) -> Result<Vec<Self>, String> {
        let folder = script.database(root);
        let handle = open(&folder).map_err(|e| format!("opening: {e}"))?;
        let mut opened = vec![Opened { prefix: String::new(), folder, handle }];
        if !script.has_several() {
            return Ok(opened);
        }
        for name in names(root)?.into_iter().filter(|name| name != DATABASE) {
            let folder = root.join(&name);
            if name.ends_with(".incomplete") {
                refuse(&folder)?;
            } else if !name.ends_with(".replaced") {
                let handle = open(&folder).map_err(|e| format!("opening {name}: {e}"))?;
                opened.push(Opened { prefix: format!("{name}/"), folder, handle });
            }
        }
        Ok(opened)
    }

    fn database(&self) -> Result<&Arc<Database>, String> {
        self.handle.database().map_err(|e| e.to_string())
    }
}

/// A copy that was cut off is not taken for a database.
fn refuse(folder: &Path) -> Result<(), String> {
    match Database::open(Some(folder), DatabaseOptions::default()) {
        Err(e) if e.code() == Code::InvalidArgument => Ok(()),
        outcome => Err(format!("{} was opened, or refused with {:?}", folder.display(), outcome.err())),
    }
}

fn read(opened: &[Opened]) -> Result<State, String> {
    let mut state = State::new();
    for one in opened {
        let found = model::read(one.database()?).map_err(|e| format!("reading {}: {e}", one.prefix))?;
        let prefix = &one.prefix;
        state.extend(found.into_iter().map(|(name, collection)| (format!("{prefix}{name}"), collection)));
    }
    Ok(state)
}

fn check_opened(opened: &[Opened]) -> Result<(), String> {
    opened.iter().try_for_each(|one| check_files(&one.folder, one.database()?))
}

fn close(opened: Vec<Opened>) -> Result<(), String> {
    opened.into_iter().try_for_each(|one| one.handle.close()).map_err(|e| format!("closing: {e}"))
}

/// Opens a database. A process that another test starts at this moment holds a copy of the lock until its program is loaded.
fn open(folder: &Path) -> Result<Handle, Error> {
    let mut options = DatabaseOptions::default();
    options.threads = 1;
    let began = Instant::now();
    loop {
        match Database::open(Some(folder), options.clone()) {
            Err(e) if e.code() == Code::Locked && began.elapsed() < REMOVING => {
                std::thread::sleep(Duration::from_millis(1));
            }
            outcome => return outcome,
        }
    }
}

/// The collection that is written to after a crash.
const LATER: &str = "later";

fn write_more(database: &Database, found: &State) -> Result<(), String> {
    let write = || {
        if !found.contains_key(LATER) {
            database.create_collection(&model::new_row(LATER), false)?;
        }
        let collection = database.collection(model::row_of(database, LATER)?.id)?;
        collection.write(WriteKind::Upsert, batch(0..3, 1))?;
        collection.compact(&CancelToken::default())
    };
    write().map_err(|e| format!("writing: {e}"))
}

/// Checks that every block of every segment is intact, that files agree with one another, and that nothing lies in the folder that does not belong there.
///
/// # Errors
/// What is wrong.
pub fn check_files(folder: &Path, database: &Database) -> Result<(), String> {
    let report = database.check(&CheckProgress::default()).map_err(|e| format!("checking: {e}"))?;
    if !report.ok {
        return Err(format!("checking: {report:?}"));
    }
    let mut outcome = compare_names(folder, database);
    for _ in 0..LOOKS {
        if outcome.is_ok() {
            break;
        }
        std::thread::sleep(REMOVING / LOOKS);
        outcome = compare_names(folder, database);
    }
    outcome
}

fn compare_names(folder: &Path, database: &Database) -> Result<(), String> {
    let files = names(folder)?;
    if let Some(stranger) = files.iter().find(|name| !FILES.contains(&name.as_str())) {
        return Err(format!("{stranger} was left behind"));
    }
    let named = database.catalog().all_segment_ids().map_err(|e| e.to_string())?;
    let named: BTreeSet<String> = named.iter().map(ToString::to_string).collect();
    let there = names(&folder.join("segments"))?;
    if named != there {
        return Err(format!("the catalog names the segments {named:?}, the folder holds {there:?}"));
    }
    Ok(())
}

fn names(folder: &Path) -> Result<BTreeSet<String>, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    entries
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, _>>()
        .map_err(|e| format!("{}: {e}", folder.display()))
}
