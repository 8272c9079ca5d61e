//! Bodies of HTTP requests about the records of a collection: everything in one JSON text, vectors included.

use std::fmt;
use std::marker::PhantomData;

use ferrochrome_engine::{DeleteRequest, GetRequest, IdList, QueryRequest, WriteBatch, WriteKind};
use ferrochrome_types::{Code, Error, Result, limits};
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::requests::{Column, Include, RawFilters, not_null, parse, patches};
use crate::values::JsonPatch;
use crate::vectors::{Vectors, too_many};

/// The requests that have a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// add, update or upsert.
    Write(WriteKind),
    /// get.
    Get,
    /// query.
    Query,
    /// delete.
    Delete,
}

impl Operation {
    /// The operation by its name in a route.
    ///
    /// # Errors
    /// `InvalidArgument` for another name.
    pub fn parse(name: &str) -> Result<Self> {
        Ok(match name {
            "add" => Operation::Write(WriteKind::Add),
            "update" => Operation::Write(WriteKind::Update),
            "upsert" => Operation::Write(WriteKind::Upsert),
            "get" => Operation::Get,
            "query" => Operation::Query,
            "delete" => Operation::Delete,
            other => return Err(Error::invalid(format!("unknown operation `{other}`"))),
        })
    }
}

/// What one request may ask for at most.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Records, ids or query vectors; no more than [`MAX_BODY_ROWS`](limits::MAX_BODY_ROWS) anyway.
    pub rows: usize,
    /// Results of all vectors of one query together.
    pub results: usize,
    /// Bytes of the reply.
    pub reply_bytes: usize,
}

impl BodyLimits {
    fn check_rows(&self, what: &str, rows: usize) -> Result<()> {
        if rows <= self.rows {
            return Ok(());
        }
        let message =
            format!("{rows} {what} in one request, at most {} are allowed: send them in several", self.rows);
        Err(Error::new(Code::LimitExceeded, message))
    }

    /// The ids that a request asks for, if there are not too many.
    fn ids(&self, ids: Option<Bounded<String>>) -> Result<Option<IdList>> {
        let ids = column(ids, "ids")?;
        self.check_rows("ids", ids.as_ref().map_or(0, Vec::len))?;
        Ok(ids.map(IdList::from_iter))
    }

    /// Whether a query of this many vectors may have `k` results for each, in a collection of `count` records.
    ///
    /// # Errors
    /// `LimitExceeded`.
    pub fn check_results(&self, vectors: usize, k: usize, count: u64) -> Result<()> {
        let each = k.min(usize::try_from(count).unwrap_or(usize::MAX));
        if vectors.saturating_mul(each) <= self.results {
            return Ok(());
        }
        let message = format!(
            "{vectors} query vectors with {each} results each are more than {} results: ask for fewer, or in several requests",
            self.results
        );
        Err(Error::new(Code::LimitExceeded, message))
    }
}

/// An array of no more than [`MAX_BODY_ROWS`](limits::MAX_BODY_ROWS) items; what is beyond is counted as too many and dropped.
struct Bounded<T> {
    items: Vec<T>,
    too_many: bool,
}

impl<T> Bounded<T> {
    fn take(self, what: &str) -> Result<Vec<T>> {
        if self.too_many { Err(too_many(what)) } else { Ok(self.items) }
    }
}

fn column<T>(column: Option<Bounded<T>>, what: &str) -> Result<Option<Vec<T>>> {
    column.map(|items| items.take(what)).transpose()
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Bounded<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(BoundedVisitor(PhantomData))
    }
}

struct BoundedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for BoundedVisitor<T> {
    type Value = Bounded<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Bounded<T>, A::Error> {
        let mut items = Vec::new();
        while items.len() < limits::MAX_BODY_ROWS {
            match seq.next_element()? {
                Some(item) => items.push(item),
                None => return Ok(Bounded { items, too_many: false }),
            }
        }
        let mut too_many = false;
        while seq.next_element::<de::IgnoredAny>()?.is_some() {
            too_many = true;
        }
        Ok(Bounded { items, too_many })
    }
}

#[derive(Deserialize)]
struct AddBody {
    ids: Bounded<String>,
    embeddings: Vectors,
    documents: Option<Bounded<Option<String>>>,
    metadatas: Option<Bounded<Option<JsonPatch>>>,
    uris: Option<Bounded<Option<String>>>,
}

#[derive(Deserialize)]
struct UpdateBody {
    ids: Bounded<String>,
    embeddings: Option<Vectors>,
    documents: Option<Bounded<Option<String>>>,
    metadatas: Option<Bounded<Option<JsonPatch>>>,
    uris: Option<Bounded<Option<String>>>,
}

impl From<AddBody> for UpdateBody {
    fn from(AddBody { ids, embeddings, documents, metadatas, uris }: AddBody) -> Self {
        UpdateBody { ids, embeddings: Some(embeddings), documents, metadatas, uris }
    }
}

fn parse_write(kind: WriteKind, body: &[u8]) -> Result<UpdateBody> {
    let parsed = match kind {
        WriteKind::Update => parse::<UpdateBody>(body)?,
        WriteKind::Add | WriteKind::Upsert => parse::<AddBody>(body)?.into(),
    };
    let shape = |what: String| {
        let message = format!("Failed to deserialize the JSON body into the target type: {what}");
        Err(Error::new(Code::Unprocessable, message))
    };
    if kind == WriteKind::Update {
        return Ok(parsed);
    }
    if let Some(vectors) = &parsed.embeddings
        && let Some(place) = vectors.nulls.first()
    {
        return shape(format!("embeddings[{place}]: null is no embedding; only an update may leave one out"));
    }
    if kind == WriteKind::Add {
        let patches = parsed.metadatas.iter().flat_map(|column| &column.items).enumerate();
        for (i, patch) in patches {
            if let Some(key) = patch.as_ref().and_then(JsonPatch::null_key) {
                return shape(format!(
                    "metadatas[{i}].{key}: null is no value; only an update takes one, to delete a key"
                ));
            }
        }
    }
    Ok(parsed)
}

/// Reads the body of an add, update or upsert.
///
/// # Errors
/// `InvalidArgument`, `Unprocessable`, with Chroma's messages; `Unsupported` for a sparse vector; `LimitExceeded`.
pub fn parse_write_body(kind: WriteKind, body: &[u8], limits: &BodyLimits) -> Result<WriteBatch> {
    let mut body = parse_write(kind, body)?;
    if let Some(vectors) = &mut body.embeddings {
        vectors.check()?;
    }
    let ids = body.ids.take("ids")?;
    limits.check_rows("records", ids.len())?;
    let Vectors { values, dim, rows, nulls, .. } = body.embeddings.unwrap_or_default();
    if rows != ids.len() && (rows > 0 || kind != WriteKind::Update) {
        return Err(Error::invalid("Inconsistent number of IDs, embeddings, documents, URIs and metadatas"));
    }
    // Vectors that are all null are no vectors.
    let given = rows > nulls.len() || kind != WriteKind::Update;
    Ok(WriteBatch {
        ids,
        embeddings: given.then_some(values),
        dim,
        kept_embeddings: if given { nulls } else { Vec::new() },
        documents: column(body.documents, "documents")?,
        metadatas: column(body.metadatas, "metadatas")?.map(patches).transpose()?,
        uris: column(body.uris, "uris")?,
    })
}

/// The columns that a reply has, and their names in the order of the request.
#[derive(Clone, Debug)]
pub struct IncludeList {
    pub(crate) include: Include,
    pub(crate) names: Vec<Column>,
}

impl IncludeList {
    fn new(names: Option<Vec<Column>>, default: &[Column]) -> Self {
        let names = names.unwrap_or_else(|| default.to_vec());
        IncludeList { include: Include::from(names.as_slice()), names }
    }
}

impl Serialize for IncludeList {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.names.serialize(serializer)
    }
}

#[derive(Deserialize)]
struct GetBody<'a> {
    ids: Option<Bounded<String>>,
    #[serde(borrow)]
    r#where: Option<&'a RawValue>,
    #[serde(borrow)]
    where_document: Option<&'a RawValue>,
    limit: Option<usize>,
    offset: Option<usize>,
    #[serde(default, deserialize_with = "not_null")]
    include: Option<Vec<Column>>,
}

/// Reads the body of a get.
///
/// # Errors
/// `InvalidArgument`, `Unprocessable`, with Chroma's messages; `LimitExceeded`.
pub fn parse_get_body(body: &[u8], limits: &BodyLimits) -> Result<(GetRequest, IncludeList)> {
    let body: GetBody<'_> = parse(body)?;
    let ids = limits.ids(body.ids)?;
    let filters = RawFilters { filter: body.r#where, document: body.where_document };
    let (filter, document_filter) = filters.parse()?;
    let request =
        GetRequest { ids, filter, document_filter, limit: body.limit, offset: body.offset.unwrap_or(0) };
    Ok((request, IncludeList::new(body.include, &[Column::Documents, Column::Metadatas])))
}

#[derive(Deserialize)]
struct QueryBody<'a> {
    query_embeddings: Vectors,
    n_results: Option<u32>,
    ids: Option<Bounded<String>>,
    #[serde(borrow)]
    r#where: Option<&'a RawValue>,
    #[serde(borrow)]
    where_document: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "not_null")]
    include: Option<Vec<Column>>,
}

fn parse_query_shape(body: &[u8]) -> Result<QueryBody<'_>> {
    let body: QueryBody<'_> = parse(body)?;
    if !body.query_embeddings.are_numbers() {
        let message = "Failed to deserialize the JSON body into the target type: query_embeddings: expected arrays of numbers";
        return Err(Error::new(Code::Unprocessable, message));
    }
    Ok(body)
}

/// Reads the body of a query.
///
/// # Errors
/// `InvalidArgument`, `Unprocessable`, with Chroma's messages; `LimitExceeded`.
pub fn parse_query_body(body: &[u8], limits: &BodyLimits) -> Result<(QueryRequest, usize, IncludeList)> {
    let mut body = parse_query_shape(body)?;
    let filters = RawFilters { filter: body.r#where, document: body.where_document };
    let (filter, document_filter) = filters.parse()?;
    body.query_embeddings.check()?;
    let Vectors { values, dim, rows, .. } = body.query_embeddings;
    limits.check_rows("query vectors", rows)?;
    let ids = limits.ids(body.ids)?;
    let request = QueryRequest {
        embeddings: values,
        dim,
        k: body.n_results.map_or(10, |n| n as usize),
        ef: None,
        exact: false,
        ids,
        filter,
        document_filter,
    };
    let default = [Column::Documents, Column::Metadatas, Column::Distances];
    Ok((request, rows, IncludeList::new(body.include, &default)))
}

#[derive(Deserialize)]
struct DeleteBody<'a> {
    ids: Option<Bounded<String>>,
    #[serde(borrow)]
    r#where: Option<&'a RawValue>,
    #[serde(borrow)]
    where_document: Option<&'a RawValue>,
    limit: Option<usize>,
}

/// Reads the body of a delete.
///
/// # Errors
/// `InvalidArgument`, `Unprocessable`, with Chroma's messages; `LimitExceeded`.
pub fn parse_delete_body(body: &[u8], limits: &BodyLimits) -> Result<DeleteRequest> {
    let body: DeleteBody<'_> = parse(body)?;
    let ids = limits.ids(body.ids)?;
    let filters = RawFilters { filter: body.r#where, document: body.where_document };
    let (filter, document_filter) = filters.parse()?;
    Ok(DeleteRequest { ids, filter, document_filter, limit: body.limit })
}

/// Finds fault with the form of a body, as is done before its collection is looked for.
///
/// # Errors
/// `InvalidArgument` for text that is not JSON, `Unprocessable` for another shape.
pub fn check_body(operation: Operation, body: &[u8]) -> Result<()> {
    match operation {
        Operation::Write(kind) => parse_write(kind, body).map(drop),
        Operation::Get => parse::<GetBody<'_>>(body).map(drop),
        Operation::Query => parse_query_shape(body).map(drop),
        Operation::Delete => parse::<DeleteBody<'_>>(body).map(drop),
    }
}

#[cfg(test)]
mod tests {
    use ferrochrome_types::Value;

    use super::*;

    const LIMITS: BodyLimits = BodyLimits { rows: 3, results: 100, reply_bytes: 1 << 20 };

    fn write(kind: WriteKind, body: &str) -> Result<WriteBatch> {
        parse_write_body(kind, body.as_bytes(), &LIMITS)
    }

    #[test]
    fn a_write_keeps_integers_and_floats_apart() {
        let body =
            r#"{"ids":["a"],"embeddings":["AACAPwAAAEA="],"metadatas":[{"i":1,"f":1.0,"n":[]}],"more":[1]}"#;
        let batch = write(WriteKind::Add, body).unwrap();
        assert_eq!(batch.embeddings.as_deref(), Some([1.0, 2.0].as_slice()));
        let patch = batch.metadatas.unwrap().remove(0).unwrap();
        assert_eq!(patch["i"], Some(Value::Int(1)));
        assert_eq!(patch["f"], Some(Value::Float(1.0)));
        assert_eq!(patch["n"], None);
    }

    #[test]
    fn only_an_update_leaves_vectors_out() {
        for kind in [WriteKind::Add, WriteKind::Upsert] {
            for body in [
                r#"{"ids":["a"]}"#,
                r#"{"ids":["a"],"embeddings":[null]}"#,
                r#"{"ids":["a"],"embeddings":null}"#,
            ] {
                assert_eq!(write(kind, body).unwrap_err().code(), Code::Unprocessable, "{body}");
            }
        }
        assert_eq!(write(WriteKind::Update, r#"{"ids":["a"]}"#).unwrap().embeddings, None);
        assert_eq!(
            write(WriteKind::Update, r#"{"ids":["a"],"embeddings":[null]}"#).unwrap().embeddings,
            None
        );
        let some = write(WriteKind::Update, r#"{"ids":["a","b"],"embeddings":[null,[1]]}"#).unwrap();
        assert_eq!((some.embeddings, some.kept_embeddings), (Some(vec![0.0, 1.0]), vec![0]));
    }

    #[test]
    fn null_deletes_a_key_but_not_in_an_add() {
        let body = r#"{"ids":["a"],"embeddings":[[1]],"metadatas":[{"k":null}]}"#;
        assert_eq!(write(WriteKind::Add, body).unwrap_err().code(), Code::Unprocessable);
        assert!(write(WriteKind::Upsert, body).is_ok());
    }

    #[test]
    fn what_is_asked_for_is_bounded() {
        let ids = r#"{"ids":["a","b","c","d"],"embeddings":[[1],[1],[1],[1]]}"#;
        assert_eq!(write(WriteKind::Add, ids).unwrap_err().code(), Code::LimitExceeded);
        assert_eq!(parse_get_body(ids.as_bytes(), &LIMITS).unwrap_err().code(), Code::LimitExceeded);
        let many = format!(r#"{{"ids":[{}"a"]}}"#, r#""a","#.repeat(limits::MAX_BODY_ROWS));
        assert_eq!(parse_delete_body(many.as_bytes(), &LIMITS).unwrap_err().code(), Code::LimitExceeded);
        assert!(LIMITS.check_results(2, 1_000_000_000, 50).is_ok());
        assert_eq!(LIMITS.check_results(2, 1_000_000_000, 51).unwrap_err().code(), Code::LimitExceeded);
    }

    #[test]
    fn the_form_is_judged_before_the_filters() {
        let body = br#"{"query_embeddings":[[1]],"where":{}}"#;
        check_body(Operation::Query, body).unwrap();
        assert_eq!(parse_query_body(body, &LIMITS).unwrap_err().message(), "Invalid where clause");
        for body in [
            r#"{"query_embeddings":["AACAPw=="]}"#,
            r#"{"query_embeddings":[null]}"#,
            "{}",
            r#"{"query_embeddings":null}"#,
        ] {
            assert_eq!(
                check_body(Operation::Query, body.as_bytes()).unwrap_err().code(),
                Code::Unprocessable,
                "{body}"
            );
        }
        assert_eq!(
            check_body(Operation::Get, br#"{"include":null}"#).unwrap_err().code(),
            Code::Unprocessable
        );
        assert_eq!(check_body(Operation::Delete, b"").unwrap_err().code(), Code::InvalidArgument);
    }
}
