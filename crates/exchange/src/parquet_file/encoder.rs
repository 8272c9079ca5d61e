//! Encodes one column of a row group in memory.

use std::borrow::Cow;
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, StringArray};
use arrow_schema::DataType;
use bytes::Bytes;
use parquet::basic::Type as PhysicalType;
use parquet::column::writer::{ColumnCloseResult, ColumnWriterImpl};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType as ParquetType, DoubleType, FloatType,
    Int64Type as ParquetInt64Type,
};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterPropertiesPtr;
use parquet::schema::types::ColumnDescPtr;

use super::pages::{Pages, WrittenPages};

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
    /// Those of the last batch, which vectors share with the next.
    levels: Levels,
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
        Ok(ColumnEncoder { encoder, pages, of, pending: 0, levels: Levels::default() })
    }

    /// Bytes of all that was written, at most.
    pub fn bytes(&self) -> usize {
        self.pages.len() + self.pending
    }

    pub fn write(&mut self, array: &ArrayRef) -> Result<()> {
        let before = self.pages.len();
        let values = self.levels.set(array, self.of.max_def_level());
        let (levels, values) = (&self.levels, values.as_ref());
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
        self.pending += values.get_buffer_memory_size();
        // A page ends when it is full: what came behind it is of this batch at most, and less than another.
        if self.pages.len() > before {
            self.pending = 0;
        }
        Ok(())
    }

    /// All pages, and what is to be said of them at the end of the file.
    pub fn finish(self) -> Result<(WrittenPages, ColumnCloseResult)> {
        let closed = match self.encoder {
            Encoder::Text(writer) => writer.close(),
            Encoder::Int(writer) => writer.close(),
            Encoder::Component(writer) => writer.close(),
            Encoder::Float(writer) => writer.close(),
            Encoder::Bool(writer) => writer.close(),
        }?;
        Ok((self.pages.end()?, closed))
    }
}

/// The levels of a batch, which say which values are null and which stand in one list. Those that are always zero are left out.
#[derive(Default)]
struct Levels {
    definition: Vec<i16>,
    repetition: Vec<i16>,
}

impl Levels {
    /// Takes the levels of an array in whose column a value is there from level `most`, and returns its values, which are not null or
    /// marked as such. Lists that are null have no elements.
    fn set(&mut self, array: &ArrayRef, most: i16) -> ArrayRef {
        match array.data_type() {
            DataType::List(item) => {
                let lists = array.as_list::<i32>();
                let offsets = lists.value_offsets();
                let elements = |row: usize| offsets[row] as usize..offsets[row + 1] as usize;
                self.set_lists(array, lists.values(), elements, most - i16::from(item.is_nullable()), most)
            }
            DataType::FixedSizeList(item, length) => {
                let (length, values) = (*length as usize, array.as_fixed_size_list().values());
                // Vectors are never null, nor are their components: as many have the same levels.
                if values.null_count() == 0 && self.repetition.len() == values.len() {
                    return values.clone();
                }
                let elements = |row: usize| row * length..(row + 1) * length;
                self.set_lists(array, values, elements, most - i16::from(item.is_nullable()), most)
            }
            _ => {
                let rows = if most == 0 { 0 } else { array.len() };
                self.definition.clear();
                self.definition.extend((0..rows).map(|row| i16::from(array.is_valid(row))));
                array.clone()
            }
        }
    }

    /// An element is there from level `element`, and no null from level `value`.
    fn set_lists(
        &mut self,
        lists: &ArrayRef,
        values: &ArrayRef,
        elements: impl Fn(usize) -> Range<usize>,
        element: i16,
        value: i16,
    ) -> ArrayRef {
        let Levels { definition, repetition } = self;
        definition.clear();
        repetition.clear();
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
        let first = elements(0).start;
        values.slice(first, elements(lists.len() - 1).end - first)
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
