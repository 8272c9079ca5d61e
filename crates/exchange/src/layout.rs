//! What the columns of a file from elsewhere mean.

use std::collections::HashMap;

use arrow_schema::{DataType, Schema};
use ferrochrome_types::{Error, Result};
use serde::Deserialize;

use crate::columns::{DESCRIPTION, DOCUMENT, EMBEDDING, ID, METADATA, URI};

/// Names that other programs give these columns: Chroma's client the plural, LanceDB and LangChain the last.
const ALIASES: [(&str, &[&str]); 5] = [
    (ID, &["ids", "_id"]),
    (EMBEDDING, &["embeddings", "vector"]),
    (DOCUMENT, &["documents", "text"]),
    (URI, &["uris"]),
    (METADATA, &["metadatas"]),
];
/// Beginning of the columns in which pandas keeps its index.
const PANDAS_INDEX: &str = "__index_level_";

/// Which columns of a file are which, where the file's own names do not say it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColumnNames {
    /// The column of ids.
    pub id: Option<String>,
    /// The column of vectors.
    pub embedding: Option<String>,
    /// The column of documents.
    pub document: Option<String>,
    /// The column of URIs.
    pub uri: Option<String>,
    /// A column that holds whole metadata, as JSON text or as a struct.
    pub metadata: Option<String>,
    /// Columns that are left out.
    pub ignore: Vec<String>,
}

/// Places of the columns in the schema.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub id: usize,
    pub embedding: usize,
    pub document: Option<usize>,
    pub uri: Option<usize>,
    pub metadata: Option<usize>,
    /// Metadata keys with a column of their own.
    pub keys: Vec<(String, usize)>,
}

impl Layout {
    /// # Errors
    /// `InvalidArgument` where a column is missing, named twice, or of a type that records cannot have.
    pub fn of(schema: &Schema, names: &ColumnNames) -> Result<Self> {
        let mut found = Finder::new(schema)?;
        let missing = |name: &str| {
            let there: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            Error::invalid(format!(
                "The file has no column `{name}`, but only {}: give the name of the one that is meant, with columns: {{ {name}: \"...\" }}",
                there.join(", ")
            ))
        };
        for ignored in &names.ignore {
            found.take(ignored);
        }
        let id = found.column(ID, names.id.as_deref())?.ok_or_else(|| missing(ID))?;
        let embedding =
            found.column(EMBEDDING, names.embedding.as_deref())?.ok_or_else(|| missing(EMBEDDING))?;
        let layout = Layout {
            id,
            embedding,
            document: found.column(DOCUMENT, names.document.as_deref())?,
            uri: found.column(URI, names.uri.as_deref())?,
            metadata: found.column(METADATA, names.metadata.as_deref())?,
            keys: found.rest(),
        };
        layout.check_types(schema)?;
        Ok(layout)
    }

    fn check_types(&self, schema: &Schema) -> Result<()> {
        let check = |at: usize, fits: bool, expected: &str| {
            let field = schema.field(at);
            if fits {
                return Ok(());
            }
            Err(Error::invalid(format!(
                "Column `{}` has type {}, expected {expected}: cast it, rename it, or leave it out with columns: {{ ignore: [\"{}\"] }}",
                field.name(),
                field.data_type(),
                field.name()
            )))
        };
        let data_type = |at: usize| schema.field(at).data_type();
        let id = data_type(self.id);
        check(self.id, is_text(id) || id.is_integer(), "strings or integers")?;
        check(self.embedding, is_vector(data_type(self.embedding)), "lists of floats, all of one length")?;
        for at in [self.document, self.uri].into_iter().flatten() {
            check(at, is_text(data_type(at)) || *data_type(at) == DataType::Null, "strings")?;
        }
        if let Some(at) = self.metadata {
            let fits = match data_type(at) {
                DataType::Struct(fields) => fields.iter().all(|field| is_value(field.data_type())),
                other => is_text(other) || *other == DataType::Null,
            };
            check(
                at,
                fits,
                "JSON objects as strings, or structs of strings, numbers, booleans or lists of them",
            )?;
        }
        for (_, at) in &self.keys {
            let expected = "strings, numbers, booleans or lists of one of them, as metadata hold";
            check(*at, is_value(data_type(*at)), expected)?;
        }
        Ok(())
    }
}

/// The columns that nobody has taken yet.
struct Finder<'a> {
    left: HashMap<&'a str, usize>,
    /// A file that we wrote means what it says.
    ours: bool,
}

impl<'a> Finder<'a> {
    fn new(schema: &'a Schema) -> Result<Self> {
        let mut left = HashMap::new();
        for (at, field) in schema.fields().iter().enumerate() {
            if left.insert(field.name().as_str(), at).is_some() {
                return Err(Error::invalid(format!("The file has two columns `{}`", field.name())));
            }
        }
        Ok(Finder { left, ours: schema.metadata().contains_key(DESCRIPTION) })
    }

    fn take(&mut self, name: &str) -> Option<usize> {
        self.left.remove(name)
    }

    fn column(&mut self, name: &str, given: Option<&str>) -> Result<Option<usize>> {
        if let Some(given) = given {
            return match self.take(given) {
                None => Err(Error::invalid(format!("The file has no column `{given}`"))),
                found => Ok(found),
            };
        }
        if let Some(at) = self.take(name) {
            return Ok(Some(at));
        }
        let aliases = ALIASES.iter().filter(|(own, _)| *own == name && !self.ours);
        Ok(aliases.flat_map(|(_, aliases)| *aliases).find_map(|alias| self.left.remove(alias)))
    }

    fn rest(self) -> Vec<(String, usize)> {
        let keys = self.left.into_iter().filter(|(name, _)| self.ours || !name.starts_with(PANDAS_INDEX));
        let mut keys: Vec<_> = keys.map(|(name, at)| (name.to_owned(), at)).collect();
        keys.sort_by_key(|(_, at)| *at);
        keys
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

fn is_vector(data_type: &DataType) -> bool {
    let of_floats = |item: &DataType| item.is_floating();
    match data_type {
        DataType::List(item) | DataType::LargeList(item) => of_floats(item.data_type()),
        DataType::FixedSizeList(item, length) => *length > 0 && of_floats(item.data_type()),
        _ => false,
    }
}

/// Whether metadata can hold such values.
fn is_value(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) => is_scalar(item.data_type()),
        DataType::FixedSizeList(item, length) => *length >= 0 && is_scalar(item.data_type()),
        other => is_scalar(other),
    }
}

fn is_scalar(data_type: &DataType) -> bool {
    is_text(data_type)
        || data_type.is_integer()
        || data_type.is_floating()
        || matches!(data_type, DataType::Boolean | DataType::Null)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_schema::{Field, TimeUnit};

    use super::*;

    fn schema(fields: &[(&str, DataType)]) -> Schema {
        Schema::new(fields.iter().map(|(name, of)| Field::new(*name, of.clone(), true)).collect::<Vec<_>>())
    }

    fn vectors() -> DataType {
        DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)))
    }

    #[test]
    fn names_of_other_programs_are_known() {
        let schema = schema(&[
            ("vector", vectors()),
            ("text", DataType::LargeUtf8),
            ("_id", DataType::Int32),
            ("year", DataType::UInt8),
            ("__index_level_0__", DataType::Int64),
        ]);
        let layout = Layout::of(&schema, &ColumnNames::default()).unwrap();
        assert_eq!((layout.id, layout.embedding, layout.document), (2, 0, Some(1)));
        assert_eq!(layout.keys, [("year".to_owned(), 3)]);
    }

    #[test]
    fn our_own_files_are_taken_at_their_word() {
        let fields = [("id", DataType::Utf8), ("embedding", vectors()), ("text", DataType::Utf8)];
        let ours = schema(&fields).with_metadata(HashMap::from([(DESCRIPTION.to_owned(), "{}".to_owned())]));
        assert_eq!(Layout::of(&ours, &ColumnNames::default()).unwrap().document, None);
        assert_eq!(Layout::of(&schema(&fields), &ColumnNames::default()).unwrap().document, Some(2));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let message = |fields: &[(&str, DataType)], names: &ColumnNames| {
            Layout::of(&schema(fields), names).unwrap_err().message().to_owned()
        };
        let id = ("id", DataType::Utf8);
        let none = ColumnNames::default();
        assert!(message(&[("a", DataType::Utf8)], &none).contains("no column `id`, but only a"));
        assert!(message(std::slice::from_ref(&id), &none).contains("no column `embedding`"));
        assert!(message(&[id.clone(), ("embedding", DataType::Utf8)], &none).contains("lists of floats"));
        let time = ("at", DataType::Timestamp(TimeUnit::Second, None));
        let fields = [id.clone(), ("embedding", vectors()), time];
        assert!(message(&fields, &none).contains("Column `at` has type Timestamp"));
        let ignoring = ColumnNames { ignore: vec!["at".to_owned()], ..ColumnNames::default() };
        assert!(Layout::of(&schema(&fields), &ignoring).unwrap().keys.is_empty());
        let naming = ColumnNames { uri: Some("link".to_owned()), ..ColumnNames::default() };
        assert!(message(&fields[..2], &naming).contains("no column `link`"));
        assert!(message(&[id.clone(), id], &none).contains("two columns `id`"));
    }
}
