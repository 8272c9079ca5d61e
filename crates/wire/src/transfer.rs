//! Records on their way between databases: lines of JSON, replies of a Chroma server, and batches of an imported directory.

use std::io::{self, Write};

use ferrochrome_chroma::{Batch, ChromaCollection, ChromaDatabase, Problem};
use ferrochrome_engine::{GetResult, MetadataPatch, RowAddress, WriteBatch};
use ferrochrome_types::{Code, Error, Metadata, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use crate::requests::{Include, parse};
use crate::values::{JsonPatch, MetadataJson};

/// A record as one line of JSON.
#[derive(Serialize)]
struct ExportedRecord<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<&'a [f32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<MetadataJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<&'a str>,
}

/// Other programs write the aliases.
#[derive(Deserialize)]
struct ImportedRecord {
    #[serde(alias = "_id")]
    id: String,
    #[serde(alias = "vector")]
    embedding: Vec<f32>,
    #[serde(alias = "text", alias = "text_chunk")]
    document: Option<String>,
    metadata: Option<JsonPatch>,
    uri: Option<String>,
}

/// Bytes of lines after which a page ends.
const PAGE_BYTES: usize = 16 << 20;

/// A record of a state of a collection as a line `{"id", "embedding", "document"?, "metadata"?, "uri"?}` with what is included.
/// Components are the shortest decimals of their `f32`; integers and floats keep apart.
///
/// # Errors
/// `Corrupted` where the row cannot be read. The inner error is the writer's.
pub fn write_record_line(
    result: &GetResult,
    include: Include,
    row: RowAddress,
    mut writer: impl Write,
) -> Result<io::Result<()>> {
    let snapshot = &result.snapshot;
    let metadata = if include.metadatas { snapshot.metadata(row)? } else { None };
    let record = ExportedRecord {
        id: snapshot.id(row)?,
        embedding: include.embeddings.then(|| snapshot.vector(row)).transpose()?,
        document: if include.documents { snapshot.document(row)? } else { None },
        metadata: metadata.as_ref().map(MetadataJson),
        uri: if include.uris { snapshot.uri(row)? } else { None },
    };
    match serde_json::to_writer(&mut writer, &record) {
        Ok(()) => Ok(writer.write_all(b"\n")),
        Err(e) if e.is_io() => Ok(Err(e.into())),
        Err(e) => Err(Error::internal(format!("a record cannot be written: {e}"))),
    }
}

/// Rows of a result from `from` on, `limit` at most and fewer where they are large, as [`write_record_line`] writes them; and the row
/// that comes next.
///
/// # Errors
/// `Corrupted` where a row cannot be read.
pub fn record_lines(
    result: &GetResult,
    include: Include,
    from: usize,
    limit: usize,
) -> Result<(String, usize)> {
    let mut lines = Vec::new();
    let mut next = from;
    for row in result.rows.iter().skip(from).take(limit) {
        write_record_line(result, include, *row, &mut lines)?
            .map_err(|e| Error::internal(format!("a record cannot be written: {e}")))?;
        next += 1;
        if lines.len() >= PAGE_BYTES {
            break;
        }
    }
    let text =
        String::from_utf8(lines).map_err(|e| Error::internal(format!("a record is not UTF-8: {e}")))?;
    Ok((text, next))
}

/// The records of lines as [`write_record_line`] writes them, read one after another.
#[derive(Default)]
pub struct RecordLines(Columns);

impl RecordLines {
    /// Takes the record of a line, which is the one with this number; an empty line has none.
    ///
    /// # Errors
    /// `InvalidArgument` naming the line where it is no such record, or has another dimension than the first.
    pub fn push(&mut self, line: &str, number: u64) -> Result<()> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let record: ImportedRecord = serde_json::from_str(line)
            .map_err(|e| Error::invalid(format!("Line {number} is no record: {e}. Expected {{\"id\", \"embedding\", \"document\"?, \"metadata\"?, \"uri\"?}}")))?;
        let dim = record.embedding.len();
        let metadata = record.metadata.map(JsonPatch::into_patch).transpose()?;
        let pushed = self.0.push(record.id, &record.embedding, record.document, metadata, record.uri);
        pushed.map_err(|expected| {
            Error::invalid(format!(
                "Line {number} has an embedding of {dim} components, those before have {expected}"
            ))
        })
    }

    /// The records of all lines.
    pub fn into_batch(self) -> WriteBatch {
        self.0.into_batch()
    }
}

/// The records of lines, the first of which has the number `first`.
///
/// # Errors
/// As of [`RecordLines::push`].
pub fn parse_record_lines(text: &str, first: u64) -> Result<WriteBatch> {
    let mut lines = RecordLines::default();
    for (number, line) in (first..).zip(text.split('\n')) {
        lines.push(line, number)?;
    }
    Ok(lines.into_batch())
}

/// A batch under construction, all columns of which are there.
#[derive(Default)]
struct Columns {
    ids: Vec<String>,
    vectors: Vec<f32>,
    dim: Option<usize>,
    documents: Vec<Option<String>>,
    metadatas: Vec<Option<MetadataPatch>>,
    uris: Vec<Option<String>>,
}

impl Columns {
    /// Appends a record. The error is the dimension that the vector should have.
    fn push(
        &mut self,
        id: String,
        vector: &[f32],
        document: Option<String>,
        metadata: Option<MetadataPatch>,
        uri: Option<String>,
    ) -> std::result::Result<(), usize> {
        let dim = *self.dim.get_or_insert(vector.len());
        if vector.len() != dim {
            return Err(dim);
        }
        self.ids.push(id);
        self.vectors.extend_from_slice(vector);
        self.documents.push(document);
        self.metadatas.push(metadata);
        self.uris.push(uri);
        Ok(())
    }

    fn into_batch(self) -> WriteBatch {
        WriteBatch {
            ids: self.ids,
            embeddings: Some(self.vectors),
            dim: self.dim.unwrap_or(0),
            kept_embeddings: Vec::new(),
            documents: Some(self.documents),
            metadatas: Some(self.metadatas),
            uris: Some(self.uris),
        }
    }
}

#[derive(Deserialize)]
struct GetReply {
    ids: Vec<String>,
    embeddings: Vec<Option<Vec<f32>>>,
    documents: Option<Vec<Option<String>>>,
    metadatas: Option<Vec<Option<JsonPatch>>>,
    uris: Option<Vec<Option<String>>>,
}

/// What a Chroma server's answer to a get holds.
#[derive(Debug, Default)]
pub struct ServerPage {
    /// Its records.
    pub batch: WriteBatch,
    /// Records of the answer, those without a vector included.
    pub read: u64,
    /// Ids that came without a vector.
    pub without_vector: Vec<String>,
}

/// Reads the answer of a Chroma server to a get that includes embeddings.
///
/// # Errors
/// `Unprocessable` where it has another shape, or columns of different lengths.
pub fn parse_server_page(body: &str) -> Result<ServerPage> {
    let reply: GetReply = parse(body.as_bytes())?;
    let rows = reply.ids.len();
    let lengths = [
        Some(reply.embeddings.len()),
        reply.documents.as_ref().map(Vec::len),
        reply.metadatas.as_ref().map(Vec::len),
        reply.uris.as_ref().map(Vec::len),
    ];
    let differs = |message: String| {
        Error::new(Code::Unprocessable, format!("The server's answer is unusable: {message}"))
    };
    if lengths.iter().flatten().any(|length| *length != rows) {
        return Err(differs(format!("its columns have different lengths than its {rows} ids")));
    }
    let mut page = ServerPage { read: rows as u64, ..ServerPage::default() };
    let mut columns = Columns::default();
    let (mut documents, mut uris) = (reply.documents.into_iter().flatten(), reply.uris.into_iter().flatten());
    let mut metadatas = reply.metadatas.into_iter().flatten();
    for (id, vector) in reply.ids.into_iter().zip(reply.embeddings) {
        let (document, uri) = (documents.next().flatten(), uris.next().flatten());
        let metadata = metadatas.next().flatten().map(JsonPatch::into_patch).transpose()?;
        match vector {
            Some(vector) => columns
                .push(id, &vector, document, metadata, uri)
                .map_err(|dim| differs(format!("its vectors have {dim} and other numbers of components")))?,
            None => page.without_vector.push(id),
        }
    }
    page.batch = columns.into_batch();
    Ok(page)
}

/// The records of an imported batch, to be added.
pub fn write_batch(batch: &mut Batch) -> WriteBatch {
    let mut columns = Columns { dim: Some(batch.dim), ..Columns::default() };
    columns.ids = std::mem::take(&mut batch.ids);
    columns.vectors = std::mem::take(&mut batch.vectors);
    for record in batch.records.drain(..) {
        columns.documents.push(record.document);
        columns.uris.push(record.uri);
        let patch: MetadataPatch =
            record.metadata.into_iter().map(|(key, value)| (key, Some(value))).collect();
        columns.metadatas.push((!patch.is_empty()).then_some(patch));
    }
    columns.into_batch()
}

/// What a batch reports: `{"read", "leftOut", "imported", "done", "problems", "counts"}`. `kept` records of it were to be added, of which
/// `imported` were new.
pub fn batch_report(batch: &Batch, kept: u64, imported: u64) -> Json {
    json!({
        "read": batch.read,
        "leftOut": batch.read - kept,
        "imported": imported,
        "done": batch.done,
        "problems": problems_json(&batch.problems),
        "counts": batch.counts,
    })
}

fn problems_json(problems: &[Problem]) -> Vec<Json> {
    let json = |problem: &Problem| json!({ "kind": problem.kind.as_str(), "id": problem.id, "message": problem.message });
    problems.iter().map(json).collect()
}

/// What a Chroma directory holds: `{"tenants", "databases", "collections"}`. Metadata are texts of JSON, in which integers and floats
/// keep apart.
///
/// # Errors
/// `Internal`.
pub fn source_json(
    tenants: &[String],
    databases: &[ChromaDatabase],
    collections: &[ChromaCollection],
) -> Result<Json> {
    let databases: Vec<Json> = databases
        .iter()
        .map(|database| json!({ "tenant": database.tenant, "name": database.name }))
        .collect();
    let mut described = Vec::with_capacity(collections.len());
    for collection in collections {
        described.push(json!({
            "id": collection.id.to_string(),
            "name": collection.name,
            "tenant": collection.tenant,
            "database": collection.database,
            "dimension": collection.dimension,
            "records": collection.records,
            "metadata": metadata_text(&collection.metadata)?,
            "segmentMetadata": metadata_text(&collection.segment_metadata)?,
            "configuration": collection.configuration,
            "schema": collection.schema,
            "problems": problems_json(&collection.problems),
        }));
    }
    Ok(json!({ "tenants": tenants, "databases": databases, "collections": described }))
}

#[derive(Deserialize)]
struct ServerCollection {
    id: String,
    name: String,
    dimension: Option<u32>,
    metadata: Option<Box<RawValue>>,
    configuration_json: Option<Box<RawValue>>,
    schema: Option<Box<RawValue>>,
}

/// A Chroma server's list of collections, with what must not pass through JavaScript's numbers as text: `[{"id", "name", "dimension",
/// "metadata", "configuration", "schema"}]`.
///
/// # Errors
/// `Unprocessable` where it has another shape, `InvalidArgument` where it is not JSON.
pub fn server_collections(body: &str) -> Result<Json> {
    let collections: Vec<ServerCollection> = parse(body.as_bytes())?;
    let text = |value: &Option<Box<RawValue>>| value.as_ref().map(|value| value.get().to_owned());
    let described = collections.iter().map(|collection| {
        json!({
            "id": collection.id,
            "name": collection.name,
            "dimension": collection.dimension,
            "metadata": text(&collection.metadata).unwrap_or_else(|| "null".to_owned()),
            "configuration": text(&collection.configuration_json),
            "schema": text(&collection.schema),
        })
    });
    Ok(described.collect())
}

/// Metadata as JSON text, in which integers and floats keep apart; `null` without keys.
///
/// # Errors
/// `Internal`.
pub fn metadata_text(metadata: &Metadata) -> Result<String> {
    if metadata.is_empty() {
        return Ok("null".to_owned());
    }
    serde_json::to_string(&MetadataJson(metadata))
        .map_err(|e| Error::internal(format!("metadata cannot be written: {e}")))
}

/// Metadata of JSON text, as [`metadata_text`] writes it. Keys whose value is `null` hold nothing.
///
/// # Errors
/// `InvalidArgument` where the text is no JSON object, or a value is none that metadata have.
pub fn parse_metadata(text: &str) -> Result<MetadataPatch> {
    let patch: Option<JsonPatch> =
        serde_json::from_str(text).map_err(|e| Error::invalid(format!("metadata cannot be read: {e}")))?;
    patch.map_or_else(|| Ok(MetadataPatch::new()), JsonPatch::into_patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_with_integers_and_floats_apart() {
        let text = "{\"id\":\"a\",\"embedding\":[0.1,1.0],\"metadata\":{\"i\":1,\"f\":1.0}}\n\n{\"id\":\"b\",\"embedding\":[2,3],\"document\":\"d\",\"uri\":\"u\"}\n";
        let batch = parse_record_lines(text, 1).unwrap();
        assert_eq!(batch.ids, ["a", "b"]);
        assert_eq!(batch.embeddings.unwrap(), [0.1, 1.0, 2.0, 3.0]);
        let metadata = batch.metadatas.unwrap()[0].clone().unwrap();
        assert_eq!(metadata["i"], Some(ferrochrome_types::Value::Int(1)));
        assert_eq!(metadata["f"], Some(ferrochrome_types::Value::Float(1.0)));
        assert_eq!(batch.documents.unwrap()[1].as_deref(), Some("d"));
    }

    #[test]
    fn a_bad_line_is_named() {
        for text in [
            "{\"id\":\"a\",\"embedding\":[1]}\n{\"id\":\"b\",\"embedding\":[1,2]}",
            "{\"id\":\"a\",\"embedding\":[1]}\nnonsense",
        ] {
            let error = parse_record_lines(text, 7).unwrap_err();
            assert!(error.message().starts_with("Line 8 "), "{error}");
        }
    }

    #[test]
    fn a_server_page_must_have_columns_of_one_length() {
        let page =
            parse_server_page(r#"{"ids":["a","b"],"embeddings":[[1.0],null],"metadatas":[{"n":1.0},null]}"#)
                .unwrap();
        assert_eq!((page.read, page.batch.ids.as_slice()), (2, &["a".to_owned()][..]));
        assert_eq!(page.without_vector, ["b"]);
        assert!(parse_server_page(r#"{"ids":["a"],"embeddings":[]}"#).is_err());
        assert!(parse_server_page(r#"{"ids":["a"],"embeddings":[[1.0]],"documents":[]}"#).is_err());
        assert!(parse_server_page(r#"{"ids":["a"]}"#).is_err());
    }
}
