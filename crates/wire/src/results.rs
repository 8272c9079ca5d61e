//! Replies of a collection.

use std::fmt::Write;

use ferrochrome_engine::{GetResult, QueryResult, RowAddress, Snapshot};
use ferrochrome_types::{Error, Result};
use serde::Serialize;

use crate::requests::Include;
use crate::values::MetadataJson;

/// A reply: JSON text, and beside it the vectors, which would be slow and large as text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// `{"ids", "distances"?, "documents", "metadatas", "uris"}`; a column is null where it was not asked for.
    pub text: String,
    /// Row-major vectors of all rows in order, if asked for. Each is the shortest decimal of the stored `f32`, so that 0.1
    /// stays 0.1 as a double.
    pub embeddings: Option<Vec<f64>>,
}

/// The reply of a get.
///
/// # Errors
/// `Corrupted` where a row cannot be read.
pub fn get_reply(result: &GetResult, include: Include) -> Result<Reply> {
    let rows = &result.rows;
    let snapshot = &result.snapshot;
    let mut text = String::with_capacity(64 + rows.len() * 32);
    text.push_str("{\"ids\":");
    column(&mut text, rows, |out, row| ids(out, snapshot, *row))?;
    optional_columns(&mut text, include, |out, write_cell| {
        column(out, rows, |out, row| write_cell(out, snapshot, *row))
    })?;
    text.push('}');
    let embeddings = include.embeddings.then(|| vectors(snapshot, rows.iter().copied())).transpose()?;
    Ok(Reply { text, embeddings })
}

/// The reply of a query: as of a get, one level deeper, with distances.
///
/// # Errors
/// `Corrupted` where a row cannot be read.
pub fn query_reply(result: &QueryResult, include: Include) -> Result<Reply> {
    let snapshot = &result.snapshot;
    let queries = &result.queries;
    let mut text = String::with_capacity(64 + queries.len() * 320);
    text.push_str("{\"ids\":");
    column(&mut text, queries, |out, rows| column(out, rows, |out, (row, _)| ids(out, snapshot, *row)))?;
    text.push_str(",\"distances\":");
    if include.distances {
        column(&mut text, queries, |out, rows| column(out, rows, |out, (_, distance)| json(out, distance)))?;
    } else {
        text.push_str("null");
    }
    optional_columns(&mut text, include, |out, write_cell| {
        column(out, queries, |out, rows| column(out, rows, |out, (row, _)| write_cell(out, snapshot, *row)))
    })?;
    text.push('}');
    let rows = queries.iter().flatten().map(|(row, _)| *row);
    let embeddings = include.embeddings.then(|| vectors(snapshot, rows)).transpose()?;
    Ok(Reply { text, embeddings })
}

type WriteCell = fn(&mut String, &Snapshot, RowAddress) -> Result<()>;

/// Documents, metadata and URIs: each written through `table`, which knows how rows are nested.
fn optional_columns(
    out: &mut String,
    include: Include,
    table: impl Fn(&mut String, WriteCell) -> Result<()>,
) -> Result<()> {
    let columns: [(&str, bool, WriteCell); 3] = [
        ("documents", include.documents, |out, snapshot, row| json(out, &snapshot.document(row)?)),
        ("metadatas", include.metadatas, |out, snapshot, row| {
            json(out, &snapshot.metadata(row)?.as_ref().map(MetadataJson))
        }),
        ("uris", include.uris, |out, snapshot, row| json(out, &snapshot.uri(row)?)),
    ];
    for (name, included, write_cell) in columns {
        // Writing to a String cannot fail.
        let _ = write!(out, ",\"{name}\":");
        if included {
            table(out, write_cell)?;
        } else {
            out.push_str("null");
        }
    }
    Ok(())
}

fn column<T>(
    out: &mut String,
    items: &[T],
    mut write: impl FnMut(&mut String, &T) -> Result<()>,
) -> Result<()> {
    out.push('[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write(out, item)?;
    }
    out.push(']');
    Ok(())
}

fn ids(out: &mut String, snapshot: &Snapshot, row: RowAddress) -> Result<()> {
    json(out, snapshot.id(row)?)
}

fn json<T: Serialize + ?Sized>(out: &mut String, value: &T) -> Result<()> {
    let text = serde_json::to_string(value)
        .map_err(|e| Error::internal(format!("a reply cannot be written: {e}")))?;
    out.push_str(&text);
    Ok(())
}

fn vectors(snapshot: &Snapshot, rows: impl Iterator<Item = RowAddress>) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for row in rows {
        all.extend(snapshot.vector(row)?.iter().map(|component| shortest_double(*component)));
    }
    Ok(all)
}

/// The double that has the shortest decimal that still reads back as this `f32`.
fn shortest_double(component: f32) -> f64 {
    let widened = f64::from(component);
    // Small integers, halves, quarters... are the same either way; printing is for the rest.
    if component == component.trunc() && component.abs() < 1e7 {
        return widened;
    }
    let mut buffer = ryu::Buffer::new();
    buffer.format_finite(component).parse().unwrap_or(widened)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_stays_a_tenth() {
        for (single, double) in
            [(0.1_f32, 0.1_f64), (-2.5, -2.5), (3.0, 3.0), (0.050_000_004, 0.050_000_004), (1e-30, 1e-30)]
        {
            assert_eq!(shortest_double(single), double);
        }
        assert_eq!(shortest_double(-0.0).to_bits(), (-0.0_f64).to_bits());
    }
}
