//! The program on a disk on which one operation fails, or everything from one operation on.
#![allow(clippy::unwrap_used, reason = "a test fails where a helper does")]

mod support;

use std::process::Stdio;

use ferrochrome_testing::kinds;
use support::{Workplace, finish, long};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// Runs the program with the n-th operation of these kinds failing, for n = 1, 2, ... until it passes without a failure; in the
/// short form for some of them. Several processes share the work: they mostly wait for each other's background work.
fn fail_each(durability: &str, errno: i32, kinds: u32, how_long: &str, short_stride: u64) {
    let Some(workplace) = Workplace::new() else { return };
    let (processes, stride) = if long() { (8, 8) } else { (8, short_stride) };
    let running: Vec<_> = (0..processes)
        .map(|process| {
            let root = workplace.path().join(format!("process-{process}"));
            std::fs::create_dir(&root).unwrap();
            let mut program = workplace.program(&root, None);
            let first = 1 + process * stride / processes;
            program.args(["faults"]).arg(root.join("db")).args([
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
    support::report(&format!("{durability}, error {errno}, kinds {kinds}, {how_long}: {runs} runs"));
    assert!(runs > 8);
}

/// SQLite goes on reading where it cannot open for writing: that must not pass for an open database.
#[test]
fn one_opening_fails() {
    fail_each("normal", EIO, kinds::OPEN, "once", 16);
}

#[test]
fn one_change_fails() {
    fail_each("full", EIO, kinds::CHANGES, "once", 240);
}

#[test]
fn one_change_fails_with_durability_normal() {
    fail_each("normal", EIO, kinds::CHANGES, "once", 240);
}

#[test]
fn one_sync_fails() {
    fail_each("full", EIO, kinds::SYNC, "once", 80);
}

#[test]
fn one_read_fails() {
    fail_each("normal", EIO, kinds::READ, "once", 240);
}

#[test]
fn the_disk_is_full_from_some_moment_on() {
    fail_each("normal", ENOSPC, kinds::OPEN | kinds::WRITE | kinds::TRUNCATE | kinds::SHORT, "forever", 240);
}

#[test]
fn the_disk_is_gone_from_some_moment_on() {
    fail_each("full", EIO, kinds::CHANGES, "forever", 240);
}

#[test]
fn the_wall_clock_jumps_back_and_forth() {
    let Some(workplace) = Workplace::new() else { return };
    let root = workplace.path().join("clocks");
    std::fs::create_dir(&root).unwrap();
    finish(workplace.program(&root, None).arg("clocks").arg(root.join("db")).arg("normal"));
}
