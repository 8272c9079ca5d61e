//! Encodes one column of a row group in memory.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, StringArray};
use arrow_schema::DataType;
use bytes::Bytes;
use parquet::basic::Type as PhysicalType;
use parquet::column::page::{CompressedPage, PageWriteSpec, PageWriter};
use parquet::column::writer::{ColumnCloseResult, ColumnWriterImpl};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType as ParquetType, DoubleType, FloatType,
    Int64Type as ParquetInt64Type,
};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

type Writer<T> = ColumnWriterImpl<'static, T>;

/// Writers of the types that the columns of records have.
enum Encoder {
    Text(Writer<ByteArrayType>),
    Int(Writer<ParquetInt64Type>),
    Component(Writer<FloatType>),
    Float(Writer<DoubleType>),
    Bool(Writer<BoolType>),
}

/// A column of a row group.
pub(super) struct ColumnEncoder {
    encoder: Encoder,
    pages: Pages,
    of: ColumnDescPtr,
    /// Bytes of values since the last page: so much may be in the encoder, and of a dictionary with all pages before it.
    pending: usize,
}

impl ColumnEncoder {
    pub fn new(of: ColumnDescPtr, properties: &WriterPropertiesPtr) -> Result<Self> {
        let pages = Pages::new();
        let (column, to) = (of.clone(), Box::new(pages.clone()));
        let properties = properties.clone();
        let encoder = match of.physical_type() {
            PhysicalType::BYTE_ARRAY => Encoder::Text(Writer::new(column, properties, to)),
            PhysicalType::INT64 => Encoder::Int(Writer::new(column, properties, to)),
            PhysicalType::FLOAT => Encoder::Component(Writer::new(column, properties, to)),
            PhysicalType::DOUBLE => Encoder::Float(Writer::new(column, properties, to)),
            PhysicalType::BOOLEAN => Encoder::Bool(Writer::new(column, properties, to)),
            other => return Err(ParquetError::NYI(format!("a column of {other}"))),
        };
        Ok(ColumnEncoder { encoder, pages, of, pending: 0 })
    }

    /// Bytes of all that was written, at most.
    pub fn bytes(&self) -> usize {
        self.pages.len() + self.pending
    }

    pub fn write(&mut self, array: &ArrayRef) -> Result<()> {
        let before = self.pages.len();
        let levels = Levels::of(array, self.of.max_def_level());
        let values = levels.values.as_ref();
        match &mut self.encoder {
            Encoder::Text(writer) => levels.write(writer, &texts(values.as_string()))?,
            Encoder::Int(writer) => levels.write(writer, &numbers::<Int64Type>(values))?,
            Encoder::Component(writer) => levels.write(writer, &numbers::<Float32Type>(values))?,
            Encoder::Float(writer) => levels.write(writer, &numbers::<Float64Type>(values))?,
            Encoder::Bool(writer) => {
                let booleans: Vec<bool> = values.as_boolean().iter().flatten().collect();
                levels.write(writer, &booleans)?;
            }
        }
        self.pending += levels.values.get_buffer_memory_size();
        // A page ends when it is full: what came behind it is of this batch at most, and less than another.
        if self.pages.len() > before {
            self.pending = 0;
        }
        Ok(())
    }

    /// All pages, and what is to be said of them at the end of the file.
    pub fn finish(self) -> Result<(Bytes, ColumnCloseResult)> {
        let closed = match self.encoder {
            Encoder::Text(writer) => writer.close(),
            Encoder::Int(writer) => writer.close(),
            Encoder::Component(writer) => writer.close(),
            Encoder::Float(writer) => writer.close(),
            Encoder::Bool(writer) => writer.close(),
        }?;
        Ok((self.pages.into_bytes()?, closed))
    }
}

/// The values of a column that are not null and stand in no list, with the levels that say so of the others.
struct Levels {
    definition: Vec<i16>,
    repetition: Vec<i16>,
    values: ArrayRef,
}

impl Levels {
    /// The levels of an array in whose column a value is there from level `most`. Where lists are null, they have no elements.
    fn of(array: &ArrayRef, most: i16) -> Self {
        match array.data_type() {
            DataType::List(item) => {
                let lists = array.as_list::<i32>();
                let offsets = lists.value_offsets();
                let elements = |row: usize| offsets[row] as usize..offsets[row + 1] as usize;
                Self::of_lists(array, lists.values(), elements, most - i16::from(item.is_nullable()), most)
            }
            DataType::FixedSizeList(item, length) => {
                let length = *length as usize;
                let elements = |row: usize| row * length..(row + 1) * length;
                let values = array.as_fixed_size_list().values();
                Self::of_lists(array, values, elements, most - i16::from(item.is_nullable()), most)
            }
            _ if most == 0 => {
                Levels { definition: Vec::new(), repetition: Vec::new(), values: array.clone() }
            }
            _ => {
                let definition = (0..array.len()).map(|row| i16::from(array.is_valid(row))).collect();
                Levels { definition, repetition: Vec::new(), values: array.clone() }
            }
        }
    }

    /// An element is there from level `element`, and no null from level `value`.
    fn of_lists(
        lists: &ArrayRef,
        values: &ArrayRef,
        elements: impl Fn(usize) -> Range<usize>,
        element: i16,
        value: i16,
    ) -> Self {
        let first = elements(0).start;
        let count = elements(lists.len() - 1).end - first;
        let (mut definition, mut repetition) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for row in 0..lists.len() {
            let elements = elements(row);
            repetition.push(0);
            if elements.is_empty() {
                definition.push(if lists.is_null(row) { element - 2 } else { element - 1 });
                continue;
            }
            repetition.extend(std::iter::repeat_n(1, elements.len() - 1));
            if values.null_count() == 0 {
                definition.extend(std::iter::repeat_n(value, elements.len()));
            } else {
                definition.extend(elements.map(|at| if values.is_valid(at) { value } else { element }));
            }
        }
        Levels { definition, repetition, values: values.slice(first, count) }
    }

    fn write<T: ParquetType>(&self, writer: &mut Writer<T>, values: &[T::T]) -> Result<()> {
        let [definition, repetition] = [&self.definition, &self.repetition]
            .map(|levels| Some(levels.as_slice()).filter(|l| !l.is_empty()));
        writer.write_batch(values, definition, repetition)?;
        Ok(())
    }
}

fn numbers<A: ArrowPrimitiveType>(array: &dyn Array) -> Cow<'_, [A::Native]> {
    let array = array.as_primitive::<A>();
    match array.null_count() {
        0 => Cow::Borrowed(array.values()),
        _ => Cow::Owned(array.iter().flatten().collect()),
    }
}

/// The texts that are no null, of which none is copied.
fn texts(array: &StringArray) -> Vec<ByteArray> {
    let bytes = Bytes::from_owner(array.values().clone());
    let offsets = array.value_offsets();
    let there = (0..array.len()).filter(|row| array.is_valid(*row));
    there.map(|row| ByteArray::from(bytes.slice(offsets[row] as usize..offsets[row + 1] as usize))).collect()
}

/// The pages of a column, which its encoder adds to.
#[derive(Clone)]
struct Pages(Arc<Mutex<TrackedWrite<Vec<u8>>>>);

impl Pages {
    fn new() -> Self {
        Pages(Arc::new(Mutex::new(TrackedWrite::new(Vec::new()))))
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).bytes_written()
    }

    fn into_bytes(self) -> Result<Bytes> {
        let pages = Arc::into_inner(self.0)
            .ok_or_else(|| ParquetError::General("a column is still being written".to_owned()))?;
        let pages = pages.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Bytes::from(pages.into_inner()?))
    }
}

impl PageWriter for Pages {
    fn write_page(&mut self, page: CompressedPage) -> Result<PageWriteSpec> {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        SerializedPageWriter::new(&mut pages).write_page(page)
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}
