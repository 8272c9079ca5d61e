//! Opens a database that something happened to, and looks whether it is as it should be.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::{Duration, Instant};

use ferrochrome_engine::{CheckProgress, Database, DatabaseOptions, Handle, WriteKind};
use ferrochrome_types::{CancelToken, Code, Error};

use crate::model::{self, State};
use crate::steps::batch;

/// Background work may still be removing files after an opening; a leak stays.
const REMOVING: Duration = Duration::from_secs(5);
const FILES: [&str; 5] = ["LOCK", "catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm", "segments"];

/// Checks that the database in `folder` opens, that it holds one of the `allowed` of `states`, that every block of its files is
/// intact, and that the folder holds nothing that the catalog does not name. With `goes_on`, also that it can be written to, and
/// opened once more. Returns which state it holds, the latest if several are equal.
///
/// # Errors
/// What is wrong.
pub fn check(
    folder: &Path,
    states: &[State],
    allowed: RangeInclusive<usize>,
    goes_on: bool,
) -> Result<usize, String> {
    let mut options = DatabaseOptions::default();
    options.threads = 1;
    let handle = open(folder, &options).map_err(|e| format!("opening: {e}"))?;
    let database = handle.database().map_err(|e| e.to_string())?;
    let found = model::read(database).map_err(|e| format!("reading: {e}"))?;
    let Some(state) = allowed.clone().rev().find(|at| states[*at] == found) else {
        let elsewhere: Vec<_> = (0..states.len()).filter(|at| states[*at] == found).collect();
        return Err(format!("it holds state {elsewhere:?}, allowed are {allowed:?}: {found:?}"));
    };
    check_files(folder, database)?;
    if goes_on {
        write_more(database, &found)?;
    }
    handle.close().map_err(|e| format!("closing: {e}"))?;
    if goes_on {
        let handle = open(folder, &options).map_err(|e| format!("opening again: {e}"))?;
        let database = handle.database().map_err(|e| e.to_string())?;
        let mut expected = found;
        expected.entry(LATER.to_owned()).or_default().records.extend((0..3).map(|number| (number, 1)));
        let found = model::read(database).map_err(|e| format!("reading again: {e}"))?;
        if found != expected {
            return Err(format!("after one more write it holds {found:?}"));
        }
        check_files(folder, database)?;
        handle.close().map_err(|e| format!("closing again: {e}"))?;
    }
    Ok(state)
}

/// Opens a database. A process that another test starts at this moment holds a copy of the lock until its program is loaded.
fn open(folder: &Path, options: &DatabaseOptions) -> Result<Handle, Error> {
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
    let began = Instant::now();
    loop {
        let outcome = compare_names(folder, database);
        if outcome.is_ok() || began.elapsed() > REMOVING {
            return outcome;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
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
