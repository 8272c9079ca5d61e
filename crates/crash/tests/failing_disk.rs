//! The program on a disk on which one operation fails, or everything from one operation on.
#![allow(clippy::unwrap_used, reason = "a test fails where a helper does")]

mod support;

use std::process::Stdio;

use ferrochrome_crash::scripts::Script;
use ferrochrome_testing::kinds;
use support::{Workplace, finish, long};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// Runs a script with the n-th operation of these kinds failing, for n = 1, 2, ... until it passes without a failure; in the short
/// form for fewer of them than every third. Several processes share the work: they mostly wait for each other's background work.
fn fail_each(script: Script, durability: &str, errno: i32, kinds: u32, how_long: &str, short_stride: u64) {
    let Some(workplace) = Workplace::new() else { return };
    let (processes, stride) = if long() { (8, 24) } else { (8, short_stride) };
    let running: Vec<_> = (0..processes)
        .map(|process| {
            let root = workplace.path().join(format!("process-{process}"));
            std::fs::create_dir(&root).unwrap();
            let mut program = workplace.program(&root, None);
            let first = 1 + process * stride / processes;
            program.args(["faults", script.name()]).arg(root.join("root")).args([
                durability,
                &errno.to_string(),
                &kinds.to_string(),
                how_long,
                &first.to_string(),
                &stride.to_string(),
            ]);
            program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut runs = 0;
    for process in running {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        runs += String::from_utf8_lossy(&output.stdout).trim().parse::<u64>().unwrap();
    }
    support::report(&format!(
        "{}, {durability}, error {errno}, kinds {kinds}, {how_long}: {runs} runs",
        script.name()
    ));
    assert!(runs > 8);
}

/// SQLite goes on reading where it cannot open for writing: that must not pass for an open database.
#[test]
fn one_opening_fails() {
    fail_each(Script::Records, "normal", EIO, kinds::OPEN, "once", 16);
}

#[test]
fn one_change_fails() {
    fail_each(Script::Records, "full", EIO, kinds::CHANGES, "once", 240);
}

#[test]
fn one_change_fails_with_durability_normal() {
    fail_each(Script::Records, "normal", EIO, kinds::CHANGES, "once", 240);
}

#[test]
fn one_sync_fails() {
    fail_each(Script::Records, "full", EIO, kinds::SYNC, "once", 80);
}

#[test]
fn one_read_fails() {
    fail_each(Script::Records, "normal", EIO, kinds::READ, "once", 240);
}

#[test]
fn the_disk_is_full_from_some_moment_on() {
    fail_each(
        Script::Records,
        "normal",
        ENOSPC,
        kinds::OPEN | kinds::WRITE | kinds::TRUNCATE | kinds::SHORT,
        "forever",
        240,
    );
}

#[test]
fn the_disk_is_gone_from_some_moment_on() {
    fail_each(Script::Records, "full", EIO, kinds::CHANGES, "forever", 240);
}

#[test]
fn one_change_to_forks_and_versions_fails() {
    fail_each(Script::Family, "full", EIO, kinds::CHANGES, "once", 480);
}

#[test]
fn the_disk_is_full_from_some_moment_on_among_forks_and_versions() {
    let space = kinds::OPEN | kinds::WRITE | kinds::TRUNCATE | kinds::SHORT;
    fail_each(Script::Family, "normal", ENOSPC, space, "forever", 480);
}

#[test]
fn one_change_fails_while_graphs_are_merged() {
    fail_each(Script::Graphs, "normal", EIO, kinds::CHANGES, "once", 480);
}

/// The target of a copy, and the database to be replaced, are as they were, or there is the whole copy.
#[test]
fn one_change_of_a_snapshot_or_a_restore_fails() {
    fail_each(Script::Copies, "full", EIO, kinds::CHANGES, "once", 64);
}

#[test]
fn the_disk_is_gone_from_some_change_of_a_name_on_in_a_snapshot_or_a_restore() {
    fail_each(Script::Copies, "full", EIO, kinds::NAMES, "forever", 16);
}

#[test]
fn the_wall_clock_jumps_back_and_forth() {
    let Some(workplace) = Workplace::new() else { return };
    let root = workplace.path().join("clocks");
    std::fs::create_dir(&root).unwrap();
    for script in [Script::Records, Script::Family] {
        let folder = root.join(script.name());
        finish(workplace.program(&root, None).args(["clocks", script.name()]).arg(folder).arg("normal"));
    }
}
