//! `segment.json`: what a segment consists of. Written last, read first.

use std::collections::BTreeMap;

use ferrochrome_types::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Blob;

/// The newest version, which is the only one.
const FORMAT: u32 = 1;
/// Largest `segment.json` that is read.
const MAX_LEN: usize = 1 << 20;
/// The file ends with the checksum's eight digits and these bytes.
const TAIL: &[u8] = b"\"\n}\n";
const DIGITS: usize = 8;
const NO_DIGITS: &str = "00000000";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SegmentDescription {
    format: u32,
    pub(crate) folder: Uuid,
    pub(crate) rows: u32,
    pub(crate) dim: usize,
    /// Of `records.arrow`; for people, since Arrow says it in each batch.
    pub(crate) compression: String,
    /// Whose rows they are, for a repair that has no catalog to ask.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) origin: Option<SegmentOrigin>,
    pub(crate) files: BTreeMap<String, FileDescription>,
    /// CRC-32 of the file, with these eight digits read as zeros.
    checksum: String,
}

/// Which collection a segment was written for, as the collection was then. A catalog knows better; a repair without one starts
/// from here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentOrigin {
    /// The collection's UUID.
    pub collection: Uuid,
    /// The last batch of the collection's log that the rows may contain. Where two segments have a row with the same id, that of
    /// the higher sequence is the newer one.
    pub sequence: u64,
    /// The collection's name, configuration and so on, in the words of whoever wrote it; at most 256 KiB.
    pub description: String,
}

/// What is read of every version, before anything else.
#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileDescription {
    pub(crate) length: u64,
    /// Checksum in the header of the file's table of checksums.
    pub(crate) table_checksum: u32,
}

impl SegmentDescription {
    pub(crate) fn new(folder: Uuid, rows: u32, dim: usize, compression: &str) -> Self {
        SegmentDescription {
            format: FORMAT,
            folder,
            rows,
            dim,
            compression: compression.to_owned(),
            origin: None,
            files: BTreeMap::new(),
            checksum: NO_DIGITS.to_owned(),
        }
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        let unsigned = SegmentDescription { checksum: NO_DIGITS.to_owned(), ..self.clone() };
        let mut bytes = serde_json::to_vec_pretty(&unsigned)
            .map_err(|e| Error::internal("segment.json could not be written").with_source(e))?;
        bytes.push(b'\n');
        let digits = format!("{:08x}", crc32fast::hash(&bytes));
        let at = bytes.len() - TAIL.len() - DIGITS;
        bytes[at..at + DIGITS].copy_from_slice(digits.as_bytes());
        Ok(bytes)
    }

    /// Makes the checksum at the end of any bytes match.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn sign(bytes: &mut Vec<u8>) {
        bytes.truncate(bytes.len().saturating_sub(TAIL.len() + DIGITS));
        bytes.extend_from_slice(NO_DIGITS.as_bytes());
        bytes.extend_from_slice(TAIL);
        let digits = format!("{:08x}", crc32fast::hash(bytes));
        let at = bytes.len() - TAIL.len() - DIGITS;
        bytes[at..at + DIGITS].copy_from_slice(digits.as_bytes());
    }

    /// Reads and checks the file of the segment in `folder`.
    pub(crate) fn read(blob: &Blob, folder: Uuid) -> Result<Self> {
        if blob.len() > MAX_LEN {
            return Err(blob.damaged(format!("it has {} bytes, more than any segment needs", blob.len())));
        }
        let bytes = blob.all()?;
        check(bytes).map_err(|what| blob.damaged(what))?;
        let malformed = |e: serde_json::Error| blob.damaged(format!("it is malformed: {e}"));
        let Versioned { format } = serde_json::from_slice(bytes).map_err(&malformed)?;
        if format > FORMAT {
            return Err(Error::new(
                Code::Unsupported,
                format!(
                    "{} has format version {format}, this release of Ferrochrome reads up to {FORMAT}: open it with a \
                     newer release",
                    blob.name()
                ),
            ));
        }
        let read: SegmentDescription = serde_json::from_slice(bytes).map_err(&malformed)?;
        if read.format != FORMAT {
            return Err(blob.damaged(format!("it has format {}, which there never was", read.format)));
        }
        if read.folder != folder {
            return Err(blob.damaged(format!("it belongs to segment {}", read.folder)));
        }
        crate::vectors::check_dim(read.dim).map_err(|e| blob.damaged(e))?;
        if read.rows as usize > ferrochrome_types::limits::MAX_SEGMENT_ROWS {
            return Err(blob.damaged(format!("{} rows are more than a segment can have", read.rows)));
        }
        Ok(read)
    }
}

/// Compares the checksum at the end with the one of the bytes.
fn check(bytes: &[u8]) -> Result<(), &'static str> {
    let digits = bytes.strip_suffix(TAIL).and_then(|rest| rest.split_last_chunk::<DIGITS>());
    let Some((before, digits)) = digits else { return Err("it does not end with a checksum") };
    let mut hasher = crc32fast::Hasher::new();
    for part in [before, NO_DIGITS.as_bytes(), TAIL] {
        hasher.update(part);
    }
    if *digits == *format!("{:08x}", hasher.finalize()).as_bytes() {
        Ok(())
    } else {
        Err("its checksum does not match")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_format_asks_for_a_newer_release() {
        let mut bytes = SegmentDescription::new(Uuid::nil(), 3, 2, "none").to_bytes().unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        bytes = text.replace("\"format\": 1,", "\"format\": 2, \"new\": true,").into_bytes();
        let at = bytes.len() - TAIL.len() - DIGITS;
        bytes[at..at + DIGITS].copy_from_slice(NO_DIGITS.as_bytes());
        let digits = format!("{:08x}", crc32fast::hash(&bytes));
        bytes[at..at + DIGITS].copy_from_slice(digits.as_bytes());
        let blob = Blob::in_memory("x/segment.json", bytes.into(), None).unwrap();
        let error = SegmentDescription::read(&blob, Uuid::nil()).unwrap_err();
        assert_eq!(error.code(), Code::Unsupported);
        assert!(
            error.message().contains("format version 2") && error.message().contains("newer release"),
            "{error}"
        );
    }
}
