//! Columns as other programs lay them out.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int8Type, Int32Type, UInt64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use half::f16;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType as ParquetType, DoubleType, FixedLenByteArray,
    FixedLenByteArrayType, FloatType, Int32Type as ParquetInt32Type, Int64Type as ParquetInt64Type,
};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::SchemaDescriptor;

use super::super::ParquetReader;
use super::super::shape::{Shape, columns};
use super::open;

/// A file with one row group of the columns that `fill` writes.
pub(super) fn file(path: &Path, schema: &str, fill: impl Fn(&mut SerializedRowGroupWriter<File>)) {
    for version in [WriterVersion::PARQUET_2_0, WriterVersion::PARQUET_1_0] {
        let schema = Arc::new(parse_message_type(&format!("message m {{ {schema} }}")).unwrap());
        let properties = WriterProperties::builder().set_writer_version(version).build();
        let to = File::create(path).unwrap();
        let mut file = SerializedFileWriter::new(to, schema, Arc::new(properties)).unwrap();
        let mut group = file.next_row_group().unwrap();
        fill(&mut group);
        group.close().unwrap();
        file.close().unwrap();
    }
}

/// Writes the next column; levels that are always zero are left empty.
pub(super) fn column<T: ParquetType>(
    group: &mut SerializedRowGroupWriter<File>,
    values: &[T::T],
    definition: &[i16],
    repetition: &[i16],
) {
    let mut column = group.next_column().unwrap().unwrap();
    let [definition, repetition] =
        [definition, repetition].map(|levels| Some(levels).filter(|l| !l.is_empty()));
    column.typed::<T>().write_batch(values, definition, repetition).unwrap();
    column.close().unwrap();
}

fn read(path: &Path) -> RecordBatch {
    let mut reader = open(path);
    let batch = reader.next().unwrap().unwrap();
    assert!(reader.next().unwrap().is_none());
    batch
}

/// Three rows of a list of integers, of which the second is empty or null.
fn assert_lists(schema: &str, definition: &[i16], expected: &DataType, second: Option<usize>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    file(&path, schema, |group| column::<ParquetInt32Type>(group, &[1, 2, 3], definition, &[0, 1, 0, 0]));
    let batch = read(&path);
    assert_eq!(batch.schema().field(0).data_type(), expected, "{schema}");
    let lists = batch.column(0).as_list::<i32>();
    let list = |row: usize| {
        lists.is_valid(row).then(|| lists.value(row).as_primitive::<Int32Type>().values().to_vec())
    };
    assert_eq!(list(0), Some(vec![1, 2]), "{schema}");
    assert_eq!(list(1).map(|list| list.len()), second, "{schema}");
    assert_eq!(list(2), Some(vec![3]), "{schema}");
}

fn list_of(name: &str, nullable: bool) -> DataType {
    DataType::List(Arc::new(arrow_schema::Field::new(name, DataType::Int32, nullable)))
}

#[test]
fn lists_of_every_age_are_read() {
    let required = |name| list_of(name, false);
    assert_lists(
        "required group a (LIST) { repeated group list { required int32 element; } }",
        &[1, 1, 0, 1],
        &required("element"),
        Some(0),
    );
    assert_lists(
        "optional group a (LIST) { repeated group list { optional int32 element; } }",
        &[3, 3, 0, 3],
        &list_of("element", true),
        None,
    );
    // The repeated field of two levels is the element.
    assert_lists(
        "optional group a (LIST) { repeated int32 element; }",
        &[2, 2, 1, 2],
        &required("element"),
        Some(0),
    );
    assert_lists(
        "required group a (LIST) { repeated int32 array; }",
        &[1, 1, 0, 1],
        &required("array"),
        Some(0),
    );
    // Hive's names.
    assert_lists(
        "optional group a (LIST) { repeated group bag { optional int32 array_element; } }",
        &[3, 3, 1, 3],
        &list_of("array_element", true),
        Some(0),
    );
    // Not marked as a list.
    assert_lists("repeated int32 a;", &[1, 1, 0, 1], &required("a"), Some(0));
    assert_lists(
        "required group a (MAP) { repeated group key_value { required int32 key; } }",
        &[1, 1, 0, 1],
        &required("key"),
        Some(0),
    );
}

#[test]
fn a_repeated_group_of_an_old_name_is_the_element() {
    for name in ["array", "a_tuple"] {
        let text = format!(
            "message m {{ optional group a (LIST) {{ repeated group {name} {{ required int32 x; }} }} }}"
        );
        let schema = SchemaDescriptor::new(Arc::new(parse_message_type(&text).unwrap()));
        let columns = columns(&schema, &[], None).unwrap();
        let DataType::List(item) = columns[0].field.data_type() else { panic!("{text}") };
        assert!(matches!(item.data_type(), DataType::Struct(fields) if fields.len() == 1), "{text}");
        assert!(matches!(columns[0].shape, Shape::Other));
    }
}

#[test]
fn elements_that_are_null_stay_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let schema = "optional group a (LIST) { repeated group list { optional binary element (STRING); } }";
    let text = |text: &str| ByteArray::from(text);
    file(&path, schema, |group| {
        column::<ByteArrayType>(group, &[text("x"), text("y")], &[2, 3, 0, 1, 3, 2], &[0, 1, 0, 0, 0, 1]);
    });
    let batch = read(&path);
    let lists = batch.column(0).as_list::<i32>();
    let list = |row: usize| -> Vec<Option<String>> {
        lists.value(row).as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
    };
    assert_eq!(list(0), [None, Some("x".to_owned())]);
    assert!(lists.is_null(1) && lists.is_valid(2) && list(2).is_empty());
    assert_eq!(list(3), [Some("y".to_owned()), None]);
}

#[test]
fn structs_hold_scalars_and_lists() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let schema = "optional group metadata {
        optional group tags (LIST) { repeated group list { required int64 element; } }
        required boolean b;
        optional int32 n (INTEGER(8, true));
    }";
    // A row with all, one without a list, and one that is null.
    file(&path, schema, |group| {
        column::<ParquetInt64Type>(group, &[5, 6], &[3, 3, 1, 0], &[0, 1, 0, 0]);
        column::<BoolType>(group, &[true, false], &[1, 1, 0], &[]);
        column::<ParquetInt32Type>(group, &[-7], &[2, 1, 0], &[]);
    });
    let batch = read(&path);
    let structs = batch.column(0).as_struct();
    assert_eq!((0..3).map(|row| structs.is_valid(row)).collect::<Vec<_>>(), [true, true, false]);
    let tags = structs.column(0).as_list::<i32>();
    assert_eq!((tags.value(0).len(), tags.is_valid(1)), (2, false));
    assert_eq!(
        (structs.column(1).as_boolean().value(0), structs.column(1).as_boolean().value(1)),
        (true, false)
    );
    assert_eq!(
        structs.column(2).as_primitive::<Int8Type>().iter().collect::<Vec<_>>(),
        [Some(-7), None, None]
    );
}

#[test]
fn vectors_of_any_floats_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let half = |x: f32| FixedLenByteArray::from(f16::from_f32(x).to_le_bytes().to_vec());
    let list = |of: &str| format!("required group v (LIST) {{ repeated group list {{ required {of}; }} }}");
    let levels = (&[1_i16, 1, 1, 1], &[0_i16, 1, 0, 1]);
    let halves = list("fixed_len_byte_array(2) element (FLOAT16)");
    file(&path, &halves, |group| {
        column::<FixedLenByteArrayType>(group, &[1.0, 0.5, -2.0, 4.0].map(half), levels.0, levels.1);
    });
    let batch = read(&path);
    let second = batch.column(0).as_list::<i32>().value(1);
    assert_eq!(second.as_primitive::<arrow_array::types::Float16Type>().value(0).to_f32(), -2.0);
    file(&path, &list("double element"), |group| {
        column::<DoubleType>(group, &[1.0, 0.5, -2.0, 4.0], levels.0, levels.1);
    });
    assert_eq!(read(&path).column(0).as_list::<i32>().value_offsets(), [0, 2, 4]);
    file(&path, &list("float element"), |group| {
        column::<FloatType>(group, &[1.0, 0.5, -2.0, 4.0], levels.0, levels.1)
    });
    assert_eq!(read(&path).column(0).as_list::<i32>().value_length(1), 2);
}

#[test]
fn numbers_without_sign_and_nulls_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let schema =
        "required int64 u (INTEGER(64, false)); optional int32 n (UNKNOWN); required int32 s (UINT_16);";
    file(&path, schema, |group| {
        column::<ParquetInt64Type>(group, &[-1, 2], &[], &[]);
        column::<ParquetInt32Type>(group, &[], &[0, 0], &[]);
        column::<ParquetInt32Type>(group, &[65_535, 2], &[], &[]);
    });
    let batch = read(&path);
    assert_eq!(batch.column(0).as_primitive::<UInt64Type>().values(), &[u64::MAX, 2]);
    assert_eq!((batch.column(1).data_type(), batch.column(1).len()), (&DataType::Null, 2));
    assert_eq!(batch.column(2).as_primitive::<arrow_array::types::UInt16Type>().values(), &[65_535, 2]);
}

#[test]
fn what_records_cannot_hold_has_a_name() {
    for (column, expected) in [
        ("required int64 c (TIMESTAMP(MICROS, true))", "Timestamp(µs, \"UTC\")"),
        ("required int64 c (TIMESTAMP_MILLIS)", "Timestamp(ms, \"UTC\")"),
        ("required int96 c", "Timestamp(ns)"),
        ("required int32 c (DATE)", "Date32"),
        ("required int32 c (TIME_MILLIS)", "Time32(ms)"),
        ("required int64 c (TIME(NANOS, false))", "Time64(ns)"),
        ("required int32 c (DECIMAL(9, 2))", "Decimal128(9, 2)"),
        ("required fixed_len_byte_array(20) c (DECIMAL(40, 2))", "Decimal256(40, 2)"),
        ("required binary c", "Binary"),
        ("required binary c (ENUM)", "Binary"),
        ("required fixed_len_byte_array(16) c (UUID)", "FixedSizeBinary(16)"),
        ("required fixed_len_byte_array(12) c (INTERVAL)", "Interval(DayTime)"),
        (
            "required group c { required group a { required int32 b; } }",
            "Struct(\"a\": non-null Struct(\"b\": non-null Int32))",
        ),
        (
            "repeated group c { required int32 b; }",
            "List(non-null Struct(\"b\": non-null Int32), field: 'c')",
        ),
        (
            "required group c (MAP) { repeated group key_value { required binary key (STRING); optional int32 value; } }",
            "Map(\"key_value\": non-null Struct(\"key\": non-null Utf8, \"value\": Int32), unsorted)",
        ),
    ] {
        let schema = parse_message_type(&format!("message m {{ {column}; }}").replace("};", "}")).unwrap();
        let columns = columns(&SchemaDescriptor::new(Arc::new(schema)), &[], None).unwrap();
        assert_eq!(columns[0].field.data_type().to_string(), expected, "{column}");
    }
}

#[test]
fn an_ignored_column_may_be_anything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    file(
        &path,
        "required group odd { repeated int32 x; required int32 y (DATE); } required int32 a;",
        |group| {
            column::<ParquetInt32Type>(group, &[1], &[1, 0], &[0, 0]);
            column::<ParquetInt32Type>(group, &[1, 2], &[], &[]);
            column::<ParquetInt32Type>(group, &[3, 4], &[], &[]);
        },
    );
    let ignore = ["odd".to_owned()];
    let mut reader = ParquetReader::open(File::open(&path).unwrap(), "file", &ignore).unwrap();
    let batch = reader.next().unwrap().unwrap();
    assert_eq!((batch.num_columns(), batch.num_rows()), (1, 2));
    assert_eq!(batch.column(0).as_primitive::<Int32Type>().values(), &[3, 4]);
}
