/// Hardware line size on the CPUs that matter here.
const LINE_BYTES: usize = 64;

/// Lines after which the hardware's own prefetcher has caught on.
const MAX_LINES: usize = 16;

/// Asks for the first `bytes` (at most 1 KiB) at `address` to be brought into the cache.
///
/// A hint: any address is allowed, also one that is not mapped.
#[inline(always)]
pub fn prefetch_bytes(address: *const u8, bytes: usize) {
    prefetch_lines(address, bytes, MAX_LINES);
}

/// Asks for the first `lines` cache lines of `bytes` at `address` to be brought into the cache. A hint, as [`prefetch_bytes`].
#[inline(always)]
pub fn prefetch_lines(address: *const u8, bytes: usize, lines: usize) {
    for line in 0..bytes.div_ceil(LINE_BYTES).min(lines) {
        prefetch_line(address.wrapping_add(line * LINE_BYTES));
    }
}

/// Asks for the beginning of a row; the hardware follows the rest.
#[inline(always)]
pub fn prefetch_row(row: &[f32]) {
    prefetch_bytes(row.as_ptr().cast(), (row.len() * 4).min(4 * LINE_BYTES));
}

#[inline(always)]
fn prefetch_line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults, whatever the address; SSE is part of x86-64.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: PRFM never faults and changes no register or flag.
    unsafe {
        core::arch::asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}
