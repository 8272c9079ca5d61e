//! The program that is disturbed: a list of steps, each of which is one commit or none.
//!
//! A new operation of the engine is a new [`Step`], its effect on the [model](crate::model) in [`Step::apply`], its execution in
//! [`Program::run`], and a place in a [script](crate::scripts).

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferrochrome_engine::{
    Collection, CollectionStats, CompactOptions, Database, DatabaseOptions, DeleteRequest, Durability,
    Handle, WriteBatch, WriteKind, restore,
};
use ferrochrome_types::{CancelToken, Error, Result};

use crate::model::{
    CollectionState, DIM, Records, State, TAGS, count_forks, delete_collection, document_of, id_of, keeping,
    metadata_of, new_row, note, row_of, tag_is, vector_of, version_of,
};
use crate::scripts::{SEAL_ROWS, Script};

/// How long background work may take until the program goes on.
const SETTLING: Duration = Duration::from_secs(5);

/// One step. Collections go by name, records by number.
#[derive(Clone, Debug)]
pub enum Step {
    /// Creates a collection.
    Create(&'static str),
    /// Creates a collection that keeps its newest version by itself.
    CreateKeeping(&'static str),
    /// Adds, updates or upserts records in this version.
    Write(&'static str, WriteKind, Range<u32>, u32),
    /// Deletes records.
    Delete(&'static str, Range<u32>),
    /// Deletes the records with a tag.
    DeleteTag(&'static str, u32),
    /// Renames a collection.
    Rename(&'static str, &'static str),
    /// Gives a collection a note.
    Note(&'static str, i64),
    /// Seals and merges everything.
    Compact(&'static str),
    /// The same with every segment written anew, and nothing of what was deleted left.
    SecureCompact(&'static str),
    /// Waits until the background has sealed the head and merged what has decayed.
    Settle(&'static str),
    /// Waits until the background, without writes, has merged all segments.
    Idle(&'static str),
    /// Forks a collection under a new name.
    Fork(&'static str, &'static str),
    /// Forks the version with a label under a new name.
    ForkVersion(&'static str, &'static str, &'static str),
    /// Keeps the present state as a version with this label.
    Version(&'static str, &'static str),
    /// Deletes the version with a label.
    DeleteVersion(&'static str, &'static str),
    /// Copies the database into a folder beside it.
    Snapshot(&'static str),
    /// Makes a database in a second folder beside it of the snapshot in the first.
    Restore(&'static str, &'static str),
    /// Closes the database and puts the snapshot in a folder beside it in its place.
    Replace(&'static str),
    /// Deletes a collection.
    DeleteCollection(&'static str),
    /// Closes the database and opens it again.
    Reopen,
}

impl Step {
    /// Whether the step makes sense in this state; after a failure, later steps may not.
    pub fn fits(&self, state: &State) -> bool {
        match self {
            Step::Reopen => true,
            Step::Create(name) | Step::CreateKeeping(name) => !state.contains_key(*name),
            Step::Rename(from, to) | Step::Fork(from, to) => {
                state.contains_key(*from) && !state.contains_key(*to)
            }
            Step::ForkVersion(from, label, to) => {
                version_in(state, from, label).is_some() && !state.contains_key(*to)
            }
            // Without a write since the last version this would only give that one another label.
            Step::Version(name, _) => {
                state.get(*name).is_some_and(|c| c.versions.values().all(|version| *version != c.records))
            }
            Step::DeleteVersion(name, label) => version_in(state, name, label).is_some(),
            Step::Snapshot(to) | Step::Restore(_, to) => copied(state, to).next().is_none(),
            Step::Replace(from) => copied(state, from).next().is_some(),
            Step::Write(name, ..)
            | Step::Delete(name, _)
            | Step::DeleteTag(name, _)
            | Step::Note(name, _)
            | Step::Compact(name)
            | Step::SecureCompact(name)
            | Step::Settle(name)
            | Step::Idle(name)
            | Step::DeleteCollection(name) => state.contains_key(*name),
        }
    }

    /// What the step should do. It [fits](Self::fits).
    pub fn apply(&self, state: &mut State) {
        match self {
            Step::Create(name) | Step::CreateKeeping(name) => {
                _ = state.entry((*name).to_owned()).or_default()
            }
            Step::Write(name, kind, numbers, version) => {
                let records = &mut state.entry((*name).to_owned()).or_default().records;
                write_records(records, *kind, numbers.clone(), *version);
            }
            Step::Delete(name, numbers) => {
                let records = &mut state.entry((*name).to_owned()).or_default().records;
                records.retain(|number, _| !numbers.contains(number));
            }
            Step::DeleteTag(name, tag) => {
                let records = &mut state.entry((*name).to_owned()).or_default().records;
                records.retain(|number, _| number % TAGS != *tag);
            }
            Step::Rename(from, to) => {
                let collection = state.remove(*from).unwrap_or_default();
                state.insert((*to).to_owned(), collection);
            }
            Step::Note(name, value) => {
                state.entry((*name).to_owned()).or_default().note = Some(*value);
            }
            Step::DeleteCollection(name) => {
                state.remove(*name);
                count_forks(state);
            }
            Step::Fork(from, to) => {
                let records = state.get(*from).map(|source| source.records.clone());
                fork(state, from, to, records.unwrap_or_default());
            }
            Step::ForkVersion(from, label, to) => {
                let records = version_in(state, from, label).cloned();
                fork(state, from, to, records.unwrap_or_default());
            }
            Step::Version(name, label) => {
                let collection = state.entry((*name).to_owned()).or_default();
                collection.versions.insert((*label).to_owned(), collection.records.clone());
            }
            Step::DeleteVersion(name, label) => {
                state.entry((*name).to_owned()).or_default().versions.remove(*label);
            }
            Step::Snapshot(to) => {
                let copies = state.clone().into_iter().filter(|(name, _)| !name.contains('/'));
                state.extend(copies.map(|(name, collection)| (format!("{to}/{name}"), collection)));
            }
            Step::Restore(from, to) => {
                let copies: Vec<_> = copied(state, from).collect();
                state.extend(copies.into_iter().map(|(name, c)| (format!("{to}/{name}"), c)));
            }
            Step::Replace(from) => {
                let copies: Vec<_> = copied(state, from).collect();
                state.retain(|name, _| name.contains('/'));
                state.extend(copies);
            }
            Step::Compact(_) | Step::SecureCompact(_) | Step::Settle(_) | Step::Idle(_) | Step::Reopen => {}
        }
    }

    /// Whether the step only waits for background work.
    pub fn waits(&self) -> bool {
        matches!(self, Step::Settle(_) | Step::Idle(_))
    }

    /// Whether the step copies a whole database.
    pub fn copies(&self) -> bool {
        matches!(self, Step::Snapshot(_) | Step::Restore(..) | Step::Replace(_))
    }
}

/// What a write does to the records of a collection.
pub fn write_records(records: &mut Records, kind: WriteKind, numbers: Range<u32>, version: u32) {
    for number in numbers {
        let known = records.contains_key(&number);
        let written = match kind {
            WriteKind::Add => !known,
            WriteKind::Update => known,
            WriteKind::Upsert => true,
        };
        if written {
            records.insert(number, version);
        }
    }
}

fn version_in<'a>(state: &'a State, name: &str, label: &str) -> Option<&'a Records> {
    state.get(name).and_then(|collection| collection.versions.get(label))
}

/// The collections in the database of this folder.
fn copied<'a>(state: &'a State, folder: &'a str) -> impl Iterator<Item = (String, CollectionState)> + 'a {
    let inside = move |(path, collection): (&String, &CollectionState)| {
        let (there, name) = path.split_once('/')?;
        (there == folder).then(|| (name.to_owned(), collection.clone()))
    };
    state.iter().filter_map(inside)
}

fn fork(state: &mut State, from: &str, to: &str, records: Records) {
    let source = state.entry(from.to_owned()).or_default();
    let family = source.lineage.family.get_or_insert_with(|| format!("{from} and {to}")).clone();
    let mut fork = CollectionState { note: source.note, records, ..CollectionState::default() };
    fork.lineage.family = Some(family);
    fork.lineage.is_fork = true;
    state.insert(to.to_owned(), fork);
    count_forks(state);
}

/// The states between the steps of a program that starts with `first`: as many as steps, and one.
pub fn states(first: &State, steps: &[Step]) -> Vec<State> {
    let mut states = vec![first.clone()];
    for step in steps {
        let mut state = states.last().cloned().unwrap_or_default();
        step.apply(&mut state);
        states.push(state);
    }
    states
}

/// A database at work.
#[derive(Debug)]
pub struct Program {
    folder: PathBuf,
    options: DatabaseOptions,
    handle: Option<Handle>,
}

impl Program {
    /// A program that works below this folder, whose database is opened by the first step.
    pub fn new(script: Script, root: &Path, durability: Durability) -> Self {
        Program { folder: script.database(root), options: script.options(durability), handle: None }
    }

    /// The database, opened if it is not.
    ///
    /// # Errors
    /// Of the opening.
    pub fn database(&mut self) -> Result<Arc<Database>> {
        if self.handle.is_none() {
            self.handle = Some(Database::open(Some(&self.folder), self.options.clone())?);
        }
        match &self.handle {
            Some(handle) => handle.database().cloned(),
            None => Err(Error::internal("the database was opened and is not open")),
        }
    }

    /// Whether the database is open.
    pub fn is_open(&self) -> bool {
        self.handle.is_some()
    }

    /// Closes the database. It is closed even where this fails.
    ///
    /// # Errors
    /// Of the closing.
    pub fn close(&mut self) -> Result<()> {
        self.handle.take().map_or(Ok(()), |handle| handle.close())
    }

    /// Takes a step.
    ///
    /// # Errors
    /// Of the engine.
    pub fn run(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Reopen => self.close()?,
            Step::Restore(from, to) => {
                return restore(&self.beside(from), &self.beside(to), false)?.finish().map(|_| ());
            }
            Step::Replace(from) => {
                self.close()?;
                return restore(&self.beside(from), &self.folder, true)?.finish().map(|_| ());
            }
            _ => {}
        }
        let database = self.database()?;
        let open = |name: &str| database.collection(row_of(&database, name)?.id);
        match step {
            Step::Create(name) => database.create_collection(&new_row(name), false).map(|_| ()),
            Step::CreateKeeping(name) => database.create_collection(&keeping(name), false).map(|_| ()),
            Step::Write(name, kind, numbers, version) => {
                open(name)?.write(*kind, batch(numbers.clone(), *version))
            }
            Step::Delete(name, numbers) => {
                let ids = Some(numbers.clone().map(id_of).collect());
                open(name)?.delete(&DeleteRequest { ids, ..DeleteRequest::default() }).map(|_| ())
            }
            Step::DeleteTag(name, tag) => {
                let filter = Some(tag_is(*tag).into());
                open(name)?.delete(&DeleteRequest { filter, ..DeleteRequest::default() }).map(|_| ())
            }
            Step::Rename(from, to) => {
                database.update_collection(row_of(&database, from)?.id, Some(to), None, None)
            }
            Step::Note(name, value) => {
                let note = note(*value);
                database.update_collection(row_of(&database, name)?.id, None, Some(Some(&note)), None)
            }
            Step::Compact(name) => open(name)?.compact(&CancelToken::default()),
            Step::SecureCompact(name) => {
                open(name)?.compact_with(&CompactOptions { secure: true, ..CompactOptions::default() })
            }
            Step::Settle(name) => wait_until(&*open(name)?, |stats| {
                let decayed = stats.segments.iter().any(|one| one.tombstones * 5 > u64::from(one.rows));
                stats.head_records < SEAL_ROWS as u64 && !decayed
            }),
            Step::Idle(name) => {
                wait_until(&*open(name)?, |stats| stats.head_records == 0 && stats.segments.len() <= 1)
            }
            Step::DeleteCollection(name) => delete_collection(&database, name),
            Step::Fork(from, to) => {
                database.fork_collection(row_of(&database, from)?.id, None, to).map(|_| ())
            }
            Step::ForkVersion(from, label, to) => {
                let (collection, version) = version_of(&database, from, label)?;
                database.fork_collection(collection, Some(version), to).map(|_| ())
            }
            Step::Version(name, label) => open(name)?.create_version(Some((*label).to_owned())).map(|_| ()),
            Step::DeleteVersion(name, label) => {
                let (collection, version) = version_of(&database, name, label)?;
                database.delete_version(collection, version)
            }
            Step::Snapshot(to) => database.copy_to(&self.beside(to))?.finish().map(|_| ()),
            Step::Reopen | Step::Restore(..) | Step::Replace(_) => Ok(()),
        }
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.folder.with_file_name(name)
    }
}

/// Records in this version, as one batch.
pub fn batch(numbers: Range<u32>, version: u32) -> WriteBatch {
    WriteBatch {
        ids: numbers.clone().map(id_of).collect(),
        embeddings: Some(numbers.clone().flat_map(|number| vector_of(number, version)).collect()),
        dim: DIM,
        documents: Some(numbers.clone().map(|number| Some(document_of(number, version))).collect()),
        metadatas: Some(numbers.map(|number| Some(metadata_of(number, version))).collect()),
        ..WriteBatch::default()
    }
}

/// Waits for background work. If it does not come, it goes on without: it may happen at any later moment, too.
fn wait_until(collection: &Collection, done: impl Fn(&CollectionStats) -> bool) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < SETTLING && !done(&collection.stats()?) {
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
