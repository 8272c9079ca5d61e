//! 64-bit ARM.

mod neon;

use crate::kernels::{Isa, Kernels};
use crate::scalar;

// NEON is part of the aarch64 baseline, so the compiler already vectorises the plain transforms.
pub(crate) static NEON: Kernels = Kernels {
    isa: Isa::Neon,
    dot: neon::sum_f32::<false, 1>,
    dot_4: neon::sum_f32::<false, 4>,
    l2_squared: neon::sum_f32::<true, 1>,
    l2_squared_4: neon::sum_f32::<true, 4>,
    distance: scalar::distance,
    int4_dot: neon::int4_dot,
    int8_dot: neon::int8_dot,
    nibble_sums: neon::nibble_sums,
    hadamard: scalar::hadamard,
    multiply: scalar::multiply,
    quantize: scalar::quantize,
    offer: scalar::offer,
};
