//! The program is stopped at every point, by the end of the process and by a power cut, and the ledger is checked.
#![allow(clippy::unwrap_used, reason = "a test fails where a helper does")]

mod support;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};

use ferrochrome_crash::check::check;
use ferrochrome_crash::ledger::Ledger;
use ferrochrome_crash::model::{self, State};
use ferrochrome_crash::steps::{more_steps, options, states, steps};
use ferrochrome_engine::{Database, Durability};
use ferrochrome_testing::{Disk, Operation, Random, Survives, Tree, kinds, read_tree, write_tree};
use support::{Workplace, long};

/// A folder as a crash may have left it.
struct Case {
    tree: Tree,
    allowed: RangeInclusive<usize>,
    /// For the message.
    what: String,
    /// Whether to write more and open once more.
    goes_on: bool,
}

/// Every so many cases are written to and opened once more.
const GOES_ON: usize = 6;

/// Passes the cases of a trace to `send`: at each of its `points` the end of the process, and a power cut that takes all that was
/// not synced; there, or in the short form at some of them, also the other extremes and `seeds` mixtures. Equal ones are passed once.
fn cases(
    first: &Tree,
    trace: &[Operation],
    points: Range<usize>,
    durability: Durability,
    seeds: u64,
    mut send: impl FnMut(Case),
) {
    let mut disk = Disk::new(first);
    let mut ledger = Ledger::default();
    let mut seen = HashSet::new();
    let mut random = Random::new(trace.len() as u64);
    let mut sent = 0;
    for (at, operation) in trace.iter().enumerate() {
        disk.apply(operation);
        ledger.observe(operation, &disk);
        // After these a crash leaves what it would have left before.
        let changes_nothing =
            matches!(operation, Operation::Close(_) | Operation::Duplicate { .. } | Operation::Unknown(..));
        if changes_nothing || !points.contains(&at) {
            continue;
        }
        let after_cut = match durability {
            Durability::Normal => ledger.after_power_cut(),
            Durability::Full => ledger.after_kill(),
        };
        let mut all =
            vec![(Survives::Everything, ledger.after_kill()), (Survives::Nothing, after_cut.clone())];
        if long() || random.chance(0.4) {
            let mixtures = (0..seeds).map(|_| Survives::Some(random.number()));
            let more = [Survives::Names, Survives::Bytes].into_iter().chain(mixtures);
            all.extend(more.map(|cut| (cut, after_cut.clone())));
        }
        for (survives, allowed) in all {
            let tree = disk.after_crash(survives);
            let mut hasher = DefaultHasher::new();
            (&tree, allowed.start(), allowed.end()).hash(&mut hasher);
            if seen.insert(hasher.finish()) {
                let what = format!(
                    "after operation {at} of {}, {} survives: {survives:?}",
                    trace.len(),
                    show(operation)
                );
                sent += 1;
                send(Case { tree, allowed, what, goes_on: sent % GOES_ON == 0 });
            }
        }
    }
}

fn show(operation: &Operation) -> String {
    match operation {
        Operation::Write { fd, offset, bytes } => format!("Write({fd}, {offset}, {} bytes)", bytes.len()),
        other => format!("{other:?}"),
    }
}

/// What checking many cases came to.
struct Checked {
    cases: usize,
    failures: Vec<String>,
}

impl Checked {
    /// Fails the test if a case failed, else says how many there were.
    fn passed(self) -> usize {
        let shown = self.failures.iter().take(8).cloned().collect::<Vec<_>>().join("\n");
        assert!(self.failures.is_empty(), "{} of {} cases failed:\n{shown}", self.failures.len(), self.cases);
        self.cases
    }
}

/// Checks cases on all cores.
fn check_all(workplace: &Path, states: &[State], produce: impl FnOnce(&mut dyn FnMut(Case))) -> Checked {
    let checked = Mutex::new(Checked { cases: 0, failures: Vec::new() });
    let (sender, receiver) = sync_channel::<Case>(64);
    let receiver = Mutex::new(receiver);
    let next = |receiver: &Mutex<Receiver<Case>>| receiver.lock().unwrap().recv().ok();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for worker in 0..threads {
            let (checked, receiver) = (&checked, &receiver);
            scope.spawn(move || {
                let folder = workplace.join(format!("case-{worker}"));
                while let Some(case) = next(receiver) {
                    write_tree(&case.tree, &folder).unwrap();
                    let outcome = check(&folder, states, case.allowed, case.goes_on);
                    let mut checked = checked.lock().unwrap();
                    checked.cases += 1;
                    if let Err(message) = outcome {
                        checked.failures.push(format!("{}\n    {message}", case.what));
                    }
                }
            });
        }
        produce(&mut |case| sender.send(case).unwrap());
        drop(sender);
    });
    checked.into_inner().unwrap()
}

fn stop_everywhere(durability: Durability, name: &str) {
    let Some(workplace) = Workplace::new() else { return };
    let recorded = workplace.record("record", &[name], &Tree::new());
    let states = states(&State::new(), &steps());
    let seeds = if long() { 8 } else { 1 };
    let checked = check_all(workplace.path(), &states, |send| {
        cases(&Tree::new(), &recorded.trace, 0..usize::MAX, durability, seeds, send);
    })
    .passed();
    support::report(&format!("{name}: {checked} states after {} operations", recorded.trace.len()));
    assert!(checked > 1_000);
}

#[test]
fn what_was_acknowledged_survives_a_stop_at_every_point_with_durability_full() {
    stop_everywhere(Durability::Full, "full");
}

#[test]
fn a_stop_at_every_point_with_durability_normal_loses_whole_commits_newest_first() {
    stop_everywhere(Durability::Normal, "normal");
}

#[test]
fn recovery_may_itself_be_stopped_at_every_point() {
    let Some(workplace) = Workplace::new() else { return };
    let recorded = workplace.record("record", &["normal"], &Tree::new());
    let every = states(&State::new(), &steps());
    let mut survivors = Vec::new();
    let mut at = 0;
    let stride = if long() { 200 } else { 1_001 };
    cases(&Tree::new(), &recorded.trace, 0..usize::MAX, Durability::Normal, 1, |case| {
        at += 1;
        if at % stride == stride / 2 {
            survivors.push(case);
        }
    });
    let mut checked = 0;
    for survivor in &survivors {
        let again = workplace.record("continue", &["normal"], &survivor.tree);
        // What the second program found is one of the states that the first may have left.
        let found = first_state(workplace.path(), &survivor.tree);
        assert!(survivor.allowed.clone().any(|state| every[state] == found), "{}", survivor.what);
        let states = states(&found, &more_steps());
        checked += check_all(workplace.path(), &states, |send| {
            cases(&survivor.tree, &again.trace, 0..usize::MAX, Durability::Normal, 1, send);
        })
        .passed();
    }
    support::report(&format!("{checked} states after {} recoveries", survivors.len()));
    assert!(checked > 300);
}

/// Fails the n-th sync, for n = 1, 2, ..., in the short form for some of them, and stops at each point after that. The system does
/// not try again to write what it could not: a later sync succeeds without it.
fn stop_after_failed_syncs(durability: Durability, name: &str) {
    let Some(workplace) = Workplace::new() else { return };
    let states = states(&State::new(), &steps());
    let (stride, points, seeds) = if long() { (2, 400, 1) } else { (53, 150, 1) };
    let (mut n, mut syncs, mut checked) = (2, 0, 0);
    loop {
        let arguments = [name, "5", &kinds::SYNC.to_string(), "once", &n.to_string()];
        let recorded = workplace.record("fail", &arguments, &Tree::new());
        let failure =
            recorded.trace.iter().position(|operation| matches!(operation, Operation::SyncFailed(_)));
        let Some(failure) = failure else { break };
        checked += check_all(workplace.path(), &states, |send| {
            cases(&Tree::new(), &recorded.trace, failure..failure + points, durability, seeds, send);
        })
        .passed();
        syncs += 1;
        n += stride;
    }
    support::report(&format!("{name}: {checked} states after {syncs} failed syncs"));
    assert!(checked > 50);
}

/// A commit that could not be synced may still be found by the next opening: whole, with every file that it names.
#[test]
fn after_a_failed_sync_with_durability_full_the_commit_is_there_whole_or_not_at_all() {
    stop_after_failed_syncs(Durability::Full, "full");
}

#[test]
fn after_a_failed_sync_with_durability_normal_commits_are_there_whole_and_no_file_is_missing() {
    stop_after_failed_syncs(Durability::Normal, "normal");
}

/// The checks themselves: each kind of sync is needed, and they notice when the disk forgets it.
#[test]
fn a_disk_that_lies_about_a_sync_is_found_out() {
    let Some(workplace) = Workplace::new() else { return };
    let recorded = workplace.record("record", &["full"], &Tree::new());
    let states = states(&State::new(), &steps());
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
        let checked = check_all(workplace.path(), &states, |send| {
            cases(&Tree::new(), &trace, 0..usize::MAX, Durability::Full, 0, |case| {
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
    let handle = Database::open(Some(&folder), options(Durability::Normal)).unwrap();
    let state = model::read(handle.database().unwrap()).unwrap();
    handle.close().unwrap();
    state
}

#[test]
fn the_shim_sees_every_change() {
    let Some(workplace) = Workplace::new() else { return };
    for durability in ["normal", "full"] {
        let recorded = workplace.record("record", &[durability], &Tree::new());
        let mut disk = Disk::new(&Tree::new());
        recorded.trace.iter().for_each(|operation| disk.apply(operation));
        assert!(disk.after_crash(Survives::Everything) == read_tree(&recorded.folder).unwrap());
        let renames = recorded.trace.iter().filter(|o| matches!(o, Operation::Rename(..))).count();
        assert!(renames > 5, "segments are published: {renames}");
    }
}
