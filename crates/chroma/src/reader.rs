//! Records of a collection, put together from SQLite, the index and the queue.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use ferrochrome_metadata::{
    ChromaCollection, ChromaDatabase, ChromaRecord, ChromaSqlite, Operation, Problem, ProblemKind,
    QueueEntry, RecordKey, RecordPatch,
};
use ferrochrome_types::{Code, Error, Result, limits};

use crate::hnsw_folder::{self, Elements, HnswFolder};
use crate::vector_places::{self, Place, Places};

/// Bytes of vectors and texts after which a batch ends.
const BATCH_BYTES: usize = 16 << 20;
/// Problems of one collection that are listed one by one; the others are counted.
const LISTED_PROBLEMS: usize = 1_000;
/// How far the queue's vector may be from the index's, relative to its length, to be the same before it was normalised.
const SAME_VECTOR: f32 = 1e-5;

/// An open Chroma directory.
#[derive(Debug)]
pub struct ChromaSource {
    folder: PathBuf,
    sqlite: ChromaSqlite,
}

/// What has been read of a collection, and what is to come.
#[derive(Debug)]
pub struct CollectionReader {
    keys: Vec<ReaderKey>,
    next: usize,
    places: Places,
    index: Option<HnswFolder>,
    /// Changes that SQLite's tables do not contain yet.
    patches: Patches,
    dim: Option<usize>,
    listed: usize,
    /// Found while the reader was made; they belong to the first batch.
    problems: Vec<Problem>,
}

/// Changes by the user's id, in order.
type Patches = HashMap<String, Vec<RecordPatch>>;

/// A record: its id, and its row if SQLite's tables have it.
#[derive(Debug)]
struct ReaderKey {
    id: String,
    row: Option<i64>,
}

/// Some records in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The users' ids.
    pub ids: Vec<String>,
    /// What belongs to them.
    pub records: Vec<ChromaRecord>,
    /// Their vectors, row-major `[ids.len(), dim]`.
    pub vectors: Vec<f32>,
    /// Components of each vector.
    pub dim: usize,
    /// Records of the source that these stand for: those that are left out included.
    pub read: u64,
    /// What was wrong, up to a number for the whole collection.
    pub problems: Vec<Problem>,
    /// How often what was wrong, the problems that are not listed included.
    pub counts: BTreeMap<&'static str, u64>,
    /// Whether there are no further records.
    pub done: bool,
}

impl ChromaSource {
    /// Opens a directory.
    ///
    /// # Errors
    /// `InvalidArgument` where it is no directory of Chroma 0.4 or later; `Corrupted`, `Io`, `Locked`.
    pub fn open(folder: &Path) -> Result<Self> {
        Ok(ChromaSource { folder: folder.to_owned(), sqlite: ChromaSqlite::open(folder)? })
    }

    /// The tenants.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn tenants(&self) -> Result<Vec<String>> {
        self.sqlite.tenants()
    }

    /// The databases of all tenants.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn databases(&self) -> Result<Vec<ChromaDatabase>> {
        self.sqlite.databases()
    }

    /// The collections of all databases.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn collections(&self) -> Result<Vec<ChromaCollection>> {
        self.sqlite.collections()
    }

    /// Reads the pickle of a collection for nothing but whether it is refused. Damage is found, and reported, by [`reader`](Self::reader).
    ///
    /// # Errors
    /// `Untrusted`.
    pub fn check_pickle(&self, collection: &ChromaCollection) -> Result<()> {
        match self.segment_folder(collection).map(|folder| hnsw_folder::read_pickle(&folder)) {
            Some(Err(error)) if error.code() == Code::Untrusted => Err(error),
            _ => Ok(()),
        }
    }

    fn segment_folder(&self, collection: &ChromaCollection) -> Option<PathBuf> {
        collection.vector_segment.map(|segment| self.folder.join(segment.to_string()))
    }

    /// Prepares to read the records of a collection: takes memory for their ids, not for more.
    ///
    /// # Arguments
    /// `cosine` says that the collection's space is cosine, whose vectors Chroma stores normalised.
    ///
    /// # Errors
    /// `Corrupted` where the collection cannot be read at all, `Untrusted`, `Io`.
    pub fn reader(&mut self, collection: &ChromaCollection, cosine: bool) -> Result<CollectionReader> {
        let mut problems = Vec::new();
        let segment = collection.metadata_segment.as_deref().ok_or_else(|| {
            Error::corrupted(
                self.folder.display(),
                format!("collection `{}` has no metadata segment", collection.name),
            )
        })?;
        let keys = self.sqlite.record_keys(segment, &mut problems)?;
        let (queue, unknown) = self.sqlite.queue(collection.id)?;
        if unknown > 0 {
            let message = format!("{unknown} writes in the queue have an unknown operation or no id");
            problems.push(Problem::of_collection(ProblemKind::UnreadableWrite, message));
        }
        let (index, places) = self.vectors(collection, cosine, &queue, &mut problems)?;
        let written = self.sqlite.max_seq_id(segment)?.unwrap_or(-1);
        let later = queue.iter().filter(|entry| entry.seq > written);
        let (keys, patches) = self.after_writes(keys, later, &mut problems)?;
        let dim = collection.dimension.map(|dim| dim as usize).or(index.as_ref().map(HnswFolder::dim));
        Ok(CollectionReader { keys, next: 0, places, index, patches, dim, listed: 0, problems })
    }

    /// Where the vectors are, and the index that holds some of them.
    fn vectors(
        &self,
        collection: &ChromaCollection,
        cosine: bool,
        queue: &[QueueEntry],
        problems: &mut Vec<Problem>,
    ) -> Result<(Option<HnswFolder>, Places)> {
        let floor = match collection.vector_segment {
            Some(segment) => self.sqlite.max_seq_id(&segment.to_string())?,
            None => None,
        };
        let opened = match self.segment_folder(collection) {
            Some(folder) => HnswFolder::open(&folder, cosine, problems),
            None => Ok(None),
        };
        let missing = match opened {
            Ok(Some((index, elements))) => {
                let floor = floor.or(index.max_seq_id()).unwrap_or(-1);
                let mut places = vector_places::with_index(elements, queue, floor, cosine);
                if self.sqlite.keeps_history() {
                    vector_places::find_lost(&mut places, queue);
                }
                return Ok((Some(index), places));
            }
            Ok(None) if floor.is_none() || collection.records == 0 => {
                return Ok((None, vector_places::with_index(Elements::new(), queue, -1, false)));
            }
            Ok(None) => "its files are missing".to_owned(),
            Err(error) if error.code() == Code::Untrusted => return Err(error),
            Err(error) => error.to_string(),
        };
        let places = if self.sqlite.keeps_history() {
            vector_places::of_history(queue)
        } else {
            let segment = collection.metadata_segment.as_deref().unwrap_or_default();
            vector_places::without_index(queue, |entry| {
                self.sqlite.last_write(segment, &entry.id) == Some(entry.seq)
            })
        };
        let message = format!(
            "the vector index cannot be read, {} vectors were found in the queue: {missing}",
            places.len()
        );
        problems.push(Problem::of_collection(ProblemKind::UnreadableIndex, message));
        Ok((None, places))
    }

    /// The records after writes that SQLite's tables do not contain yet, as a crash leaves them.
    fn after_writes<'a>(
        &self,
        keys: Vec<RecordKey>,
        writes: impl Iterator<Item = &'a QueueEntry>,
        problems: &mut Vec<Problem>,
    ) -> Result<(Vec<ReaderKey>, Patches)> {
        let mut writes = writes.peekable();
        let mut records: Vec<Option<ReaderKey>> =
            keys.into_iter().map(|RecordKey { row, id }| Some(ReaderKey { id, row: Some(row) })).collect();
        let mut patches = Patches::new();
        if writes.peek().is_some() {
            let ids = records.iter().enumerate().filter_map(|(at, key)| Some((key.as_ref()?.id.clone(), at)));
            let mut places: HashMap<String, usize> = ids.collect();
            for entry in writes {
                let known = places.contains_key(&entry.id);
                match entry.operation {
                    Operation::Delete => {
                        patches.remove(&entry.id);
                        if let Some(at) = places.remove(&entry.id) {
                            records[at] = None;
                        }
                        continue;
                    }
                    Operation::Add if known => continue,
                    Operation::Update if !known => continue,
                    _ => {}
                }
                if !known {
                    places.insert(entry.id.clone(), records.len());
                    records.push(Some(ReaderKey { id: entry.id.clone(), row: None }));
                }
                let patch = self.sqlite.queue_patch(entry, problems)?;
                patches.entry(entry.id.clone()).or_default().push(patch);
            }
        }
        Ok((records.into_iter().flatten().collect(), patches))
    }

    /// The next records, `limit` at most. Memory is bounded: large records make smaller batches.
    ///
    /// # Errors
    /// `Io`, and others where not even a part can be read.
    pub fn next_batch(&self, reader: &mut CollectionReader, limit: usize) -> Result<Batch> {
        let mut batch = Batch::default();
        let mut problems = std::mem::take(&mut reader.problems);
        let mut bytes = 0;
        while batch.read < limit as u64 && bytes < BATCH_BYTES && reader.next < reader.keys.len() {
            let id = std::mem::take(&mut reader.keys[reader.next].id);
            let row = reader.keys[reader.next].row;
            reader.next += 1;
            batch.read += 1;
            let key = RecordKey { id, row: row.unwrap_or(-1) };
            let Some(vector) = self.vector(reader, &key.id, &mut problems)? else { continue };
            let Some(record) = self.record(reader, &key, row.is_some(), &mut problems)? else { continue };
            bytes += key.id.len() + record.bytes() + 4 * vector.len();
            batch.dim = vector.len();
            batch.vectors.extend_from_slice(&vector);
            batch.ids.push(key.id);
            batch.records.push(record);
        }
        batch.done = reader.next == reader.keys.len();
        if batch.done {
            for (id, _) in reader.places.drain().filter(|(_, place)| *place != Place::Lost) {
                problems.push(Problem::of_record(
                    ProblemKind::MissingRecord,
                    &id,
                    "there is a vector, but no record of this id",
                ));
            }
        }
        for problem in problems {
            *batch.counts.entry(problem.kind.as_str()).or_default() += 1;
            if reader.listed < LISTED_PROBLEMS {
                reader.listed += 1;
                batch.problems.push(problem);
            }
        }
        Ok(batch)
    }

    /// The vector of a record, or a problem.
    fn vector(
        &self,
        reader: &mut CollectionReader,
        id: &str,
        problems: &mut Vec<Problem>,
    ) -> Result<Option<Vec<f32>>> {
        let mut problem = |kind, message: String| {
            problems.push(Problem::of_record(kind, id, message));
            Ok(None)
        };
        let Some(place) = reader.places.remove(id).filter(|place| *place != Place::Lost) else {
            return problem(
                ProblemKind::MissingVector,
                "its vector is neither in the index nor in the queue; the record is left out".into(),
            );
        };
        let found = match self.vector_at(reader, place) {
            Err(error) if matches!(error.code(), Code::Corrupted | Code::Io) => {
                return problem(ProblemKind::InvalidVector, format!("the record is left out: {error}"));
            }
            found => found?,
        };
        let Some(vector) = found else {
            return problem(
                ProblemKind::InvalidVector,
                "its vector in the queue has no known encoding; the record is left out".into(),
            );
        };
        if vector.iter().any(|component| !component.is_finite()) {
            return problem(
                ProblemKind::InvalidVector,
                "its vector holds a number that is not finite; the record is left out".into(),
            );
        }
        let dim = *reader.dim.get_or_insert(vector.len());
        if vector.len() != dim || dim == 0 || dim > limits::MAX_DIMENSION {
            return problem(
                ProblemKind::InvalidVector,
                format!(
                    "its vector has {} components in a collection of {dim}; the record is left out",
                    vector.len()
                ),
            );
        }
        Ok(Some(vector))
    }

    fn vector_at(&self, reader: &mut CollectionReader, place: Place) -> Result<Option<Vec<f32>>> {
        let mut of_index = |element| match &mut reader.index {
            Some(index) => index.vector(element),
            None => Err(Error::internal("a vector lies in an index that is not open")),
        };
        match place {
            Place::Lost => Ok(None),
            Place::Queue(seq) => self.sqlite.queue_vector(seq),
            Place::Element(element) => of_index(element).map(Some),
            Place::Both(element, seq) => {
                let approximate = of_index(element)?;
                let exact = self.sqlite.queue_vector(seq)?;
                Ok(Some(exact.filter(|exact| is_same(exact, &approximate)).unwrap_or(approximate)))
            }
        }
    }

    /// Document, URI and metadata of a record, or a problem.
    fn record(
        &self,
        reader: &mut CollectionReader,
        key: &RecordKey,
        in_tables: bool,
        problems: &mut Vec<Problem>,
    ) -> Result<Option<ChromaRecord>> {
        let stored = if in_tables { self.sqlite.record(key, problems) } else { Ok(ChromaRecord::default()) };
        let mut record = match stored {
            Err(error) if error.code() == Code::Corrupted => {
                let message = format!("the record is left out: {error}");
                problems.push(Problem::of_record(ProblemKind::UnreadableRecord, &key.id, message));
                return Ok(None);
            }
            stored => stored?,
        };
        reader.patches.remove(&key.id).into_iter().flatten().for_each(|patch| record.apply(patch));
        Ok(Some(record))
    }
}

/// Whether two vectors differ by no more than the rounding of normalising and making long again.
fn is_same(exact: &[f32], approximate: &[f32]) -> bool {
    let square = |vector: &mut dyn Iterator<Item = f32>| vector.map(|x| x * x).sum::<f32>().sqrt();
    let length = square(&mut exact.iter().copied());
    let difference = square(&mut exact.iter().zip(approximate).map(|(a, b)| a - b));
    exact.len() == approximate.len() && difference <= SAME_VECTOR * length
}

impl CollectionReader {
    /// Records of the collection, those included that will be left out.
    pub fn total(&self) -> u64 {
        self.keys.len() as u64
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
