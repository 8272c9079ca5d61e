//! Columns of a record batch, read in place, or decompressed once when first touched.

use std::io::Read;
use std::ops::Range;
use std::sync::OnceLock;

use ferrochrome_types::Result;
use memchr::memmem::Finder;

use crate::Blob;
use crate::arrow_file::{BatchLayout, Codec};
use crate::prefetch::prefetch;

/// Largest buffer that is decompressed: offsets are `i32`.
const MAX_DECODED_LEN: usize = i32::MAX as usize;
/// In front of a compressed buffer stands its decompressed length, or this where compressing did not pay.
const NOT_COMPRESSED: i64 = -1;
/// Cache lines of a value that are asked for ahead: most ids, metadata and sentences have no more.
const PREFETCHED_LINES: usize = 2;

/// One buffer of a batch.
#[derive(Debug)]
pub(crate) struct ColumnBuffer {
    place: Range<usize>,
    codec: Option<Codec>,
    /// Kept as long as the file is open, because callers borrow from it.
    decoded: OnceLock<Box<[u8]>>,
}

impl ColumnBuffer {
    fn new(place: Range<usize>, codec: Option<Codec>) -> Self {
        // An empty buffer is not compressed and has no length in front.
        let codec = if place.is_empty() { None } else { codec };
        ColumnBuffer { place, codec, decoded: OnceLock::new() }
    }

    /// Bytes of the buffer, verified; offsets count from the start of the (decompressed) buffer.
    pub(crate) fn bytes<'a>(&'a self, blob: &'a Blob, range: Range<usize>) -> Result<&'a [u8]> {
        let found = match self.codec {
            None if range.start <= range.end && range.end <= self.place.len() => {
                return blob.bytes(self.place.start + range.start..self.place.start + range.end);
            }
            None => None,
            Some(codec) => self.decoded(blob, codec)?.get(range.clone()),
        };
        found.ok_or_else(|| blob.damaged(format!("bytes {range:?} lie outside their column")))
    }

    /// `N` bytes from `at`.
    #[inline]
    pub(crate) fn array<const N: usize>(&self, blob: &Blob, at: usize) -> Result<[u8; N]> {
        let bytes = self.bytes(blob, at..at.saturating_add(N))?;
        bytes.try_into().map_err(|_| blob.damaged("a column is cut"))
    }

    fn decoded(&self, blob: &Blob, codec: Codec) -> Result<&[u8]> {
        if let Some(decoded) = self.decoded.get() {
            return Ok(decoded);
        }
        let decoded = decode(blob, &self.place, codec)?;
        Ok(self.decoded.get_or_init(|| decoded.into_boxed_slice()))
    }
}

fn decode(blob: &Blob, place: &Range<usize>, codec: Codec) -> Result<Vec<u8>> {
    let failed = |what: &str| blob.damaged(format!("the buffer at {} {what}", place.start));
    let (prefix, input) =
        blob.bytes(place.clone())?.split_first_chunk::<8>().ok_or_else(|| failed("has no length"))?;
    let declared = i64::from_le_bytes(*prefix);
    if declared == NOT_COMPRESSED {
        return Ok(input.to_vec());
    }
    let len = usize::try_from(declared).ok().filter(|len| *len <= MAX_DECODED_LEN);
    let len = len.ok_or_else(|| failed("declares an impossible length"))?;
    let decoded = match codec {
        Codec::Lz4Frame => read_at_most(lz4_flex::frame::FrameDecoder::new(input), len),
        Codec::Zstd => zstd::stream::read::Decoder::with_buffer(input).and_then(|d| read_at_most(d, len)),
    };
    let decoded = decoded.map_err(|e| failed(&format!("cannot be decompressed: {e}")))?;
    if decoded.len() != len {
        return Err(failed("does not decompress to its declared length"));
    }
    Ok(decoded)
}

/// Reads to the end, but at most one byte more than `len`: what a hostile stream expands to is not trusted.
fn read_at_most(reader: impl Read, len: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len.min(1 << 20));
    reader.take(len as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Takes the columns of a batch one after another, in schema order.
pub(crate) struct ColumnCursor<'a> {
    layout: &'a BatchLayout,
    blob: &'a Blob,
    node: usize,
    buffer: usize,
}

impl<'a> ColumnCursor<'a> {
    pub(crate) fn new(layout: &'a BatchLayout, blob: &'a Blob) -> Self {
        ColumnCursor { layout, blob, node: 0, buffer: 0 }
    }

    /// The next column of strings or bytes with `i32` offsets.
    pub(crate) fn bytes_column(&mut self) -> Result<BytesColumn> {
        let rows_and_nulls = self.next_node()?;
        let validity = self.next_validity(rows_and_nulls)?;
        Ok(BytesColumn { validity, offsets: self.next_buffer()?, data: self.next_buffer()? })
    }

    /// The next column of numbers, without nulls.
    pub(crate) fn number_column(&mut self) -> Result<ColumnBuffer> {
        let (_, nulls) = self.next_node()?;
        if nulls != 0 {
            return Err(self.blob.damaged("a column that cannot have nulls has some"));
        }
        self.next_buffer()?;
        self.next_buffer()
    }

    /// Columns must have as many rows as the batch.
    fn next_node(&mut self) -> Result<(usize, usize)> {
        let node = self.layout.nodes.get(self.node).copied();
        self.node += 1;
        match node {
            Some((rows, nulls)) if rows == self.layout.rows => Ok((rows, nulls)),
            _ => Err(self.blob.damaged("a column is missing or of another length than its batch")),
        }
    }

    fn next_buffer(&mut self) -> Result<ColumnBuffer> {
        let place = self.layout.buffers.get(self.buffer).cloned();
        self.buffer += 1;
        let place = place.ok_or_else(|| self.blob.damaged("a buffer is missing"))?;
        Ok(ColumnBuffer::new(place, self.layout.codec))
    }

    fn next_validity(&mut self, (_, nulls): (usize, usize)) -> Result<Option<ColumnBuffer>> {
        let buffer = self.next_buffer()?;
        Ok((nulls > 0).then_some(buffer))
    }
}

/// A column of strings or bytes without nulls, verified as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BytesSlices<'a> {
    /// Where each value begins, and where the last ends.
    offsets: &'a [[u8; 4]],
    data: &'a [u8],
}

impl<'a> BytesSlices<'a> {
    /// A hint that the value of `row` will be asked for, for which what says where it lies is read first.
    #[inline]
    pub(crate) fn prefetch_offset(&self, row: usize) {
        prefetch(self.offsets.get(row..).unwrap_or_default().as_flattened(), 1);
    }

    /// The value of a row; `None` where the column does not have it whole.
    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<&'a [u8]> {
        let [start, end] = self.offsets.get(row..row + 2)?.as_chunks::<2>().0.first()?;
        self.data.get(u32::from_le_bytes(*start) as usize..u32::from_le_bytes(*end) as usize)
    }
}

/// A column of strings or bytes.
#[derive(Debug)]
pub(crate) struct BytesColumn {
    /// `None` if no row is null.
    validity: Option<ColumnBuffer>,
    offsets: ColumnBuffer,
    data: ColumnBuffer,
}

impl BytesColumn {
    /// The value of a row, `None` if it is null.
    pub(crate) fn get<'a>(&'a self, blob: &'a Blob, row: usize) -> Result<Option<&'a [u8]>> {
        if !self.is_valid(blob, row)? {
            return Ok(None);
        }
        let pair: [u8; 8] = self.offsets.array(blob, row * 4)?;
        let start = u32::from_le_bytes([pair[0], pair[1], pair[2], pair[3]]) as usize;
        let end = u32::from_le_bytes([pair[4], pair[5], pair[6], pair[7]]) as usize;
        self.data.bytes(blob, start..end).map(Some)
    }

    /// The whole column, which has no nulls.
    pub(crate) fn slices<'a>(&'a self, blob: &'a Blob, rows: usize) -> Result<BytesSlices<'a>> {
        if self.validity.is_some() {
            return Err(blob.damaged("a column that cannot have nulls has some"));
        }
        let offsets = self.offsets.bytes(blob, 0..rows.saturating_add(1).saturating_mul(4))?.as_chunks().0;
        let end = offsets.last().map_or(0, |end| u32::from_le_bytes(*end) as usize);
        Ok(BytesSlices { offsets, data: self.data.bytes(blob, 0..end)? })
    }

    /// As [`BytesSlices::prefetch_offset`].
    #[inline]
    pub(crate) fn prefetch_offset(&self, blob: &Blob, row: usize) {
        if self.offsets.codec.is_none() {
            blob.prefetch(self.offsets.place.start.saturating_add(row * 4), 1);
        }
    }

    /// A hint that the value of `row` will be asked for.
    #[inline]
    pub(crate) fn prefetch(&self, blob: &Blob, row: usize) {
        if self.offsets.codec.is_none()
            && let Ok(pair) = self.offsets.array::<8>(blob, row * 4)
        {
            let start = u32::from_le_bytes([pair[0], pair[1], pair[2], pair[3]]) as usize;
            blob.prefetch(self.data.place.start.saturating_add(start), PREFETCHED_LINES);
        }
    }

    /// Calls `found` with each of `rows` whose value contains what `finder` looks for: at least one byte. The values lie one behind the
    /// other, so that they are searched as one text, and only hits cost anything beside that.
    pub(crate) fn each_containing(
        &self,
        blob: &Blob,
        rows: Range<usize>,
        finder: &Finder<'_>,
        mut found: impl FnMut(usize),
    ) -> Result<()> {
        let cut = || blob.damaged("a column is cut");
        let offsets = self.offsets.bytes(blob, rows.start * 4..(rows.end + 1) * 4)?.as_chunks().0;
        let end_of = |row: usize| offsets.get(row).map_or(0, |end| u32::from_le_bytes(*end) as usize);
        let start = end_of(0);
        let values = self.data.bytes(blob, start..end_of(rows.len()))?;
        let (mut row, mut at) = (0, 0);
        while let Some(hit) = finder.find(values.get(at..).ok_or_else(cut)?) {
            let first = at + hit;
            while row < rows.len() && end_of(row + 1) <= start + first {
                row += 1;
            }
            let end = end_of(row + 1).checked_sub(start).filter(|end| *end > first).ok_or_else(cut)?;
            if first + finder.needle().len() > end {
                // It reaches into the next value.
                at = first + 1;
                continue;
            }
            if self.is_valid(blob, rows.start + row)? {
                found(rows.start + row);
            }
            (row, at) = (row + 1, end);
        }
        Ok(())
    }

    fn is_valid(&self, blob: &Blob, row: usize) -> Result<bool> {
        let Some(validity) = &self.validity else { return Ok(true) };
        let [byte] = validity.array(blob, row / 8)?;
        Ok(byte & (1 << (row % 8)) != 0)
    }

    /// As [`get`](Self::get), for text.
    pub(crate) fn get_str<'a>(&'a self, blob: &'a Blob, row: usize) -> Result<Option<&'a str>> {
        let Some(bytes) = self.get(blob, row)? else { return Ok(None) };
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(blob.damaged("a text is not UTF-8")),
        }
    }
}
