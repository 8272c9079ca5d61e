//! `index.arrow`: the named buffers of a vector index, in one row.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, LargeBinaryArray, RecordBatch};
use arrow_buffer::{Buffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Schema};
use ferrochrome_types::{Error, IndexBuffers, Result};

use crate::arrow_file::{ArrowFile, ArrowWriter, write_error};
use crate::{Blob, BlobStore};

/// Key of the schema's metadata that holds the parameters.
const PARAMETERS_KEY: &str = "parameters";

/// Writes a vector index: a column per buffer, each starting at a multiple of 64 bytes.
pub(crate) fn write_index(
    store: &dyn BlobStore,
    name: String,
    parameters: &str,
    buffers: &[(&str, &[u8])],
) -> Result<()> {
    for (at, (column, _)) in buffers.iter().enumerate() {
        if buffers[..at].iter().any(|(earlier, _)| earlier == column) {
            return Err(Error::invalid(format!("two index buffers are named {column:?}")));
        }
    }
    let fields: Vec<Field> =
        buffers.iter().map(|(column, _)| Field::new(*column, DataType::LargeBinary, false)).collect();
    let metadata = HashMap::from([(PARAMETERS_KEY.to_owned(), parameters.to_owned())]);
    let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
    let mut writer = ArrowWriter::create(store, name.clone(), &schema, None)?;
    if !buffers.is_empty() {
        let columns = buffers.iter().map(|(_, bytes)| one_value(bytes)).collect::<Result<Vec<_>, _>>();
        let batch = columns
            .and_then(|columns| RecordBatch::try_new(schema, columns))
            .map_err(|e| write_error(&name, e))?;
        writer.write(&batch)?;
    }
    writer.finish()
}

fn one_value(bytes: &[u8]) -> Result<ArrayRef, arrow_schema::ArrowError> {
    let offsets = OffsetBuffer::from_lengths([bytes.len()]);
    Ok(Arc::new(LargeBinaryArray::try_new(offsets, Buffer::from(bytes), None)?))
}

/// The vector index of a segment: named buffers in a file, each starting at a multiple of 64 bytes.
#[derive(Debug)]
pub struct IndexFile {
    file: ArrowFile,
    /// Name and place of each buffer.
    buffers: Vec<(String, Range<usize>)>,
}

impl IndexFile {
    pub(crate) fn open(blob: Blob) -> Result<Self> {
        let file = ArrowFile::open(blob)?;
        let fields = file.schema().fields();
        let mut buffers = Vec::with_capacity(fields.len());
        if !fields.is_empty() {
            let layout = file.batch(0)?;
            let malformed = || file.blob().damaged("it does not hold one row of plain buffers");
            let nulls = layout.nodes.iter().any(|(_, nulls)| *nulls > 0);
            let plain = layout.codec.is_none() && layout.rows == 1 && file.batch_count() == 1;
            if !plain || nulls || layout.buffers.len() != fields.len() * 3 {
                return Err(malformed());
            }
            for (field, parts) in fields.iter().zip(layout.buffers.chunks_exact(3)) {
                if field.data_type() != &DataType::LargeBinary {
                    return Err(malformed());
                }
                let place = value_range(file.blob(), &parts[1], &parts[2])?.ok_or_else(malformed)?;
                buffers.push((field.name().clone(), place));
            }
        }
        Ok(IndexFile { file, buffers })
    }

    pub(crate) fn blob(&self) -> &Blob {
        self.file.blob()
    }

    /// The parameters that [`SegmentWriter::write_index`](crate::SegmentWriter::write_index) was given.
    ///
    /// # Errors
    /// `Corrupted` if there are none.
    pub fn parameters(&self) -> Result<&str> {
        let found = self.file.schema().metadata().get(PARAMETERS_KEY);
        found.map(String::as_str).ok_or_else(|| self.blob().damaged("it has no parameters"))
    }

    /// Length of the file in bytes.
    pub fn bytes_on_disk(&self) -> u64 {
        self.blob().len() as u64
    }

    /// Lets the kernel take back the pages of the mapped file, for who has copied what it needs of it.
    pub fn release_pages(&self) {
        self.blob().release_pages();
    }
}

impl IndexBuffers for IndexFile {
    fn name(&self) -> &str {
        self.blob().name()
    }

    fn place(&self, buffer: &str) -> Option<Range<usize>> {
        self.buffers.iter().find(|(name, _)| name == buffer).map(|(_, place)| place.clone())
    }

    fn bytes(&self, range: Range<usize>) -> Result<&[u8]> {
        self.blob().bytes(range)
    }
}

/// Where the one value of a column lies in the file.
fn value_range(blob: &Blob, offsets: &Range<usize>, data: &Range<usize>) -> Result<Option<Range<usize>>> {
    if offsets.len() < 16 {
        return Ok(None);
    }
    let offset = |at: usize| Ok(usize::try_from(u64::from_le_bytes(blob.array(at)?)).ok());
    let (start, end) = (offset(offsets.start)?, offset(offsets.start + 8)?);
    let inside = start.zip(end).filter(|(start, end)| start <= end && *end <= data.len());
    Ok(inside.map(|(start, end)| data.start + start..data.start + end))
}
