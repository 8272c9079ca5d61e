//! Repairs are stopped at every point and done again: the database is then the one that a repair in peace makes, and nothing is gone.
#![allow(clippy::unwrap_used, reason = "a test fails where a helper does")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ferrochrome_crash::check::{check_with, repair};
use ferrochrome_crash::model::State;
use ferrochrome_crash::scripts::Script;
use ferrochrome_crash::steps::Program;
use ferrochrome_engine::{CheckProgress, Durability, check_folder};
use ferrochrome_testing::{Tree, read_tree, write_tree};
use support::cases::{Sample, cases, check_all};
use support::{Workplace, long};

/// Steps of [`Script::Family`] after which there are forks, versions, segments that only versions name, and logs.
const STEPS: usize = 16;
const CATALOG: &str = "catalog.sqlite";
/// What a repair puts aside, while the folder is checked for what does not belong there.
const PUT_ASIDE: &str = "put-aside";

/// A database that was closed.
fn database(folder: &Path) -> Tree {
    let script = Script::Family;
    let mut program = Program::new(script, folder, Durability::Normal);
    script.steps().iter().take(STEPS).for_each(|step| program.run(step).unwrap());
    program.close().unwrap();
    let mut tree = read_tree(folder).unwrap();
    tree.retain(|path, _| !path.starts_with(CATALOG) || path == CATALOG);
    tree
}

/// Files of segments with this name.
fn files<'a>(tree: &'a Tree, name: &'a str) -> impl Iterator<Item = String> + 'a {
    tree.keys().filter(move |path| path.ends_with(&format!("/{name}"))).cloned()
}

fn flip(tree: &mut Tree, file: &str, at: impl FnOnce(usize) -> usize) {
    let bytes = tree.get_mut(file).unwrap().as_mut().unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 0x55;
}

/// Damages the last cell of every page of the catalog that `chosen` picks.
fn flip_pages(tree: &mut Tree, chosen: impl Fn(usize) -> bool) {
    let pages = tree[CATALOG].as_ref().unwrap().len() / 4_096;
    (1..pages).filter(|page| chosen(*page)).for_each(|page| flip(tree, CATALOG, |_| page * 4_096 + 4_080));
}

/// A damage, by name.
type Harm = (&'static str, fn(&mut Tree));

const HARMS: [Harm; 5] = [
    ("what is derived is missing", |tree| {
        for name in ["ids.arrow", "lookup.sqlite"] {
            files(&tree.clone(), name).for_each(|file| _ = tree.remove(&file));
        }
    }),
    ("records are damaged", |tree| {
        files(&tree.clone(), "records.arrow").for_each(|file| flip(tree, &file, |length| length / 3));
    }),
    ("pages of the catalog are damaged", |tree| flip_pages(tree, |page| page % 4 == 3)),
    ("the catalog is missing", |tree| _ = tree.remove(CATALOG)),
    ("the catalog is damaged, and records", |tree| {
        flip_pages(tree, |page| page % 5 == 2);
        files(&tree.clone(), "records.arrow")
            .step_by(2)
            .for_each(|file| flip(tree, &file, |length| length / 2));
    }),
];

/// Contents of files that only a repair replaces: they must still be somewhere.
fn evidence(tree: &Tree) -> BTreeSet<&[u8]> {
    let is_evidence = |path: &&String| *path != "LOCK" && !path.ends_with("-wal") && !path.ends_with("-shm");
    tree.keys().filter(is_evidence).filter_map(|path| tree[path].as_deref()).collect()
}

/// What the database holds after a repair, with nothing that was there before gone, nor left for the next opening to remove.
fn repaired(folder: &Path, damaged: &Tree) -> Result<State, String> {
    repair(folder).map_err(|e| format!("repairing: {e}"))?;
    let report = check_folder(folder, &CheckProgress::default()).map_err(|e| format!("checking: {e}"))?;
    let mut kept = read_tree(folder).unwrap();
    for garbage in report.garbage {
        let folder = format!("segments/{}/", garbage.folder);
        kept.retain(|path, _| !path.starts_with(&folder));
    }
    let kept = evidence(&kept);
    let gone = evidence(damaged).difference(&kept).count();
    if gone > 0 {
        return Err(format!("the contents of {gone} files are gone"));
    }
    let aside = folder.with_file_name(format!("{PUT_ASIDE}-{}", folder.file_name().unwrap().display()));
    let quarantine = folder.join("quarantine");
    if quarantine.exists() {
        let _ = fs::remove_dir_all(&aside);
        fs::rename(&quarantine, &aside).map_err(|e| format!("the quarantine: {e}"))?;
    }
    let mut found = State::new();
    check_with(Script::Family, folder, false, |state| {
        found.clone_from(state);
        Ok(())
    })?;
    Ok(found)
}

#[test]
fn a_repair_that_was_stopped_is_done_again_and_nothing_is_lost_by_it() {
    let Some(workplace) = Workplace::new() else { return };
    let sound = database(&workplace.path().join("sound"));
    for (what, harm) in HARMS {
        let mut damaged = sound.clone();
        harm(&mut damaged);
        let folder = workplace.path().join("in-peace");
        write_tree(&damaged, &folder).unwrap();
        let expected = repaired(&folder, &damaged).unwrap();
        assert!(
            expected.values().any(|collection| !collection.records.is_empty()),
            "{what}: nothing is left"
        );

        let recorded = workplace.record_repair(&damaged);
        let sample = Sample { points: 0..usize::MAX, share: 0.25, mixed: 0.4, seeds: 1 };
        let one = |folder: &Path, _: &support::cases::Case<()>| match repaired(folder, &damaged)? {
            found if found == expected => Ok(()),
            found => Err(format!("it holds {found:?}, after a repair in peace {expected:?}")),
        };
        let checked = check_all(workplace.path(), one, |send| {
            cases(&damaged, &recorded.trace, &sample, |_, _| ((), ()), send);
        })
        .passed();
        support::report(&format!("{what}: {checked} states after {} operations", recorded.trace.len()));
        assert!(checked > if long() { 100 } else { 10 }, "{what}: {checked}");
    }
}
