//! Calls of a program in TypeScript, several of which are under way at once, as it tells the shim of them.
//!
//! Each collection has a ledger of its own: its calls are done in the order in which they were made. What a fork takes over is what
//! its source had been asked for before.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;

use ferrochrome_engine::WriteKind;
use ferrochrome_testing::{Disk, Operation};
use serde::Deserialize;

use crate::ledger::Ledger;
use crate::model::{CollectionState, State};
use crate::steps::write_records;

/// What a mark for a call that is made begins with; the rest is a [`Call`] as JSON.
const STARTED: &str = "started ";
/// What a mark for one that was acknowledged begins with; the rest is the collection's name.
const ACKNOWLEDGED: &str = "acknowledged ";

/// A call on a collection.
#[derive(Clone, Debug, Deserialize)]
struct Call {
    collection: String,
    #[serde(flatten)]
    does: Does,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "call", rename_all = "lowercase")]
enum Does {
    Create,
    Write { kind: Kind, from: u32, to: u32, version: u32 },
    Delete { from: u32, to: u32 },
    Fork { of: String },
    Version { label: String },
    Drop,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Add,
    Update,
    Upsert,
}

impl From<Kind> for WriteKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Add => WriteKind::Add,
            Kind::Update => WriteKind::Update,
            Kind::Upsert => WriteKind::Upsert,
        }
    }
}

/// What each collection may have become: numbers of its states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed(BTreeMap<String, RangeInclusive<usize>>);

impl Hash for Allowed {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.iter().for_each(|(name, range)| (name, range.start(), range.end()).hash(hasher));
    }
}

/// A collection, from before it was created.
#[derive(Debug)]
struct Life {
    /// After each of its calls; `None` while there is no such collection.
    states: Vec<Option<CollectionState>>,
    ledger: Ledger,
    /// What it is a fork of.
    of: Option<String>,
}

/// All collections of a program.
#[derive(Debug)]
pub struct Lives(BTreeMap<String, Life>);

impl Lives {
    /// Reads the calls in a trace, of a program whose log lies at this path.
    ///
    /// # Errors
    /// A mark that is no call.
    pub fn read(trace: &[Operation], log: &str) -> Result<Self, String> {
        let mut lives = Lives(BTreeMap::new());
        for operation in trace {
            let Operation::Mark(text) = operation else { continue };
            let Some(json) = text.strip_prefix(STARTED) else { continue };
            let call: Call = serde_json::from_str(json).map_err(|e| format!("{json}: {e}"))?;
            lives.take(call, log)?;
        }
        Ok(lives)
    }

    fn take(&mut self, call: Call, log: &str) -> Result<(), String> {
        let latest = |lives: &Self, name: &str| {
            let life = lives.0.get(name).ok_or_else(|| format!("there is no {name}"))?;
            life.states.last().cloned().flatten().ok_or_else(|| format!("{name} is gone"))
        };
        let mut of = None;
        let after = match call.does {
            Does::Create => Some(CollectionState::default()),
            Does::Fork { of: source } => {
                let records = latest(self, &source)?.records;
                of = Some(source);
                Some(CollectionState { records, ..CollectionState::default() })
            }
            Does::Drop => None,
            Does::Write { kind, from, to, version } => {
                let mut state = latest(self, &call.collection)?;
                write_records(&mut state.records, kind.into(), from..to, version);
                Some(state)
            }
            Does::Delete { from, to } => {
                let mut state = latest(self, &call.collection)?;
                state.records.retain(|number, _| !(from..to).contains(number));
                Some(state)
            }
            Does::Version { label } => {
                let mut state = latest(self, &call.collection)?;
                state.versions.insert(label, state.records.clone());
                Some(state)
            }
        };
        let new = || Life { states: vec![None], ledger: Ledger::new(log), of };
        self.0.entry(call.collection).or_insert_with(new).states.push(after);
        Ok(())
    }

    /// Number of calls.
    pub fn calls(&self) -> usize {
        self.0.values().map(|life| life.states.len() - 1).sum()
    }

    /// Takes notice of an operation that was applied to `disk`.
    ///
    /// # Errors
    /// An acknowledgement of what was not asked for.
    pub fn observe(&mut self, operation: &Operation, disk: &Disk) -> Result<(), String> {
        if let Operation::Mark(text) = operation {
            let name = match (text.strip_prefix(STARTED), text.strip_prefix(ACKNOWLEDGED)) {
                (Some(json), _) => {
                    serde_json::from_str::<Call>(json).map_err(|e| format!("{json}: {e}"))?.collection
                }
                (_, Some(name)) => name.to_owned(),
                _ => return Err(format!("{text:?} is no mark of a call")),
            };
            let life = self.0.get_mut(&name).ok_or_else(|| format!("{name} was never asked for"))?;
            if text.starts_with(STARTED) {
                life.ledger.start();
            } else {
                life.ledger.acknowledge();
            }
        }
        self.0.values_mut().for_each(|life| life.ledger.observe(operation, disk));
        Ok(())
    }

    /// What may be found after the process died.
    pub fn after_kill(&self) -> Allowed {
        self.each(Ledger::after_kill)
    }

    /// What may be found after a power cut with durability `normal`.
    pub fn after_power_cut(&self) -> Allowed {
        self.each(Ledger::after_power_cut)
    }

    fn each(&self, of: impl Fn(&Ledger) -> RangeInclusive<usize>) -> Allowed {
        Allowed(self.0.iter().map(|(name, life)| (name.clone(), of(&life.ledger))).collect())
    }

    /// Compares what was found with what is allowed.
    ///
    /// # Errors
    /// What is wrong.
    pub fn judge(&self, found: &State, allowed: &Allowed) -> Result<(), String> {
        if let Some(stranger) = found.keys().find(|name| !self.0.contains_key(*name)) {
            return Err(format!("nobody made the collection {stranger}"));
        }
        for (name, life) in &self.0 {
            let mut collection = found.get(name).cloned();
            if let Some(collection) = &mut collection {
                let forks = self.forks_of(self.first_of(name), found);
                if collection.forks != forks {
                    return Err(format!("{name} counts {} forks of {forks}", collection.forks));
                }
                collection.forks = 0;
            }
            let range = allowed.0.get(name).cloned().unwrap_or(0..=0);
            if !life.states[range.clone()].contains(&collection) {
                let at: Vec<_> = (0..life.states.len()).filter(|at| life.states[*at] == collection).collect();
                return Err(format!("{name} is in state {at:?}, allowed are {range:?}: {collection:?}"));
            }
        }
        Ok(())
    }

    /// The collection that came first in the family of this one.
    fn first_of<'a>(&'a self, name: &'a str) -> &'a str {
        self.0.get(name).and_then(|life| life.of.as_deref()).map_or(name, |of| self.first_of(of))
    }

    fn forks_of(&self, first: &str, found: &State) -> u64 {
        found.keys().filter(|name| *name != first && self.first_of(name) == first).count() as u64
    }
}
