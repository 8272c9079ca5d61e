//! The table of block checksums that accompanies every file, and the writer that computes it.

use std::io::{self, Write};

use ferrochrome_types::{Error, Result};

/// Bytes covered by one checksum. Equal to the page size, so that verifying faults in nothing else.
pub(crate) const BLOCK_SIZE: usize = 4096;

/// What is appended to a file's name to name its table.
pub(crate) const SIDECAR_SUFFIX: &str = ".crc";

const MAGIC: [u8; 8] = *b"FECRCTB1";
const HEADER_LEN: usize = 32;

/// The CRC-32 of every block of a file. The last block may be short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChecksumTable {
    file_len: u64,
    /// Little-endian, as in the file: a table of megabytes is read at once.
    blocks: Vec<[u8; 4]>,
}

impl ChecksumTable {
    /// Length of the file that the table describes, in bytes.
    pub(crate) fn file_len(&self) -> u64 {
        self.file_len
    }

    /// The checksum of a block; `None` past the end of the file.
    pub(crate) fn block(&self, index: usize) -> Option<u32> {
        self.blocks.get(index).map(|crc| u32::from_le_bytes(*crc))
    }

    /// Number of blocks.
    pub(crate) fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// Checksum of the table itself, which `segment.json` repeats: it binds the file to its segment.
    pub(crate) fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.header_fields());
        hasher.update(self.blocks.as_flattened());
        hasher.finalize()
    }

    /// The sidecar file: 24 bytes of header, checksum, 4 zero bytes, then the blocks' checksums.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN + self.blocks.len() * 4);
        bytes.extend_from_slice(&self.header_fields());
        bytes.extend_from_slice(&self.checksum().to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(self.blocks.as_flattened());
        bytes
    }

    /// Reads a sidecar file; `name` is the sidecar's, for the message.
    pub(crate) fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self> {
        let damaged = |what: &str| Error::corrupted(name, what);
        let Some((header, table)) = bytes.split_at_checked(HEADER_LEN) else {
            return Err(damaged("it is shorter than its header"));
        };
        if header[..8] != MAGIC {
            return Err(damaged("it does not begin like a checksum table"));
        }
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let file_len = u64::from(word(16)) | u64::from(word(20)) << 32;
        if word(8) as usize != BLOCK_SIZE || word(12) != 0 || word(28) != 0 {
            return Err(damaged("its header has unknown values"));
        }
        let (blocks, rest) = table.as_chunks::<4>();
        if !rest.is_empty() || blocks.len() as u64 != file_len.div_ceil(BLOCK_SIZE as u64) {
            return Err(damaged("its length does not match the file that it describes"));
        }
        let read = ChecksumTable { file_len, blocks: blocks.to_vec() };
        if read.checksum() != word(24) {
            return Err(damaged("its checksum does not match"));
        }
        Ok(read)
    }

    fn header_fields(&self) -> [u8; 24] {
        let mut header = [0; 24];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&(BLOCK_SIZE as u32).to_le_bytes());
        header[16..24].copy_from_slice(&self.file_len.to_le_bytes());
        header
    }
}

/// Computes a [`ChecksumTable`] from a stream of bytes.
#[derive(Debug, Default)]
pub(crate) struct ChecksumBuilder {
    table: ChecksumTable,
    block: crc32fast::Hasher,
}

impl ChecksumBuilder {
    /// Takes the next bytes of the file.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let filled = (self.table.file_len % BLOCK_SIZE as u64) as usize;
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_SIZE - filled));
            self.block.update(now);
            self.table.file_len += now.len() as u64;
            if filled + now.len() == BLOCK_SIZE {
                self.end_block();
            }
            bytes = later;
        }
    }

    /// The table of what was taken.
    pub(crate) fn finish(mut self) -> ChecksumTable {
        if !self.table.file_len.is_multiple_of(BLOCK_SIZE as u64) {
            self.end_block();
        }
        self.table
    }

    fn end_block(&mut self) {
        let block = std::mem::take(&mut self.block);
        self.table.blocks.push(block.finalize().to_le_bytes());
    }
}

/// Passes bytes on and computes their table.
#[derive(Debug)]
pub(crate) struct ChecksumWriter<W> {
    inner: W,
    builder: ChecksumBuilder,
}

impl<W: Write> ChecksumWriter<W> {
    pub(crate) fn new(inner: W) -> Self {
        ChecksumWriter { inner, builder: ChecksumBuilder::default() }
    }

    /// Gives back the writer beneath, and the table.
    pub(crate) fn finish(self) -> (W, ChecksumTable) {
        (self.inner, self.builder.finish())
    }
}

impl<W: Write> Write for ChecksumWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.builder.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table_of(bytes: &[u8], step: usize) -> ChecksumTable {
        let mut builder = ChecksumBuilder::default();
        for chunk in bytes.chunks(step) {
            builder.update(chunk);
        }
        builder.finish()
    }

    #[test]
    fn a_table_does_not_depend_on_how_the_bytes_arrive() {
        for len in [0, 1, 4095, 4096, 4097, 12_288, 20_000] {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 7 % 251) as u8).collect();
            let expected: Vec<_> =
                bytes.chunks(BLOCK_SIZE).map(|block| crc32fast::hash(block).to_le_bytes()).collect();
            for step in [1000, 4096, 100_000] {
                let table = table_of(&bytes, step);
                assert_eq!(table.blocks, expected);
                assert_eq!(table.file_len, len as u64);
            }
        }
    }

    #[test]
    fn a_sidecar_reads_back_and_no_flip_goes_unnoticed() {
        let table = table_of(&[7; 9000], 9000);
        let bytes = table.to_bytes();
        assert_eq!(ChecksumTable::from_bytes("f.crc", &bytes).unwrap(), table);
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x40;
            assert!(ChecksumTable::from_bytes("f.crc", &flipped).is_err(), "byte {at}");
        }
        for len in 0..bytes.len() {
            assert!(ChecksumTable::from_bytes("f.crc", &bytes[..len]).is_err(), "length {len}");
        }
    }
}
