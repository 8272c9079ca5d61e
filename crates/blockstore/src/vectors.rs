//! `vectors.arrow`: the f32 vectors, addressed by arithmetic in the mapping.

use std::sync::Arc;

use arrow_array::{FixedSizeListArray, Float32Array, RecordBatch};
use arrow_buffer::ScalarBuffer;
use arrow_schema::{DataType, Field, Schema};
use ferrochrome_types::limits::MAX_DIMENSION;
use ferrochrome_types::{Code, Error, ROWS_AT_ONCE, Result};

use crate::arrow_file::{ArrowFile, ArrowWriter, write_error};
use crate::row_cache::RowCache;
use crate::{Blob, BlobStore};

/// Most bytes of a batch.
const BATCH_BYTES: usize = 32 << 20;
/// Arrow's writer starts each buffer at a multiple of this.
const BUFFER_ALIGNMENT: usize = 64;
/// Cache lines that a prefetch asks for; the hardware follows from there.
const PREFETCH_LINES: usize = 4;

fn item_field() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Float32, false))
}

fn schema(dim: usize) -> Schema {
    let list = DataType::FixedSizeList(item_field(), dim as i32);
    Schema::new(vec![Field::new("vector", list, false)])
}

/// Rows of a full batch: the largest power of two whose vectors fit into [`BATCH_BYTES`].
fn rows_per_batch(dim: usize) -> usize {
    1 << (BATCH_BYTES / (dim * 4)).ilog2()
}

/// Errors unless vectors can have `dim` components.
pub(crate) fn check_dim(dim: usize) -> Result<()> {
    if (1..=MAX_DIMENSION).contains(&dim) {
        Ok(())
    } else {
        Err(Error::invalid(format!("a dimension of {dim} is not possible, expected 1 to {MAX_DIMENSION}")))
    }
}

/// Writes `vectors.arrow` batch by batch.
pub(crate) struct VectorsWriter {
    name: String,
    writer: ArrowWriter,
    schema: Arc<Schema>,
    dim: usize,
    pending: Vec<f32>,
}

impl VectorsWriter {
    pub(crate) fn create(store: &dyn BlobStore, name: String, dim: usize) -> Result<Self> {
        check_dim(dim)?;
        let schema = Arc::new(schema(dim));
        let writer = ArrowWriter::create(store, name.clone(), &schema, None)?;
        Ok(VectorsWriter { name, writer, schema, dim, pending: Vec::new() })
    }

    /// Errors with `InvalidArgument` unless `vector` has the dimension of the segment.
    pub(crate) fn check(&self, vector: &[f32]) -> Result<()> {
        if vector.len() == self.dim {
            Ok(())
        } else {
            let message =
                format!("a vector has {} components, the segment's have {}", vector.len(), self.dim);
            Err(Error::new(Code::InvalidArgument, message))
        }
    }

    pub(crate) fn push(&mut self, vector: &[f32]) -> Result<()> {
        self.check(vector)?;
        self.pending.extend_from_slice(vector);
        if self.pending.len() == rows_per_batch(self.dim) * self.dim { self.end_batch() } else { Ok(()) }
    }

    pub(crate) fn finish(mut self) -> Result<()> {
        if !self.pending.is_empty() {
            self.end_batch()?;
        }
        self.writer.finish()
    }

    fn end_batch(&mut self) -> Result<()> {
        let values = Float32Array::new(ScalarBuffer::from(std::mem::take(&mut self.pending)), None);
        let batch = FixedSizeListArray::try_new(item_field(), self.dim as i32, Arc::new(values), None)
            .and_then(|lists| RecordBatch::try_new(Arc::clone(&self.schema), vec![Arc::new(lists)]))
            .map_err(|e| write_error(&self.name, e))?;
        self.writer.write(&batch)
    }
}

/// `vectors.arrow`, open.
#[derive(Debug)]
pub(crate) struct VectorsFile {
    blob: Blob,
    dim: usize,
    rows: u32,
    /// `label >> shift` is the batch.
    shift: u32,
    /// Where the vectors of each batch begin in the file.
    batch_offsets: Vec<usize>,
}

impl VectorsFile {
    /// Opens the file, which must hold `rows` vectors of `dim` components.
    pub(crate) fn open(blob: Blob, dim: usize, rows: u32) -> Result<Self> {
        blob.advise_random();
        let file = ArrowFile::open(blob)?;
        file.expect_fields(&schema(dim))?;
        let blob = file.blob().clone();
        let mut batch_offsets = Vec::with_capacity(file.batch_count());
        let mut rows_per_batch = 0;
        let mut found = 0;
        for index in 0..file.batch_count() {
            let layout = file.batch(index)?;
            if index == 0 {
                rows_per_batch = layout.rows.checked_next_power_of_two().unwrap_or(0);
            }
            let expected = rows_per_batch.min((rows as usize).saturating_sub(found));
            let [_, _, values] = layout.buffers.as_slice() else {
                return Err(blob.damaged(format!("batch {index} does not consist of vectors")));
            };
            let bytes = layout.rows.checked_mul(dim * 4);
            let nulls = layout.nodes.iter().any(|(_, nulls)| *nulls > 0);
            if layout.rows != expected || bytes != Some(values.len()) || nulls || layout.codec.is_some() {
                return Err(blob.damaged(format!("batch {index} does not hold {expected} plain vectors")));
            }
            batch_offsets.push(values.start);
            found += layout.rows;
        }
        if found != rows as usize {
            return Err(blob.damaged(format!("it has {found} vectors, the segment {rows} rows")));
        }
        Ok(VectorsFile { blob, dim, rows, shift: rows_per_batch.max(1).ilog2(), batch_offsets })
    }

    /// Opens what is left of a damaged file. Vectors that lie in damaged blocks fail when they are read.
    pub(crate) fn open_damaged(blob: Blob, dim: usize, rows: u32) -> Result<Self> {
        check_dim(dim)?;
        let file = ArrowFile::open_damaged(blob, &schema(dim))?;
        file.expect_fields(&schema(dim))?;
        let per_batch = rows_per_batch(dim);
        let mut batch_offsets = Vec::with_capacity(file.batch_count());
        for index in 0..file.batch_count() {
            let rows = (rows as usize).saturating_sub(index * per_batch).min(per_batch);
            let values = rows * dim * 4;
            let written = file.batch(index).ok().and_then(|layout| match layout.buffers.as_slice() {
                [_, _, place] if place.len() == values && layout.codec.is_none() => Some(place.start),
                _ => None,
            });
            // Without nulls there is nothing before the values.
            let padded = values.next_multiple_of(BUFFER_ALIGNMENT);
            let derived = file.body(index).filter(|body| body.len() == padded).map(|body| body.start);
            match written.or(derived) {
                Some(start) => batch_offsets.push(start),
                None => break,
            }
        }
        let blob = file.blob().clone();
        Ok(VectorsFile { blob, dim, rows, shift: per_batch.ilog2(), batch_offsets })
    }

    /// The number of components that the file's own schema has, for who does not know it.
    pub(crate) fn dim_of(blob: &Blob) -> Option<usize> {
        let file = ArrowFile::open(blob.clone()).ok()?;
        match file.schema().fields().first()?.data_type() {
            DataType::FixedSizeList(_, dim) => usize::try_from(*dim).ok(),
            _ => None,
        }
    }

    pub(crate) fn blob(&self) -> &Blob {
        &self.blob
    }

    /// The vector of `label`.
    #[inline]
    pub(crate) fn vector(&self, label: u32) -> Result<&[f32]> {
        let Some(start) = self.offset(label) else { return Err(self.no_vector(label)) };
        let bytes = self.blob.bytes(start..start + self.dim * 4)?;
        bytemuck::try_cast_slice(bytes).map_err(|_| self.blob.damaged("its vectors are not aligned"))
    }

    /// Whether there is no file, so that nothing is gained by copies.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.blob.is_in_memory()
    }

    /// Calls `use_rows` with the vectors of `labels` out of the cache, or copied into `room`: nothing more is mapped.
    pub(crate) fn with_cached_vectors(
        &self,
        labels: &[u32],
        cache: &RowCache,
        room: &mut Vec<f32>,
        use_rows: &mut dyn FnMut(&[&[f32]]),
    ) -> Result<()> {
        for labels in labels.chunks(ROWS_AT_ONCE) {
            if cache.with_rows(labels, use_rows) {
                continue;
            }
            let mut vectors: [&[f32]; ROWS_AT_ONCE] = [&[]; ROWS_AT_ONCE];
            room.resize(labels.len() * self.dim, 0.0);
            let places = room.chunks_exact_mut(self.dim.max(1));
            for ((vector, &label), place) in vectors.iter_mut().zip(labels).zip(places) {
                self.copy_vector(label, cache, place)?;
                *vector = place;
            }
            use_rows(&vectors[..labels.len()]);
        }
        Ok(())
    }

    /// Copies the vector of `label` into `place`.
    fn copy_vector(&self, label: u32, cache: &RowCache, place: &mut [f32]) -> Result<()> {
        let Some(start) = self.offset(label) else { return Err(self.no_vector(label)) };
        if !cache.get(label, place) {
            self.blob.copy_to(start, bytemuck::cast_slice_mut(place))?;
            cache.offer(label, place);
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn prefetch(&self, label: u32) {
        if let Some(start) = self.offset(label) {
            self.blob.prefetch(start, PREFETCH_LINES.min(self.dim.div_ceil(16)));
        }
    }

    /// Where the vector of `label` begins. Opening the file made sure that it also ends within it.
    #[inline]
    fn offset(&self, label: u32) -> Option<usize> {
        if label >= self.rows {
            return None;
        }
        let batch = self.batch_offsets.get(label as usize >> self.shift)?;
        let row = label as usize & ((1 << self.shift) - 1);
        Some(batch + row * self.dim * 4)
    }

    #[cold]
    fn no_vector(&self, label: u32) -> Error {
        self.blob.damaged(format!("it has no vector {label}"))
    }
}
