//! Arrow and Parquet files of records, of other programs.

use std::hint::black_box;
use std::path::Path;

use ferrochrome_engine::{Collection, GetRequest};
use ferrochrome_exchange::{ColumnNames, Compression, Format, RecordFileReader, RecordFileWriter};
use ferrochrome_types::{CancelToken, Result};
use ferrochrome_wire::Include;

/// Batches that are read of one file. A few bytes can stand for billions of rows, and it takes as long as that to read those.
const MAX_BATCHES: usize = 50;

pub(crate) fn arrow_file(bytes: &[u8]) {
    read(bytes, Format::Arrow);
}

pub(crate) fn parquet_file(bytes: &[u8]) {
    read(bytes, Format::Parquet);
}

fn read(bytes: &[u8], format: Format) {
    let Ok(folder) = tempfile::tempdir() else { return };
    let path = folder.path().join("records");
    if std::fs::write(&path, bytes).is_err() {
        return;
    }
    let Ok(mut file) = RecordFileReader::open(&path, format, &ColumnNames::default()) else { return };
    black_box((file.description().map(str::len), file.total()));
    for _ in 0..MAX_BATCHES {
        let Ok(Some(batch)) = file.read(20) else { return };
        assert!(!batch.ids.is_empty() && batch.ids.len() <= 20);
    }
}

/// The records of a collection as files, with each compression.
pub(crate) fn seeds(collection: &Collection, folder: &Path) -> Result<Vec<(&'static str, String, Vec<u8>)>> {
    let all = Include { distances: false, documents: true, embeddings: true, metadatas: true, uris: true };
    let mut seeds = Vec::new();
    for (target, format, compression, name) in [
        ("arrow_file", Format::Arrow, Compression::None, "none"),
        ("arrow_file", Format::Arrow, Compression::Lz4, "lz4"),
        ("arrow_file", Format::Arrow, Compression::Zstd, "zstd"),
        ("parquet_file", Format::Parquet, Compression::None, "none"),
        ("parquet_file", Format::Parquet, Compression::Snappy, "snappy"),
        ("parquet_file", Format::Parquet, Compression::Zstd, "zstd"),
    ] {
        let path = folder.join(format!("{target}-{name}"));
        let cancel = CancelToken::default();
        let records = collection.get(&GetRequest::default(), &cancel)?;
        let description = Some(r#"{"name":"notes"}"#);
        let mut file =
            RecordFileWriter::create(&path, format, compression, description, records, all, &cancel)?;
        while file.write(10)? < file.total() {}
        file.finish()?;
        seeds.push((target, name.to_owned(), crate::seeds::read(&path)?));
    }
    Ok(seeds)
}
