//! The queue of writes: Chroma's log, and for vectors that are not in the index yet the only place where they are.

use std::collections::HashMap;

use ferrochrome_types::{Result, Value};
use rusqlite::OptionalExtension;
use rusqlite::types::ValueRef;
use serde_json::Value as Json;
use uuid::Uuid;

use super::records::left_out;
use super::{ChromaSqlite, Problem, RecordPatch, value};

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Inserts where the id is new.
    Add,
    /// Changes where the id is known.
    Update,
    /// Both.
    Upsert,
    /// Removes.
    Delete,
}

/// One write in the queue, without its vector and metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueEntry {
    /// Its number, rising over all collections.
    pub seq: i64,
    /// What it does.
    pub operation: Operation,
    /// The user's id.
    pub id: String,
    /// Whether it carries a vector.
    pub has_vector: bool,
}

impl ChromaSqlite {
    /// Whether the queue was never purged, so that it holds every write since the directory was made.
    pub fn keeps_history(&self) -> bool {
        if !self.has("embeddings_queue_config", "config_json_str") {
            return true;
        }
        let text: Option<String> = self
            .connection
            .query_row("SELECT config_json_str FROM embeddings_queue_config LIMIT 1", [], |row| row.get(0))
            .unwrap_or_default();
        let parsed = text.and_then(|text| serde_json::from_str::<Json>(&text).ok());
        parsed.is_some_and(|json| json["automatically_purge"] == Json::Bool(false))
    }

    /// The number of the last write that a segment contains, if it contains any.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn max_seq_id(&self, segment: &str) -> Result<Option<i64>> {
        if !self.has("max_seq_id", "seq_id") {
            return Ok(None);
        }
        let found = self
            .connection
            .prepare_cached("SELECT seq_id FROM max_seq_id WHERE segment_id = ?1")
            .and_then(|mut query| query.query_row([segment], |row| Ok(sequence(row.get_ref(0)?))).optional());
        found.map(Option::flatten).map_err(|e| self.sqlite(e))
    }

    /// The writes to a collection, in order. Those that cannot be understood are counted in the second value.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn queue(&mut self, collection: Uuid) -> Result<(Vec<QueueEntry>, u64)> {
        let numbers = match &mut self.queue {
            Some(queue) => queue.remove(&collection),
            None => {
                let mut queue = self.queue_numbers()?;
                let numbers = queue.remove(&collection);
                self.queue = Some(queue);
                numbers
            }
        }
        .unwrap_or_default();
        let sql = |e| self.sqlite(e);
        let mut query = self
            .connection
            .prepare_cached(
                "SELECT operation, id, vector IS NOT NULL FROM embeddings_queue WHERE seq_id = ?1",
            )
            .map_err(sql)?;
        let mut entries = Vec::with_capacity(numbers.len());
        let mut unknown = 0;
        for &seq in &numbers {
            let mut rows = query.query([seq]).map_err(sql)?;
            let Some(row) = rows.next().map_err(sql)? else { continue };
            let operation = match row.get_ref(0).map_err(sql)? {
                ValueRef::Integer(0) => Operation::Add,
                ValueRef::Integer(1) => Operation::Update,
                ValueRef::Integer(2) => Operation::Upsert,
                ValueRef::Integer(3) => Operation::Delete,
                // A request to fill a segment up, which changes nothing.
                ValueRef::Integer(4) => continue,
                _ => {
                    unknown += 1;
                    continue;
                }
            };
            match row.get::<_, String>(1) {
                Ok(id) => {
                    entries.push(QueueEntry { seq, operation, id, has_vector: row.get(2).unwrap_or(false) })
                }
                Err(_) => unknown += 1,
            }
        }
        drop(query);
        if let Some(queue) = &mut self.queue {
            queue.insert(collection, numbers);
        }
        Ok((entries, unknown))
    }

    /// Numbers of all writes, by collection: the queue has no index on it.
    fn queue_numbers(&self) -> Result<HashMap<Uuid, Vec<i64>>> {
        let sql = |e| self.sqlite(e);
        let mut query = self
            .connection
            .prepare("SELECT seq_id, topic FROM embeddings_queue ORDER BY seq_id")
            .map_err(sql)?;
        let mut rows = query.query([]).map_err(sql)?;
        let mut numbers: HashMap<Uuid, Vec<i64>> = HashMap::new();
        while let Some(row) = rows.next().map_err(sql)? {
            let ValueRef::Text(topic) = row.get_ref(1).map_err(sql)? else { continue };
            // `persistent://default/default/<uuid of the collection>`.
            let name = topic.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            if let Ok(collection) = Uuid::try_parse_ascii(name) {
                numbers.entry(collection).or_default().push(row.get(0).map_err(sql)?);
            }
        }
        Ok(numbers)
    }

    /// The vector of a write; `None` where there is none, or not one of a known encoding.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn queue_vector(&self, seq: i64) -> Result<Option<Vec<f32>>> {
        let text = "SELECT vector, encoding FROM embeddings_queue WHERE seq_id = ?1";
        let read = |row: &rusqlite::Row<'_>| {
            let (ValueRef::Blob(bytes), ValueRef::Text(encoding)) = (row.get_ref(0)?, row.get_ref(1)?) else {
                return Ok(None);
            };
            let (components, rest) = bytes.as_chunks::<4>();
            Ok(match encoding {
                _ if !rest.is_empty() => None,
                b"FLOAT32" => Some(components.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()),
                b"INT32" => Some(components.iter().map(|bytes| i32::from_le_bytes(*bytes) as f32).collect()),
                _ => None,
            })
        };
        let found = self
            .connection
            .prepare_cached(text)
            .and_then(|mut query| query.query_row([seq], read).optional());
        found.map(Option::flatten).map_err(|e| self.sqlite(e))
    }

    /// What a write changes beside the vector. Values that cannot be taken over are reported and left out.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn queue_patch(&self, entry: &QueueEntry, problems: &mut Vec<Problem>) -> Result<RecordPatch> {
        let text: Option<String> = self
            .connection
            .prepare_cached("SELECT metadata FROM embeddings_queue WHERE seq_id = ?1")
            .and_then(|mut query| query.query_row([entry.seq], |row| row.get(0)))
            .map_err(|e| self.sqlite(e))?;
        let Some(text) = text else { return Ok(RecordPatch::new()) };
        let Ok(Json::Object(members)) = serde_json::from_str(&text) else {
            problems.push(left_out(&entry.id, "*", "the write's metadata are no JSON object"));
            return Ok(RecordPatch::new());
        };
        let mut patch = RecordPatch::new();
        for (key, json) in members {
            let value = match value::refused_key(&key) {
                Some(reason) => Err(reason.to_owned()),
                None => from_json(&json),
            };
            match value {
                Ok(value) => _ = patch.insert(key, value),
                Err(what) => problems.push(left_out(&entry.id, &key, &what)),
            }
        }
        Ok(patch)
    }
}

/// The number of a write: an integer, before 1.0 its eight bytes, most significant first.
pub(super) fn sequence(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Integer(seq) => Some(seq),
        ValueRef::Blob(bytes) => bytes.try_into().ok().map(i64::from_be_bytes),
        _ => None,
    }
}

fn from_json(json: &Json) -> Result<Option<Value>, String> {
    Ok(match json {
        Json::Null => None,
        Json::Bool(flag) => Some(Value::Bool(*flag)),
        Json::String(text) => Some(Value::Str(text.clone())),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => Some(Value::Int(int)),
            (None, Some(float)) if float.is_finite() => Some(Value::Float(float)),
            _ => return Err(format!("the number {number}")),
        },
        Json::Array(items) => {
            let values: Option<Vec<Value>> =
                items.iter().map(|item| from_json(item).ok().flatten()).collect();
            value::array(values.ok_or("an array of something else than strings, numbers or booleans")?)?
        }
        Json::Object(_) => return Err("an object".to_owned()),
    })
}
