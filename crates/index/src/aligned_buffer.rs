use std::alloc::{Layout, alloc, dealloc};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use bytemuck::Pod;
use ferrochrome_types::{Code, Error, Result};

/// Two cache lines: rows of 32 links begin on one, and the adjacent-line prefetcher fetches exactly one row.
const ROW_ALIGNMENT: usize = 128;
const HUGE_PAGE_BYTES: usize = 2 << 20;
/// From this size the walk gains more from huge pages than the last, partly used one costs.
const HUGE_PAGE_THRESHOLD: usize = 2 * HUGE_PAGE_BYTES;

/// A fixed-length array that begins on a 128-byte boundary, in huge pages where it is large and the system has them.
pub(crate) struct AlignedBuffer<T: Pod> {
    data: NonNull<T>,
    len: usize,
    layout: Layout,
}

// SAFETY: it owns plain data, like a `Box<[T]>`.
unsafe impl<T: Pod + Send> Send for AlignedBuffer<T> {}
// SAFETY: as above; shared access only reads.
unsafe impl<T: Pod + Sync> Sync for AlignedBuffer<T> {}

impl<T: Pod> AlignedBuffer<T> {
    /// `len` zeros.
    pub(crate) fn zeroed(len: usize) -> Result<Self> {
        let too_large = || Error::new(Code::LimitExceeded, format!("no memory for {len} index entries"));
        let bytes = len.checked_mul(size_of::<T>()).ok_or_else(too_large)?;
        let huge = bytes >= HUGE_PAGE_THRESHOLD;
        let alignment = if huge { HUGE_PAGE_BYTES } else { ROW_ALIGNMENT.max(align_of::<T>()) };
        let layout = Layout::from_size_align(bytes.max(1), alignment).map_err(|_| too_large())?;
        // SAFETY: the layout's size is not zero.
        let data = NonNull::new(unsafe { alloc(layout) }).ok_or_else(too_large)?;
        if huge {
            advise_huge_pages(data, bytes);
        }
        // SAFETY: `bytes` are allocated, and for plain data all zeros is a value.
        unsafe { data.write_bytes(0, bytes) };
        Ok(AlignedBuffer { data: data.cast(), len, layout })
    }

    /// A copy of `values` followed by zeros up to `len` entries, which is at least `values.len()`.
    pub(crate) fn extended(values: &[T], len: usize) -> Result<Self> {
        let mut buffer = AlignedBuffer::zeroed(len.max(values.len()))?;
        buffer[..values.len()].copy_from_slice(values);
        Ok(buffer)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        bytemuck::cast_slice(self)
    }
}

/// Asks for huge pages; where there are none the memory works as well, only slower.
fn advise_huge_pages(data: NonNull<u8>, bytes: usize) {
    // Miri knows no advice.
    #[cfg(all(target_os = "linux", not(miri)))]
    // SAFETY: advice on pages of our own allocation (which begins on a page); it changes no content.
    unsafe {
        libc::madvise(data.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE);
    }
    #[cfg(any(miri, not(target_os = "linux")))]
    let _ = (data, bytes);
}

impl<T: Pod> Deref for AlignedBuffer<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: `len` initialised entries, owned by `self`.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr(), self.len) }
    }
}

impl<T: Pod> DerefMut for AlignedBuffer<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: `len` initialised entries, owned by `self`, borrowed for as long as the slice.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr(), self.len) }
    }
}

impl<T: Pod> Drop for AlignedBuffer<T> {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout in `zeroed`.
        unsafe { dealloc(self.data.as_ptr().cast(), self.layout) }
    }
}

impl<T: Pod> fmt::Debug for AlignedBuffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} entries", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_zeroed_aligned_and_writable() {
        let lengths = [0, 1, 1000, HUGE_PAGE_THRESHOLD / 4 + 3];
        // Miri would take minutes for the last.
        for &len in if cfg!(miri) { &lengths[..3] } else { &lengths[..] } {
            let mut buffer = AlignedBuffer::<u32>::zeroed(len).unwrap();
            assert!(buffer.iter().all(|&v| v == 0) && buffer.len() == len);
            assert_eq!(buffer.as_ptr() as usize % ROW_ALIGNMENT, 0);
            buffer.fill(7);
            let longer = AlignedBuffer::extended(&buffer, len + 2).unwrap();
            assert_eq!(longer.iter().map(|&v| v as usize).sum::<usize>(), 7 * len);
        }
    }

    #[test]
    fn absurd_sizes_are_refused() {
        assert_eq!(AlignedBuffer::<u32>::zeroed(usize::MAX / 2).unwrap_err().code(), Code::LimitExceeded);
    }
}
