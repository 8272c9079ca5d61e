//! Arrow's columns as records to be written.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use ferrochrome_engine::{MetadataPatch, WriteBatch};
use ferrochrome_types::{Error, Result, Value};
use ferrochrome_wire::parse_metadata;

use crate::layout::Layout;

/// What is wrong with a cell.
type Wrong = String;

/// The rows of a batch; `first` is the number of the first, from 1.
struct Rows<'a> {
    batch: &'a RecordBatch,
    first: u64,
}

impl Rows<'_> {
    /// Takes each cell of a column. What is wrong with one is told with its row and column.
    fn each(
        &self,
        at: usize,
        mut take: impl FnMut(&ArrayRef, usize) -> std::result::Result<(), Wrong>,
    ) -> Result<()> {
        let column = self.batch.column(at);
        (0..self.batch.num_rows()).try_for_each(|row| {
            take(column, row).map_err(|wrong| {
                let (row, name) = (self.first + row as u64, self.batch.schema_ref().field(at).name());
                Error::invalid(format!("Row {row}, column `{name}`: {wrong}"))
            })
        })
    }

    fn texts(&self, at: usize) -> Result<Vec<Option<String>>> {
        let mut texts = Vec::with_capacity(self.batch.num_rows());
        self.each(at, |column, row| {
            texts.push(text_at(column, row)?);
            Ok(())
        })?;
        Ok(texts)
    }

    fn metadatas(&self, layout: &Layout) -> Result<Vec<Option<MetadataPatch>>> {
        let mut metadatas = vec![MetadataPatch::new(); self.batch.num_rows()];
        if let Some(at) = layout.metadata {
            self.each(at, |column, row| {
                metadatas[row] = metadata_at(column, row)?;
                Ok(())
            })?;
        }
        for (key, at) in &layout.keys {
            self.each(*at, |column, row| {
                if let Some(value) = value_at(column, row)? {
                    metadatas[row].insert(key.clone(), Some(value));
                }
                Ok(())
            })?;
        }
        Ok(metadatas.into_iter().map(|patch| (!patch.is_empty()).then_some(patch)).collect())
    }
}

/// The records of a batch; `first` is the number of its first row, from 1.
///
/// # Errors
/// `InvalidArgument` naming row and column.
pub(crate) fn decode(batch: &RecordBatch, layout: &Layout, first: u64) -> Result<WriteBatch> {
    let rows = Rows { batch, first };
    let mut ids = Vec::with_capacity(batch.num_rows());
    rows.each(layout.id, |column, row| {
        ids.push(id_at(column, row)?);
        Ok(())
    })?;
    let mut vectors = Vectors::default();
    rows.each(layout.embedding, |column, row| vectors.push(column, row))?;
    Ok(WriteBatch {
        ids,
        dim: vectors.dim.unwrap_or(0),
        embeddings: Some(vectors.components),
        kept_embeddings: Vec::new(),
        documents: layout.document.map(|at| rows.texts(at)).transpose()?,
        metadatas: Some(rows.metadatas(layout)?),
        uris: layout.uri.map(|at| rows.texts(at)).transpose()?,
    })
}

fn id_at(column: &ArrayRef, row: usize) -> std::result::Result<String, Wrong> {
    match value_at(column, row)? {
        Some(Value::Str(id)) if !id.is_empty() => Ok(id),
        Some(Value::Int(id)) => Ok(id.to_string()),
        _ => Err("it is empty, expected an id".to_owned()),
    }
}

fn text_at(column: &ArrayRef, row: usize) -> std::result::Result<Option<String>, Wrong> {
    match value_at(column, row)? {
        None => Ok(None),
        Some(Value::Str(text)) => Ok(Some(text)),
        Some(_) => Err("it is no string".to_owned()),
    }
}

/// All metadata of a row: JSON text, or a struct with a field for each key.
fn metadata_at(column: &ArrayRef, row: usize) -> std::result::Result<MetadataPatch, Wrong> {
    let Some(columns) = column.as_struct_opt() else {
        let Some(text) = text_at(column, row)? else { return Ok(MetadataPatch::new()) };
        return parse_metadata(&text).map_err(|e| e.message().to_owned());
    };
    let mut patch = MetadataPatch::new();
    if !columns.is_null(row) {
        for (field, of_key) in columns.fields().iter().zip(columns.columns()) {
            if let Some(value) = value_at(of_key, row)? {
                patch.insert(field.name().clone(), Some(value));
            }
        }
    }
    Ok(patch)
}

/// Vectors of one length, row-major.
#[derive(Default)]
struct Vectors {
    dim: Option<usize>,
    components: Vec<f32>,
}

impl Vectors {
    fn push(&mut self, column: &ArrayRef, row: usize) -> std::result::Result<(), Wrong> {
        let vector = list_at(column, row)?.ok_or("it is empty, expected a vector")?;
        let before = self.components.len();
        match vector.data_type() {
            DataType::Float32 => {
                self.components.extend_from_slice(vector.as_primitive::<Float32Type>().values())
            }
            DataType::Float64 => {
                self.components
                    .extend(vector.as_primitive::<Float64Type>().values().iter().map(|x| *x as f32));
            }
            DataType::Float16 => {
                self.components
                    .extend(vector.as_primitive::<Float16Type>().values().iter().map(|x| x.to_f32()));
            }
            other => return Err(format!("its components are of type {other}, expected floats")),
        }
        let dim = *self.dim.get_or_insert(vector.len());
        if vector.null_count() > 0 || self.components[before..].iter().any(|x| !x.is_finite()) {
            return Err("a component is missing or not finite".to_owned());
        }
        if vector.is_empty() || vector.len() != dim {
            return Err(format!("it has {} components, the vectors before have {dim}", vector.len()));
        }
        Ok(())
    }
}

/// The elements of a list; `None` for null.
fn list_at(column: &ArrayRef, row: usize) -> std::result::Result<Option<ArrayRef>, Wrong> {
    if column.is_null(row) {
        return Ok(None);
    }
    Ok(Some(match column.data_type() {
        DataType::List(_) => column.as_list::<i32>().value(row),
        DataType::LargeList(_) => column.as_list::<i64>().value(row),
        DataType::FixedSizeList(_, _) => column.as_fixed_size_list().value(row),
        other => return Err(format!("it is of type {other}, expected a list")),
    }))
}

/// A metadata value; `None` for null and for a list without elements, which hold nothing.
fn value_at(column: &ArrayRef, row: usize) -> std::result::Result<Option<Value>, Wrong> {
    if column.is_null(row) {
        return Ok(None);
    }
    let float = |value: f64| {
        if value.is_finite() {
            Ok(Value::Float(value))
        } else {
            Err(format!("{value} is not finite, expected a number or null"))
        }
    };
    Ok(Some(match column.data_type() {
        DataType::Null => return Ok(None),
        DataType::Utf8 => Value::Str(column.as_string::<i32>().value(row).to_owned()),
        DataType::LargeUtf8 => Value::Str(column.as_string::<i64>().value(row).to_owned()),
        DataType::Utf8View => Value::Str(column.as_string_view().value(row).to_owned()),
        DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
        DataType::Int8 => int::<Int8Type>(column, row),
        DataType::Int16 => int::<Int16Type>(column, row),
        DataType::Int32 => int::<Int32Type>(column, row),
        DataType::Int64 => int::<Int64Type>(column, row),
        DataType::UInt8 => int::<UInt8Type>(column, row),
        DataType::UInt16 => int::<UInt16Type>(column, row),
        DataType::UInt32 => int::<UInt32Type>(column, row),
        DataType::UInt64 => {
            let value = column.as_primitive::<UInt64Type>().value(row);
            Value::Int(i64::try_from(value).map_err(|_| format!("{value} is larger than 2^63 - 1"))?)
        }
        DataType::Float16 => float(column.as_primitive::<Float16Type>().value(row).to_f64())?,
        DataType::Float32 => float(f64::from(column.as_primitive::<Float32Type>().value(row)))?,
        DataType::Float64 => float(column.as_primitive::<Float64Type>().value(row))?,
        DataType::Dictionary(_, _) => {
            let dictionary = column.as_any_dictionary();
            let key = match value_at(&dictionary.keys().slice(row, 1), 0)? {
                Some(Value::Int(key)) => usize::try_from(key).ok(),
                _ => None,
            };
            let key =
                key.filter(|key| *key < dictionary.values().len()).ok_or("its dictionary has no such key")?;
            return value_at(dictionary.values(), key);
        }
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(_, _) => {
            let Some(elements) = list_at(column, row)? else { return Ok(None) };
            return array_of(&elements);
        }
        other => return Err(format!("it is of type {other}, which metadata do not have")),
    }))
}

fn int<T: ArrowPrimitiveType>(column: &ArrayRef, row: usize) -> Value
where
    i64: From<T::Native>,
{
    Value::Int(i64::from(column.as_primitive::<T>().value(row)))
}

/// The elements of a list as one value.
fn array_of(elements: &ArrayRef) -> std::result::Result<Option<Value>, Wrong> {
    let mut array = None;
    for at in 0..elements.len() {
        let element = value_at(elements, at)?.ok_or("a list must not hold null")?;
        match (&mut array, element) {
            (None, Value::Str(x)) => array = Some(Value::StrArray(vec![x])),
            (None, Value::Int(x)) => array = Some(Value::IntArray(vec![x])),
            (None, Value::Float(x)) => array = Some(Value::FloatArray(vec![x])),
            (None, Value::Bool(x)) => array = Some(Value::BoolArray(vec![x])),
            (Some(Value::StrArray(all)), Value::Str(x)) => all.push(x),
            (Some(Value::IntArray(all)), Value::Int(x)) => all.push(x),
            (Some(Value::FloatArray(all)), Value::Float(x)) => all.push(x),
            (Some(Value::BoolArray(all)), Value::Bool(x)) => all.push(x),
            _ => return Err("a list must hold strings, numbers or booleans".to_owned()),
        }
    }
    Ok(array)
}
