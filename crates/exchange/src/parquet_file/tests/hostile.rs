//! Files whose numbers do not say what is in them.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, FloatType, Int32Type};
use parquet::file::metadata::{
    ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter, RowGroupMetaData,
};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedPageWriter, TrackedWrite};
use parquet::schema::parser::parse_message_type;

use super::super::ParquetReader;
use super::layouts::{column, file};
use super::{failure, open};

const VECTORS: &str = "required group v (LIST) { repeated group list { required float element; } }";

/// Two columns of three rows.
fn sound(path: &Path) {
    file(path, &format!("{VECTORS} required binary id (STRING);"), |group| {
        column::<FloatType>(group, &[1.0; 6], &[1; 6], &[0, 1, 0, 1, 0, 1]);
        column::<ByteArrayType>(group, &["a", "b", "c"].map(ByteArray::from), &[], &[]);
    });
}

/// Writes another footer behind the columns of a file.
fn refoot(path: &Path, change: impl Fn(RowGroupMetaData) -> RowGroupMetaData) {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&File::open(path).unwrap()).unwrap();
    let groups = metadata.row_groups().iter().cloned().map(change).collect();
    let changed = ParquetMetaData::new(metadata.file_metadata().clone(), groups);
    let mut bytes = std::fs::read(path).unwrap();
    let mut written = Vec::new();
    ParquetMetaDataWriter::new(&mut written, &changed).finish().unwrap();
    bytes.extend_from_slice(&written);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn columns_have_as_many_rows_as_their_group() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for (rows, expected) in [
        (2, "a column has more rows than its row group"),
        (4, "a column ends before its row group does"),
        (i64::MAX, "a column ends before its row group does"),
        (-1, "is damaged"),
    ] {
        sound(&path);
        assert!(open(&path).next().unwrap().is_some());
        refoot(&path, |group| group.into_builder().set_num_rows(rows).build().unwrap());
        let message = failure(&path);
        assert!(message.contains(expected), "{rows}: {message}");
    }
}

#[test]
fn columns_lie_within_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let far: [fn(ColumnChunkMetaData) -> ColumnChunkMetaData; 2] = [
        |column| column.into_builder().set_total_compressed_size(1 << 40).build().unwrap(),
        |column| {
            let column = column.into_builder().set_dictionary_page_offset(None);
            column.set_data_page_offset(1 << 40).build().unwrap()
        },
    ];
    for change in far {
        sound(&path);
        refoot(&path, |group| {
            let columns = group.columns().iter().cloned().map(change).collect();
            group.into_builder().set_column_metadata(columns).build().unwrap()
        });
        assert!(failure(&path).contains("a column lies outside the file"));
    }
}

/// A file with one column of one row, in one page, which claims to hold `values` values.
fn page(path: &Path, schema: &str, buf: Vec<u8>, values: u32) {
    let schema = Arc::new(parse_message_type(&format!("message m {{ {schema} }}")).unwrap());
    let to = File::create(path).unwrap();
    let mut file =
        SerializedFileWriter::new(to, schema, Arc::new(WriterProperties::builder().build())).unwrap();
    let mut pages = TrackedWrite::new(Vec::new());
    let length = buf.len();
    let page = Page::DataPage {
        buf: Bytes::from(buf),
        num_values: values,
        encoding: Encoding::PLAIN,
        def_level_encoding: Encoding::RLE,
        rep_level_encoding: Encoding::RLE,
        statistics: None,
    };
    SerializedPageWriter::new(&mut pages).write_page(CompressedPage::new(page, length)).unwrap();
    let pages = Bytes::from(pages.into_inner().unwrap());
    let metadata = ColumnChunkMetaData::builder(file.schema_descr().column(0))
        .set_num_values(i64::from(values))
        .set_data_page_offset(0)
        .set_total_compressed_size(pages.len() as i64)
        .set_total_uncompressed_size(pages.len() as i64)
        .build()
        .unwrap();
    let closed = ColumnCloseResult {
        bytes_written: pages.len() as u64,
        rows_written: 1,
        metadata,
        bloom_filter: None,
        column_index: None,
        offset_index: None,
    };
    let mut group = file.next_row_group().unwrap();
    group.append_column(&pages, closed).unwrap();
    group.close().unwrap();
    file.close().unwrap();
}

/// Levels that are runs, each of so many times a level.
fn runs(runs: &[(u32, u8)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (count, level) in runs {
        let mut header = u64::from(*count) << 1;
        while header >= 0x80 {
            bytes.push(header as u8 | 0x80);
            header >>= 7;
        }
        bytes.extend([header as u8, *level]);
    }
    [&(bytes.len() as u32).to_le_bytes()[..], &bytes].concat()
}

#[test]
fn a_few_bytes_do_not_stand_for_billions_of_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let count = 1 << 30;
    let levels = [runs(&[(1, 0), (count - 1, 1)]), runs(&[(count, 1)])].concat();
    page(&path, VECTORS, levels.clone(), count);
    assert!(failure(&path).contains("too many values"));
    // Nor is memory taken for what a page has no bytes for.
    let levels = [runs(&[(1, 0), (999, 1)]), runs(&[(1_000, 1)])].concat();
    page(&path, VECTORS, levels, 1_000);
    assert!(failure(&path).contains("is damaged"));
}

#[test]
fn levels_fit_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let (one, two) = (1.0_f32.to_le_bytes(), [1.0_f32.to_le_bytes(), 2.0_f32.to_le_bytes()].concat());
    // A row that begins within a list, and a list that goes on behind its end.
    page(&path, VECTORS, [&runs(&[(2, 1)])[..], &runs(&[(2, 1)]), &two].concat(), 2);
    assert!(failure(&path).contains("levels of a list do not fit together"));
    page(&path, VECTORS, [&runs(&[(1, 0), (1, 1)])[..], &runs(&[(1, 1), (1, 0)]), &one].concat(), 2);
    assert!(failure(&path).contains("levels of a list do not fit together"));
    page(&path, VECTORS, [&runs(&[(1, 0), (1, 1)])[..], &runs(&[(2, 1)]), &two].concat(), 2);
    assert!(open(&path).next().unwrap().is_some());
}

#[test]
fn texts_are_unicode() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for wrong in [&[vec![0xff]][..], &[vec![0xc3], vec![0xa4]]] {
        file(&path, "required binary id (STRING);", |group| {
            let texts: Vec<ByteArray> = wrong.iter().cloned().map(ByteArray::from).collect();
            column::<ByteArrayType>(group, &texts, &[], &[]);
        });
        assert!(failure(&path).contains("is damaged"), "{wrong:?}");
    }
}

#[test]
fn a_schema_is_not_followed_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let deep = format!("{}required int32 x;{}", "required group a { ".repeat(40), " }".repeat(40));
    file(&path, &deep, |group| column::<Int32Type>(group, &[1], &[], &[]));
    assert!(failure(&path).contains("is nested more than 16 deep"));
}

#[test]
fn no_changed_byte_of_another_program_escapes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let schema = format!(
        "{VECTORS} optional group m {{
            optional boolean b; repeated binary t (STRING); optional int32 i (INTEGER(8, false));
        }}"
    );
    file(&path, &schema, |group| {
        column::<FloatType>(group, &[1.0; 6], &[1; 6], &[0, 1, 0, 1, 0, 1]);
        column::<BoolType>(group, &[true], &[2, 1, 0], &[]);
        column::<ByteArrayType>(group, &["a", "b"].map(ByteArray::from), &[2, 2, 1, 0], &[0, 1, 0, 0]);
        column::<Int32Type>(group, &[3, 4], &[2, 2, 0], &[]);
    });
    let bytes = std::fs::read(&path).unwrap();
    let changed = folder.path().join("changed");
    for at in 0..bytes.len() {
        for mask in [0x01, 0x80, 0xff] {
            let mut copy = bytes.clone();
            copy[at] ^= mask;
            std::fs::write(&changed, &copy).unwrap();
            // What panics, in the crate or here, must be something that can be caught: no abort, and no endless loop.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                let reader = ParquetReader::open(File::open(&changed).unwrap(), "file", &[]);
                let Ok(mut reader) = reader else { return };
                while let Ok(Some(batch)) = reader.next() {
                    assert!(batch.num_rows() > 0);
                }
            }));
        }
    }
}
