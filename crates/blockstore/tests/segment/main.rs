//! Segments written and read through the public interface, whole and damaged.
#![allow(clippy::unwrap_used, reason = "a failure of the set-up is a failure of the test")]

mod arrow_readers;
mod damage;
mod round_trip;
mod salvage;
mod samples;
mod stores;
