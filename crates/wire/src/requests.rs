//! Requests of a collection.

use ferrochrome_engine::{
    DeleteRequest, GetRequest, IdList, MetadataPatch, QueryRequest, SharedFilter, WriteBatch,
};
use ferrochrome_metadata::{parse_document_filter, parse_filter};
use ferrochrome_types::{Code, DocumentFilter, Error, Result, limits};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_path_to_error::Segment;

use crate::recent_filters::recent_filter;
use crate::values::JsonPatch;

/// Reads a JSON body, with Chroma's two kinds of failure: not JSON at all, or JSON of another shape. The message says where.
pub(crate) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T> {
    // Keeping track of the place takes time, so it is looked for in what is known to be wrong.
    let error = match serde_json::from_slice(body) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let traced = serde_path_to_error::deserialize::<_, T>(&mut deserializer).err();
    let known = |segment: &Segment| !matches!(segment, Segment::Unknown);
    let place = match traced.filter(|traced| traced.path().iter().any(known)) {
        Some(traced) => format!("{}: ", traced.path()),
        None => String::new(),
    };
    Err(if error.is_data() {
        let message = format!("Failed to deserialize the JSON body into the target type: {place}{error}");
        Error::new(Code::Unprocessable, message)
    } else {
        Error::invalid(format!("Failed to parse the request body as JSON: {place}{error}"))
    })
}

/// The columns of a write beside its embeddings.
#[derive(Deserialize)]
pub struct Records {
    ids: Vec<String>,
    documents: Option<Vec<Option<String>>>,
    metadatas: Option<Vec<Option<JsonPatch>>>,
    uris: Option<Vec<Option<String>>>,
}

impl Records {
    /// Reads `{"ids", "documents"?, "metadatas"?, "uris"?}`.
    ///
    /// # Errors
    /// `InvalidArgument` for text that is not JSON, `Unprocessable` for another shape.
    pub fn parse(body: &str) -> Result<Self> {
        parse(body.as_bytes())
    }

    /// Appends the records that follow.
    ///
    /// # Errors
    /// `InvalidArgument` if they have other columns.
    pub fn append(&mut self, next: Records) -> Result<()> {
        self.ids.extend(next.ids);
        append_column(&mut self.documents, next.documents)?;
        append_column(&mut self.metadatas, next.metadatas)?;
        append_column(&mut self.uris, next.uris)
    }

    /// The batch with these embeddings, row-major `[n, dim]`.
    ///
    /// # Errors
    /// `Unsupported` for a sparse vector in metadata.
    pub fn into_batch(self, embeddings: Option<Vec<f32>>, dim: usize) -> Result<WriteBatch> {
        Ok(WriteBatch {
            ids: self.ids,
            embeddings,
            dim,
            kept_embeddings: Vec::new(),
            documents: self.documents,
            metadatas: self.metadatas.map(patches).transpose()?,
            uris: self.uris,
        })
    }
}

/// The metadata column of a write.
pub(crate) fn patches(column: Vec<Option<JsonPatch>>) -> Result<Vec<Option<MetadataPatch>>> {
    column.into_iter().map(|patch| patch.map(JsonPatch::into_patch).transpose()).collect()
}

fn append_column<T>(column: &mut Option<Vec<T>>, next: Option<Vec<T>>) -> Result<()> {
    match (column, next) {
        (Some(column), Some(next)) => column.extend(next),
        (None, None) => {}
        _ => return Err(Error::invalid("The parts of one batch have different columns")),
    }
    Ok(())
}

/// Which columns a reply has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Include {
    /// Distances, of a query.
    pub distances: bool,
    /// Documents.
    pub documents: bool,
    /// Vectors.
    pub embeddings: bool,
    /// Metadata.
    pub metadatas: bool,
    /// URIs.
    pub uris: bool,
}

/// A column by its name in a request.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Column {
    Distances,
    Documents,
    Embeddings,
    Metadatas,
    Uris,
}

impl From<&[Column]> for Include {
    fn from(columns: &[Column]) -> Self {
        let mut include = Include::default();
        for column in columns {
            match column {
                Column::Distances => include.distances = true,
                Column::Documents => include.documents = true,
                Column::Embeddings => include.embeddings = true,
                Column::Metadatas => include.metadatas = true,
                Column::Uris => include.uris = true,
            }
        }
        include
    }
}

/// The filters of a request, not yet read: what is wrong in them is told only after everything else.
#[derive(Clone, Copy, Default)]
pub(crate) struct RawFilters<'a> {
    pub filter: Option<&'a RawValue>,
    pub document: Option<&'a RawValue>,
}

impl RawFilters<'_> {
    pub fn parse(self) -> Result<(Option<SharedFilter>, Option<DocumentFilter>)> {
        let read = |text: &str| parse_filter(&filter_json(text)?).map(SharedFilter::from);
        let filter = self.filter.map(|text| recent_filter(text.get(), read)).transpose()?;
        let document =
            self.document.map(|text| parse_document_filter(&filter_json(text.get())?)).transpose()?;
        Ok((filter, document))
    }
}

fn filter_json(text: &str) -> Result<serde_json::Value> {
    if text.len() > limits::MAX_FILTER_BYTES {
        let message = format!(
            "The filter is longer than {} bytes: ask several times, with a part of its values each",
            limits::MAX_FILTER_BYTES
        );
        return Err(Error::new(Code::LimitExceeded, message));
    }
    parse(text.as_bytes())
}

/// A field that may be absent, but not null.
pub(crate) fn not_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
struct SelectionBody<'a> {
    ids: Option<Vec<String>>,
    #[serde(borrow)]
    r#where: Option<&'a RawValue>,
    #[serde(borrow)]
    where_document: Option<&'a RawValue>,
    limit: Option<usize>,
    offset: Option<usize>,
    include: Option<Vec<Column>>,
    n_results: Option<usize>,
    ef: Option<usize>,
    #[serde(default)]
    exact: bool,
}

impl SelectionBody<'_> {
    fn ids(&self) -> Option<IdList> {
        self.ids.as_ref().map(IdList::from_iter)
    }

    fn filters(&self) -> Result<(Option<SharedFilter>, Option<DocumentFilter>)> {
        RawFilters { filter: self.r#where, document: self.where_document }.parse()
    }
}

/// Reads the body of a delete whose ids, if it has many, came beside it.
///
/// # Errors
/// `InvalidArgument`, `Unprocessable`, with Chroma's messages.
pub fn parse_delete(body: &str, ids: Option<IdList>) -> Result<DeleteRequest> {
    let body: SelectionBody<'_> = parse(body.as_bytes())?;
    let (filter, document_filter) = body.filters()?;
    Ok(DeleteRequest { ids: ids.or_else(|| body.ids()), filter, document_filter, limit: body.limit })
}

/// Reads the body of a get whose ids, if it has many, came beside it.
///
/// # Errors
/// `InvalidArgument`, `Unprocessable`, with Chroma's messages.
pub fn parse_get(body: &str, ids: Option<IdList>) -> Result<(GetRequest, Include)> {
    let body: SelectionBody<'_> = parse(body.as_bytes())?;
    let (filter, document_filter) = body.filters()?;
    let default = Include { documents: true, metadatas: true, ..Include::default() };
    let request = GetRequest {
        ids: ids.or_else(|| body.ids()),
        filter,
        document_filter,
        limit: body.limit,
        offset: body.offset.unwrap_or(0),
    };
    Ok((request, body.include.as_deref().map_or(default, Include::from)))
}

/// Reads the body of a query whose vectors, row-major `[n, dim]`, came beside it, and its ids too if there are many.
///
/// # Errors
/// `InvalidArgument`, `Unprocessable`, with Chroma's messages.
pub fn parse_query(
    body: &str,
    embeddings: Vec<f32>,
    dim: usize,
    ids: Option<IdList>,
) -> Result<(QueryRequest, Include)> {
    let body: SelectionBody<'_> = parse(body.as_bytes())?;
    let (filter, document_filter) = body.filters()?;
    let default = Include { documents: true, metadatas: true, distances: true, ..Include::default() };
    let request = QueryRequest {
        embeddings,
        dim,
        k: body.n_results.unwrap_or(10),
        ef: body.ef,
        exact: body.exact,
        ids: ids.or_else(|| body.ids()),
        filter,
        document_filter,
    };
    Ok((request, body.include.as_deref().map_or(default, Include::from)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_not_json_differs_from_one_of_another_shape() {
        assert_eq!(parse_get("{", None).unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(parse_get("", None).unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(parse_get(r#"{"ids":3}"#, None).unwrap_err().code(), Code::Unprocessable);
        assert_eq!(parse_get(r#"{"include":["nothing"]}"#, None).unwrap_err().code(), Code::Unprocessable);
        assert_eq!(parse_get(r#"{"limit":-1}"#, None).unwrap_err().code(), Code::Unprocessable);
        assert_eq!(parse_get(r#"{"ids":["\ud800"]}"#, None).unwrap_err().code(), Code::InvalidArgument);
    }

    #[test]
    fn a_message_says_where() {
        let message = |body| parse_get(body, None).unwrap_err().message().to_owned();
        assert!(message(r#"{"include":["x"]}"#).starts_with(
            "Failed to deserialize the JSON body into the target type: include[0]: unknown variant `x`"
        ));
        assert!(message(r#"{"ids":["x""#).starts_with("Failed to parse the request body as JSON: ids: EOF"));
    }

    #[test]
    fn a_filter_has_a_largest_size() {
        let body = format!(r#"{{"where":{{"k":"{}"}}}}"#, "x".repeat(limits::MAX_FILTER_BYTES));
        assert_eq!(parse_get(&body, None).unwrap_err().code(), Code::LimitExceeded);
    }

    #[test]
    fn defaults_are_those_of_chroma() {
        let (request, include) = parse_query("{}", vec![], 0, None).unwrap();
        assert_eq!(request.k, 10);
        assert!(
            include.documents
                && include.metadatas
                && include.distances
                && !include.embeddings
                && !include.uris
        );
        let (request, include) = parse_get(r#"{"include":[]}"#, None).unwrap();
        assert_eq!((request.limit, request.offset), (None, 0));
        assert_eq!(include, Include::default());
    }
}
