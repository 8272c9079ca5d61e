//! What a program promised up to each point of its trace.

use std::ops::RangeInclusive;

use ferrochrome_testing::{Disk, Operation};

/// Counts the steps of a program while its trace is replayed. States are numbered by the steps that they contain.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Path of the log.
    log: String,
    started: usize,
    acknowledged: usize,
    /// Acknowledged when the log was last synced.
    synced: usize,
    /// Acknowledged, and synced in a log that would be found.
    durable: usize,
    /// Whether the log could not be synced once: of what durability `normal` had acknowledged by then nothing is certain.
    doubtful: bool,
}

/// What a program writes before it takes a step.
pub const STARTED: &str = "started";
/// What a program writes once a step was acknowledged.
pub const ACKNOWLEDGED: &str = "acknowledged";

impl Ledger {
    /// A ledger that is empty, for a database with its log at this path.
    pub fn new(log: &str) -> Self {
        Ledger { log: log.to_owned(), started: 0, acknowledged: 0, synced: 0, durable: 0, doubtful: false }
    }

    /// Takes notice that a step was begun.
    pub fn start(&mut self) {
        self.started += 1;
    }

    /// Takes notice that the oldest step under way was acknowledged.
    pub fn acknowledge(&mut self) {
        self.acknowledged += 1;
    }

    /// Takes notice of an operation that was applied to `disk`.
    pub fn observe(&mut self, operation: &Operation, disk: &Disk) {
        match operation {
            Operation::Mark(text) if text == STARTED => self.start(),
            Operation::Mark(text) if text == ACKNOWLEDGED => self.acknowledge(),
            Operation::Sync(fd) => {
                if !self.doubtful && disk.path_of(*fd) == self.log {
                    self.synced = self.acknowledged;
                }
                if disk.is_name_durable(&self.log) {
                    self.durable = self.synced;
                }
            }
            Operation::SyncFailed(fd) if disk.path_of(*fd) == self.log => self.doubtful = true,
            _ => {}
        }
    }

    /// The states that may be found after the process died, or after a power cut with durability `full`: all that was
    /// acknowledged, and perhaps what was under way.
    pub fn after_kill(&self) -> RangeInclusive<usize> {
        self.acknowledged..=self.started
    }

    /// The states that may be found after a power cut with durability `normal`: the newest commits may be missing, but none that
    /// was there when the log was last synced.
    pub fn after_power_cut(&self) -> RangeInclusive<usize> {
        self.durable..=self.started
    }
}
