//! A program in TypeScript with several calls under way at once is stopped at every point, as its trace shows them.
#![allow(clippy::unwrap_used, reason = "a test fails where a helper does")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ferrochrome_crash::calls::{Allowed, Lives};
use ferrochrome_crash::check::check_with;
use ferrochrome_crash::scripts::Script;
use ferrochrome_testing::{Disk, Operation, Tree, read_trace};
use support::cases::{Case, Sample, cases, check_all};
use support::{Workplace, finish, long};

const PROGRAM: &str = "__test__/crash/recorded-program.mjs";

/// The root of the repository; `None`, and a message, where the program cannot run.
fn repository() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let is_addon = |name: &Path| name.extension().is_some_and(|extension| extension == "node");
    let built = root.join("dist/index.js").exists()
        && fs::read_dir(root.join("binding")).unwrap().any(|entry| is_addon(&entry.unwrap().path()));
    let node = Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success());
    if !built || !node {
        support::report("skipped: it needs Node and the built package (npm run build)");
        return None;
    }
    Some(root)
}

fn record(workplace: &Workplace, repository: &Path, durability: &str) -> Vec<Operation> {
    let (root, trace) = (workplace.path().join("recorded"), workplace.path().join("trace"));
    fs::create_dir(&root).unwrap();
    let mut node = workplace.command(Path::new("node"), &root, Some(&trace));
    finish(node.arg(repository.join(PROGRAM)).arg(&root).arg(durability));
    read_trace(&fs::read(trace).unwrap()).unwrap()
}

/// Stops the program at each point; in the short form at this share of them.
fn stop_everywhere(durability: &str, share: f64) {
    let Some(repository) = repository() else { return };
    let Some(workplace) = Workplace::new() else { return };
    let trace = record(&workplace, &repository, durability);
    let log = Script::Records.log();
    let expected = Lives::read(&trace, &log).unwrap();
    let mut lives = Lives::read(&trace, &log).unwrap();
    let watch = |operation: &Operation, disk: &Disk| {
        lives.observe(operation, disk).unwrap();
        let after_kill = lives.after_kill();
        let after_cut = if durability == "full" { after_kill.clone() } else { lives.after_power_cut() };
        (after_kill, after_cut)
    };
    let sample = Sample { points: 0..usize::MAX, share, mixed: 0.4, seeds: if long() { 2 } else { 1 } };
    let one = |folder: &Path, case: &Case<Allowed>| {
        check_with(Script::Records, folder, case.goes_on, |found| expected.judge(found, &case.allowed))
    };
    let checked = check_all(workplace.path(), one, |send| cases(&Tree::new(), &trace, &sample, watch, send));
    let checked = checked.passed();
    let (calls, operations) = (expected.calls(), trace.len());
    support::report(&format!(
        "{durability}: {checked} states after {operations} operations of {calls} calls"
    ));
    assert!(checked > 100 && calls > 30);
}

#[test]
fn what_was_acknowledged_to_typescript_survives_a_stop_at_every_point_with_durability_full() {
    stop_everywhere("full", 0.06);
}

#[test]
fn with_durability_normal_each_collection_loses_whole_calls_newest_first() {
    stop_everywhere("normal", 0.06);
}
