//! The encoded pages of a column, kept in memory until those of the columns before it are in the file.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::column::page::{CompressedPage, PageWriteSpec, PageWriter};
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};

/// Where the encoder of a column leaves its pages.
#[derive(Clone)]
pub(super) struct Pages(Arc<Mutex<TrackedWrite<Pieces>>>);

/// What was written, as it came: nothing is moved when more does.
#[derive(Default)]
struct Pieces(Vec<Bytes>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(Bytes::copy_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Pages {
    pub fn new() -> Self {
        Pages(Arc::new(Mutex::new(TrackedWrite::new(Pieces::default()))))
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).bytes_written()
    }

    /// All pages, when their encoder is gone.
    pub fn end(self) -> Result<WrittenPages> {
        let pages = Arc::into_inner(self.0)
            .ok_or_else(|| ParquetError::General("a column is still being written".to_owned()))?;
        let pages = pages.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(WrittenPages { pieces: pages.into_inner()?.0 })
    }
}

impl PageWriter for Pages {
    fn write_page(&mut self, page: CompressedPage) -> Result<PageWriteSpec> {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        SerializedPageWriter::new(&mut pages).write_page(page)
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The pages of a column, to be appended to a file.
pub(super) struct WrittenPages {
    pieces: Vec<Bytes>,
}

impl Length for WrittenPages {
    fn len(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len() as u64).sum()
    }
}

impl ChunkReader for WrittenPages {
    type T = UnreadPages;

    fn get_read(&self, start: u64) -> Result<UnreadPages> {
        let mut unread = UnreadPages { pieces: self.pieces.clone().into_iter(), piece: Bytes::new() };
        io::copy(&mut unread.by_ref().take(start), &mut io::sink())?;
        Ok(unread)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let mut bytes = Vec::with_capacity(length);
        self.get_read(start)?.take(length as u64).read_to_end(&mut bytes)?;
        Ok(Bytes::from(bytes))
    }
}

/// What was not read yet.
pub(super) struct UnreadPages {
    pieces: std::vec::IntoIter<Bytes>,
    piece: Bytes,
}

impl Read for UnreadPages {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.next() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let length = to.len().min(self.piece.len());
        to[..length].copy_from_slice(&self.piece.split_to(length));
        Ok(length)
    }
}
