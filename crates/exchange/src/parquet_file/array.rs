//! Values with levels as Arrow's arrays.

use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, BooleanArray, ListArray, NullArray, PrimitiveArray, StringArray, StructArray};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::DataType;

use super::column::{LeafReader, Levels, Texts, Values};
use super::shape::{Leaf, Shape};

/// What is wrong with a column.
type Wrong = String;

/// The rows of a batch in a column of this shape and type, whose values `readers` have.
pub(super) fn assemble(
    shape: &Shape,
    data_type: &DataType,
    readers: &mut [LeafReader],
    rows: usize,
) -> Result<ArrayRef, Wrong> {
    match (shape, data_type, readers) {
        (Shape::Struct { level, fields: shapes }, DataType::Struct(fields), readers) => {
            let mut arrays = Vec::with_capacity(shapes.len());
            for ((shape, field), reader) in shapes.iter().zip(fields).zip(readers.iter_mut()) {
                arrays.push(assemble(shape, field.data_type(), std::slice::from_mut(reader), rows)?);
            }
            let nulls = readers.first().and_then(|reader| structs(&reader.levels, *level));
            let array = StructArray::try_new(fields.clone(), arrays, nulls).map_err(|e| e.to_string())?;
            Ok(Arc::new(array))
        }
        (Shape::Scalar(leaf), _, [reader]) => {
            array(reader.take(), &leaf.data_type, rows, validity(&reader.levels, leaf))
        }
        (Shape::List { list, element, item }, DataType::List(field), [reader]) => {
            let lists = Lists::of(&reader.levels, rows, *list, *element, item.level)?;
            let elements = lists.offsets.last().map_or(0, |last| *last as usize);
            let values = array(reader.take(), &item.data_type, elements, lists.elements)?;
            let offsets = OffsetBuffer::new(ScalarBuffer::from(lists.offsets));
            let array = ListArray::try_new(field.clone(), offsets, values, lists.lists);
            Ok(Arc::new(array.map_err(|e| e.to_string())?))
        }
        _ => Err(format!("a column has type {data_type}, which is not read")),
    }
}

/// Which structs are no null, by the levels of their first field.
fn structs(levels: &Levels, level: i16) -> Option<NullBuffer> {
    let begins = |at: usize| levels.repetition.get(at).is_none_or(|repeated| *repeated == 0);
    let rows = levels.definition.iter().enumerate().filter(|(at, _)| begins(*at));
    nulls(rows.map(|(_, defined)| *defined >= level).collect()).filter(|_| level > 0)
}

/// Which scalars are no null.
fn validity(levels: &Levels, leaf: &Leaf) -> Option<NullBuffer> {
    let defined = &levels.definition;
    if leaf.level == 0 || defined.iter().all(|defined| *defined == leaf.level) {
        return None;
    }
    Some(NullBuffer::new(BooleanBuffer::collect_bool(defined.len(), |at| defined[at] == leaf.level)))
}

fn nulls(valid: Vec<bool>) -> Option<NullBuffer> {
    Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0)
}

/// Where lists begin and end.
struct Lists {
    offsets: Vec<i32>,
    lists: Option<NullBuffer>,
    elements: Option<NullBuffer>,
}

impl Lists {
    /// `list`, `element` and `value` are the levels from which each is there.
    fn of(levels: &Levels, rows: usize, list: i16, element: i16, value: i16) -> Result<Self, Wrong> {
        let Levels { definition, repetition } = levels;
        if let Some(length) = common_length(levels, rows, value) {
            let offsets = (0..=rows).map(|row| i32::try_from(row * length));
            let offsets = offsets.collect::<Result<_, _>>().map_err(|e| e.to_string())?;
            return Ok(Lists { offsets, lists: None, elements: None });
        }
        let (mut offsets, mut lists, mut elements) = (Vec::new(), Vec::new(), Vec::new());
        for (defined, repeated) in definition.iter().zip(repetition) {
            let begins = *repeated == 0;
            if begins {
                offsets.push(i32::try_from(elements.len()).map_err(|e| e.to_string())?);
                lists.push(*defined >= list);
            }
            if *defined >= element {
                elements.push(*defined == value);
            }
            if *defined > value || (!begins && (offsets.is_empty() || *defined < element)) {
                return Err("the levels of a list do not fit together".to_owned());
            }
        }
        offsets.push(i32::try_from(elements.len()).map_err(|e| e.to_string())?);
        Ok(Lists { offsets, lists: nulls(lists), elements: nulls(elements) })
    }
}

/// The length of all lists, where they have one and every value is there, as those of vectors have.
fn common_length(levels: &Levels, rows: usize, value: i16) -> Option<usize> {
    let Levels { definition, repetition } = levels;
    let length = repetition.len().checked_div(rows)?;
    let begins = repetition.iter().filter(|repeated| **repeated == 0).count();
    let is_whole = length > 0
        && length * rows == repetition.len()
        && begins == rows
        && repetition.iter().step_by(length).all(|repeated| *repeated == 0)
        && definition.iter().all(|defined| *defined == value);
    is_whole.then_some(length)
}

/// The values with room for those that are null: `count` in all.
fn array(
    values: Values,
    data_type: &DataType,
    count: usize,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, Wrong> {
    match (values, data_type) {
        (_, DataType::Null) => Ok(Arc::new(NullArray::new(count))),
        (Values::Bool(values), DataType::Boolean) => {
            let values = BooleanBuffer::from(spread(values, nulls.as_ref()));
            Ok(Arc::new(BooleanArray::new(values, nulls)))
        }
        (Values::Int32(values), DataType::Int8) => numbers::<Int8Type>(map(values, |x| x as i8), nulls),
        (Values::Int32(values), DataType::Int16) => numbers::<Int16Type>(map(values, |x| x as i16), nulls),
        (Values::Int32(values), DataType::Int32) => numbers::<Int32Type>(values, nulls),
        (Values::Int32(values), DataType::UInt8) => numbers::<UInt8Type>(map(values, |x| x as u8), nulls),
        (Values::Int32(values), DataType::UInt16) => numbers::<UInt16Type>(map(values, |x| x as u16), nulls),
        (Values::Int32(values), DataType::UInt32) => numbers::<UInt32Type>(map(values, |x| x as u32), nulls),
        (Values::Int64(values), DataType::Int64) => numbers::<Int64Type>(values, nulls),
        (Values::Int64(values), DataType::UInt64) => numbers::<UInt64Type>(map(values, |x| x as u64), nulls),
        (Values::Float(values), DataType::Float32) => numbers::<Float32Type>(values, nulls),
        (Values::Double(values), DataType::Float64) => numbers::<Float64Type>(values, nulls),
        (Values::Half(values), DataType::Float16) => numbers::<Float16Type>(values, nulls),
        (Values::Bytes(texts), DataType::Utf8) => strings(texts, nulls),
        _ => Err(format!("a column has type {data_type}, which is not read")),
    }
}

fn map<T, U>(values: Vec<T>, convert: impl Fn(T) -> U) -> Vec<U> {
    values.into_iter().map(convert).collect()
}

fn numbers<A: ArrowPrimitiveType>(
    values: Vec<A::Native>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, Wrong> {
    let values = ScalarBuffer::from(spread(values, nulls.as_ref()));
    Ok(Arc::new(PrimitiveArray::<A>::try_new(values, nulls).map_err(|e| e.to_string())?))
}

fn strings(texts: Texts, nulls: Option<NullBuffer>) -> Result<ArrayRef, Wrong> {
    let mut ends = texts.ends.into_iter();
    let mut offsets = vec![0];
    match &nulls {
        None => offsets.extend(ends),
        Some(nulls) => {
            let mut last = 0;
            offsets.extend(nulls.iter().map(|is_there| {
                if is_there {
                    last = ends.next().unwrap_or(last);
                }
                last
            }));
        }
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let array = StringArray::try_new(offsets, Buffer::from_vec(texts.bytes), nulls);
    Ok(Arc::new(array.map_err(|e| e.to_string())?))
}

/// Puts something in the place of what is null.
fn spread<T: Copy + Default>(values: Vec<T>, nulls: Option<&NullBuffer>) -> Vec<T> {
    let Some(nulls) = nulls else { return values };
    let mut values = values.into_iter();
    let value = |is_there| if is_there { values.next().unwrap_or_default() } else { T::default() };
    nulls.iter().map(value).collect()
}
