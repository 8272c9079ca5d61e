//! Columns that come back as they were written, those that other programs write, and files that lie.

mod hostile;
mod layouts;

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, FixedSizeListArray, Float32Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::schema::printer::print_schema;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{ParquetReader, ParquetWriter};
use crate::columns::{DESCRIPTION, component_field};
use crate::record_file::Compression;

const DIM: i32 = 3;
const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Snappy, Compression::Zstd];

/// A row with a value of each kind.
#[derive(Clone, Debug)]
struct Row {
    id: String,
    vector: [f32; DIM as usize],
    text: Option<String>,
    int: Option<i64>,
    float: Option<f64>,
    bool: Option<bool>,
    texts: Option<Vec<Option<String>>>,
    ints: Option<Vec<Option<i64>>>,
    floats: Option<Vec<Option<f64>>>,
    bools: Option<Vec<Option<bool>>>,
}

fn any_row() -> impl Strategy<Value = Row> {
    let scalars = (
        ".{0,9}",
        any::<[f32; DIM as usize]>(),
        option::of(".{0,9}"),
        option::of(any::<i64>()),
        option::of(any::<f64>()),
        option::of(any::<bool>()),
    );
    let lists = (
        option::of(vec(option::of(".{0,4}"), 0..4)),
        option::of(vec(option::of(any::<i64>()), 0..4)),
        option::of(vec(option::of(any::<f64>()), 0..4)),
        option::of(vec(option::of(any::<bool>()), 0..4)),
    );
    (scalars, lists).prop_map(|((id, vector, text, int, float, bool), (texts, ints, floats, bools))| Row {
        id,
        vector,
        text,
        int,
        float,
        bool,
        texts,
        ints,
        floats,
        bools,
    })
}

fn schema() -> SchemaRef {
    let list = |item| DataType::List(Arc::new(Field::new_list_field(item, true)));
    let fields = vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("embedding", DataType::FixedSizeList(component_field(), DIM), false),
        Field::new("text", DataType::Utf8, true),
        Field::new("int", DataType::Int64, true),
        Field::new("float", DataType::Float64, true),
        Field::new("bool", DataType::Boolean, true),
        Field::new("texts", list(DataType::Utf8), true),
        Field::new("ints", list(DataType::Int64), true),
        Field::new("floats", list(DataType::Float64), true),
        Field::new("bools", list(DataType::Boolean), true),
    ];
    let described = HashMap::from([(DESCRIPTION.to_owned(), "{\"name\":\"n\"}".to_owned())]);
    Arc::new(Schema::new_with_metadata(fields, described))
}

fn batch(rows: &[Row]) -> RecordBatch {
    let mut texts = ListBuilder::new(StringBuilder::new());
    let mut ints = ListBuilder::new(Int64Builder::new());
    let mut floats = ListBuilder::new(Float64Builder::new());
    let mut bools = ListBuilder::new(BooleanBuilder::new());
    for row in rows {
        texts.append_option(row.texts.clone());
        ints.append_option(row.ints.clone());
        floats.append_option(row.floats.clone());
        bools.append_option(row.bools.clone());
    }
    let (mut int, mut float, mut bool) = (Int64Builder::new(), Float64Builder::new(), BooleanBuilder::new());
    for row in rows {
        int.append_option(row.int);
        float.append_option(row.float);
        bool.append_option(row.bool);
    }
    let components = Float32Array::from_iter_values(rows.iter().flat_map(|row| row.vector));
    let vectors = FixedSizeListArray::new(component_field(), DIM, Arc::new(components), None);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.id))),
        Arc::new(vectors),
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.text.as_ref()))),
        Arc::new(int.finish()),
        Arc::new(float.finish()),
        Arc::new(bool.finish()),
        Arc::new(texts.finish()),
        Arc::new(ints.finish()),
        Arc::new(floats.finish()),
        Arc::new(bools.finish()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// Writes rows in batches of `rows`, and row groups of two batches.
fn write(path: &Path, all: &RecordBatch, rows: usize, compression: Compression) {
    let file = File::create(path).unwrap();
    let mut writer = ParquetWriter::create(file, all.schema_ref(), compression).unwrap();
    for (i, from) in (0..all.num_rows()).step_by(rows).enumerate() {
        writer.write(&all.slice(from, rows.min(all.num_rows() - from))).unwrap();
        if i % 2 == 1 {
            writer.end_row_group().unwrap();
        }
    }
    writer.finish().unwrap();
}

fn open(path: &Path) -> ParquetReader {
    ParquetReader::open(File::open(path).unwrap(), "file", &[]).unwrap()
}

/// What reading fails with, which it must.
fn failure(path: &Path) -> String {
    let read = || {
        let mut reader = ParquetReader::open(File::open(path).unwrap(), "file", &[])?;
        while reader.next()?.is_some() {}
        Ok::<_, ferrochrome_types::Error>(())
    };
    read().unwrap_err().message().to_owned()
}

/// Reads a file and compares it with what was written.
fn assert_holds(path: &Path, expected: &RecordBatch) {
    let mut reader = open(path);
    assert_eq!(reader.rows(), expected.num_rows() as u64);
    assert_eq!(reader.schema().metadata(), expected.schema_ref().metadata());
    let mut from = 0;
    while let Some(batch) = reader.next().unwrap() {
        for (at, column) in batch.columns().iter().enumerate() {
            let expected = expected.column(at).slice(from, batch.num_rows());
            match expected.as_fixed_size_list_opt() {
                // Parquet does not know that lists have one length.
                Some(expected) => {
                    let lists = column.as_list::<i32>();
                    for row in 0..lists.len() {
                        assert_eq!(&lists.value(row), &expected.value(row));
                    }
                }
                None => assert_eq!(column, &expected),
            }
        }
        from += batch.num_rows();
    }
    assert_eq!(from, expected.num_rows());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn columns_come_back_as_they_were(rows in vec(any_row(), 0..40), at_once in 1_usize..20) {
        let folder = tempfile::tempdir().unwrap();
        let expected = batch(&rows);
        for compression in COMPRESSIONS {
            let path = folder.path().join("file");
            write(&path, &expected, at_once, compression);
            assert_holds(&path, &expected);
        }
    }
}

/// So many rows that all pages, dictionaries and batches end somewhere within.
fn many_rows() -> RecordBatch {
    let row = |i: i64| {
        let there = i % 7 != 0;
        Row {
            id: format!("id{i}"),
            vector: [i as f32, 0.5, -1.0],
            text: there.then(|| format!("text {i} ").repeat(5)),
            int: there.then_some(i * i),
            float: Some(i as f64),
            bool: Some(i % 3 == 0),
            texts: there.then(|| (0..i % 4).map(|j| Some(format!("{}", i * j))).collect()),
            ints: Some(vec![]),
            floats: None,
            bools: there.then(|| vec![None]),
        }
    };
    batch(&(0..50_000).map(row).collect::<Vec<_>>())
}

#[test]
fn many_pages_come_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let expected = many_rows();
    for compression in COMPRESSIONS {
        write(&path, &expected, 11_000, compression);
        assert_holds(&path, &expected);
    }
}

#[test]
fn a_batch_goes_on_in_the_next_row_group() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let expected = many_rows().slice(0, 2_000);
    write(&path, &expected, 3, Compression::Zstd);
    let mut reader = open(&path);
    let rows = std::iter::from_fn(|| reader.next().unwrap()).map(|batch| batch.num_rows());
    assert_eq!(rows.collect::<Vec<_>>(), [1_024, 976]);
    assert_holds(&path, &expected);
}

#[test]
fn a_row_group_ends_when_it_is_large() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let text = |i: usize| format!("{i}").repeat(4_000);
    let ids = StringArray::from_iter_values((10_000..14_000).map(text));
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, false)]));
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(ids)]).unwrap();
    write(&path, &batch, 200, Compression::None);
    let file = File::create(&path).unwrap();
    let mut writer = ParquetWriter::create(file, &schema, Compression::None).unwrap();
    for from in (0..4_000).step_by(100) {
        writer.write(&batch.slice(from, 100)).unwrap();
    }
    writer.finish().unwrap();
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&File::open(&path).unwrap()).unwrap();
    let bytes: Vec<i64> = metadata.row_groups().iter().map(|group| group.total_byte_size()).collect();
    assert_eq!(bytes.len(), 3, "{bytes:?}");
    assert!(bytes[..2].iter().all(|bytes| (30 << 20..40 << 20).contains(bytes)), "{bytes:?}");
    assert_holds(&path, &batch);
}

#[test]
fn other_programs_find_the_schema_that_they_know() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write(&path, &many_rows().slice(0, 9), 9, Compression::Zstd);
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&File::open(&path).unwrap()).unwrap();
    let mut printed = Vec::new();
    print_schema(&mut printed, metadata.file_metadata().schema());
    let printed = String::from_utf8(printed).unwrap();
    let expected = "message arrow_schema {
  REQUIRED BYTE_ARRAY id (STRING);
  REQUIRED group embedding (LIST) {
    REPEATED group list {
      REQUIRED FLOAT item;
    }
  }
  OPTIONAL BYTE_ARRAY text (STRING);
  OPTIONAL INT64 int;
  OPTIONAL DOUBLE float;
  OPTIONAL BOOLEAN bool;
  OPTIONAL group texts (LIST) {
    REPEATED group list {
      OPTIONAL BYTE_ARRAY item (STRING);
    }
  }
";
    assert!(printed.starts_with(expected), "{printed}");
    let components = metadata.row_group(0).column(1);
    assert!(components.dictionary_page_offset().is_none() && components.statistics().is_none());
    let texts = metadata.row_group(0).column(2);
    assert!(texts.dictionary_page_offset().is_some() && texts.statistics().is_some());
    assert!(metadata.file_metadata().created_by().is_some_and(|by| by.starts_with("ferrochrome ")));
}

#[test]
fn columns_of_other_types_are_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = File::create(folder.path().join("file")).unwrap();
    let schema = Schema::new(vec![Field::new("day", DataType::Date32, true)]);
    let refused = ParquetWriter::create(file, &schema, Compression::None).map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("column `day` of type Date32"), "{refused}");
}
