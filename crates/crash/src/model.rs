//! What a database should hold, and what one holds.

use std::collections::BTreeMap;

use ferrochrome_engine::{Collection, CollectionRow, Database, GetRequest, MetadataPatch};
use ferrochrome_types::{
    CancelToken, Code, Comparison, Error, Filter, Metadata, Result, Scalar, Test, Value,
};

/// Components of each vector.
pub const DIM: usize = 4;
const TENANT: &str = "default_tenant";
const TENANTS_DATABASE: &str = "default_database";
/// Tags of records; filters ask for the first.
pub const TAGS: u32 = 4;

/// The folder of the database that a program writes to, where it makes others beside it.
pub const DATABASE: &str = "db";

/// Collections by name; those of a database in another folder than the one that is written to, by `<folder>/<name>`.
pub type State = BTreeMap<String, CollectionState>;

/// Number of each record, and its version. Everything else about a record follows from these.
pub type Records = BTreeMap<u32, u32>;

/// A collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CollectionState {
    /// The key `note` of the collection's metadata.
    pub note: Option<i64>,
    /// Its records.
    pub records: Records,
    /// Labelled versions of it.
    pub versions: BTreeMap<String, Records>,
    /// Forks in its family.
    pub forks: u64,
    /// Where it comes from.
    pub lineage: Lineage,
}

/// Where a collection of the model comes from. A database does not tell: any is equal to any other.
#[derive(Clone, Debug, Default)]
pub struct Lineage {
    /// A name for the collection that came first and all its forks.
    pub family: Option<String>,
    /// Whether it is a fork.
    pub is_fork: bool,
}

impl PartialEq for Lineage {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Lineage {}

/// Counts the forks of each family of the database that is written to.
pub fn count_forks(state: &mut State) {
    let mut counts = BTreeMap::new();
    let is_here = |name: &String| !name.contains('/');
    for (_, collection) in state.iter().filter(|(name, c)| is_here(name) && c.lineage.is_fork) {
        *counts.entry(collection.lineage.family.clone()).or_insert(0) += 1;
    }
    for (_, collection) in state.iter_mut().filter(|(name, _)| is_here(name)) {
        collection.forks = counts.get(&collection.lineage.family).copied().unwrap_or(0);
    }
}

/// The id of a record.
pub fn id_of(number: u32) -> String {
    format!("record-{number}")
}

/// The vector of a record.
pub fn vector_of(number: u32, version: u32) -> [f32; DIM] {
    [number as f32, version as f32, 1.0, -0.5]
}

/// The document of a record: long enough that a batch takes several pages of the log.
pub fn document_of(number: u32, version: u32) -> String {
    format!("document {number} in version {version}; ").repeat(12)
}

/// The metadata of a record.
pub fn metadata_of(number: u32, version: u32) -> MetadataPatch {
    let int = |value: u32| Some(Value::Int(i64::from(value)));
    MetadataPatch::from([("tag".to_owned(), int(number % TAGS)), ("version".to_owned(), int(version))])
}

/// The rows of the catalog that describe the collections.
///
/// # Errors
/// Of the catalog.
pub fn rows(database: &Database) -> Result<Vec<CollectionRow>> {
    database.catalog().list_collections(TENANT, TENANTS_DATABASE, None, 0)
}

/// A row for a new collection.
pub fn new_row(name: &str) -> CollectionRow {
    CollectionRow {
        id: uuid::Uuid::new_v4(),
        name: name.to_owned(),
        tenant: TENANT.to_owned(),
        database: TENANTS_DATABASE.to_owned(),
        metadata: None,
        configuration: "{}".to_owned(),
        schema: None,
        dimension: None,
    }
}

/// A row for a new collection that keeps its newest version by itself.
pub fn keeping(name: &str) -> CollectionRow {
    CollectionRow { configuration: r#"{"versions":{"keep":1}}"#.to_owned(), ..new_row(name) }
}

/// The UUID of a collection, and the number of its version with this label.
///
/// # Errors
/// `NotFound`; those of the catalog.
pub fn version_of(database: &Database, name: &str, label: &str) -> Result<(uuid::Uuid, u64)> {
    let id = row_of(database, name)?.id;
    let versions = database.catalog().versions(id)?;
    let found = versions.iter().find(|version| version.label.as_deref() == Some(label));
    found.map(|version| (id, version.version)).ok_or_else(|| Error::new(Code::NotFound, label))
}

/// The row of the collection of this name.
///
/// # Errors
/// `NotFound`; those of the catalog.
pub fn row_of(database: &Database, name: &str) -> Result<CollectionRow> {
    database.catalog().collection_by_name(TENANT, TENANTS_DATABASE, name)
}

/// Deletes the collection of this name.
///
/// # Errors
/// Of the engine.
pub fn delete_collection(database: &Database, name: &str) -> Result<()> {
    database.delete_collection(TENANT, TENANTS_DATABASE, name)
}

/// The collection metadata that carries a note.
pub fn note(value: i64) -> Metadata {
    Metadata::from([("note".to_owned(), Value::Int(value))])
}

/// Records with this tag.
pub fn tag_is(tag: u32) -> Filter {
    Filter::Key("tag".to_owned(), Test::Equal(Scalar::Int(i64::from(tag))))
}

/// Reads everything that a database holds.
///
/// # Errors
/// Of the engine; `Internal` for a record that is not as it was written.
pub fn read(database: &Database) -> Result<State> {
    rows(database)?.into_iter().map(|row| Ok((row.name.clone(), read_collection(database, &row)?))).collect()
}

fn read_collection(database: &Database, row: &CollectionRow) -> Result<CollectionState> {
    let collection = database.collection(row.id)?;
    let mut state = CollectionState::default();
    if let Some(Value::Int(value)) = row.metadata.as_ref().and_then(|metadata| metadata.get("note")) {
        state.note = Some(*value);
    }
    state.records = read_records(&collection)?;
    for row in collection.versions()? {
        let records = read_records(&*database.collection_version(collection.id(), row.version)?)?;
        if records.len() as u64 != row.records {
            return Err(Error::internal(format!("version {row:?} holds {} records", records.len())));
        }
        // When an automatic one is made is up to the background.
        if let Some(label) = row.label {
            state.versions.insert(label, records);
        }
    }
    state.forks = database.catalog().fork_count(row.id)?;
    Ok(state)
}

fn read_records(collection: &Collection) -> Result<Records> {
    let mut records = Records::new();
    let got = collection.get(&GetRequest::default(), &CancelToken::default())?;
    for address in &got.rows {
        let metadata = got.snapshot.metadata(*address)?.unwrap_or_default();
        let id = got.snapshot.id(*address)?;
        let number = id.strip_prefix("record-").and_then(|number| number.parse().ok());
        let (Some(number), Some(Value::Int(version))) = (number, metadata.get("version")) else {
            return Err(Error::internal(format!("record {id} has metadata {metadata:?}")));
        };
        let version = *version as u32;
        let document = got.snapshot.document(*address)?;
        let expected: Metadata =
            metadata_of(number, version).into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        if metadata != expected
            || document != Some(&document_of(number, version))
            || got.snapshot.vector(*address)? != vector_of(number, version)
        {
            return Err(Error::internal(format!("record {id} is not as it was written")));
        }
        if records.insert(number, version).is_some() {
            return Err(Error::internal(format!("record {id} is there twice")));
        }
    }
    // Through posting lists, and through a comparison of all rows.
    let newer = Filter::Key("version".to_owned(), Test::Compare(Comparison::Greater, Scalar::Int(1)));
    for (filter, count) in [
        (tag_is(0), records.keys().filter(|number| *number % TAGS == 0).count()),
        (newer, records.values().filter(|version| **version > 1).count()),
    ] {
        let request = GetRequest { filter: Some(filter.clone().into()), ..GetRequest::default() };
        let found = collection.get(&request, &CancelToken::default())?.rows.len();
        if found != count {
            return Err(Error::internal(format!("{filter:?} finds {found} records of {count}")));
        }
    }
    Ok(records)
}
