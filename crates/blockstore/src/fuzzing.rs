//! What fuzzers call: each function takes any bytes, for a file whose checksums match.

use std::hint::black_box;
use std::ops::ControlFlow;

use ferrochrome_types::{Code, Result};
use uuid::Uuid;

use crate::checksum::{ChecksumBuilder, ChecksumTable};
use crate::ids::{IdsFile, hash_id};
use crate::records::RecordsFile;
use crate::segment_json::SegmentDescription;
use crate::vectors::VectorsFile;
use crate::{Blob, IndexFile, metadata_codec};

/// Rows and components of the segment that forged files claim to be of.
pub const ROWS: u32 = 5;
/// See [`ROWS`].
pub const DIM: usize = 3;

fn forge(file: &str, bytes: &[u8]) -> Blob {
    let mut builder = ChecksumBuilder::default();
    builder.update(bytes);
    let blob = Blob::in_memory(file, arrow_buffer::Buffer::from(bytes), Some(builder.finish()));
    blob.unwrap_or_else(|error| panic!("{error}"))
}

/// What is refused must be refused as damaged.
fn expect_damage(outcome: Result<()>) {
    if let Err(error) = outcome {
        assert!(matches!(error.code(), Code::Corrupted | Code::Unsupported), "{error}");
    }
}

/// `records.arrow`, as sound files and as damaged ones are read.
pub fn records(bytes: &[u8]) {
    let read = |records: RecordsFile| {
        for label in (0..records.rows().min(ROWS * 2)).chain([ROWS, u32::MAX]) {
            black_box((records.record(label).is_ok(), records.id(label).is_ok()));
            black_box((records.document(label).is_ok(), records.metadata(label).is_ok()));
        }
        records.for_each_document(&mut |_, text| {
            black_box(text.len());
            ControlFlow::Continue(())
        })
    };
    expect_damage(RecordsFile::open(forge("records.arrow", bytes), ROWS).and_then(read));
    expect_damage(RecordsFile::open_damaged(forge("records.arrow", bytes)).and_then(read));
}

/// `vectors.arrow`, as sound files and as damaged ones are read.
pub fn vectors(bytes: &[u8]) {
    let read = |vectors: VectorsFile| {
        for label in (0..ROWS).chain([ROWS, u32::MAX]) {
            vectors.prefetch(label);
            black_box(vectors.vector(label).is_ok_and(|vector| vector.len() == DIM));
        }
        Ok(())
    };
    expect_damage(VectorsFile::open(forge("vectors.arrow", bytes), DIM, ROWS).and_then(read));
    expect_damage(VectorsFile::open_damaged(forge("vectors.arrow", bytes), DIM, ROWS).and_then(read));
}

/// `ids.arrow`.
pub fn ids(bytes: &[u8]) {
    let read = |ids: IdsFile| {
        for hash in (0..ROWS).map(|i| hash_id(&format!("id-{i}"))).chain([0, u64::MAX]) {
            black_box(ids.find(hash, |_| Ok(false)).is_ok());
        }
        (0..=ROWS as usize).for_each(|at| _ = black_box(ids.entry(at).is_ok()));
        Ok(())
    };
    expect_damage(IdsFile::open(forge("ids.arrow", bytes), ROWS).and_then(read));
}

/// `index.arrow`, for whoever reads the index in it.
///
/// # Errors
/// `Corrupted`.
pub fn index_file(bytes: &[u8]) -> Result<IndexFile> {
    IndexFile::open(forge("index.arrow", bytes))
}

/// `segment.json`, with its checksum made to match.
pub fn segment_json(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    SegmentDescription::sign(&mut bytes);
    let blob = Blob::in_memory("segment.json", arrow_buffer::Buffer::from(bytes), None);
    expect_damage(blob.and_then(|blob| SegmentDescription::read(&blob, Uuid::nil()).map(|_| ())));
}

/// A table of checksums.
pub fn checksum_table(bytes: &[u8]) {
    if let Ok(table) = ChecksumTable::from_bytes("file.crc", bytes) {
        assert_eq!(table.to_bytes(), bytes);
    }
}

/// Metadata as `records.arrow` and the log hold it.
pub fn metadata(bytes: &[u8]) {
    let Ok(read) = metadata_codec::decode(bytes) else { return };
    let written = metadata_codec::encode(&read);
    // Bit by bit, as NaN is not equal to itself.
    let again = metadata_codec::decode(&written).map(|again| metadata_codec::encode(&again));
    assert_eq!(again.ok(), Some(written));
}
