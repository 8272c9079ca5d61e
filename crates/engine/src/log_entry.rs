//! What one batch did, as the log keeps it.
//!
//! An entry holds results, not requests: whole new records and ids that are gone. Applying it twice, or on top of a segment
//! that already contains part of it, gives the same state, so the log need not be cut at the very batch where a seal began.

use std::sync::Arc;

use ferrochrome_blockstore::metadata_codec;
use ferrochrome_types::{Code, Error, Record, Result};

const VERSION: u8 = 1;
const HAS_DOCUMENT: u8 = 1;
const HAS_METADATA: u8 = 2;
const HAS_URI: u8 = 4;

/// The effect of one batch.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct LogEntry {
    pub dim: usize,
    /// New versions of records, in ordinal order.
    pub puts: Vec<Arc<Record>>,
    /// Their vectors, row-major `[puts.len(), dim]`.
    pub vectors: Vec<f32>,
    /// Ids that no longer exist.
    pub deletes: Vec<String>,
}

impl LogEntry {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 + self.vectors.len() * 4 + self.puts.len() * 160);
        out.push(VERSION);
        put_length(&mut out, self.dim);
        put_length(&mut out, self.puts.len());
        put_length(&mut out, self.deletes.len());
        for record in &self.puts {
            encode_record(&mut out, record);
        }
        for id in &self.deletes {
            put_bytes(&mut out, id.as_bytes());
        }
        for component in &self.vectors {
            out.extend_from_slice(&component.to_le_bytes());
        }
        out
    }

    /// # Errors
    /// `Corrupted` where the bytes are not an entry that this version wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader(bytes);
        let version = reader.take(1)?[0];
        if version > VERSION {
            return Err(Error::new(
                Code::Unsupported,
                format!(
                    "catalog.sqlite holds a log entry of format version {version}, this release of Ferrochrome reads up to \
                     {VERSION}: open it with a newer release"
                ),
            ));
        }
        if version != VERSION {
            return Err(damaged(format!("a log entry has version {version}, which there never was")));
        }
        let (dim, puts, deletes) = (reader.length()?, reader.length()?, reader.length()?);
        // Lengths are untrusted: no allocation may exceed what the bytes can hold.
        let mut entry = LogEntry { dim, ..LogEntry::default() };
        for _ in 0..puts {
            entry.puts.push(Arc::new(decode_record(&mut reader)?));
        }
        for _ in 0..deletes {
            entry.deletes.push(reader.text()?);
        }
        let expected = puts.checked_mul(dim).and_then(|n| n.checked_mul(4));
        if expected != Some(reader.0.len()) {
            return Err(damaged("the vectors of a log entry have the wrong length"));
        }
        entry.vectors =
            reader.0.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        Ok(entry)
    }
}

fn encode_record(out: &mut Vec<u8>, record: &Record) {
    let flag = |present: bool, flag: u8| if present { flag } else { 0 };
    out.extend_from_slice(&record.ordinal.to_le_bytes());
    out.push(
        flag(record.document.is_some(), HAS_DOCUMENT)
            | flag(record.metadata.is_some(), HAS_METADATA)
            | flag(record.uri.is_some(), HAS_URI),
    );
    put_bytes(out, record.id.as_bytes());
    if let Some(document) = &record.document {
        put_bytes(out, document.as_bytes());
    }
    if let Some(metadata) = &record.metadata {
        put_bytes(out, &metadata_codec::encode(metadata));
    }
    if let Some(uri) = &record.uri {
        put_bytes(out, uri.as_bytes());
    }
}

fn decode_record(reader: &mut Reader<'_>) -> Result<Record> {
    let ordinal = reader.take(8)?.try_into().map(u64::from_le_bytes).map_err(|_| damaged("short ordinal"))?;
    // The next ordinal is one more, and the catalog holds it as a signed number.
    if ordinal >= i64::MAX as u64 {
        return Err(damaged(format!("a record of a log entry has ordinal {ordinal}")));
    }
    let flags = reader.take(1)?[0];
    let id = reader.text()?;
    let document = if flags & HAS_DOCUMENT != 0 { Some(reader.text()?) } else { None };
    let metadata =
        if flags & HAS_METADATA != 0 { Some(metadata_codec::decode(reader.bytes()?)?) } else { None };
    let uri = if flags & HAS_URI != 0 { Some(reader.text()?) } else { None };
    Ok(Record { id, ordinal, document, metadata, uri })
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&(length as u64).to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::corrupted("catalog.sqlite", what)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (taken, rest) =
            self.0.split_at_checked(n).ok_or_else(|| damaged("a log entry ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn length(&mut self) -> Result<usize> {
        let bytes = self.take(8)?.try_into().map_err(|_| damaged("short length"))?;
        usize::try_from(u64::from_le_bytes(bytes))
            .map_err(|_| damaged("a log entry has an impossible length"))
    }

    fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    fn text(&mut self) -> Result<String> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| damaged("a log entry holds text that is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use ferrochrome_types::{Metadata, Value};

    use super::*;

    fn entry() -> LogEntry {
        let metadata = Metadata::from([
            ("__proto__".to_owned(), Value::Str("x\0y".to_owned())),
            ("n".to_owned(), Value::Int(i64::MIN)),
            ("f".to_owned(), Value::Float(1.0)),
            ("a".to_owned(), Value::BoolArray(vec![true, false])),
        ]);
        let full = Record {
            id: "\u{1f600}".to_owned(),
            ordinal: 7,
            document: Some(String::new()),
            metadata: Some(metadata),
            uri: Some("file:a".to_owned()),
        };
        let bare = Record { id: "b".to_owned(), ordinal: 8, ..Record::default() };
        LogEntry {
            dim: 3,
            puts: vec![Arc::new(full), Arc::new(bare)],
            vectors: vec![1.0, -0.0, f32::MIN_POSITIVE, 4.0, 5.0, 6.0],
            deletes: vec!["gone".to_owned()],
        }
    }

    #[test]
    fn what_is_encoded_comes_back() {
        assert_eq!(LogEntry::decode(&entry().encode()).unwrap(), entry());
    }

    #[test]
    fn a_newer_version_asks_for_a_newer_release() {
        let mut bytes = entry().encode();
        bytes[0] = VERSION + 1;
        let error = LogEntry::decode(&bytes).unwrap_err();
        assert!(error.code() == Code::Unsupported && error.message().contains("newer release"), "{error}");
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = entry().encode();
        for end in 0..bytes.len() {
            assert_eq!(LogEntry::decode(&bytes[..end]).unwrap_err().code(), Code::Corrupted, "cut at {end}");
        }
    }

    #[test]
    fn an_ordinal_that_no_other_can_follow_is_refused() {
        for (ordinal, sound) in [(i64::MAX as u64 - 1, true), (i64::MAX as u64, false), (u64::MAX, false)] {
            let record = Record { id: "a".to_owned(), ordinal, ..Record::default() };
            let entry = LogEntry { puts: vec![Arc::new(record)], ..LogEntry::default() };
            let decoded = LogEntry::decode(&entry.encode());
            assert_eq!(
                decoded.map_err(|error| error.code()),
                if sound { Ok(entry) } else { Err(Code::Corrupted) }
            );
        }
    }

    #[test]
    fn no_flipped_byte_panics() {
        let bytes = entry().encode();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xff;
            let _ = LogEntry::decode(&damaged);
        }
    }
}
