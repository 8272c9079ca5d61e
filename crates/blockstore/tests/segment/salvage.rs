//! What is read of damaged segments: only what was written, and nearly all of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferrochrome_blockstore::{BlobStore, Compression, LocalStore, SalvagedSegment, SegmentOrigin};
use tempfile::TempDir;
use uuid::Uuid;

use crate::samples::{COMPRESSIONS, Row, rows, writer};

const ROWS: usize = 5_000;
const DIM: usize = 6;
const BLOCK: usize = 4_096;

struct Sample {
    dir: TempDir,
    folder: Uuid,
    rows: Vec<Row>,
}

impl Sample {
    fn new(compression: Compression) -> Self {
        let dir = TempDir::new().unwrap();
        let store: Arc<dyn BlobStore> = Arc::new(LocalStore::open(dir.path(), false).unwrap());
        let rows = rows(ROWS, DIM);
        let (folder, mut writer) = writer(&store, DIM, compression);
        let description = "notes".to_owned();
        writer.set_origin(SegmentOrigin { collection: Uuid::from_u128(5), sequence: 9, description });
        for (record, vector) in &rows {
            writer.push(record, vector).unwrap();
        }
        writer.publish().unwrap();
        Sample { dir, folder, rows }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(self.folder.to_string()).join(file)
    }

    /// Reads every row; those that can be read are right. Returns how many cannot.
    fn lost(&self, what: &str) -> usize {
        let store = LocalStore::open(self.dir.path(), false).unwrap();
        let salvaged = SalvagedSegment::open(&store, self.folder, Some(ROWS as u32), Some(DIM));
        assert_eq!((salvaged.rows() as usize, salvaged.dim()), (ROWS, Some(DIM)), "{what}");
        let mut lost = 0;
        for (label, (record, vector)) in (0..).zip(&self.rows) {
            match salvaged.row(label) {
                Ok(row) => assert_eq!(row, (record.clone(), vector.as_slice()), "{what}: row {label}"),
                Err(error) => {
                    assert!(error.message().contains(&self.folder.to_string()), "{what}: {error}");
                    lost += 1;
                }
            }
            if let Some(id) = salvaged.id(label) {
                assert_eq!(id, record.id, "{what}");
            }
        }
        lost
    }

    /// Harms a file, counts what is lost, and puts the file back.
    fn after(&self, file: &str, what: &str, harm: impl FnOnce(&Path)) -> usize {
        let path = self.path(file);
        let before = fs::read(&path).unwrap();
        harm(&path);
        let lost = self.lost(&format!("{file} {what}"));
        fs::write(&path, before).unwrap();
        lost
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0xff;
    fs::write(path, bytes).unwrap();
}

/// Rows of a batch of `records.arrow`.
const RECORDS_IN_BATCH: usize = 4_096;

#[test]
fn a_damaged_block_takes_only_the_rows_in_it() {
    let sample = Sample::new(Compression::None);
    assert_eq!(sample.lost("whole"), 0);
    // The head of a batch of records is needed to find its columns: without it, the batch is lost, and no other.
    for (file, most) in [("vectors.arrow", BLOCK / (DIM * 4) + 2), ("records.arrow", RECORDS_IN_BATCH)] {
        let length = fs::metadata(sample.path(file)).unwrap().len() as usize;
        for at in (0..length).step_by(BLOCK) {
            let lost = sample.after(file, &format!("with block {}", at / BLOCK), |path| flip(path, at + 50));
            assert!(lost <= most, "{file}: block {} of {length} bytes took {lost} rows", at / BLOCK);
        }
        // The footer lies in the last block.
        let lost = sample.after(file, "without its end", |path| {
            fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length as u64 - 20).unwrap();
        });
        assert!(lost <= most, "{file} without its end: {lost}");
        // The last tenth has no more than the last batch of records.
        let lost = sample.after(file, "cut", |path| {
            fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length as u64 / 10 * 9).unwrap();
        });
        assert!(lost <= ROWS - RECORDS_IN_BATCH, "{file} without its last tenth: {lost}");
    }
}

#[test]
fn what_only_describes_costs_nothing() {
    for compression in COMPRESSIONS {
        let sample = Sample::new(compression);
        for file in ["segment.json", "ids.arrow", "ids.arrow.crc", "vectors.arrow.crc", "records.arrow.crc"] {
            assert_eq!(sample.after(file, "damaged", |path| flip(path, 40)), 0, "{file}");
            assert_eq!(sample.after(file, "missing", |path| fs::remove_file(path).unwrap()), 0, "{file}");
        }
        let store = LocalStore::open(sample.dir.path(), false).unwrap();
        let salvaged = SalvagedSegment::open(&store, sample.folder, None, None);
        assert_eq!(salvaged.origin().map(|origin| origin.sequence), Some(9));
        flip(&sample.path("segment.json"), 40);
        let salvaged = SalvagedSegment::open(&store, sample.folder, None, None);
        assert_eq!((salvaged.rows() as usize, salvaged.dim(), salvaged.origin()), (ROWS, Some(DIM), None));
    }
}

#[test]
fn no_byte_is_trusted_without_a_checksum_that_holds() {
    let sample = Sample::new(Compression::Zstd);
    for file in ["records.arrow", "vectors.arrow"] {
        let sidecar = format!("{file}.crc");
        let lost = sample.after(file, "and its checksums", |path| {
            flip(path, 9_000);
            flip(&sample.path(&sidecar), 40);
        });
        assert_eq!(lost, ROWS, "{file}");
        flip(&sample.path(&sidecar), 40);
        assert_eq!(sample.after(file, "missing", |path| fs::remove_file(path).unwrap()), ROWS, "{file}");
    }
    // A damaged block of a compressed column takes the batch, and no other.
    let lost = sample.after("records.arrow", "in a compressed column", |path| flip(path, 9_000));
    assert!((1..ROWS).contains(&lost), "{lost}");
}
