//! Bodies of HTTP replies about the records of a collection: everything in one JSON text, vectors included.

use ferrochrome_engine::{GetResult, QueryResult, RowAddress, Snapshot};
use ferrochrome_types::{Code, Error, Result};

use crate::http_requests::IncludeList;
use crate::requests::Include;
use crate::results::{Hits, WriteCell, column, ids, json, query_column, record_columns};

/// Rows that are prefetched before a reply is written. More would not stay in the cache until it is their turn.
const PREFETCHED_ROWS: usize = 256;

/// The reply to a get: `{"ids", "embeddings", "documents", "uris", "metadatas", "include"}`; a column that was not asked for is null.
///
/// # Errors
/// `Corrupted` where a row cannot be read, `LimitExceeded` for more than `most` bytes.
pub fn get_http_reply(result: &GetResult, list: &IncludeList, most: usize) -> Result<Vec<u8>> {
    let (rows, snapshot) = (&result.rows, &result.snapshot);
    let table = |out: &mut Vec<u8>, write_cell: WriteCell| {
        column(out, rows, |out, row| write_cell(out, snapshot, *row).and_then(|()| bounded(out, most)))
    };
    let mut out = Vec::with_capacity(128 + rows.len() * 64);
    out.extend_from_slice(b"{\"ids\":");
    table(&mut out, ids)?;
    columns(&mut out, list.include, table)?;
    end(&mut out, list)?;
    Ok(out)
}

/// The reply to a query: as that to a get, one level deeper, with `distances`.
///
/// # Errors
/// As for [`get_http_reply`].
pub fn query_http_reply(result: &QueryResult, list: &IncludeList, most: usize) -> Result<Vec<u8>> {
    let (queries, snapshot) = (&result.queries, &result.snapshot);
    let whole = list.include.documents || list.include.metadatas;
    // Rows lie anywhere: let them arrive in the cache together instead of one after another.
    snapshot.prefetch(queries.iter().flatten().take(PREFETCHED_ROWS).map(|(row, _)| *row), whole);
    let table = |out: &mut Vec<u8>, write_cell: WriteCell| {
        query_column(out, queries, |out, (row, _)| {
            write_cell(out, snapshot, *row).and_then(|()| bounded(out, most))
        })?;
        bounded(out, most)
    };
    let mut out = Vec::with_capacity(128 + queries.len() * 240);
    out.extend_from_slice(b"{\"ids\":");
    table(&mut out, ids)?;
    columns(&mut out, list.include, table)?;
    out.extend_from_slice(b",\"distances\":");
    if list.include.distances {
        distances(&mut out, queries)?;
    } else {
        out.extend_from_slice(b"null");
    }
    end(&mut out, list)?;
    Ok(out)
}

fn distances(out: &mut Vec<u8>, queries: &[Hits]) -> Result<()> {
    query_column(out, queries, |out, (_, distance)| json(out, distance))
}

/// Embeddings and the other columns of records.
fn columns(
    out: &mut Vec<u8>,
    include: Include,
    table: impl Fn(&mut Vec<u8>, WriteCell) -> Result<()>,
) -> Result<()> {
    out.extend_from_slice(b",\"embeddings\":");
    if include.embeddings {
        table(out, vector)?;
    } else {
        out.extend_from_slice(b"null");
    }
    record_columns(out, include, table)
}

/// Each component is printed as the shortest decimal of its `f32`.
fn vector(out: &mut Vec<u8>, snapshot: &Snapshot, row: RowAddress) -> Result<()> {
    column(out, snapshot.vector(row)?, json)
}

fn end(out: &mut Vec<u8>, list: &IncludeList) -> Result<()> {
    out.extend_from_slice(b",\"include\":");
    json(out, list)?;
    out.push(b'}');
    Ok(())
}

fn bounded(out: &[u8], most: usize) -> Result<()> {
    if out.len() <= most {
        return Ok(());
    }
    let message =
        format!("The reply is larger than {most} bytes: ask for fewer records or columns, or page by page");
    Err(Error::new(Code::LimitExceeded, message))
}
