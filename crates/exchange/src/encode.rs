//! Records as Arrow's columns.

use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, StringBuilder,
};
use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, RecordBatch, new_empty_array};
use arrow_schema::{ArrowError, SchemaRef};
use ferrochrome_engine::GetResult;
use ferrochrome_types::{Error, Metadata, Result, Value, ValueKind};
use ferrochrome_wire::metadata_text;

use crate::columns::{FileColumns, KeyType, component_field};

/// Bytes of records after which a batch ends.
const BATCH_BYTES: usize = 16 << 20;

/// The columns of a batch under construction.
struct Columns<'a> {
    of: &'a FileColumns,
    ids: StringBuilder,
    vectors: Vec<f32>,
    documents: StringBuilder,
    uris: StringBuilder,
    keys: Vec<KeyColumn>,
    rest: StringBuilder,
    bytes: usize,
}

/// The rows from `from` on, `limit` at most and fewer where they are large, as one batch; and the row that comes next.
pub(crate) fn encode(
    result: &GetResult,
    of: &FileColumns,
    schema: &SchemaRef,
    from: usize,
    limit: usize,
) -> Result<(RecordBatch, usize)> {
    let mut columns = Columns {
        of,
        ids: StringBuilder::new(),
        vectors: Vec::new(),
        documents: StringBuilder::new(),
        uris: StringBuilder::new(),
        keys: of.keys.iter().map(|(_, of_key)| KeyColumn::new(*of_key)).collect(),
        rest: StringBuilder::new(),
        bytes: 0,
    };
    let mut next = from;
    for row in result.rows.iter().skip(from).take(limit) {
        columns.push(result, *row)?;
        next += 1;
        if columns.bytes >= BATCH_BYTES {
            break;
        }
    }
    let batch = columns
        .finish(schema)
        .map_err(|e| Error::internal(format!("records cannot be put into columns: {e}")))?;
    Ok((batch, next))
}

impl Columns<'_> {
    fn push(&mut self, result: &GetResult, row: ferrochrome_engine::RowAddress) -> Result<()> {
        let (snapshot, include) = (&result.snapshot, self.of.include);
        let id = snapshot.id(row)?;
        self.ids.append_value(id);
        self.bytes += id.len();
        if include.embeddings {
            let vector = snapshot.vector(row)?;
            self.vectors.extend_from_slice(vector);
            self.bytes += size_of_val(vector);
        }
        if include.documents {
            let document = snapshot.document(row)?;
            self.documents.append_option(document);
            self.bytes += document.map_or(0, str::len);
        }
        if include.uris {
            let uri = snapshot.uri(row)?;
            self.uris.append_option(uri);
            self.bytes += uri.map_or(0, str::len);
        }
        if include.metadatas {
            self.push_metadata(snapshot.metadata(row)?.unwrap_or_default())?;
        }
        Ok(())
    }

    fn push_metadata(&mut self, mut metadata: Metadata) -> Result<()> {
        for ((key, _), column) in self.of.keys.iter().zip(&mut self.keys) {
            self.bytes += column.push(metadata.remove(key))?;
        }
        if self.of.rest {
            let text = if metadata.is_empty() { None } else { Some(metadata_text(&metadata)?) };
            self.bytes += text.as_ref().map_or(0, String::len);
            self.rest.append_option(text);
        }
        Ok(())
    }

    fn finish(mut self, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        let include = self.of.include;
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(self.ids.finish())];
        if include.embeddings {
            arrays.push(match self.of.dim {
                None => new_empty_array(schema.field(1).data_type()),
                Some(dim) => {
                    let components = Arc::new(Float32Array::from(self.vectors));
                    Arc::new(FixedSizeListArray::try_new(component_field(), dim as i32, components, None)?)
                }
            });
        }
        if include.documents {
            arrays.push(Arc::new(self.documents.finish()));
        }
        if include.uris {
            arrays.push(Arc::new(self.uris.finish()));
        }
        arrays.extend(self.keys.iter_mut().map(KeyColumn::finish));
        if self.of.rest {
            arrays.push(Arc::new(self.rest.finish()));
        }
        RecordBatch::try_new(schema.clone(), arrays)
    }
}

/// The column of a metadata key.
enum KeyColumn {
    Str(StringBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Bool(BooleanBuilder),
    StrList(ListBuilder<StringBuilder>),
    IntList(ListBuilder<Int64Builder>),
    FloatList(ListBuilder<Float64Builder>),
    BoolList(ListBuilder<BooleanBuilder>),
}

impl KeyColumn {
    fn new(of: KeyType) -> Self {
        match (of.kind, of.list) {
            (ValueKind::Str, false) => KeyColumn::Str(StringBuilder::new()),
            (ValueKind::Int, false) => KeyColumn::Int(Int64Builder::new()),
            (ValueKind::Float, false) => KeyColumn::Float(Float64Builder::new()),
            (ValueKind::Bool, false) => KeyColumn::Bool(BooleanBuilder::new()),
            (ValueKind::Str, true) => KeyColumn::StrList(ListBuilder::new(StringBuilder::new())),
            (ValueKind::Int, true) => KeyColumn::IntList(ListBuilder::new(Int64Builder::new())),
            (ValueKind::Float, true) => KeyColumn::FloatList(ListBuilder::new(Float64Builder::new())),
            (ValueKind::Bool, true) => KeyColumn::BoolList(ListBuilder::new(BooleanBuilder::new())),
        }
    }

    /// Appends a value, or null; returns about how many bytes it takes.
    fn push(&mut self, value: Option<Value>) -> Result<usize> {
        let Some(value) = value else {
            self.push_null();
            return Ok(0);
        };
        Ok(match (self, value) {
            (KeyColumn::Str(column), Value::Str(value)) => {
                column.append_value(&value);
                value.len()
            }
            (KeyColumn::Int(column), Value::Int(value)) => {
                column.append_value(value);
                size_of::<i64>()
            }
            (KeyColumn::Float(column), Value::Float(value)) => {
                column.append_value(value);
                size_of::<f64>()
            }
            (KeyColumn::Bool(column), Value::Bool(value)) => {
                column.append_value(value);
                1
            }
            (KeyColumn::StrList(column), Value::StrArray(values)) => {
                let bytes = values.iter().map(String::len).sum();
                column.append_value(values.into_iter().map(Some));
                bytes
            }
            (KeyColumn::IntList(column), Value::IntArray(values)) => {
                let bytes = size_of_val(values.as_slice());
                column.append_value(values.into_iter().map(Some));
                bytes
            }
            (KeyColumn::FloatList(column), Value::FloatArray(values)) => {
                let bytes = size_of_val(values.as_slice());
                column.append_value(values.into_iter().map(Some));
                bytes
            }
            (KeyColumn::BoolList(column), Value::BoolArray(values)) => {
                let bytes = values.len();
                column.append_value(values.into_iter().map(Some));
                bytes
            }
            // The rows of one state were looked at before, and never change.
            _ => return Err(Error::internal("a metadata value has another type than its column")),
        })
    }

    fn push_null(&mut self) {
        match self {
            KeyColumn::Str(column) => column.append_null(),
            KeyColumn::Int(column) => column.append_null(),
            KeyColumn::Float(column) => column.append_null(),
            KeyColumn::Bool(column) => column.append_null(),
            KeyColumn::StrList(column) => column.append_null(),
            KeyColumn::IntList(column) => column.append_null(),
            KeyColumn::FloatList(column) => column.append_null(),
            KeyColumn::BoolList(column) => column.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        let builder: &mut dyn ArrayBuilder = match self {
            KeyColumn::Str(column) => column,
            KeyColumn::Int(column) => column,
            KeyColumn::Float(column) => column,
            KeyColumn::Bool(column) => column,
            KeyColumn::StrList(column) => column,
            KeyColumn::IntList(column) => column,
            KeyColumn::FloatList(column) => column,
            KeyColumn::BoolList(column) => column,
        };
        builder.finish()
    }
}
