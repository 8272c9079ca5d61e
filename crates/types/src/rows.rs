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

    /// A hint that `row(label)` comes soon.
    fn prefetch(&self, _label: u32) {}
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
}
