//! Replies of a collection.

use ferrochrome_engine::{GetResult, QueryResult, RowAddress, Snapshot};
use ferrochrome_types::{Error, Result};
use rayon::prelude::*;
use serde::Serialize;

use crate::requests::Include;
use crate::shortest_double::shortest_double;
use crate::values::ValueJson;

/// Queries whose part of a reply one thread writes.
const QUERIES_PER_TASK: usize = 128;
/// Hits whose distances go beside the text even if that takes an array of their own: numbers of JSON take as long to read as all else
/// in it, but an array of numbers takes as long to hand over as some dozens of them.
const PACKED_HITS: usize = 128;
/// Longest id whose characters JavaScript copies when it takes lines apart. A longer one is a view that keeps the whole text in memory.
const LONGEST_COPIED_ID: usize = 12;
/// Most bytes of a text that such an id may keep.
const KEPT_BYTES: usize = 4096;

/// A reply: JSON text, and beside it the vectors, which would be slow and large as text, and many distances.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// `{"ids", "distances"?, "documents", "metadatas", "uris"}`; a column is null where it was not asked for. For a query see
    /// [`query_reply`].
    pub text: String,
    /// Row-major vectors of all rows in order, if asked for. Each is the shortest decimal of the stored `f32`, so that 0.1
    /// stays 0.1 as a double.
    pub embeddings: Option<Vec<f64>>,
    /// Distances of all hits in order, of the same kind, in the place of those in the text.
    pub distances: Option<Vec<f64>>,
}

/// The reply of a get.
///
/// # Errors
/// `Corrupted` where a row cannot be read.
pub fn get_reply(result: &GetResult, include: Include) -> Result<Reply> {
    let rows = &result.rows;
    let snapshot = &result.snapshot;
    let mut text = Vec::with_capacity(64 + rows.len() * 32);
    text.extend_from_slice(b"{\"ids\":");
    column(&mut text, rows, |out, row| ids(out, snapshot, *row))?;
    record_columns(&mut text, include, |out, write_cell| {
        column(out, rows, |out, row| write_cell(out, snapshot, *row))
    })?;
    text.push(b'}');
    let embeddings = include.embeddings.then(|| vectors(snapshot, rows.iter().copied())).transpose()?;
    Ok(Reply { text: into_text(text)?, embeddings, distances: None })
}

/// The reply of a query: as of a get, one level deeper, with distances, and with the ids behind the JSON.
///
/// The JSON has `"counts"`, the number of hits of each query, in the place of ids. Behind it each id follows on a line of its own; that
/// is faster to take apart than JSON, whose parser looks up every short string in a table. The ids are in the JSON, as `"ids"`, where one
/// holds a line break itself, or would keep much more than itself in memory. There is no JSON, and the text begins with a line break,
/// where it would say nothing of one query but that its hits are as many as the lines.
///
/// `room`: there is a place for the distances of so many hits, so that they need not be in the text.
///
/// # Errors
/// `Corrupted` where a row cannot be read.
pub fn query_reply(result: &QueryResult, include: Include, room: usize) -> Result<Reply> {
    let queries = &result.queries;
    let ids = id_lines(result, include.documents || include.metadatas)?;
    let distances = if include.distances { packed_distances(queries, room) } else { None };
    let numbers_in_text = include.distances && distances.is_none();
    let has_columns = numbers_in_text || include.documents || include.metadatas || include.uris;
    let says_more = has_columns || queries.len() != 1;
    let ids_in_json = ids.broken || (ids.long && (says_more || ids.lines.len() > KEPT_BYTES));
    let mut text = Vec::new();
    if says_more || ids_in_json {
        text.reserve(64 + ids.lines.len() + queries.len() * 240);
        query_json(&mut text, result, include, ids_in_json, numbers_in_text)?;
    }
    if !ids_in_json {
        text.extend_from_slice(&ids.lines);
    }
    let rows = queries.iter().flatten().map(|(row, _)| *row);
    let embeddings = include.embeddings.then(|| vectors(&result.snapshot, rows)).transpose()?;
    Ok(Reply { text: into_text(text)?, embeddings, distances })
}

fn query_json(
    text: &mut Vec<u8>,
    result: &QueryResult,
    include: Include,
    with_ids: bool,
    with_distances: bool,
) -> Result<()> {
    let QueryResult { snapshot, queries } = result;
    text.extend_from_slice(b"{\"counts\":");
    column(text, queries, |out, rows| json(out, &rows.len()))?;
    if with_ids {
        text.extend_from_slice(b",\"ids\":");
        query_column(text, queries, |out, (row, _)| ids(out, snapshot, *row))?;
    }
    if with_distances {
        text.extend_from_slice(b",\"distances\":");
        query_column(text, queries, |out, (_, distance)| json(out, distance))?;
    }
    record_columns(text, include, |out, write_cell| {
        query_column(out, queries, |out, (row, _)| write_cell(out, snapshot, *row))
    })?;
    text.push(b'}');
    Ok(())
}

/// The distances of many hits, or of those that there is room for. `None` where one of them is no number, which JSON can tell.
fn packed_distances(queries: &[Hits], room: usize) -> Option<Vec<f64>> {
    let hits: usize = queries.iter().map(Vec::len).sum();
    let goes_beside = (room > 0 && hits <= room) || hits >= PACKED_HITS;
    if !goes_beside || queries.iter().flatten().any(|(_, distance)| !distance.is_finite()) {
        return None;
    }
    let of = |queries: &[Hits]| -> Vec<f64> {
        queries.iter().flatten().map(|(_, distance)| shortest_double(*distance)).collect()
    };
    if queries.len() <= QUERIES_PER_TASK {
        return Some(of(queries));
    }
    Some(queries.par_chunks(QUERIES_PER_TASK).map(of).collect::<Vec<_>>().concat())
}

/// The ids of all hits.
#[derive(Default)]
struct IdLines {
    /// Each after a line break.
    lines: Vec<u8>,
    /// Whether one of them holds a line break itself.
    broken: bool,
    /// Whether one of them is longer than [`LONGEST_COPIED_ID`].
    long: bool,
}

impl IdLines {
    fn push(&mut self, id: &str) {
        self.broken |= id.contains('\n');
        self.long |= id.len() > LONGEST_COPIED_ID;
        self.lines.push(b'\n');
        self.lines.extend_from_slice(id.as_bytes());
    }

    fn append(&mut self, other: &IdLines) {
        self.broken |= other.broken;
        self.long |= other.long;
        self.lines.extend_from_slice(&other.lines);
    }
}

fn id_lines(result: &QueryResult, whole: bool) -> Result<IdLines> {
    let lines_of = |queries: &[Hits]| -> Result<IdLines> {
        let lines = Vec::with_capacity(queries.iter().map(|rows| rows.len() * 12).sum());
        let mut ids = IdLines { lines, ..IdLines::default() };
        for rows in queries {
            // Rows lie anywhere: let them arrive in the cache together instead of one after another.
            result.snapshot.prefetch(rows.iter().map(|(row, _)| *row), whole);
            for (row, _) in rows {
                ids.push(result.snapshot.id(*row)?);
            }
        }
        Ok(ids)
    };
    if result.queries.len() <= QUERIES_PER_TASK {
        return lines_of(&result.queries);
    }
    let parts: Vec<IdLines> =
        result.queries.par_chunks(QUERIES_PER_TASK).map(lines_of).collect::<Result<_>>()?;
    let mut all = IdLines::default();
    for part in &parts {
        all.append(part);
    }
    Ok(all)
}

/// A column of the hits of all queries, one array a query. Many queries are written by several threads.
pub(crate) fn query_column(
    out: &mut Vec<u8>,
    queries: &[Hits],
    write: impl Fn(&mut Vec<u8>, &(RowAddress, f32)) -> Result<()> + Sync,
) -> Result<()> {
    let rows = |out: &mut Vec<u8>, rows: &Hits| column(out, rows, &write);
    if queries.len() <= QUERIES_PER_TASK {
        return column(out, queries, rows);
    }
    let piece = |queries: &[Hits]| {
        let mut piece = Vec::with_capacity(queries.len() * 120);
        column(&mut piece, queries, rows).map(|()| piece)
    };
    let pieces = queries.par_chunks(QUERIES_PER_TASK).map(piece).collect::<Result<Vec<_>>>()?;
    column(out, &pieces, |out, piece| {
        // The piece is an array of its own.
        out.extend_from_slice(&piece[1..piece.len() - 1]);
        Ok(())
    })
}

/// Rows of one query with their distances.
pub(crate) type Hits = Vec<(RowAddress, f32)>;

pub(crate) type WriteCell = fn(&mut Vec<u8>, &Snapshot, RowAddress) -> Result<()>;

/// Documents, metadata and URIs: each written through `table`, which knows how rows are nested.
pub(crate) fn record_columns(
    out: &mut Vec<u8>,
    include: Include,
    table: impl Fn(&mut Vec<u8>, WriteCell) -> Result<()>,
) -> Result<()> {
    let columns: [(&str, bool, WriteCell); 3] = [
        ("documents", include.documents, |out, snapshot, row| json(out, &snapshot.document(row)?)),
        ("uris", include.uris, |out, snapshot, row| json(out, &snapshot.uri(row)?)),
        ("metadatas", include.metadatas, metadata),
    ];
    for (name, included, write_cell) in columns {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        if included {
            table(out, write_cell)?;
        } else {
            out.extend_from_slice(b"null");
        }
    }
    Ok(())
}

pub(crate) fn column<T>(
    out: &mut Vec<u8>,
    items: &[T],
    mut write: impl FnMut(&mut Vec<u8>, &T) -> Result<()>,
) -> Result<()> {
    out.push(b'[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(out, item)?;
    }
    out.push(b']');
    Ok(())
}

pub(crate) fn ids(out: &mut Vec<u8>, snapshot: &Snapshot, row: RowAddress) -> Result<()> {
    json(out, snapshot.id(row)?)
}

/// The metadata of a row, written as it is read.
fn metadata(out: &mut Vec<u8>, snapshot: &Snapshot, row: RowAddress) -> Result<()> {
    let (mut before, mut written) = (b'{', Ok(()));
    let exists = snapshot.for_each_metadata_entry(row, &mut |key, value| {
        out.push(std::mem::replace(&mut before, b','));
        let entry = json(out, key).and_then(|()| {
            out.push(b':');
            json(out, &ValueJson(value))
        });
        if written.is_ok() {
            written = entry;
        }
    })?;
    written?;
    if !exists {
        return json(out, &());
    }
    if before == b'{' {
        out.push(before);
    }
    out.push(b'}');
    Ok(())
}

pub(crate) fn json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<()> {
    serde_json::to_writer(out, value).map_err(|e| Error::internal(format!("a reply cannot be written: {e}")))
}

fn into_text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| Error::internal("a reply is not UTF-8"))
}

fn vectors(snapshot: &Snapshot, rows: impl Iterator<Item = RowAddress>) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for row in rows {
        all.extend(snapshot.vector(row)?.iter().map(|component| shortest_double(*component)));
    }
    Ok(all)
}
