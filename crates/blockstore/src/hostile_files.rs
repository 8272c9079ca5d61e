//! Files that were forged rather than damaged: their checksums match. Whatever they say, reading them ends, without a panic.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::sync::Arc;

use ferrochrome_types::{Code, IndexBuffers, Record, Result, Value};
use proptest::prelude::*;
use uuid::Uuid;

use crate::checksum::ChecksumBuilder;
use crate::ids::{IdsFile, hash_id};
use crate::index_file::IndexFile;
use crate::records::RecordsFile;
use crate::store::{IDS, INDEX, RECORDS, VECTORS};
use crate::vectors::VectorsFile;
use crate::{Blob, BlobStore, Compression, MemoryStore, SegmentOptions, SegmentWriter};

const ROWS: u32 = 5;
const DIM: usize = 3;

/// The Arrow files of a small segment.
fn files(compression: Compression) -> Vec<(&'static str, Vec<u8>)> {
    let store: Arc<dyn BlobStore> = Arc::new(MemoryStore::new());
    let options = SegmentOptions { dim: DIM, compression };
    let mut writer = SegmentWriter::create(Arc::clone(&store), Uuid::new_v4(), options).unwrap();
    for i in 0..ROWS {
        let record = Record {
            id: format!("id-{i}"),
            ordinal: u64::from(i),
            document: (i != 1).then(|| "text ".repeat(20)),
            metadata: (i != 2).then(|| [("key".to_owned(), Value::IntArray(vec![1, 2]))].into()),
            uri: None,
        };
        writer.push(&record, &[i as f32; DIM]).unwrap();
    }
    writer.write_index("parameters", &[("codes", b"abc"), ("links", &[9; 100])]).unwrap();
    let segment = writer.publish().unwrap();
    let name = |file| format!("{}/{file}", segment.folder());
    let read = |file| store.open(&name(file)).unwrap().all().unwrap().to_vec();
    [RECORDS, VECTORS, IDS, INDEX].map(|file| (file, read(file))).into()
}

fn forge(file: &str, bytes: &[u8]) -> Blob {
    let mut builder = ChecksumBuilder::default();
    builder.update(bytes);
    Blob::in_memory(file, arrow_buffer::Buffer::from(bytes), Some(builder.finish())).unwrap()
}

/// Reads all there is, labels beyond the end included.
fn read_all(file: &str, blob: Blob) -> Result<()> {
    let labels = [0, 1, 2, 3, 4, 5, u32::MAX];
    match file {
        RECORDS => {
            let records = RecordsFile::open(blob, ROWS)?;
            for label in labels {
                black_box((records.record(label).is_ok(), records.id(label).is_ok()));
                black_box((records.document(label).is_ok(), records.metadata(label).is_ok()));
            }
            records.for_each_document(&mut |_, text| {
                black_box(text.len());
                ControlFlow::Continue(())
            })
        }
        VECTORS => {
            let vectors = VectorsFile::open(blob, DIM, ROWS)?;
            for label in labels {
                vectors.prefetch(label);
                black_box(vectors.vector(label).is_ok_and(|vector| vector.len() == DIM));
            }
            Ok(())
        }
        IDS => {
            let ids = IdsFile::open(blob, ROWS)?;
            for hash in (0..ROWS).map(|i| hash_id(&format!("id-{i}"))).chain([0, u64::MAX]) {
                black_box(ids.find(hash, |_| Ok(false)).is_ok());
            }
            Ok(())
        }
        _ => {
            let index = IndexFile::open(blob)?;
            black_box((
                index.parameters().is_ok(),
                index.place("codes").is_some_and(|place| index.bytes(place).is_ok()),
                index.place("links").is_some_and(|place| index.bytes(place).is_ok()),
            ));
            Ok(())
        }
    }
}

/// Reads a forged file; what is refused must be refused as damaged.
fn read_forged(file: &str, bytes: &[u8]) {
    if let Err(error) = read_all(file, forge(file, bytes)) {
        assert_eq!(error.code(), Code::Corrupted, "{error}");
    }
}

#[test]
fn any_one_byte_may_be_forged() {
    // Miri takes a thousand times as long, and knows no C.
    let (compressions, step): (&[_], _) = if cfg!(miri) {
        (&[Compression::None, Compression::Lz4], 397)
    } else {
        (&[Compression::None, Compression::Lz4, Compression::Zstd], 1)
    };
    for compression in compressions {
        for (file, bytes) in files(*compression) {
            read_all(file, forge(file, &bytes)).unwrap();
            for at in (0..bytes.len()).step_by(step) {
                for flip in [0x01, 0x04, 0x80, 0xff] {
                    let mut forged = bytes.clone();
                    forged[at] ^= flip;
                    read_forged(file, &forged);
                }
            }
        }
    }
}

#[test]
fn any_length_may_be_forged() {
    let interesting = [0_u64, 1, 7, 0x7fff_ffff, 0xffff_ffff, 1 << 32, 1 << 40, i64::MAX as u64, u64::MAX];
    for compression in [Compression::None, Compression::Lz4] {
        for (file, bytes) in files(compression) {
            for at in (0..bytes.len() - 8).step_by(4) {
                for value in interesting {
                    let mut forged = bytes.clone();
                    forged[at..at + 8].copy_from_slice(&value.to_le_bytes());
                    read_forged(file, &forged);
                    let mut forged = bytes.clone();
                    forged[at..at + 4].copy_from_slice(&value.to_le_bytes()[..4]);
                    read_forged(file, &forged);
                }
            }
            for len in 0..bytes.len() {
                read_forged(file, &bytes[..len]);
            }
        }
    }
}

proptest! {
    #[test]
    fn several_bytes_may_be_forged(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        which in 0_usize..4,
        compression in prop::sample::select(vec![Compression::None, Compression::Zstd]),
    ) {
        let (file, mut bytes) = files(compression).swap_remove(which);
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        read_forged(file, &bytes);
    }
}
