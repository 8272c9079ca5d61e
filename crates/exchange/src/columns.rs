//! Which columns a file of records has.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use ferrochrome_engine::GetResult;
use ferrochrome_types::{CancelToken, Result, Value, ValueKind};
use ferrochrome_wire::Include;

/// Names that are not metadata keys.
pub(crate) const ID: &str = "id";
pub(crate) const EMBEDDING: &str = "embedding";
pub(crate) const DOCUMENT: &str = "document";
pub(crate) const URI: &str = "uri";
/// Metadata that have no column of their own, as JSON.
pub(crate) const METADATA: &str = "metadata";

/// The key under which the file says what it is, and describes the collection.
pub(crate) const DESCRIPTION: &str = "ferrochrome";

/// Most columns for metadata keys; programs are slow with more. Further keys go into the column of JSON.
const MAX_KEY_COLUMNS: usize = 1_000;
/// Rows after which the pass over the metadata looks whether it was cancelled, and gives memory back.
const CANCEL_ROWS: usize = 4_096;

/// The type of a key's values: a scalar or a list of scalars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyType {
    pub kind: ValueKind,
    pub list: bool,
}

impl KeyType {
    pub fn of(value: &Value) -> Self {
        let list = matches!(
            value,
            Value::StrArray(_) | Value::IntArray(_) | Value::FloatArray(_) | Value::BoolArray(_)
        );
        KeyType { kind: value.kind(), list }
    }

    fn data_type(self) -> DataType {
        let scalar = match self.kind {
            ValueKind::Str => DataType::Utf8,
            ValueKind::Int => DataType::Int64,
            ValueKind::Float => DataType::Float64,
            ValueKind::Bool => DataType::Boolean,
        };
        if self.list { DataType::List(Arc::new(Field::new_list_field(scalar, true))) } else { scalar }
    }
}

/// The columns of a file that is written.
#[derive(Clone, Debug)]
pub(crate) struct FileColumns {
    pub include: Include,
    /// Components of each vector; `None` where there is no record.
    pub dim: Option<u32>,
    /// Keys all of whose values have one type, in key order.
    pub keys: Vec<(String, KeyType)>,
    /// Whether there are other keys.
    pub rest: bool,
}

impl FileColumns {
    /// Looks at the metadata of all rows: a column has one type.
    pub fn of(result: &GetResult, include: Include, cancel: &CancelToken) -> Result<Self> {
        let mut columns =
            FileColumns { include, dim: result.snapshot.dimension(), keys: Vec::new(), rest: false };
        if !include.metadatas {
            return Ok(columns);
        }
        // `None` where the values of a key have several types.
        let mut found: BTreeMap<String, Option<KeyType>> = BTreeMap::new();
        for (i, row) in result.rows.iter().enumerate() {
            if i % CANCEL_ROWS == 0 {
                cancel.check()?;
                result.snapshot.bound_resident_rows();
            }
            for (key, value) in result.snapshot.metadata(*row)?.into_iter().flatten() {
                let of_value = KeyType::of(&value);
                if let Some(known) = found.get_mut(&key) {
                    *known = known.filter(|known| *known == of_value);
                } else if is_reserved(&key) || found.len() == MAX_KEY_COLUMNS {
                    columns.rest = true;
                } else {
                    found.insert(key, Some(of_value));
                }
            }
        }
        for (key, of_key) in found {
            match of_key {
                Some(of_key) => columns.keys.push((key, of_key)),
                None => columns.rest = true,
            }
        }
        Ok(columns)
    }

    /// The schema that these columns are written with; `description` goes into its metadata.
    pub fn schema(&self, description: Option<&str>) -> Schema {
        let mut fields = vec![Field::new(ID, DataType::Utf8, false)];
        if self.include.embeddings {
            fields.push(Field::new(EMBEDDING, self.embedding_type(), false));
        }
        if self.include.documents {
            fields.push(Field::new(DOCUMENT, DataType::Utf8, true));
        }
        if self.include.uris {
            fields.push(Field::new(URI, DataType::Utf8, true));
        }
        for (key, of_key) in &self.keys {
            fields.push(Field::new(key, of_key.data_type(), true));
        }
        if self.rest {
            fields.push(Field::new(METADATA, DataType::Utf8, true));
        }
        let described = description.map(|text| (DESCRIPTION.to_owned(), text.to_owned()));
        let metadata: HashMap<String, String> = described.into_iter().collect();
        Schema::new_with_metadata(fields, metadata)
    }

    fn embedding_type(&self) -> DataType {
        let component = component_field();
        // Not every program reads lists of no elements.
        match self.dim {
            Some(dim) => DataType::FixedSizeList(component, dim as i32),
            None => DataType::List(component),
        }
    }
}

/// The field of a vector's components.
pub(crate) fn component_field() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Float32, false))
}

/// Whether a metadata key cannot be the name of a column.
fn is_reserved(key: &str) -> bool {
    [ID, EMBEDDING, DOCUMENT, URI, METADATA].contains(&key)
}
