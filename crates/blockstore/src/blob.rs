//! One file, mapped or in memory, whose blocks are verified at first touch.

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_buffer::Buffer;
use ferrochrome_types::{CancelToken, Error, Result};
use memmap2::Mmap;

use crate::checksum::{BLOCK_SIZE, ChecksumTable};
use crate::prefetch::prefetch;

/// Blocks that the kernel maps together when one of them is touched (64 KiB, Linux's default `fault_around_bytes`).
const BLOCKS_PER_FAULT: u32 = 16;
/// Read ahead between two looks at the cancel token.
#[cfg(unix)]
const READ_AHEAD_BYTES: usize = 1 << 20;

/// A file of a [`BlobStore`](crate::BlobStore). Clones share one mapping.
///
/// Bytes leave it through [`bytes`](Blob::bytes) only, after the checksum of each block that they touch was verified once.
#[derive(Clone)]
pub struct Blob(Arc<Inner>);

struct Inner {
    name: String,
    content: Content,
    /// `None` for `segment.json`, which carries its checksum inside.
    table: Option<ChecksumTable>,
    /// One bit per block: verified.
    verified: Box<[AtomicU64]>,
    /// One bit per block: verified, and touched in the mapping since the last release.
    touched: Box<[AtomicU64]>,
    /// Groups of [`BLOCKS_PER_FAULT`] blocks with a bit set in `touched`.
    touched_groups: AtomicU64,
}

enum Content {
    Mapped(Mmap, Option<File>),
    Memory(Buffer),
}

impl Content {
    #[inline]
    fn as_slice(&self) -> &[u8] {
        match self {
            Content::Mapped(map, _) => map,
            Content::Memory(buffer) => buffer,
        }
    }
}

impl Blob {
    /// Maps `file`. With `keep_open` it can be read without the mapping, too, at the cost of a file descriptor.
    pub(crate) fn map(name: &str, file: File, table: Option<ChecksumTable>, keep_open: bool) -> Result<Self> {
        // SAFETY: the mapping is sound as long as nobody changes the file. A staged file is opened only after its writer was
        // finished, and a published file is never written again, only unlinked, which leaves the mapping intact.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io(name, e))?;
        Self::new(name, Content::Mapped(map, keep_open.then_some(file)), table)
    }

    /// As [`map`](Self::map), for a file that may be longer or shorter than its table says: what is there and fits can be read.
    pub(crate) fn map_damaged(name: &str, file: &File, table: ChecksumTable) -> Result<Self> {
        let io = |e| Error::io(name, e);
        let len = file.metadata().map_err(io)?.len().min(table.file_len());
        let len = usize::try_from(len).map_err(|_| Error::corrupted(name, "it is too long to be mapped"))?;
        // SAFETY: as in `map`; a damaged file is moved away, not written to.
        let map = unsafe { memmap2::MmapOptions::new().len(len).map(file) }.map_err(io)?;
        Ok(Self::with_content(name, Content::Mapped(map, None), Some(table)))
    }

    /// Wraps bytes in memory.
    pub(crate) fn in_memory(name: &str, bytes: Buffer, table: Option<ChecksumTable>) -> Result<Self> {
        Self::new(name, Content::Memory(bytes), table)
    }

    fn new(name: &str, content: Content, table: Option<ChecksumTable>) -> Result<Self> {
        let len = content.as_slice().len();
        if let Some(table) = &table
            && table.file_len() != len as u64
        {
            let what = format!("it has {len} bytes, but was written with {}", table.file_len());
            return Err(Error::corrupted(name, what));
        }
        Ok(Self::with_content(name, content, table))
    }

    fn with_content(name: &str, content: Content, table: Option<ChecksumTable>) -> Self {
        let blocks = table.as_ref().map_or(0, ChecksumTable::block_count);
        let bits = || (0..blocks.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let (verified, touched) = (bits(), bits());
        let name = name.to_owned();
        Blob(Arc::new(Inner { name, content, table, verified, touched, touched_groups: AtomicU64::new(0) }))
    }

    /// `<folder>/<file>`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.content.as_slice().len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of `range`, verified.
    ///
    /// # Errors
    /// `Corrupted` if the range passes the end of the file or a block does not match its checksum.
    #[inline]
    pub fn bytes(&self, range: Range<usize>) -> Result<&[u8]> {
        let Some(bytes) = self.0.content.as_slice().get(range.clone()) else {
            return Err(self.out_of_bounds(&range));
        };
        if !bytes.is_empty() && self.0.table.is_some() {
            for block in range.start / BLOCK_SIZE..=(range.end - 1) / BLOCK_SIZE {
                if !has_bit(&self.0.touched, block) {
                    self.touch_block(block)?;
                }
            }
        }
        Ok(bytes)
    }

    /// All bytes, verified.
    ///
    /// # Errors
    /// `Corrupted` if a block does not match its checksum.
    pub fn all(&self) -> Result<&[u8]> {
        self.bytes(0..self.len())
    }

    /// Verifies every block that was not verified yet.
    ///
    /// # Errors
    /// `Corrupted` if a block does not match its checksum.
    pub fn verify_all(&self) -> Result<()> {
        self.all().map(|_| ())
    }

    /// The `N` bytes at `at`, verified.
    #[inline]
    pub(crate) fn array<const N: usize>(&self, at: usize) -> Result<[u8; N]> {
        let bytes = self.bytes(at..at.saturating_add(N))?;
        bytes.try_into().map_err(|_| self.out_of_bounds(&(at..at.saturating_add(N))))
    }

    /// An upper estimate of the resident bytes of a mapped file, counted since the last [`release_pages`](Self::release_pages):
    /// each first touch counts the 64 KiB that the kernel maps around it. Zero for a file in memory.
    pub fn touched_bytes(&self) -> u64 {
        match self.0.content {
            Content::Mapped(..) => {
                let groups = self.0.touched_groups.load(Ordering::Relaxed);
                (groups * u64::from(BLOCKS_PER_FAULT) * BLOCK_SIZE as u64).min(self.len() as u64)
            }
            Content::Memory(_) => 0,
        }
    }

    /// Lets the kernel drop the pages of a mapped file from this process. They come back when they are next touched; slices
    /// that are held stay valid. Does nothing to a file in memory.
    pub fn release_pages(&self) {
        let Content::Mapped(map, _) = &self.0.content else { return };
        for word in &self.0.touched {
            let released = count_groups(word.swap(0, Ordering::Relaxed));
            self.0.touched_groups.fetch_sub(released, Ordering::Relaxed);
        }
        #[cfg(unix)]
        {
            // SAFETY: the mapping is shared, read-only and backed by a file, so a dropped page is read again from that file
            // with the same bytes; nothing in memory is lost.
            // A refusal only means that memory stays resident, so it is not reported.
            let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        }
        #[cfg(not(unix))]
        let _ = map;
    }

    /// Has the system read a mapped file into its cache, piece by piece until `cancel` is, so that later touches anywhere do not wait
    /// for the medium one by one. Nothing becomes resident in this process.
    pub fn read_ahead(&self, cancel: &CancelToken) {
        #[cfg(unix)]
        if let Content::Mapped(map, _) = &self.0.content {
            for start in (0..map.len()).step_by(READ_AHEAD_BYTES) {
                if cancel.is_cancelled() {
                    return;
                }
                // Only a hint: without it reads are as right, and slower.
                let bytes = READ_AHEAD_BYTES.min(map.len() - start);
                let _ = map.advise_range(memmap2::Advice::WillNeed, start, bytes);
            }
        }
        #[cfg(not(unix))]
        let _ = cancel;
    }

    /// Tells the kernel that accesses will be scattered, so that it reads no pages ahead.
    pub(crate) fn advise_random(&self) {
        #[cfg(unix)]
        if let Content::Mapped(map, _) = &self.0.content {
            // Only a hint: without it reads are as right, with more read ahead.
            let _ = map.advise(memmap2::Advice::Random);
        }
    }

    /// A hint that the bytes from `at` on are wanted soon.
    #[inline]
    pub(crate) fn prefetch(&self, at: usize, lines: usize) {
        if let Some(bytes) = self.0.content.as_slice().get(at..) {
            prefetch(bytes, lines);
        }
    }

    /// The checksum of the table of checksums, zero if there is none.
    pub(crate) fn table_checksum(&self) -> u32 {
        self.0.table.as_ref().map_or(0, ChecksumTable::checksum)
    }

    /// An error that names this file.
    pub(crate) fn damaged(&self, what: impl fmt::Display) -> Error {
        Error::corrupted(self.name(), what)
    }

    #[cold]
    fn out_of_bounds(&self, range: &Range<usize>) -> Error {
        self.damaged(format!("bytes {}..{} lie outside its {} bytes", range.start, range.end, self.len()))
    }

    /// Whether the bytes are in memory anyway.
    pub fn is_in_memory(&self) -> bool {
        matches!(self.0.content, Content::Memory(_))
    }

    /// Copies the bytes at `at` into `out`, verified. A file that was kept open is read without the mapping, so that nothing
    /// becomes resident.
    ///
    /// # Errors
    /// `Corrupted` as [`bytes`](Self::bytes), `Io`.
    pub(crate) fn copy_to(&self, at: usize, out: &mut [u8]) -> Result<()> {
        let end = at.saturating_add(out.len());
        let (Content::Mapped(_, Some(file)), Some(_)) = (&self.0.content, &self.0.table) else {
            out.copy_from_slice(self.bytes(at..end)?);
            return Ok(());
        };
        if end > self.len() {
            return Err(self.out_of_bounds(&(at..end)));
        }
        if out.is_empty()
            || (at / BLOCK_SIZE..=(end - 1) / BLOCK_SIZE).all(|block| has_bit(&self.0.verified, block))
        {
            return self.read_at(file, at, out);
        }
        let start = at / BLOCK_SIZE * BLOCK_SIZE;
        let mut blocks = vec![0; end.next_multiple_of(BLOCK_SIZE).min(self.len()) - start];
        self.read_at(file, start, &mut blocks)?;
        for (block, bytes) in (start / BLOCK_SIZE..).zip(blocks.chunks(BLOCK_SIZE)) {
            self.verify_block(block, bytes)?;
        }
        out.copy_from_slice(&blocks[at - start..end - start]);
        Ok(())
    }

    fn read_at(&self, file: &File, at: usize, out: &mut [u8]) -> Result<()> {
        read_exact_at(file, at as u64, out).map_err(|e| Error::io(self.name(), e))
    }

    #[cold]
    fn touch_block(&self, block: usize) -> Result<()> {
        if !has_bit(&self.0.verified, block) {
            let content = self.0.content.as_slice();
            let start = block * BLOCK_SIZE;
            self.verify_block(block, &content[start..content.len().min(start + BLOCK_SIZE)])?;
        }
        let bit = 1_u64 << (block % 64);
        let before = self.0.touched[block / 64].fetch_or(bit, Ordering::Relaxed);
        if count_groups(before) != count_groups(before | bit) {
            self.0.touched_groups.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn verify_block(&self, block: usize, bytes: &[u8]) -> Result<()> {
        let expected = self.0.table.as_ref().and_then(|table| table.block(block));
        if expected != Some(crc32fast::hash(bytes)) {
            let start = block * BLOCK_SIZE;
            return Err(self
                .damaged(format!("the checksum of bytes {start}..{} does not match", start + bytes.len())));
        }
        self.0.verified[block / 64].fetch_or(1 << (block % 64), Ordering::Relaxed);
        Ok(())
    }
}

#[inline]
fn has_bit(bits: &[AtomicU64], block: usize) -> bool {
    bits[block / 64].load(Ordering::Relaxed) & (1 << (block % 64)) != 0
}

#[cfg(unix)]
fn read_exact_at(file: &File, at: u64, out: &mut [u8]) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut at: u64, mut out: &mut [u8]) -> std::io::Result<()> {
    while !out.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, out, at)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        out = &mut out[read..];
        at += read as u64;
    }
    Ok(())
}

/// How many of the four groups of a word of bits have a bit set.
fn count_groups(word: u64) -> u64 {
    (0..64).step_by(BLOCKS_PER_FAULT as usize).filter(|shift| (word >> shift) & 0xffff != 0).count() as u64
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blob").field("name", &self.0.name).field("len", &self.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::ChecksumBuilder;
    use ferrochrome_types::Code;

    fn table(bytes: &[u8]) -> ChecksumTable {
        let mut builder = ChecksumBuilder::default();
        builder.update(bytes);
        builder.finish()
    }

    fn mapped(bytes: &[u8], table: ChecksumTable) -> Blob {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
        Blob::map("folder/file", file, Some(table), true).unwrap()
    }

    #[test]
    fn only_the_touched_blocks_are_verified() {
        let good = vec![3_u8; 5 * BLOCK_SIZE + 10];
        let mut bad = good.clone();
        bad[2 * BLOCK_SIZE + 1] = 4;
        let blob = mapped(&bad, table(&good));
        assert_eq!(blob.bytes(0..2 * BLOCK_SIZE).unwrap(), &good[..2 * BLOCK_SIZE]);
        assert_eq!(blob.bytes(3 * BLOCK_SIZE..blob.len()).unwrap().len(), 2 * BLOCK_SIZE + 10);
        for range in [2 * BLOCK_SIZE..2 * BLOCK_SIZE + 1, 0..blob.len()] {
            let error = blob.bytes(range).unwrap_err();
            assert_eq!(error.code(), Code::Corrupted);
            assert!(error.message().contains("folder/file"), "{error}");
        }
        assert!(blob.verify_all().is_err());
        assert!(blob.bytes(0..blob.len() + 1).is_err());
        assert!(blob.bytes(usize::MAX - 1..usize::MAX).is_err());
        assert!(blob.array::<8>(usize::MAX - 2).is_err());
    }

    #[test]
    fn touched_bytes_count_fault_around_groups_and_fall_to_zero() {
        let bytes: Vec<u8> = (0..200 * BLOCK_SIZE).map(|i| (i % 253) as u8).collect();
        let blob = mapped(&bytes, table(&bytes));
        assert_eq!(blob.touched_bytes(), 0);
        for _ in 0..3 {
            blob.bytes(10..11).unwrap();
            blob.bytes(5 * BLOCK_SIZE..5 * BLOCK_SIZE + 1).unwrap();
            assert_eq!(blob.touched_bytes(), 64 << 10);
            blob.bytes(100 * BLOCK_SIZE..101 * BLOCK_SIZE).unwrap();
            assert_eq!(blob.touched_bytes(), 128 << 10);
            assert_eq!(blob.all().unwrap(), bytes);
            assert_eq!(blob.touched_bytes(), bytes.len() as u64);
            blob.release_pages();
            assert_eq!(blob.touched_bytes(), 0);
        }
    }

    #[test]
    fn copies_are_verified_and_touch_nothing() {
        let good: Vec<u8> = (0..40 * BLOCK_SIZE + 100).map(|i| (i % 251) as u8).collect();
        let mut bad = good.clone();
        bad[3 * BLOCK_SIZE] ^= 1;
        let blob = mapped(&bad, table(&good));
        for at in [0, BLOCK_SIZE - 10, 20 * BLOCK_SIZE + 7, good.len() - 50] {
            for _ in 0..2 {
                let mut out = [0; 50];
                blob.copy_to(at, &mut out).unwrap();
                assert_eq!(out, good[at..at + 50]);
            }
        }
        assert_eq!(blob.touched_bytes(), 0);
        assert_eq!(blob.copy_to(3 * BLOCK_SIZE - 1, &mut [0; 2]).unwrap_err().code(), Code::Corrupted);
        assert!(blob.copy_to(good.len() - 1, &mut [0; 2]).is_err());
    }

    /// Pages of the mapping that are in the system's cache.
    #[cfg(target_os = "linux")]
    fn cached_pages(blob: &Blob) -> usize {
        let bytes = blob.0.content.as_slice();
        let mut pages = vec![0_u8; bytes.len().div_ceil(4096)];
        // SAFETY: the mapping is live, and there is a byte for each of its pages, which are no smaller than 4 KiB.
        let code =
            unsafe { libc::mincore(bytes.as_ptr().cast_mut().cast(), bytes.len(), pages.as_mut_ptr()) };
        assert_eq!(code, 0);
        pages.iter().filter(|page| *page & 1 != 0).count()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn reading_ahead_fills_the_cache_of_the_system_until_it_is_cancelled() {
        use std::os::fd::AsRawFd;
        let file = tempfile::tempfile().unwrap();
        let bytes = vec![7_u8; 3 * READ_AHEAD_BYTES + BLOCK_SIZE];
        std::io::Write::write_all(&mut &file, &bytes).unwrap();
        file.sync_all().unwrap();
        // SAFETY: advice on a file of our own; pages that are on the medium are dropped from the cache.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        let blob = Blob::map("folder/file", file, None, true).unwrap();
        if cached_pages(&blob) > 0 {
            // A file system in memory: its files are always there.
            return;
        }
        let cancelled = CancelToken::default();
        cancelled.cancel();
        blob.read_ahead(&cancelled);
        assert_eq!(cached_pages(&blob), 0);
        blob.read_ahead(&CancelToken::default());
        let started = std::time::Instant::now();
        while cached_pages(&blob) < bytes.len() / 4096 && started.elapsed().as_secs() < 60 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert_eq!(cached_pages(&blob), bytes.len() / 4096);
        assert_eq!(blob.touched_bytes(), 0);
    }

    #[test]
    fn a_file_of_another_length_is_refused() {
        let bytes = Buffer::from(vec![1_u8; 100]);
        let error = Blob::in_memory("folder/file", bytes, Some(table(&[1; 99]))).unwrap_err();
        assert_eq!(error.code(), Code::Corrupted);
    }
}
