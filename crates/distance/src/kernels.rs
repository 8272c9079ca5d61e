use std::sync::OnceLock;

use ferrochrome_types::Metric;

use crate::pool::Pool;
use crate::{BLOCK_DIMS, BLOCK_ROWS, scalar};

/// A level of instructions, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Whatever the compiler makes of plain Rust for the baseline of the target.
    Scalar,
    /// ARM NEON (every 64-bit ARM CPU).
    Neon,
    /// x86 AVX2 with FMA.
    Avx2,
    /// x86 AVX-512 F, BW, VL and VNNI.
    Avx512,
}

impl Isa {
    /// The name that `FERROCHROME_ISA` takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Neon => "neon",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }

    fn parse(name: &str) -> Option<Isa> {
        [Isa::Scalar, Isa::Neon, Isa::Avx2, Isa::Avx512].into_iter().find(|isa| isa.as_str() == name)
    }
}

type SumF32<const ROWS: usize> = unsafe fn(*const f32, [*const f32; ROWS], usize) -> [f32; ROWS];
type CodeDot = unsafe fn(*const i8, usize, *const u8, *const u32, Span, *mut i32);

/// Which of a run of labels a kernel scores, and whose codes it asks for meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// The first so many are scored.
    pub(crate) count: usize,
    /// So many were known to the call before, which has asked for the codes of the first of them.
    pub(crate) fetched: usize,
    /// So many there are: those of the next call follow.
    pub(crate) known: usize,
}

impl Span {
    #[inline(always)]
    fn of(labels: &[u32], fetched: usize, out: &[i32]) -> Span {
        let span = Span { count: out.len(), fetched, known: labels.len() };
        debug_assert!(span.count <= span.known && span.fetched <= span.known);
        span
    }
}

/// The kernels of one level. Get the best by [`kernels`].
#[derive(Debug)]
pub struct Kernels {
    pub(crate) isa: Isa,
    pub(crate) dot: SumF32<1>,
    pub(crate) dot_4: SumF32<4>,
    pub(crate) l2_squared: SumF32<1>,
    pub(crate) l2_squared_4: SumF32<4>,
    pub(crate) distance: unsafe fn(Metric, &[f32], &[f32]) -> f32,
    pub(crate) int4_dot: CodeDot,
    pub(crate) int8_dot: CodeDot,
    pub(crate) nibble_sums: unsafe fn(&[[u8; 16]], &[u8], &mut [u16]),
    pub(crate) hadamard: unsafe fn(&mut [f32]),
    pub(crate) multiply: unsafe fn(&mut [f32], &[f32]),
    pub(crate) quantize: unsafe fn(&[f32], f32, &mut [i8]) -> i32,
    pub(crate) offer: unsafe fn(&mut Pool, &[f32], &[u32]),
}

static SCALAR: Kernels = Kernels {
    isa: Isa::Scalar,
    dot: scalar::sum_f32::<false, 1>,
    dot_4: scalar::sum_f32::<false, 4>,
    l2_squared: scalar::sum_f32::<true, 1>,
    l2_squared_4: scalar::sum_f32::<true, 4>,
    distance: scalar::distance,
    int4_dot: scalar::int4_dot,
    int8_dot: scalar::int8_dot,
    nibble_sums: scalar::nibble_sums,
    hadamard: scalar::hadamard,
    multiply: scalar::multiply,
    quantize: scalar::quantize,
    offer: scalar::offer,
};

/// The levels that this CPU has, weakest first. Never empty.
pub fn supported() -> Vec<&'static Kernels> {
    let mut levels = vec![&SCALAR];
    #[cfg(target_arch = "aarch64")]
    levels.push(&crate::arm::NEON);
    #[cfg(target_arch = "x86_64")]
    levels.extend(crate::x86::supported());
    levels
}

/// The kernels of this process: the best that the CPU has, or those that `FERROCHROME_ISA` asks for.
#[inline]
pub fn kernels() -> &'static Kernels {
    static CHOSEN: OnceLock<&'static Kernels> = OnceLock::new();
    CHOSEN.get_or_init(|| choose(std::env::var("FERROCHROME_ISA").ok().as_deref()))
}

fn choose(requested: Option<&str>) -> &'static Kernels {
    let highest = requested.and_then(Isa::parse).unwrap_or(Isa::Avx512);
    supported().into_iter().rfind(|level| level.isa <= highest).unwrap_or(&SCALAR)
}

/// Name of the level in use: `scalar`, `neon`, `avx2` or `avx512`.
pub fn isa() -> &'static str {
    kernels().isa.as_str()
}

// SAFETY of the calls below: a table is only handed out when the CPU has its level, and each method checks the lengths first.
impl Kernels {
    /// The level.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Dot product.
    ///
    /// # Panics
    /// If the lengths differ.
    #[inline]
    pub fn dot(&self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len(), "vectors of one dimension");
        // SAFETY: equal lengths; see above.
        unsafe { (self.dot)(a.as_ptr(), [b.as_ptr()], a.len())[0] }
    }

    /// Dot products of `query` with four rows. Bit for bit what [`dot`](Self::dot) gives for each.
    ///
    /// # Panics
    /// If the lengths differ.
    #[inline]
    pub fn dot_4(&self, query: &[f32], rows: [&[f32]; 4]) -> [f32; 4] {
        assert!(rows.iter().all(|row| row.len() == query.len()), "vectors of one dimension");
        // SAFETY: equal lengths; see above.
        unsafe { (self.dot_4)(query.as_ptr(), rows.map(<[f32]>::as_ptr), query.len()) }
    }

    /// Squared Euclidean distance.
    ///
    /// # Panics
    /// If the lengths differ.
    #[inline]
    pub fn l2_squared(&self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len(), "vectors of one dimension");
        // SAFETY: equal lengths; see above.
        unsafe { (self.l2_squared)(a.as_ptr(), [b.as_ptr()], a.len())[0] }
    }

    /// Squared Euclidean distances from `query` to four rows. Bit for bit what [`l2_squared`](Self::l2_squared) gives for each.
    ///
    /// # Panics
    /// If the lengths differ.
    #[inline]
    pub fn l2_squared_4(&self, query: &[f32], rows: [&[f32]; 4]) -> [f32; 4] {
        assert!(rows.iter().all(|row| row.len() == query.len()), "vectors of one dimension");
        // SAFETY: equal lengths; see above.
        unsafe { (self.l2_squared_4)(query.as_ptr(), rows.map(<[f32]>::as_ptr), query.len()) }
    }

    /// Distance under one of the metrics without codes (see [`Metric::has_codes`]). NaN where f32 does not suffice, and for the
    /// metrics that have codes.
    ///
    /// # Panics
    /// If the lengths differ.
    #[inline]
    pub fn distance(&self, metric: Metric, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len(), "vectors of one dimension");
        // SAFETY: the CPU has this level; see above.
        unsafe { (self.distance)(metric, a, b) }
    }

    /// Euclidean norm. Infinite when the sum of squares passes the range of f32.
    #[inline]
    pub fn norm(&self, a: &[f32]) -> f32 {
        self.dot(a, a).sqrt()
    }

    /// `out[i] = sum(u * query)` over the 4-bit codes of row `labels[i]`, each row `query.len() / 2` bytes of `codes`.
    ///
    /// # Panics
    /// If `query.len()` is not a multiple of [`BLOCK_DIMS`], a label has no row in `codes`, or `out` is not as long as `labels`.
    pub fn int4_dot(&self, query: &[i8], codes: &[u8], labels: &[u32], out: &mut [i32]) {
        check_codes(query.len(), codes.len() / (query.len() / 2).max(1), labels, out.len());
        // SAFETY: checked just now; see above.
        unsafe { self.int4_dot_unchecked(query, codes.as_ptr(), labels, 0, out) }
    }

    /// `out[i] = sum(c * query)` over the 8-bit codes of row `labels[i]`, each row `query.len()` bytes of `codes`.
    ///
    /// # Panics
    /// If `query.len()` is not a multiple of [`BLOCK_DIMS`], a label has no row in `codes`, or `out` is not as long as `labels`.
    pub fn int8_dot(&self, query: &[i8], codes: &[u8], labels: &[u32], out: &mut [i32]) {
        check_codes(query.len(), codes.len() / query.len().max(1), labels, out.len());
        // SAFETY: checked just now; see above.
        unsafe { self.int8_dot_unchecked(query, codes.as_ptr(), labels, 0, out) }
    }

    /// [`int4_dot`](Self::int4_dot) for a hot loop, of as many labels as `out` has room for. The others come with the next call: what lies
    /// ahead of the row at hand is asked for, across that border. The call before knew of the first `fetched` labels.
    ///
    /// # Safety
    /// `query.len()` is a multiple of [`BLOCK_DIMS`] of at most 65,536, `codes` is readable for `query.len() / 2` bytes at
    /// every label's row, and `labels` is at least as long as `out`.
    #[inline(always)]
    pub unsafe fn int4_dot_unchecked(
        &self,
        query: &[i8],
        codes: *const u8,
        labels: &[u32],
        fetched: usize,
        out: &mut [i32],
    ) {
        let span = Span::of(labels, fetched, out);
        // SAFETY: passed on to the caller.
        unsafe {
            (self.int4_dot)(query.as_ptr(), query.len(), codes, labels.as_ptr(), span, out.as_mut_ptr());
        }
    }

    /// [`int8_dot`](Self::int8_dot) for a hot loop, of as many labels as `out` has room for. The others come with the next call: what lies
    /// ahead of the row at hand is asked for, across that border. The call before knew of the first `fetched` labels.
    ///
    /// # Safety
    /// `query.len()` is a multiple of [`BLOCK_DIMS`] of at most 65,536, `codes` is readable for `query.len()` bytes at
    /// every label's row, and `labels` is at least as long as `out`.
    #[inline(always)]
    pub unsafe fn int8_dot_unchecked(
        &self,
        query: &[i8],
        codes: *const u8,
        labels: &[u32],
        fetched: usize,
        out: &mut [i32],
    ) {
        let span = Span::of(labels, fetched, out);
        // SAFETY: passed on to the caller.
        unsafe {
            (self.int8_dot)(query.as_ptr(), query.len(), codes, labels.as_ptr(), span, out.as_mut_ptr());
        }
    }

    /// For each row the sum of what `tables` hold for its nibbles: `tables[2 * b]` for the low nibble of its byte `b`, `tables[2 * b + 1]`
    /// for the high one. (André, Kermarrec and Le Scouarnec, PQ Fast Scan, VLDB 2015.)
    ///
    /// Rows come in blocks of [`BLOCK_ROWS`]: byte 0 of each row of a block, then byte 1 of each, and so on. Entries of tables are at
    /// most [`MAX_TABLE_ENTRY`], and no sum is above 65,535; otherwise the sums are wrong.
    ///
    /// # Panics
    /// If there are not an even number of bytes a row, two tables for each of them, and whole blocks of rows, as many as there are sums.
    pub fn nibble_sums(&self, tables: &[[u8; 16]], blocks: &[u8], sums: &mut [u16]) {
        assert!(tables.len().is_multiple_of(4), "two tables for each of an even number of bytes");
        assert!(sums.len().is_multiple_of(BLOCK_ROWS), "rows come in blocks of {BLOCK_ROWS}");
        assert_eq!(blocks.len(), tables.len() / 2 * sums.len(), "one sum a row");
        if !tables.is_empty() {
            // SAFETY: checked just now; see above.
            unsafe { (self.nibble_sums)(tables, blocks, sums) }
        }
    }

    /// Unnormalised Walsh-Hadamard transform in place: multiplies lengths by `sqrt(values.len())`.
    ///
    /// # Panics
    /// If the length is not a power of two.
    pub fn hadamard(&self, values: &mut [f32]) {
        assert!(values.len().is_power_of_two(), "a Hadamard transform needs a power of two");
        // SAFETY: the CPU has this level; see above.
        unsafe { (self.hadamard)(values) }
    }

    /// `values[i] *= factors[i]`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn multiply(&self, values: &mut [f32], factors: &[f32]) {
        assert_eq!(values.len(), factors.len(), "one factor a value");
        // SAFETY: the CPU has this level; see above.
        unsafe { (self.multiply)(values, factors) }
    }

    /// Rounds `values[i] * inverse_step`, which should lie in `-127..=127`, to signed bytes, and returns their sum. Other
    /// products give some byte or other, never a fault.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn quantize(&self, values: &[f32], inverse_step: f32, codes: &mut [i8]) -> i32 {
        assert_eq!(values.len(), codes.len(), "one code a value");
        // SAFETY: the CPU has this level; see above.
        unsafe { (self.quantize)(values, inverse_step, codes) }
    }

    /// See [`Pool::offer`](crate::Pool::offer).
    #[inline(always)]
    pub(crate) fn offer(&self, pool: &mut Pool, scores: &[f32], labels: &[u32]) {
        // SAFETY: the CPU has this level; see above.
        unsafe { (self.offer)(pool, scores, labels) }
    }
}

fn check_codes(dims: usize, rows: usize, labels: &[u32], out: usize) {
    assert!(dims.is_multiple_of(BLOCK_DIMS), "codes come in blocks of {BLOCK_DIMS} dimensions, not {dims}");
    assert!(dims <= 65_536, "sums of {dims} dimensions may overflow");
    assert_eq!(labels.len(), out, "one result a label");
    assert!(
        dims == 0 || labels.iter().all(|&label| (label as usize) < rows),
        "a label has no row in the codes"
    );
}

#[cfg(test)]
mod tests;
