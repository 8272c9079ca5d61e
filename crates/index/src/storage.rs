//! Where the large buffers of an index lie: in memory, or in a file that is read as it is used.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use ferrochrome_distance::{Kernels, kernels, prefetch_bytes};
use ferrochrome_types::{Error, IndexBuffers, Result};

use crate::aligned_buffer::AlignedBuffer;
use crate::codes::Codes;
use crate::hnsw::EMPTY;
use crate::quantizer::{Bits, CodeQuery, Factors, Quantizer};
use crate::scorer::Scorer;
use crate::sketch::SketchQuery;

/// A place for the buffers that grow with the number of rows.
pub(crate) trait Storage: Debug + Send + Sync + 'static {
    /// Whether everything is in memory.
    const RESIDENT: bool;
    type Codes: CodeRows + 'static;
    type Links: LinkRows + 'static;
}

/// In memory, checked as a whole before the first use.
#[derive(Debug)]
pub(crate) struct Resident;

impl Storage for Resident {
    const RESIDENT: bool = true;
    type Codes = Codes;
    type Links = AlignedBuffer<u32>;
}

/// In a file. Each piece is checked whenever it is used.
#[derive(Debug)]
pub(crate) struct Mapped;

impl Storage for Mapped {
    const RESIDENT: bool = false;
    type Codes = MappedCodes;
    type Links = MappedLinks;
}

/// The codes of all rows, to score by.
pub(crate) trait CodeRows: Scorer<Query = CodeQuery> + Debug + Send {
    fn quantizer(&self) -> &Quantizer;

    /// Codes and factors of all rows as bytes.
    fn as_bytes(&self) -> Result<(&[u8], &[u8])>;

    fn memory_bytes(&self) -> usize;

    /// Whether there are [`bounds`](Self::bounds).
    fn has_sketches(&self) -> bool {
        false
    }

    /// `bounds[i]` = what the score of row `rows.start + i` is at least, as good as always; found faster than the score.
    /// The first row is a multiple of [`BLOCK_ROWS`](ferrochrome_distance::BLOCK_ROWS).
    ///
    /// # Panics
    /// If there are not so many rows, or bounds.
    fn bounds(&self, _query: (&CodeQuery, &SketchQuery), _rows: Range<usize>, _bounds: &mut [f32]) {}
}

/// Rows of links.
pub(crate) trait LinkRows: Debug + Send + Sync {
    /// Links that lead to rows, or [`EMPTY`].
    fn slots(&self, slots: Range<usize>) -> Result<&[u32]>;

    /// A hint that these slots are wanted soon.
    fn prefetch(&self, slots: Range<usize>);

    fn as_bytes(&self) -> Result<&[u8]>;

    fn memory_bytes(&self) -> usize;
}

impl LinkRows for AlignedBuffer<u32> {
    #[inline(always)]
    fn slots(&self, slots: Range<usize>) -> Result<&[u32]> {
        Ok(&self[slots])
    }

    #[inline(always)]
    fn prefetch(&self, slots: Range<usize>) {
        prefetch_bytes(self.as_ptr().wrapping_add(slots.start).cast(), slots.len() * size_of::<u32>());
    }

    fn as_bytes(&self) -> Result<&[u8]> {
        Ok(AlignedBuffer::as_bytes(self))
    }

    fn memory_bytes(&self) -> usize {
        AlignedBuffer::as_bytes(self).len()
    }
}

/// Links in a file.
#[derive(Debug)]
pub(crate) struct MappedLinks {
    buffers: Arc<dyn IndexBuffers>,
    place: Range<usize>,
    /// Links are below this.
    rows: u32,
}

impl MappedLinks {
    /// Links among `rows` rows, the whole of `place`.
    pub(crate) fn new(buffers: Arc<dyn IndexBuffers>, place: Range<usize>, rows: u32) -> Self {
        MappedLinks { buffers, place, rows }
    }
}

impl LinkRows for MappedLinks {
    fn slots(&self, slots: Range<usize>) -> Result<&[u32]> {
        let links = part(&*self.buffers, &self.place, slots.start * 4, slots.len() * 4)?;
        let links: &[u32] = bytemuck::try_cast_slice(links)
            .map_err(|_| Error::corrupted(self.buffers.name(), "its links are not aligned"))?;
        if links.iter().all(|&link| link < self.rows || link == EMPTY) {
            Ok(links)
        } else {
            Err(Error::corrupted(self.buffers.name(), "a link leads to no row"))
        }
    }

    /// A page that is not mapped yet cannot be prefetched.
    fn prefetch(&self, _slots: Range<usize>) {}

    fn as_bytes(&self) -> Result<&[u8]> {
        self.buffers.bytes(self.place.clone())
    }

    fn memory_bytes(&self) -> usize {
        0
    }
}

/// Codes in a file.
#[derive(Debug)]
pub(crate) struct MappedCodes {
    quantizer: Quantizer,
    len: usize,
    buffers: Arc<dyn IndexBuffers>,
    rows: Range<usize>,
    factors: Range<usize>,
    kernels: &'static Kernels,
}

impl MappedCodes {
    /// The codes of `len` rows, the whole of the places.
    pub(crate) fn new(
        quantizer: Quantizer,
        len: usize,
        buffers: Arc<dyn IndexBuffers>,
        rows: Range<usize>,
        factors: Range<usize>,
    ) -> Self {
        MappedCodes { quantizer, len, buffers, rows, factors, kernels: kernels() }
    }

    fn code(&self, label: u32) -> Result<&[u8]> {
        let row_bytes = self.quantizer.row_bytes();
        part(&*self.buffers, &self.rows, label as usize * row_bytes, row_bytes)
    }

    /// `None` where all rows have one step.
    fn row_factors(&self, label: u32) -> Result<Option<Factors>> {
        if self.quantizer.step.is_some() {
            return Ok(None);
        }
        let bytes = part(&*self.buffers, &self.factors, label as usize * 8, 8)?;
        let factors: Factors = bytemuck::pod_read_unaligned(bytes);
        if factors.iter().all(|factor| factor.is_finite()) {
            Ok(Some(factors))
        } else {
            Err(Error::corrupted(self.buffers.name(), "a factor is not finite"))
        }
    }
}

impl CodeRows for MappedCodes {
    fn quantizer(&self) -> &Quantizer {
        &self.quantizer
    }

    fn as_bytes(&self) -> Result<(&[u8], &[u8])> {
        Ok((self.buffers.bytes(self.rows.clone())?, self.buffers.bytes(self.factors.clone())?))
    }

    fn memory_bytes(&self) -> usize {
        self.quantizer.frame.mean.as_bytes().len()
    }
}

impl Scorer for MappedCodes {
    type Query = CodeQuery;

    fn len(&self) -> usize {
        self.len
    }

    fn new_query(&self) -> Result<CodeQuery> {
        self.quantizer.new_query()
    }

    fn prepare(&self, vector: &[f32], query: &mut CodeQuery) {
        self.quantizer.prepare(vector, query);
    }

    fn load_row(&self, label: u32, query: &mut CodeQuery) -> Result<()> {
        self.quantizer.decode(self.code(label)?, self.row_factors(label)?.as_ref(), query);
        Ok(())
    }

    /// A page that is not mapped yet cannot be prefetched.
    fn score_ahead(
        &self,
        query: &CodeQuery,
        labels: &[u32],
        _fetched: usize,
        scores: &mut [f32],
    ) -> Result<()> {
        assert!(scores.len() <= labels.len(), "a label for each score");
        for (&label, score) in labels.iter().zip(scores) {
            assert!((label as usize) < self.len, "label {label} of {} rows", self.len);
            let (code, mut sum) = (self.code(label)?, [0]);
            match self.quantizer.bits {
                Bits::Four => self.kernels.int4_dot(&query.codes, code, &[0], &mut sum),
                Bits::Eight => self.kernels.int8_dot(&query.codes, code, &[0], &mut sum),
            }
            *score = self.quantizer.score(sum[0], query, self.row_factors(label)?);
        }
        Ok(())
    }
}

/// `len` bytes of `place`, from `begin` on.
fn part<'a>(
    buffers: &'a dyn IndexBuffers,
    place: &Range<usize>,
    begin: usize,
    len: usize,
) -> Result<&'a [u8]> {
    let begin = place.start + begin;
    if begin + len > place.end {
        return Err(Error::corrupted(buffers.name(), "a row lies outside its buffer"));
    }
    buffers.bytes(begin..begin + len)
}
