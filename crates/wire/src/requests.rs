//! Requests of a collection.

use ferrochrome_engine::{DeleteRequest, GetRequest, QueryRequest, WriteBatch};
use ferrochrome_metadata::{parse_document_filter, parse_filter};
use ferrochrome_types::{Code, DocumentFilter, Error, Filter, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::values::JsonPatch;

/// Reads a JSON body, with Chroma's two kinds of failure: not JSON at all, or JSON of another shape.
pub(crate) fn parse<T: DeserializeOwned>(body: &str) -> Result<T> {
    serde_json::from_str(body).map_err(|e| {
        if e.is_data() {
            let message = format!("Failed to deserialize the JSON body into the target type: {e}");
            Error::new(Code::Unprocessable, message)
        } else {
            Error::invalid(format!("Failed to parse the request body as JSON: {e}"))
        }
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
        parse(body)
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
    pub fn into_batch(self, embeddings: Option<Vec<f32>>, dim: usize) -> WriteBatch {
        let patches =
            |column: Vec<Option<JsonPatch>>| column.into_iter().map(|patch| patch.map(|p| p.0)).collect();
        WriteBatch {
            ids: self.ids,
            embeddings,
            dim,
            documents: self.documents,
            metadatas: self.metadatas.map(patches),
            uris: self.uris,
        }
    }
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

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Column {
    Distances,
    Documents,
    Embeddings,
    Metadatas,
    Uris,
}

impl From<Vec<Column>> for Include {
    fn from(columns: Vec<Column>) -> Self {
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

#[derive(Deserialize)]
struct SelectionBody {
    ids: Option<Vec<String>>,
    r#where: Option<serde_json::Value>,
    where_document: Option<serde_json::Value>,
    limit: Option<usize>,
    offset: Option<usize>,
    include: Option<Vec<Column>>,
    n_results: Option<usize>,
    ef: Option<usize>,
    #[serde(default)]
    exact: bool,
}

impl SelectionBody {
    fn filters(&self) -> Result<(Option<Filter>, Option<DocumentFilter>)> {
        let filter = self.r#where.as_ref().map(parse_filter).transpose()?;
        let document = self.where_document.as_ref().map(parse_document_filter).transpose()?;
        Ok((filter, document))
    }
}

/// Reads the body of a delete.
///
/// # Errors
/// `InvalidArgument`, `Unprocessable`, with Chroma's messages.
pub fn parse_delete(body: &str) -> Result<DeleteRequest> {
    let body: SelectionBody = parse(body)?;
    let (filter, document_filter) = body.filters()?;
    Ok(DeleteRequest { ids: body.ids, filter, document_filter, limit: body.limit })
}

/// Reads the body of a get.
///
/// # Errors
/// `InvalidArgument`, `Unprocessable`, with Chroma's messages.
pub fn parse_get(body: &str) -> Result<(GetRequest, Include)> {
    let body: SelectionBody = parse(body)?;
    let (filter, document_filter) = body.filters()?;
    let default = Include { documents: true, metadatas: true, ..Include::default() };
    let request = GetRequest {
        ids: body.ids,
        filter,
        document_filter,
        limit: body.limit,
        offset: body.offset.unwrap_or(0),
    };
    Ok((request, body.include.map_or(default, Include::from)))
}

/// Reads the body of a query whose vectors, row-major `[n, dim]`, came beside it.
///
/// # Errors
/// `InvalidArgument`, `Unprocessable`, with Chroma's messages.
pub fn parse_query(body: &str, embeddings: Vec<f32>, dim: usize) -> Result<(QueryRequest, Include)> {
    let body: SelectionBody = parse(body)?;
    let (filter, document_filter) = body.filters()?;
    let default = Include { documents: true, metadatas: true, distances: true, ..Include::default() };
    let request = QueryRequest {
        embeddings,
        dim,
        k: body.n_results.unwrap_or(10),
        ef: body.ef,
        exact: body.exact,
        ids: body.ids,
        filter,
        document_filter,
    };
    Ok((request, body.include.map_or(default, Include::from)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_not_json_differs_from_one_of_another_shape() {
        assert_eq!(parse_get("{").unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(parse_get("").unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(parse_get(r#"{"ids":3}"#).unwrap_err().code(), Code::Unprocessable);
        assert_eq!(parse_get(r#"{"include":["nothing"]}"#).unwrap_err().code(), Code::Unprocessable);
        assert_eq!(parse_get(r#"{"limit":-1}"#).unwrap_err().code(), Code::Unprocessable);
        assert_eq!(parse_get(r#"{"ids":["\ud800"]}"#).unwrap_err().code(), Code::InvalidArgument);
    }

    #[test]
    fn defaults_are_those_of_chroma() {
        let (request, include) = parse_query("{}", vec![], 0).unwrap();
        assert_eq!(request.k, 10);
        assert!(
            include.documents
                && include.metadatas
                && include.distances
                && !include.embeddings
                && !include.uris
        );
        let (request, include) = parse_get(r#"{"include":[]}"#).unwrap();
        assert_eq!((request.limit, request.offset), (None, 0));
        assert_eq!(include, Include::default());
    }
}
