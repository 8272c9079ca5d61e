//! The program that is disturbed: a list of steps, each of which is one commit or none.
//!
//! A new operation of the engine is a new [`Step`], its effect on the [model](crate::model) in [`Step::apply`], its execution in
//! [`Program::run`], and a place in [`steps`].

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferrochrome_engine::{
    Collection, Database, DatabaseOptions, DeleteRequest, Durability, Handle, WriteBatch, WriteKind,
};
use ferrochrome_types::{CancelToken, Error, Result};

use crate::model::{
    DIM, State, TAGS, delete_collection, document_of, id_of, metadata_of, new_row, note, row_of, tag_is,
    vector_of,
};

/// Rows that start a seal: few, so that a short program sees many.
const SEAL_ROWS: usize = 10;
/// How long background work may take until the program goes on.
const SETTLING: Duration = Duration::from_secs(5);

/// One step. Collections go by name, records by number.
#[derive(Clone, Debug)]
pub enum Step {
    /// Creates a collection.
    Create(&'static str),
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
    /// Waits until the background has sealed the head and merged what has decayed.
    Settle(&'static str),
    /// Deletes a collection.
    DeleteCollection(&'static str),
    /// Closes the database and opens it again.
    Reopen,
}

/// The program: every kind of change, on rows in the head and in segments, with seals and merges in between.
pub fn steps() -> Vec<Step> {
    use Step::{Compact, Create, Delete, DeleteCollection, DeleteTag, Note, Rename, Reopen, Settle, Write};
    use WriteKind::{Add, Update, Upsert};
    vec![
        Create("a"),
        Write("a", Add, 0..4, 1),
        Write("a", Add, 4..8, 1),
        Write("a", Add, 8..14, 1),
        Settle("a"),
        Write("a", Upsert, 2..6, 2),
        Delete("a", 0..1),
        Create("b"),
        Write("b", Add, 0..6, 1),
        Note("a", 1),
        Write("a", Update, 5..9, 3),
        DeleteTag("a", 1),
        Compact("a"),
        Write("a", Add, 20..32, 1),
        Settle("a"),
        Rename("b", "c"),
        Reopen,
        Write("c", Upsert, 3..9, 2),
        Write("a", Add, 32..44, 1),
        Settle("a"),
        // Most of the two segments has died: the background writes them anew.
        Write("a", Upsert, 20..40, 4),
        Settle("a"),
        Compact("a"),
        DeleteCollection("c"),
        Create("b"),
        Write("b", Add, 0..3, 1),
        Reopen,
        Delete("a", 20..44),
        Compact("a"),
        Note("b", 2),
        Write("a", Add, 50..56, 1),
        Reopen,
        Compact("b"),
        Delete("b", 0..3),
        Compact("b"),
        DeleteCollection("a"),
    ]
}

/// A short program for a database that survived something: it goes on where [`steps`] may have stopped.
pub fn more_steps() -> Vec<Step> {
    use Step::{Compact, Create, Reopen, Write};
    vec![
        Create("more"),
        Write("more", WriteKind::Add, 0..12, 1),
        Compact("more"),
        Reopen,
        Write("more", WriteKind::Upsert, 5..7, 2),
    ]
}

impl Step {
    /// Whether the step makes sense in this state; after a failure, later steps may not.
    pub fn fits(&self, state: &State) -> bool {
        match self {
            Step::Reopen => true,
            Step::Create(name) => !state.contains_key(*name),
            Step::Rename(from, to) => state.contains_key(*from) && !state.contains_key(*to),
            Step::Write(name, ..)
            | Step::Delete(name, _)
            | Step::DeleteTag(name, _)
            | Step::Note(name, _)
            | Step::Compact(name)
            | Step::Settle(name)
            | Step::DeleteCollection(name) => state.contains_key(*name),
        }
    }

    /// What the step should do. It [fits](Self::fits).
    pub fn apply(&self, state: &mut State) {
        match self {
            Step::Create(name) => _ = state.entry((*name).to_owned()).or_default(),
            Step::Write(name, kind, numbers, version) => {
                let records = &mut state.entry((*name).to_owned()).or_default().records;
                for number in numbers.clone() {
                    let known = records.contains_key(&number);
                    let written = match kind {
                        WriteKind::Add => !known,
                        WriteKind::Update => known,
                        WriteKind::Upsert => true,
                    };
                    if written {
                        records.insert(number, *version);
                    }
                }
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
            Step::DeleteCollection(name) => _ = state.remove(*name),
            Step::Compact(_) | Step::Settle(_) | Step::Reopen => {}
        }
    }
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

/// Options for a database of the program.
pub fn options(durability: Durability) -> DatabaseOptions {
    let mut options = DatabaseOptions::default();
    options.durability = durability;
    options.seal_rows = SEAL_ROWS;
    options.threads = 1;
    options
}

/// A database at work.
#[derive(Debug)]
pub struct Program {
    folder: PathBuf,
    options: DatabaseOptions,
    handle: Option<Handle>,
}

impl Program {
    /// A program on this folder, which is opened by the first step.
    pub fn new(folder: PathBuf, options: DatabaseOptions) -> Self {
        Program { folder, options, handle: None }
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
        if let Step::Reopen = step {
            self.close()?;
        }
        let database = self.database()?;
        let open = |name: &str| database.collection(row_of(&database, name)?.id);
        match step {
            Step::Create(name) => database.create_collection(&new_row(name), false).map(|_| ()),
            Step::Write(name, kind, numbers, version) => {
                open(name)?.write(*kind, batch(numbers.clone(), *version))
            }
            Step::Delete(name, numbers) => {
                let ids = Some(numbers.clone().map(id_of).collect());
                open(name)?.delete(&DeleteRequest { ids, ..DeleteRequest::default() }).map(|_| ())
            }
            Step::DeleteTag(name, tag) => {
                let filter = Some(tag_is(*tag));
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
            Step::Settle(name) => settle(open(name)?.as_ref()),
            Step::DeleteCollection(name) => delete_collection(&database, name),
            Step::Reopen => Ok(()),
        }
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

fn settle(collection: &Collection) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < SETTLING {
        let stats = collection.stats()?;
        let decayed = stats.segments.iter().any(|segment| segment.tombstones * 5 > u64::from(segment.rows));
        if stats.head_records < SEAL_ROWS as u64 && !decayed {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
