//! The programs are stopped at every point, by the end of the process and by a power cut, and the ledger is checked.
#![allow(clippy::unwrap_used, reason = "a test fails where a helper does")]

mod support;

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::path::Path;

use ferrochrome_crash::check::check;
use ferrochrome_crash::ledger::Ledger;
use ferrochrome_crash::model::{self, State};
use ferrochrome_crash::scripts::Script;
use ferrochrome_crash::steps::states;
use ferrochrome_engine::{Database, Durability};
use ferrochrome_testing::{Disk, Operation, Survives, Tree, kinds, read_tree, write_tree};
use support::cases::{Case, Checked, Sample, cases, check_all};
use support::{Workplace, long};

/// States of a program, by number of steps.
type Steps = RangeInclusive<usize>;

const EVERY_POINT: Sample = Sample { points: 0..usize::MAX, share: 1.0, mixed: 0.4, seeds: 1 };

fn name_of(durability: Durability) -> &'static str {
    match durability {
        Durability::Full => "full",
        Durability::Normal => "normal",
    }
}

/// Passes the cases of the trace of a script, with what its ledger allows.
fn cases_of(
    script: Script,
    durability: Durability,
    first: &Tree,
    trace: &[Operation],
    sample: &Sample,
    send: impl FnMut(Case<Steps>),
) {
    let mut ledger = Ledger::new(&script.log());
    let watch = |operation: &Operation, disk: &Disk| {
        ledger.observe(operation, disk);
        let after_cut = match durability {
            Durability::Normal => ledger.after_power_cut(),
            Durability::Full => ledger.after_kill(),
        };
        (ledger.after_kill(), after_cut)
    };
    cases(first, trace, sample, watch, send);
}

fn check_states(
    workplace: &Path,
    script: Script,
    states: &[State],
    produce: impl FnOnce(&mut dyn FnMut(Case<Steps>)),
) -> Checked {
    let one = |folder: &Path, case: &Case<Steps>| {
        check(script, folder, states, case.allowed.clone(), case.goes_on).map(|_| ())
    };
    check_all(workplace, one, produce)
}

/// Stops a script at each point; in the short form, at this share of them.
fn stop_everywhere(script: Script, durability: Durability, share: f64) {
    let Some(workplace) = Workplace::new() else { return };
    let recorded = workplace.record("record", script, &[name_of(durability)], &Tree::new());
    let states = states(&State::new(), &script.steps());
    let graphs = recorded.trace.iter().filter(|operation| writes_graph(operation)).count();
    assert!(script.graphs().contains(&graphs), "{graphs} graphs were written");
    let sample = Sample { share, seeds: if long() { 3 } else { 1 }, ..EVERY_POINT };
    let checked = check_states(workplace.path(), script, &states, |send| {
        cases_of(script, durability, &Tree::new(), &recorded.trace, &sample, send);
    })
    .passed();
    support::report(&format!(
        "{}, {}: {checked} states after {} operations, {graphs} graphs",
        script.name(),
        name_of(durability),
        recorded.trace.len()
    ));
    assert!(checked > 300);
}

/// Whether it writes the beginning of an index with a graph.
fn writes_graph(operation: &Operation) -> bool {
    let Operation::Write { offset: 0, bytes, .. } = operation else { return false };
    bytes.starts_with(b"ARROW1") && String::from_utf8_lossy(bytes).contains(r#""graph":{"#)
}

#[test]
fn what_was_acknowledged_survives_a_stop_at_every_point_with_durability_full() {
    stop_everywhere(Script::Records, Durability::Full, 0.3);
}

#[test]
fn a_stop_at_every_point_with_durability_normal_loses_whole_commits_newest_first() {
    stop_everywhere(Script::Records, Durability::Normal, 0.3);
}

#[test]
fn forks_and_versions_are_there_whole_or_not_at_all_and_keep_what_they_share() {
    stop_everywhere(Script::Family, Durability::Full, 0.15);
}

#[test]
fn forks_and_versions_with_durability_normal_are_lost_whole_and_newest_first() {
    stop_everywhere(Script::Family, Durability::Normal, 0.15);
}

#[test]
fn graphs_that_are_extended_mended_and_shared_survive_a_stop_at_every_point() {
    stop_everywhere(Script::Graphs, Durability::Normal, 0.15);
}

#[test]
fn a_snapshot_or_a_restored_database_is_there_whole_or_not_at_all() {
    stop_everywhere(Script::Copies, Durability::Full, 0.25);
}

/// Otherwise what a power cut leaves half removed might be put back by who opens the database after a later restore that was cut off.
#[test]
fn a_replaced_database_is_removed_when_its_name_that_says_so_is_on_the_medium() {
    let Some(workplace) = Workplace::new() else { return };
    let recorded = workplace.record("record", Script::Copies, &["full"], &Tree::new());
    let mut disk = Disk::new(&Tree::new());
    let (mut leaving, mut removed) = (HashSet::new(), 0);
    for operation in &recorded.trace {
        match operation {
            Operation::Rename(from, to) if from.ends_with(".replaced") => _ = leaving.insert(to.clone()),
            Operation::Unlink(path) | Operation::RemoveFolder(path) => {
                if let Some(folder) = path.split('/').next().filter(|folder| leaving.contains(*folder)) {
                    assert!(disk.is_name_durable(folder), "{path} is removed too early");
                    removed += 1;
                }
            }
            _ => {}
        }
        disk.apply(operation);
    }
    assert!(leaving.len() == 2 && removed > 20, "{leaving:?}, {removed} removed");
}

#[test]
fn recovery_may_itself_be_stopped_at_every_point() {
    let Some(workplace) = Workplace::new() else { return };
    let mut checked = 0;
    let mut recoveries = 0;
    for (script, stride) in [(Script::Records, 1_001), (Script::Family, 1_201)] {
        let recorded = workplace.record("record", script, &["normal"], &Tree::new());
        let every = states(&State::new(), &script.steps());
        let mut survivors = Vec::new();
        let mut at = 0;
        let stride = if long() { 200 } else { stride };
        cases_of(script, Durability::Normal, &Tree::new(), &recorded.trace, &EVERY_POINT, |case| {
            at += 1;
            if at % stride == stride / 2 {
                survivors.push(case);
            }
        });
        for survivor in &survivors {
            let again = workplace.record("record", Script::More, &["normal"], &survivor.tree);
            // What the second program found is one of the states that the first may have left.
            let found = first_state(workplace.path(), &survivor.tree);
            let known = survivor.allowed.clone().find(|state| every[*state] == found);
            let known = known.map(|state| every[state].clone());
            let states = states(&known.expect(&survivor.what), &Script::More.steps());
            let sample = Sample { share: 0.5, ..EVERY_POINT };
            checked += check_states(workplace.path(), Script::More, &states, |send| {
                cases_of(Script::More, Durability::Normal, &survivor.tree, &again.trace, &sample, send);
            })
            .passed();
        }
        recoveries += survivors.len();
    }
    support::report(&format!("{checked} states after {recoveries} recoveries"));
    assert!(checked > 300);
}

/// Fails the n-th sync, for n = 1, 2, ..., in the short form for some of them, and stops at each point after that. The system does
/// not try again to write what it could not: a later sync succeeds without it.
fn stop_after_failed_syncs(script: Script, durability: Durability, short_stride: usize) {
    let Some(workplace) = Workplace::new() else { return };
    let states = states(&State::new(), &script.steps());
    let (stride, points) = if long() { (7, 150) } else { (short_stride, 60) };
    let (mut n, mut syncs, mut checked) = (2, 0, 0);
    loop {
        let sync = kinds::SYNC.to_string();
        let arguments = [name_of(durability), "5", &sync, "once", &n.to_string()];
        let recorded = workplace.record("fail", script, &arguments, &Tree::new());
        let failure =
            recorded.trace.iter().position(|operation| matches!(operation, Operation::SyncFailed(_)));
        let Some(failure) = failure else { break };
        let sample = Sample { points: failure..failure + points, ..EVERY_POINT };
        checked += check_states(workplace.path(), script, &states, |send| {
            cases_of(script, durability, &Tree::new(), &recorded.trace, &sample, send);
        })
        .passed();
        syncs += 1;
        n += stride;
    }
    let (script, durability) = (script.name(), name_of(durability));
    support::report(&format!("{script}, {durability}: {checked} states after {syncs} failed syncs"));
    assert!(checked > 50);
}

/// A commit that could not be synced may still be found by the next opening: whole, with every file that it names.
#[test]
fn after_a_failed_sync_with_durability_full_the_commit_is_there_whole_or_not_at_all() {
    stop_after_failed_syncs(Script::Records, Durability::Full, 53);
}

#[test]
fn after_a_failed_sync_with_durability_normal_commits_are_there_whole_and_no_file_is_missing() {
    stop_after_failed_syncs(Script::Records, Durability::Normal, 53);
}

#[test]
fn after_a_failed_sync_no_file_that_a_fork_or_a_version_shares_is_missing() {
    stop_after_failed_syncs(Script::Family, Durability::Normal, 73);
}

/// The checks themselves: each kind of sync is needed, and they notice when the disk forgets it.
#[test]
fn a_disk_that_lies_about_a_sync_is_found_out() {
    let Some(workplace) = Workplace::new() else { return };
    let script = Script::Records;
    let recorded = workplace.record("record", script, &["full"], &Tree::new());
    let states = states(&State::new(), &script.steps());
    for forgotten in ["catalog.sqlite-wal", "records.arrow", "segment.json", "lookup.sqlite", "segments"] {
        let mut disk = Disk::new(&Tree::new());
        let mut trace = Vec::new();
        for operation in &recorded.trace {
            disk.apply(operation);
            if !matches!(operation, Operation::Sync(fd) if disk.name_of(*fd) == forgotten) {
                trace.push(operation.clone());
            }
        }
        let mut at = 0;
        let sample = Sample { seeds: 0, ..EVERY_POINT };
        let checked = check_states(workplace.path(), script, &states, |send| {
            cases_of(script, Durability::Full, &Tree::new(), &trace, &sample, |case| {
                at += 1;
                if at % 20 == 0 {
                    send(case);
                }
            });
        });
        assert!(!checked.failures.is_empty(), "{forgotten} may go without a sync");
    }
}

fn first_state(workplace: &Path, tree: &Tree) -> State {
    let folder = workplace.join("survivor");
    write_tree(tree, &folder).unwrap();
    let handle = Database::open(Some(&folder), Script::Records.options(Durability::Normal)).unwrap();
    let state = model::read(handle.database().unwrap()).unwrap();
    handle.close().unwrap();
    state
}

#[test]
fn the_shim_sees_every_change() {
    let Some(workplace) = Workplace::new() else { return };
    let all = [Script::Records, Script::Family, Script::Graphs, Script::Copies];
    for (script, durability) in all.into_iter().zip(["normal", "full", "normal", "full"]) {
        let recorded = workplace.record("record", script, &[durability], &Tree::new());
        let mut disk = Disk::new(&Tree::new());
        recorded.trace.iter().for_each(|operation| disk.apply(operation));
        assert!(disk.after_crash(Survives::Everything) == read_tree(&recorded.folder).unwrap());
        let renames = recorded.trace.iter().filter(|o| matches!(o, Operation::Rename(..))).count();
        assert!(renames > 5, "segments are published: {renames}");
    }
}
