//! Segments written and read through the public interface, whole and damaged.

mod arrow_readers;
mod damage;
mod round_trip;
mod samples;
mod stores;
