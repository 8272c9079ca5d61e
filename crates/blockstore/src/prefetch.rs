use ferrochrome_distance::prefetch_lines;

/// Asks for the first `lines` cache lines of `bytes`, which are in memory. A hint.
#[inline]
pub(crate) fn prefetch(bytes: &[u8], lines: usize) {
    prefetch_lines(bytes.as_ptr(), bytes.len(), lines);
}

/// As [`prefetch`], of `bytes` bytes at an address where there may be nothing.
#[inline]
pub(crate) fn prefetch_address(address: usize, bytes: usize, lines: usize) {
    prefetch_lines(std::ptr::without_provenance(address), bytes, lines);
}
