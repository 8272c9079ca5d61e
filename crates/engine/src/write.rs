//! add, update, upsert and delete: from a request to the entry that the log keeps.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ferrochrome_types::{
    CancelToken, Code, DocumentFilter, Error, Metadata, Metric, Record, Result, Value, limits,
};

use crate::collection::Collection;
use crate::id_list::IdList;
use crate::log_entry::LogEntry;
use crate::shared_filter::SharedFilter;
use crate::snapshot::{RowAddress, Snapshot};
use crate::versions::version_is_read_only;

/// Which of Chroma's three writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    /// New ids are inserted, known ones ignored.
    Add,
    /// Known ids are changed, new ones ignored. What is absent stays.
    Update,
    /// Known ids are changed, new ones inserted.
    Upsert,
}

/// Metadata to merge into a record's: `None` deletes the key.
pub type MetadataPatch = BTreeMap<String, Option<Value>>;

/// A batch of records. Columns that are present have one entry per id.
#[derive(Clone, Debug, Default)]
pub struct WriteBatch {
    /// Ids, at least one character each. In one add the first of equal ids wins; updates of equal ids apply in order.
    pub ids: Vec<String>,
    /// Vectors, row-major `[ids.len(), dim]`. Only an update may go without.
    pub embeddings: Option<Vec<f32>>,
    /// Components of each vector; ignored without `embeddings`.
    pub dim: usize,
    /// Places of records, ascending, whose row in `embeddings` is ignored: they keep the vector that they have. Only in an update.
    pub kept_embeddings: Vec<usize>,
    /// Documents; `None` leaves the record's as it is.
    pub documents: Option<Vec<Option<String>>>,
    /// Metadata; `None` leaves the record's as it is.
    pub metadatas: Option<Vec<Option<MetadataPatch>>>,
    /// URIs; `None` leaves the record's as it is.
    pub uris: Option<Vec<Option<String>>>,
}

/// Which records to delete.
#[derive(Clone, Debug, Default)]
pub struct DeleteRequest {
    /// These ids.
    pub ids: Option<IdList>,
    /// Those for which this holds (of the ids, if both are given).
    pub filter: Option<SharedFilter>,
    /// Those whose document passes (in conjunction with the rest).
    pub document_filter: Option<DocumentFilter>,
    /// No more than this many, in insertion order. Only with a filter.
    pub limit: Option<usize>,
}

impl WriteBatch {
    fn validate(&self, kind: WriteKind, metric: Metric) -> Result<()> {
        let n = self.ids.len();
        let lengths = [
            self.documents.as_ref().map(Vec::len),
            self.metadatas.as_ref().map(Vec::len),
            self.uris.as_ref().map(Vec::len),
        ];
        if self.embeddings.is_some() && self.dim == 0 && n > 0 {
            return Err(Error::invalid(
                "Validation error: embeddings: Each embedding must have at least 1 dimension",
            ));
        }
        let whole = self.embeddings.as_ref().is_none_or(|e| e.len() == n * self.dim);
        if lengths.iter().flatten().any(|length| *length != n) || !whole {
            return Err(Error::invalid(
                "Inconsistent number of IDs, embeddings, documents, URIs and metadatas",
            ));
        }
        if self.ids.iter().any(String::is_empty) {
            return Err(Error::invalid("Empty ID, ID must have at least one character"));
        }
        if (self.embeddings.is_none() || !self.kept_embeddings.is_empty()) && kind != WriteKind::Update {
            return Err(Error::new(Code::Unprocessable, "add and upsert need an embedding for every record"));
        }
        if self.dim > limits::MAX_DIMENSION {
            return Err(Error::invalid(format!(
                "An embedding has {} dimensions, at most {} are possible",
                self.dim,
                limits::MAX_DIMENSION
            )));
        }
        self.validate_values(metric)
    }

    fn validate_values(&self, metric: Metric) -> Result<()> {
        if self.embeddings.iter().flatten().any(|component| !component.is_finite()) {
            return Err(Error::invalid(
                "Validation error: embeddings: Embeddings must not contain NaN or Infinity values",
            ));
        }
        for (i, id) in self.ids.iter().enumerate().filter(|(i, _)| !self.keeps_embedding(*i)) {
            metric.check(self.vector(i).unwrap_or_default(), format_args!("the embedding of `{id}`"))?;
        }
        for (i, patch) in self.metadatas.iter().flatten().enumerate() {
            let mut keys = patch.iter().flat_map(BTreeMap::keys);
            if keys.any(|key| key.is_empty() || key.starts_with(['#', '$'])) {
                return Err(Error::invalid(format!(
                    "Validation error: metadatas: Invalid metadata at index {i}"
                )));
            }
        }
        Ok(())
    }

    fn keeps_embedding(&self, i: usize) -> bool {
        self.kept_embeddings.binary_search(&i).is_ok()
    }

    fn vector(&self, i: usize) -> Option<&[f32]> {
        self.embeddings.as_ref().map(|all| &all[i * self.dim..(i + 1) * self.dim])
    }
}

/// Where a new version's vector comes from: the batch is large and must not be copied per record.
enum Vector {
    OfBatch(usize),
    Kept(Vec<f32>),
}

/// New versions under construction.
struct Pending<'a> {
    snapshot: &'a Snapshot,
    /// Where the batch's ids lie in `snapshot`.
    found: Vec<Option<RowAddress>>,
    batch: &'a mut WriteBatch,
    puts: Vec<(Record, Vector)>,
    place: HashMap<String, usize>,
    replaced: Vec<RowAddress>,
    next_ordinal: u64,
}

impl Pending<'_> {
    fn resolve(&mut self, kind: WriteKind, i: usize) -> Result<()> {
        let id = std::mem::take(&mut self.batch.ids[i]);
        if let Some(place) = self.place.get(&id).copied() {
            if kind != WriteKind::Add {
                self.change(place, i);
            }
            return Ok(());
        }
        match (self.found[i], kind) {
            (Some(_), WriteKind::Add) | (None, WriteKind::Update) => {}
            (None, _) => {
                let record = Record { id: id.clone(), ordinal: self.next_ordinal, ..Record::default() };
                self.next_ordinal += 1;
                self.push(id, record, Vector::OfBatch(i), i);
            }
            (Some(address), _) => {
                let record = Record {
                    ordinal: self.snapshot.parts[address.part as usize].part.ordinal(address.label)?,
                    document: self.snapshot.document(address)?.map(str::to_owned),
                    metadata: self.snapshot.metadata(address)?,
                    uri: self.snapshot.uri(address)?.map(str::to_owned),
                    id: id.clone(),
                };
                let vector = Vector::Kept(self.snapshot.vector(address)?.to_vec());
                self.replaced.push(address);
                self.push(id, record, vector, i);
            }
        }
        Ok(())
    }

    fn push(&mut self, id: String, record: Record, vector: Vector, i: usize) {
        let place = self.puts.len();
        self.puts.push((record, vector));
        self.place.insert(id, place);
        self.change(place, i);
    }

    /// Lays entry `i` of the batch over a new version.
    fn change(&mut self, place: usize, i: usize) {
        let (record, vector) = &mut self.puts[place];
        if self.batch.embeddings.is_some() && !self.batch.keeps_embedding(i) {
            *vector = Vector::OfBatch(i);
        }
        let taken = |column: &mut Option<Vec<Option<String>>>| column.as_mut().and_then(|c| c[i].take());
        if let Some(document) = taken(&mut self.batch.documents) {
            record.document = Some(document);
        }
        if let Some(uri) = taken(&mut self.batch.uris) {
            record.uri = Some(uri);
        }
        if let Some(patch) = self.batch.metadatas.as_mut().and_then(|c| c[i].take()) {
            record.metadata = merge(record.metadata.take(), patch);
        }
    }
}

/// The vectors of new versions, row-major. Those of a batch that is written as it came are not copied.
fn vectors_of(puts: &[(Record, Vector)], batch: &mut WriteBatch, dim: usize) -> Vec<f32> {
    let as_it_came = |(place, (_, vector)): (usize, &(Record, Vector))| matches!(vector, Vector::OfBatch(i) if *i == place);
    let whole = batch.embeddings.as_ref().is_some_and(|all| all.len() == puts.len() * dim);
    if whole && puts.iter().enumerate().all(as_it_came) {
        return batch.embeddings.take().unwrap_or_default();
    }
    let mut vectors = Vec::with_capacity(puts.len() * dim);
    for (_, vector) in puts {
        match vector {
            Vector::Kept(vector) => vectors.extend_from_slice(vector),
            Vector::OfBatch(i) => vectors.extend_from_slice(batch.vector(*i).unwrap_or_default()),
        }
    }
    vectors
}

fn merge(metadata: Option<Metadata>, patch: MetadataPatch) -> Option<Metadata> {
    let mut merged = metadata.unwrap_or_default();
    for (key, value) in patch {
        match value {
            Some(value) => merged.insert(key, value),
            None => merged.remove(&key),
        };
    }
    (!merged.is_empty()).then_some(merged)
}

impl Collection {
    /// Applies a batch whole or not at all. What it wrote is visible to the next read and, once this returns, survives as
    /// the database's durability promises.
    ///
    /// # Errors
    /// `InvalidArgument` or `Unprocessable` for bad input, before anything changes; `ReadOnly`, `Closed`, `NotFound`, `Io`.
    pub fn write(&self, kind: WriteKind, mut batch: WriteBatch) -> Result<()> {
        self.check_writable()?;
        batch.validate(kind, self.settings().metric)?;
        let mut state = self.lock_write();
        self.wait_for_room(&mut state)?;
        let before = self.snapshot()?;
        let dimension = batch.embeddings.as_ref().filter(|_| batch.dim > 0).map(|_| batch.dim as u32);
        check_dimension(&before, dimension)?;
        let mut pending = Pending {
            snapshot: &before,
            found: before.find(&batch.ids)?,
            puts: Vec::with_capacity(batch.ids.len()),
            place: HashMap::with_capacity(batch.ids.len()),
            replaced: Vec::new(),
            next_ordinal: state.next_ordinal,
            batch: &mut batch,
        };
        for i in 0..pending.batch.ids.len() {
            pending.resolve(kind, i)?;
        }
        let Pending { mut puts, replaced, .. } = pending;
        puts.sort_by_key(|(record, _)| record.ordinal);
        let dim = before.dimension.or(dimension).unwrap_or(0) as usize;
        let vectors = vectors_of(&puts, &mut batch, dim);
        let puts = puts.into_iter().map(|(record, _)| Arc::new(record)).collect();
        let entry = LogEntry { dim, puts, vectors, deletes: Vec::new() };
        self.commit(&mut state, &before, entry, &replaced, dimension)
    }

    /// Deletes records and says how many. With ids and no filter that is the number of ids asked for, as Chroma has it.
    ///
    /// # Errors
    /// `InvalidArgument` for a limit without a filter, for empty ids without a filter, and for a filter on a disabled index.
    pub fn delete(&self, request: &DeleteRequest) -> Result<u64> {
        self.check_writable()?;
        let filtered = request.filter.is_some() || request.document_filter.is_some();
        if request.limit.is_some() && !filtered {
            return Err(Error::invalid(
                "Validation error: limit, where: limit can only be specified when a where clause is provided",
            ));
        }
        match &request.ids {
            None if !filtered => return Ok(0),
            Some(ids) if ids.is_empty() && !filtered => {
                return Err(Error::invalid(
                    "Validation error: ids, where: Either ids or where must be specified",
                ));
            }
            _ => {}
        }
        let mut state = self.lock_write();
        self.wait_for_room(&mut state)?;
        let before = self.snapshot()?;
        let rows = self.select(&before, request)?;
        let mut entry = LogEntry::default();
        for row in &rows {
            entry.deletes.push(before.id(*row)?.to_owned());
        }
        self.commit(&mut state, &before, entry, &rows, None)?;
        let asked = request.ids.as_ref().filter(|_| !filtered).map(IdList::len);
        Ok(asked.unwrap_or(rows.len()) as u64)
    }

    fn select(&self, snapshot: &Snapshot, request: &DeleteRequest) -> Result<Vec<RowAddress>> {
        let filter = self.combined_filter(request.filter.as_ref(), request.document_filter.as_ref())?;
        let limit = request.limit.unwrap_or(usize::MAX);
        snapshot.select(request.ids.as_ref(), filter.as_ref(), 0, limit, &CancelToken::default())
    }

    pub(crate) fn check_writable(&self) -> Result<()> {
        self.check_usable()?;
        self.shared.check_writable()?;
        self.version.map_or(Ok(()), |version| Err(version_is_read_only(version)))
    }
}

fn check_dimension(snapshot: &Snapshot, dimension: Option<u32>) -> Result<()> {
    match (snapshot.dimension, dimension) {
        (Some(expected), Some(got)) if expected != got => Err(dimension_mismatch(expected, got)),
        _ => Ok(()),
    }
}

/// Chroma's words: clients look for them.
pub(crate) fn dimension_mismatch(expected: u32, got: u32) -> Error {
    Error::invalid(format!("Collection expecting embedding with dimension of {expected}, got {got}"))
}
