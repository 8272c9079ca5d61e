use std::fmt::Debug;
use std::ops::Range;

use crate::Result;

/// Vectors by label, wherever they lie (an arena, a mapped file).
pub trait VectorRows: Send + Sync {
    /// Components of each vector.
    fn dim(&self) -> usize;

    /// Number of vectors; labels are `0..len`.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The vector of `label`, `dim` components.
    ///
    /// # Errors
    /// `Corrupted` if the bytes do not match their checksum or `label >= len`.
    fn row(&self, label: u32) -> Result<&[f32]>;

    /// Calls `use_rows` with the vectors of a few labels here and there, in their order, at most [`ROWS_AT_ONCE`] at a time. A source that
    /// keeps its memory within a budget copies rows into `room`, which it lengthens as it needs, rather than mapping them.
    ///
    /// # Errors
    /// As [`row`](Self::row).
    fn with_rows(
        &self,
        labels: &[u32],
        _room: &mut Vec<f32>,
        use_rows: &mut dyn FnMut(&[&[f32]]),
    ) -> Result<()> {
        with_rows_in_place(self, labels, use_rows)
    }

    /// A hint that `row(label)` comes soon.
    fn prefetch(&self, _label: u32) {}
}

/// Most vectors that [`VectorRows::with_rows`] hands out together.
pub const ROWS_AT_ONCE: usize = 16;

/// What [`VectorRows::with_rows`] does where rows lie in memory, or may all be mapped.
///
/// # Errors
/// As [`VectorRows::row`].
pub fn with_rows_in_place<R: VectorRows + ?Sized>(
    rows: &R,
    labels: &[u32],
    use_rows: &mut dyn FnMut(&[&[f32]]),
) -> Result<()> {
    let mut vectors: [&[f32]; ROWS_AT_ONCE] = [&[]; ROWS_AT_ONCE];
    for labels in labels.chunks(ROWS_AT_ONCE) {
        for (vector, &label) in vectors.iter_mut().zip(labels) {
            *vector = rows.row(label)?;
        }
        use_rows(&vectors[..labels.len()]);
    }
    Ok(())
}

/// Documents by label, to verify what a full-text index proposes.
pub trait DocumentRows: Send + Sync {
    /// Number of records; labels are `0..len`.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The document of `label`, or `None` if the record has none.
    ///
    /// # Errors
    /// `Corrupted` if the bytes do not match their checksum or `label >= len`.
    fn document(&self, label: u32) -> Result<Option<&str>>;

    /// Calls `found` with each of `labels`, in ascending order, whose document contains `text`, which is not empty. A source whose
    /// documents lie one behind the other searches them as one text.
    ///
    /// # Errors
    /// As [`document`](Self::document).
    fn each_containing(&self, labels: Range<u32>, text: &str, found: &mut dyn FnMut(u32)) -> Result<()> {
        for label in labels {
            if self.document(label)?.is_some_and(|document| document.contains(text)) {
                found(label);
            }
        }
        Ok(())
    }
}

/// The named buffers of a vector index in one file, to be read piece by piece.
pub trait IndexBuffers: Send + Sync + Debug {
    /// What messages call the file.
    fn name(&self) -> &str;

    /// Where the buffer of this name lies in the file, in bytes; `None` if there is no such buffer.
    fn place(&self, buffer: &str) -> Option<Range<usize>>;

    /// Bytes of the file. What they mean is not checked.
    ///
    /// # Errors
    /// `Corrupted` if they do not match their checksum or lie outside the file.
    fn bytes(&self, range: Range<usize>) -> Result<&[u8]>;
}
