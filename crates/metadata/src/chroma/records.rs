//! Records: ids in insertion order, and what belongs to each.

use std::collections::BTreeMap;

use ferrochrome_types::{Result, Value};
use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::value::{self, VALUE_COLUMNS};
use super::{ChromaRecord, ChromaSqlite, Problem, ProblemKind};

/// A record's place in SQLite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordKey {
    /// The row in `embeddings`; rises in insertion order.
    pub row: i64,
    /// The user's id.
    pub id: String,
}

impl ChromaSqlite {
    /// The records of a metadata segment in insertion order. Those whose id cannot be read are reported.
    ///
    /// # Errors
    /// `Io`. What SQLite cannot read is reported as a problem instead: rows that were read are right.
    pub fn record_keys(&self, segment: &str, problems: &mut Vec<Problem>) -> Result<Vec<RecordKey>> {
        let mut keys = Vec::new();
        let outcome = self.read_keys(segment, &mut keys, problems);
        match outcome.map_err(|e| self.sqlite(e)) {
            Err(error) if error.code() == ferrochrome_types::Code::Corrupted => {
                let message = format!("the list of records ends after {} of them: {error}", keys.len());
                problems.push(Problem::of_collection(ProblemKind::UnreadableRecord, message));
            }
            outcome => outcome?,
        }
        keys.sort_unstable_by_key(|key: &RecordKey| key.row);
        keys.dedup_by(|a, b| a.row == b.row);
        Ok(keys)
    }

    fn read_keys(
        &self,
        segment: &str,
        keys: &mut Vec<RecordKey>,
        problems: &mut Vec<Problem>,
    ) -> rusqlite::Result<()> {
        // In the order of the index on both columns, which needs no look at the table.
        let mut query = self
            .connection
            .prepare_cached("SELECT id, embedding_id FROM embeddings WHERE segment_id = ?1")?;
        let mut rows = query.query([segment])?;
        while let Some(row) = rows.next()? {
            let number: i64 = row.get(0)?;
            match row.get_ref(1)? {
                ValueRef::Text(text) if !text.is_empty() && std::str::from_utf8(text).is_ok() => {
                    keys.push(RecordKey { row: number, id: String::from_utf8_lossy(text).into_owned() });
                }
                _ => problems.push(Problem::of_collection(
                    ProblemKind::InvalidId,
                    format_args!(
                        "the id in row {number} of `embeddings` is not a text of at least one character"
                    ),
                )),
            }
        }
        Ok(())
    }

    /// The number of the write that last changed a record, if it can be read.
    pub fn last_write(&self, segment: &str, id: &str) -> Option<i64> {
        let text = "SELECT seq_id FROM embeddings WHERE segment_id = ?1 AND embedding_id = ?2";
        let mut query = self.connection.prepare_cached(text).ok()?;
        query.query_row([segment, id], |row| Ok(super::queue::sequence(row.get_ref(0)?))).ok()?
    }

    /// Document, URI and metadata of a record. Values that cannot be taken over are reported and left out.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn record(&self, key: &RecordKey, problems: &mut Vec<Problem>) -> Result<ChromaRecord> {
        let sql = |e| self.sqlite(e);
        let mut patch = BTreeMap::new();
        let [string, int, float, flag] = VALUE_COLUMNS;
        let flag_column = self.column("embedding_metadata", flag);
        let text = format!(
            "SELECT key, {string}, {int}, {float}, {flag_column} FROM embedding_metadata WHERE id = ?1"
        );
        let mut query = self.connection.prepare_cached(&text).map_err(sql)?;
        let mut rows = query.query([key.row]).map_err(sql)?;
        while let Some(row) = rows.next().map_err(sql)? {
            if let Some((name, Ok(Some(value)))) = checked(row, &key.id, problems) {
                patch.insert(name, Some(value));
            }
        }
        if self.has_arrays {
            for (name, value) in self.arrays(key, problems)? {
                patch.insert(name, Some(value));
            }
        }
        let mut record = ChromaRecord::default();
        record.apply(patch);
        Ok(record)
    }

    fn arrays(&self, key: &RecordKey, problems: &mut Vec<Problem>) -> Result<Vec<(String, Value)>> {
        let sql = |e| self.sqlite(e);
        let [string, int, float, flag] = VALUE_COLUMNS;
        let text = format!(
            "SELECT key, {string}, {int}, {float}, {flag} FROM embedding_metadata_array WHERE id = ?1 ORDER BY rowid"
        );
        let mut query = self.connection.prepare_cached(&text).map_err(sql)?;
        let mut rows = query.query([key.row]).map_err(sql)?;
        let mut elements: BTreeMap<String, Option<Vec<Value>>> = BTreeMap::new();
        while let Some(row) = rows.next().map_err(sql)? {
            let Some((name, value)) = checked(row, &key.id, problems) else { continue };
            let array = elements.entry(name).or_insert_with(|| Some(Vec::new()));
            match (value, array.as_mut()) {
                (Ok(Some(value)), Some(array)) => array.push(value),
                (Ok(_), _) => {}
                // An array without one of its elements is another array.
                (Err(()), _) => *array = None,
            }
        }
        let mut arrays = Vec::new();
        for (name, values) in elements {
            match value::array(values.unwrap_or_default()) {
                Ok(Some(array)) => arrays.push((name, array)),
                Ok(None) => {}
                Err(what) => problems.push(left_out(&key.id, &name, &what)),
            }
        }
        Ok(arrays)
    }
}

/// Key and value of a row `key, string, int, float, bool`; what is refused is reported. `None` where the key is.
fn checked(
    row: &Row<'_>,
    id: &str,
    problems: &mut Vec<Problem>,
) -> Option<(String, Result<Option<Value>, ()>)> {
    let Ok(name) = row.get::<_, String>(0) else {
        problems.push(left_out(id, "?", "its key is no text"));
        return None;
    };
    if let Some(reason) = value::refused_key(&name) {
        problems.push(left_out(id, &name, reason));
        return None;
    }
    let value = value::read(row, 1).map_err(|what| problems.push(left_out(id, &name, &what)));
    Some((name, value))
}

pub(super) fn left_out(id: &str, key: &str, what: &str) -> Problem {
    let message = format!("the metadata key `{}` is left out: {what}", key.escape_debug());
    Problem::of_record(ProblemKind::InvalidValue, id, message)
}
