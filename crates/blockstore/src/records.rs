//! `records.arrow`: everything of a row but its vector.

use std::ops::{ControlFlow, Range};
use std::sync::{Arc, OnceLock};

use arrow_array::builder::{ArrayBuilder, BinaryBuilder, StringBuilder, UInt64Builder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use ferrochrome_types::{Code, Error, Metadata, Record, Result, ValueRef};
use memchr::memmem::Finder;

use crate::arrow_file::{ArrowFile, ArrowWriter, BatchLayout, Codec, write_error};
use crate::column::{BytesColumn, ColumnBuffer, ColumnCursor};
use crate::prefetch::prefetch;
use crate::{Blob, BlobStore, metadata_codec};

/// Rows of a full batch.
const BATCH_ROWS: usize = 4096;
/// A batch ends early at so many bytes, so that neither writing nor decompressing needs much memory.
const BATCH_BYTES: usize = 16 << 20;
/// Ids that are compared together: what each step reads for one of them arrives while it works on the others.
const COMPARED_TOGETHER: usize = 64;
/// Most bytes of one record: a column of a batch must stay below 2 GiB.
const MAX_RECORD_BYTES: usize = 1 << 30;
/// Arrow's writer starts each buffer at a multiple of this.
const BUFFER_ALIGNMENT: usize = 64;
/// Key in the footer: the rows of each batch, so that a label is found without reading every batch's message.
const BATCH_ROWS_KEY: &str = "batch_rows";
/// Key in the footer, with the value `true` where ordinals ascend with labels: it spares reading them all.
const ORDERED_KEY: &str = "in_insertion_order";

/// How `records.arrow` is compressed, as Arrow defines it: each column of each batch by itself.
///
/// A compressed column is decompressed when it is first touched, and kept while the segment is open. Vectors and indices,
/// which are searched in place, are never compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Read in place, straight from the mapping.
    #[default]
    None,
    /// LZ4 frames: fast.
    Lz4,
    /// Zstandard: small.
    Zstd,
}

impl Compression {
    /// The name in `segment.json`: `none`, `lz4`, `zstd`.
    pub fn as_str(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }

    fn codec(self) -> Option<Codec> {
        match self {
            Compression::None => None,
            Compression::Lz4 => Some(Codec::Lz4Frame),
            Compression::Zstd => Some(Codec::Zstd),
        }
    }
}

/// A [`Record`] whose parts are borrowed, metadata still encoded: what a merge copies from segment to segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// The user's id.
    pub id: &'a str,
    /// Place in insertion order.
    pub ordinal: u64,
    /// The document, if there is one.
    pub document: Option<&'a str>,
    /// Metadata as [`metadata_codec::encode`] writes it, if there is any.
    pub metadata: Option<&'a [u8]>,
    /// The URI, if there is one.
    pub uri: Option<&'a str>,
}

impl RecordRef<'_> {
    fn byte_len(&self) -> usize {
        self.id.len()
            + self.document.map_or(0, str::len)
            + self.metadata.map_or(0, <[u8]>::len)
            + self.uri.map_or(0, str::len)
    }
}

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("document", DataType::Utf8, true),
        Field::new("metadata", DataType::Binary, true),
        Field::new("uri", DataType::Utf8, true),
        Field::new("ordinal", DataType::UInt64, false),
    ])
}

/// Writes `records.arrow` batch by batch.
pub(crate) struct RecordsWriter {
    name: String,
    writer: ArrowWriter,
    schema: Arc<Schema>,
    ids: StringBuilder,
    documents: StringBuilder,
    metadata: BinaryBuilder,
    uris: StringBuilder,
    ordinals: UInt64Builder,
    pending_bytes: usize,
    batch_rows: Vec<String>,
    last_ordinal: Option<u64>,
    ordered: bool,
}

impl RecordsWriter {
    pub(crate) fn create(store: &dyn BlobStore, name: String, compression: Compression) -> Result<Self> {
        let schema = Arc::new(schema());
        Ok(RecordsWriter {
            writer: ArrowWriter::create(store, name.clone(), &schema, compression.codec())?,
            name,
            schema,
            ids: StringBuilder::new(),
            documents: StringBuilder::new(),
            metadata: BinaryBuilder::new(),
            uris: StringBuilder::new(),
            ordinals: UInt64Builder::new(),
            pending_bytes: 0,
            batch_rows: Vec::new(),
            last_ordinal: None,
            ordered: true,
        })
    }

    pub(crate) fn push(&mut self, record: RecordRef<'_>) -> Result<()> {
        let len = record.byte_len();
        if len > MAX_RECORD_BYTES {
            let message =
                format!("record {:?} has {len} bytes, at most {MAX_RECORD_BYTES} are stored", record.id);
            return Err(Error::new(Code::LimitExceeded, message));
        }
        if self.ids.len() == BATCH_ROWS || (!self.ids.is_empty() && self.pending_bytes + len > BATCH_BYTES) {
            self.end_batch()?;
        }
        self.ids.append_value(record.id);
        self.documents.append_option(record.document);
        self.metadata.append_option(record.metadata);
        self.uris.append_option(record.uri);
        self.ordinals.append_value(record.ordinal);
        self.ordered &= self.last_ordinal.is_none_or(|last| last < record.ordinal);
        self.last_ordinal = Some(record.ordinal);
        self.pending_bytes += len;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<()> {
        if !self.ids.is_empty() {
            self.end_batch()?;
        }
        self.writer.footer_metadata(BATCH_ROWS_KEY, self.batch_rows.join(","));
        self.writer.footer_metadata(ORDERED_KEY, self.ordered.to_string());
        self.writer.finish()
    }

    fn end_batch(&mut self) -> Result<()> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.ids.finish()),
            Arc::new(self.documents.finish()),
            Arc::new(self.metadata.finish()),
            Arc::new(self.uris.finish()),
            Arc::new(self.ordinals.finish()),
        ];
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|e| write_error(&self.name, e))?;
        self.batch_rows.push(batch.num_rows().to_string());
        self.pending_bytes = 0;
        self.writer.write(&batch)
    }
}

/// `records.arrow`, open.
#[derive(Debug)]
pub(crate) struct RecordsFile {
    file: ArrowFile,
    /// First label of each batch, and the number of rows at the end.
    starts: Vec<u32>,
    batches: Vec<OnceLock<RecordColumns>>,
    /// Whether a batch whose message is damaged is read as it must have been written.
    is_damaged: bool,
}

#[derive(Debug)]
struct RecordColumns {
    ids: BytesColumn,
    documents: BytesColumn,
    metadata: BytesColumn,
    uris: BytesColumn,
    ordinals: ColumnBuffer,
}

impl RecordsFile {
    /// Opens the file, which must hold `rows` rows.
    pub(crate) fn open(blob: Blob, rows: u32) -> Result<Self> {
        let file = ArrowFile::open(blob)?;
        file.expect_fields(&schema())?;
        let starts = batch_starts(&file, rows)?;
        let batches = (0..file.batch_count()).map(|_| OnceLock::new()).collect();
        Ok(RecordsFile { file, starts, batches, is_damaged: false })
    }

    /// Opens what is left of a damaged file. Rows that lie in damaged blocks fail when they are read.
    pub(crate) fn open_damaged(blob: Blob) -> Result<Self> {
        let file = ArrowFile::open_damaged(blob, &schema())?;
        file.expect_fields(&schema())?;
        let mut starts = listed_starts(&file).unwrap_or_default();
        if starts.len() != file.batch_count() + 1 {
            starts = vec![0];
            for index in 0..file.batch_count() {
                let rows = u32::try_from(file.batch(index)?.rows).ok();
                let end = rows.and_then(|rows| starts[index].checked_add(rows));
                starts.push(end.ok_or_else(|| file.blob().damaged("it has too many rows"))?);
            }
        }
        let batches = (0..file.batch_count()).map(|_| OnceLock::new()).collect();
        Ok(RecordsFile { file, starts, batches, is_damaged: true })
    }

    /// Rows of all batches.
    pub(crate) fn rows(&self) -> u32 {
        self.starts.last().copied().unwrap_or(0)
    }

    pub(crate) fn blob(&self) -> &Blob {
        self.file.blob()
    }

    /// Whether the file says that ordinals ascend with labels.
    pub(crate) fn is_in_insertion_order(&self) -> bool {
        self.file.footer_metadata(ORDERED_KEY) == Some("true")
    }

    pub(crate) fn id(&self, label: u32) -> Result<&str> {
        let (columns, row) = self.locate(label)?;
        self.id_in(columns, row)
    }

    /// Whether the id of a record is `id`.
    #[inline]
    pub(crate) fn has_id(&self, label: u32, id: &[u8]) -> Result<bool> {
        let (columns, row) = self.locate(label)?;
        Ok(columns.ids.get(self.blob(), row)? == Some(id))
    }

    /// Passes those of `candidates`, each what the caller knows it by and a label, to `found` whose record has the id that the caller
    /// names, in their order.
    pub(crate) fn each_with_id<'a, T: Copy>(
        &self,
        candidates: &[(T, u32)],
        id: impl Fn(T) -> &'a [u8],
        mut found: impl FnMut(T, u32),
    ) -> Result<()> {
        if candidates.len() < self.batches.len() {
            for (known, label) in candidates {
                if self.has_id(*label, id(*known))? {
                    found(*known, *label);
                }
            }
            return Ok(());
        }
        let mut batches = Vec::with_capacity(self.batches.len());
        for (index, bounds) in self.starts.windows(2).enumerate() {
            let rows = (bounds[1] - bounds[0]) as usize;
            // What lies in a damaged block must not keep the others from being found.
            batches.push(self.columns(index).and_then(|columns| columns.ids.slices(self.blob(), rows)).ok());
        }
        let mut pairs: [(Option<&[u8]>, &[u8]); COMPARED_TOGETHER] = [(None, &[]); COMPARED_TOGETHER];
        for group in candidates.chunks(COMPARED_TOGETHER) {
            // Each step asks for what the next one reads.
            let place = |label: u32| {
                let (index, row) = self.place(label)?;
                Some((batches.get(index)?.as_ref()?, row))
            };
            for (column, row) in group.iter().filter_map(|(_, label)| place(*label)) {
                column.prefetch_offset(row);
            }
            for (pair, (known, label)) in pairs.iter_mut().zip(group) {
                let (value, id) = (place(*label).and_then(|(column, row)| column.get(row)), id(*known));
                value.inspect(|value| prefetch(value, 1));
                prefetch(id, 1);
                *pair = (value, id);
            }
            for (&(value, id), (known, label)) in pairs.iter().zip(group) {
                let is_it = value.map_or_else(|| self.has_id(*label, id), |value| Ok(value == id));
                if is_it? {
                    found(*known, *label);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn document(&self, label: u32) -> Result<Option<&str>> {
        let (columns, row) = self.locate(label)?;
        columns.documents.get_str(self.blob(), row)
    }

    pub(crate) fn metadata_bytes(&self, label: u32) -> Result<Option<&[u8]>> {
        let (columns, row) = self.locate(label)?;
        columns.metadata.get(self.blob(), row)
    }

    pub(crate) fn metadata(&self, label: u32) -> Result<Option<Metadata>> {
        self.metadata_bytes(label)?.map(|bytes| self.decode_metadata(label, bytes)).transpose()
    }

    /// Calls `f` with every key of a record's metadata and its value; whether it has metadata.
    pub(crate) fn for_each_metadata_entry(
        &self,
        label: u32,
        f: &mut dyn FnMut(&str, ValueRef<'_>),
    ) -> Result<bool> {
        let Some(bytes) = self.metadata_bytes(label)? else { return Ok(false) };
        metadata_codec::for_each_entry(bytes, f).map_err(|e| self.bad_metadata(label, e))?;
        Ok(true)
    }

    pub(crate) fn uri(&self, label: u32) -> Result<Option<&str>> {
        let (columns, row) = self.locate(label)?;
        columns.uris.get_str(self.blob(), row)
    }

    pub(crate) fn ordinal(&self, label: u32) -> Result<u64> {
        let (columns, row) = self.locate(label)?;
        Ok(u64::from_le_bytes(columns.ordinals.array(self.blob(), row * 8)?))
    }

    pub(crate) fn record_ref(&self, label: u32) -> Result<RecordRef<'_>> {
        let (columns, row) = self.locate(label)?;
        let blob = self.blob();
        Ok(RecordRef {
            id: self.id_in(columns, row)?,
            ordinal: u64::from_le_bytes(columns.ordinals.array(blob, row * 8)?),
            document: columns.documents.get_str(blob, row)?,
            metadata: columns.metadata.get(blob, row)?,
            uri: columns.uris.get_str(blob, row)?,
        })
    }

    pub(crate) fn record(&self, label: u32) -> Result<Record> {
        let parts = self.record_ref(label)?;
        Ok(Record {
            id: parts.id.to_owned(),
            ordinal: parts.ordinal,
            document: parts.document.map(str::to_owned),
            metadata: parts.metadata.map(|bytes| self.decode_metadata(label, bytes)).transpose()?,
            uri: parts.uri.map(str::to_owned),
        })
    }

    /// Every document in label order, until told to stop.
    pub(crate) fn for_each_document(&self, f: &mut dyn FnMut(u32, &str) -> ControlFlow<()>) -> Result<()> {
        for (index, bounds) in self.starts.windows(2).enumerate() {
            let columns = self.columns(index)?;
            for label in bounds[0]..bounds[1] {
                let document = columns.documents.get_str(self.blob(), (label - bounds[0]) as usize)?;
                if document.is_some_and(|text| f(label, text).is_break()) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Calls `found` with each of `labels` whose document contains `text`, which is not empty.
    pub(crate) fn each_containing(
        &self,
        labels: Range<u32>,
        text: &str,
        found: &mut dyn FnMut(u32),
    ) -> Result<()> {
        let finder = Finder::new(text);
        for (index, bounds) in self.starts.windows(2).enumerate() {
            let (first, end) = (bounds[0].max(labels.start), bounds[1].min(labels.end));
            if first < end {
                let rows = (first - bounds[0]) as usize..(end - bounds[0]) as usize;
                let documents = &self.columns(index)?.documents;
                documents.each_containing(self.blob(), rows, &finder, |row| found(bounds[0] + row as u32))?;
            }
        }
        Ok(())
    }

    /// A hint that the ids of records, or with `whole` all that is shown of them, will be asked for.
    pub(crate) fn prefetch(&self, labels: &[u32], whole: bool) {
        // What says where values lie arrives together too.
        self.each_column(labels, whole, |column, row| column.prefetch_offset(self.blob(), row));
        self.each_column(labels, whole, |column, row| column.prefetch(self.blob(), row));
    }

    fn each_column(&self, labels: &[u32], whole: bool, f: impl Fn(&BytesColumn, usize)) {
        for label in labels {
            // Whoever asks for the record next is told what is wrong with it.
            let Ok((columns, row)) = self.locate(*label) else { continue };
            f(&columns.ids, row);
            if whole {
                f(&columns.documents, row);
                f(&columns.metadata, row);
            }
        }
    }

    fn id_in<'a>(&'a self, columns: &'a RecordColumns, row: usize) -> Result<&'a str> {
        columns.ids.get_str(self.blob(), row)?.ok_or_else(|| self.blob().damaged("a record has no id"))
    }

    fn decode_metadata(&self, label: u32, bytes: &[u8]) -> Result<Metadata> {
        metadata_codec::decode(bytes).map_err(|e| self.bad_metadata(label, e))
    }

    fn bad_metadata(&self, label: u32, error: Error) -> Error {
        self.blob().damaged(format!("record {label}: {error}"))
    }

    fn locate(&self, label: u32) -> Result<(&RecordColumns, usize)> {
        match self.place(label) {
            Some((index, row)) => Ok((self.columns(index)?, row)),
            None => Err(self.blob().damaged(format!("it has no record {label}"))),
        }
    }

    /// The batch of a record, and its row there.
    #[inline]
    fn place(&self, label: u32) -> Option<(usize, usize)> {
        // Nearly all batches are full, so that most labels are found at the first look.
        let full = label as usize / BATCH_ROWS;
        let index = match self.starts.get(full..full + 2) {
            Some([start, end]) if *start <= label && label < *end => full,
            _ if label < self.rows() => {
                self.starts.partition_point(|start| *start <= label).checked_sub(1)?
            }
            _ => return None,
        };
        Some((index, (label - self.starts[index]) as usize))
    }

    fn columns(&self, index: usize) -> Result<&RecordColumns> {
        let Some(cell) = self.batches.get(index) else {
            return Err(self.blob().damaged(format!("it has no batch {index}")));
        };
        if let Some(columns) = cell.get() {
            return Ok(columns);
        }
        let rows = (self.starts[index + 1] - self.starts[index]) as usize;
        let layout = match self.file.batch(index) {
            Err(error) if self.is_damaged => expected_layout(&self.file, index, rows).ok_or(error)?,
            layout => layout?,
        };
        if layout.rows != (self.starts[index + 1] - self.starts[index]) as usize {
            return Err(self
                .blob()
                .damaged(format!("batch {index} has another length than the footer says")));
        }
        let mut cursor = ColumnCursor::new(&layout, self.blob());
        let columns = RecordColumns {
            ids: cursor.bytes_column()?,
            documents: cursor.bytes_column()?,
            metadata: cursor.bytes_column()?,
            uris: cursor.bytes_column()?,
            ordinals: cursor.number_column()?,
        };
        Ok(cell.get_or_init(|| columns))
    }
}

fn batch_starts(file: &ArrowFile, rows: u32) -> Result<Vec<u32>> {
    let starts = listed_starts(file).filter(|starts| starts.last() == Some(&rows));
    starts
        .filter(|starts| starts.len() == file.batch_count() + 1)
        .ok_or_else(|| file.blob().damaged("its batches do not add up to the rows of the segment"))
}

/// First label of each batch, and the number of rows at the end, as the footer has them.
fn listed_starts(file: &ArrowFile) -> Option<Vec<u32>> {
    let mut starts = vec![0_u32];
    let mut end = 0_u32;
    for text in file.footer_metadata(BATCH_ROWS_KEY)?.split(',').filter(|text| !text.is_empty()) {
        let len: u32 = text.parse().ok().filter(|len| *len > 0)?;
        end = end.checked_add(len)?;
        starts.push(end);
    }
    Some(starts)
}

/// Where the buffers of an uncompressed batch lie that has `rows` rows, derived from how they are written: a column's validity if it
/// has nulls, offsets and data, each filled up to [`BUFFER_ALIGNMENT`]. `None` where not exactly one choice of columns with nulls
/// fills the batch, or where what it takes to know is damaged too.
fn expected_layout(file: &ArrowFile, index: usize, rows: usize) -> Option<BatchLayout> {
    let body = file.body(index)?;
    let nullable = schema().fields().iter().filter(|field| field.is_nullable()).count();
    let mut fitting = (0..1_u32 << nullable).filter_map(|nulls| layout_with(file.blob(), &body, rows, nulls));
    let found = fitting.next()?;
    fitting.next().is_none().then_some(found)
}

/// The layout in which the nullable columns with a bit in `nulls` have nulls, if it fills the batch.
fn layout_with(blob: &Blob, body: &Range<usize>, rows: usize, mut nulls: u32) -> Option<BatchLayout> {
    let mut layout = BatchLayout { rows, nodes: Vec::new(), buffers: Vec::new(), codec: None };
    let mut at = body.start;
    let mut place = |len: usize| {
        let range = at..at.checked_add(len)?;
        at = range.end.checked_next_multiple_of(BUFFER_ALIGNMENT)?;
        Some(range)
    };
    for field in schema().fields() {
        let has_nulls = field.is_nullable() && nulls & 1 == 1;
        nulls >>= u32::from(field.is_nullable());
        let validity = place(if has_nulls { rows.div_ceil(8) } else { 0 })?;
        let bits = blob.bytes(validity.clone()).ok()?;
        let valid = if has_nulls {
            (0..rows).filter(|row| bits[row / 8] & (1 << (row % 8)) != 0).count()
        } else {
            rows
        };
        if has_nulls && valid == rows {
            return None;
        }
        layout.nodes.push((rows, rows - valid));
        layout.buffers.push(validity);
        if field.data_type() == &DataType::UInt64 {
            layout.buffers.push(place(rows.checked_mul(8)?)?);
        } else {
            let offsets = place(rows.checked_add(1)?.checked_mul(4)?)?;
            let [first, last] = [offsets.start, offsets.end - 4].map(|at| blob.array::<4>(at).ok());
            if first? != [0; 4] {
                return None;
            }
            layout.buffers.push(offsets);
            layout.buffers.push(place(u32::from_le_bytes(last?) as usize)?);
        }
    }
    (at == body.end).then_some(layout)
}
