//! The checksum that every row carries.

/// CRC-32 over the columns of a row. Each column is framed, so that moving a byte from one to the next is noticed.
pub(crate) struct RowChecksum(crc32fast::Hasher);

impl RowChecksum {
    /// `table` keeps a row of one table from passing as a row of another.
    pub(crate) fn new(table: &str) -> Self {
        RowChecksum(crc32fast::Hasher::new()).text(table)
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn optional_text(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.int(1).text(text),
            None => self.int(0),
        }
    }

    pub(crate) fn int(mut self, int: i64) -> Self {
        self.0.update(&int.to_le_bytes());
        self
    }

    pub(crate) fn finish(self) -> i64 {
        i64::from(self.0.finalize())
    }
}
