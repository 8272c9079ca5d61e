//! Proof that a database survives crashes, power cuts and failing disks.
//!
//! A [program](steps) works on a database under the shim of `ferrochrome-testing`, which records every operation on its files,
//! SQLite's among them, or makes one fail. The tests then put the folder into each state that a crash could have left it in and
//! [check] it against the [ledger]: what was acknowledged is there, and what was not is there whole or not at all.
#![forbid(unsafe_code)]

pub mod calls;
pub mod check;
pub mod faults;
pub mod ledger;
pub mod model;
pub mod scripts;
pub mod steps;
