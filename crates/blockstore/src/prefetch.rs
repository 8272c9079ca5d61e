/// Hardware line size on the CPUs that matter here.
const LINE_BYTES: usize = 64;

/// Asks for the first `lines` cache lines of `bytes`, which are in memory. A hint.
#[inline]
pub(crate) fn prefetch(bytes: &[u8], lines: usize) {
    prefetch_address(bytes.as_ptr().addr(), bytes.len(), lines);
}

/// As [`prefetch`], of `bytes` bytes at an address where there may be nothing.
#[inline]
pub(crate) fn prefetch_address(address: usize, bytes: usize, lines: usize) {
    for line in 0..bytes.div_ceil(LINE_BYTES).min(lines) {
        prefetch_line(std::ptr::without_provenance(address.wrapping_add(line * LINE_BYTES)));
    }
}

#[inline(always)]
fn prefetch_line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults, whatever the address, and reads nothing that the program can see; SSE is part of x86-64.
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
