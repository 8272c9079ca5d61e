//! Single-precision numbers as doubles with the same shortest decimal.

/// Powers of ten that doubles hold exactly, as do products of them with a float, of 24 bits and 24.
const POWERS: [f64; 11] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];
/// The exponent of the smallest floats that are rounded here, 2^-10 and more.
const LEAST_EXPONENT: u32 = 127 - 10;
/// By the exponent: so many decimal places that decimals lie closer together than floats.
const PLACES: [u8; 20] = places_by_exponent();

const fn places_by_exponent() -> [u8; 20] {
    let mut places = [0; 20];
    let mut i = 0;
    while i < places.len() {
        // Floats of 2^(i - 10) and more lie 2^-(33 - i) apart.
        while (POWERS[places[i] as usize] as u64) <= 1 << (33 - i) {
            places[i] += 1;
        }
        i += 1;
    }
    places
}

/// The double that has the shortest decimal that still reads back as this finite `f32`: .1 for .1, not .10000000149.
#[inline]
pub(crate) fn shortest_double(value: f32) -> f64 {
    let exponent = ((value.to_bits() >> 23) & 0xff).wrapping_sub(LEAST_EXPONENT);
    let Some(&most) = PLACES.get(exponent as usize) else { return by_printing(value) };
    let magnitude = value.abs();
    let mut shortest = rounded(magnitude, most);
    for places in (0..most).rev() {
        let shorter = rounded(magnitude, places);
        if shorter as f32 != magnitude {
            break;
        }
        shortest = shorter;
    }
    shortest.copysign(f64::from(value))
}

/// The double next to the decimal with so many places that is nearest to `magnitude`: the product is exact, and a quotient of doubles
/// that hold whole numbers is the double next to the decimal.
#[inline(always)]
fn rounded(magnitude: f32, places: u8) -> f64 {
    /// Doubles of this size are whole numbers: a sum with it is rounded to one.
    const WHOLE: f64 = (1_u64 << 52) as f64;
    let power = POWERS[usize::from(places)];
    ((f64::from(magnitude) * power + WHOLE) - WHOLE) / power
}

fn by_printing(value: f32) -> f64 {
    let widened = f64::from(value);
    // Small integers are the same either way.
    if value == value.trunc() && value.abs() < 1e7 {
        return widened;
    }
    let mut buffer = zmij::Buffer::new();
    buffer.format_finite(value).parse().unwrap_or(widened)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tenth_stays_a_tenth() {
        for (single, double) in
            [(0.1_f32, 0.1_f64), (-2.5, -2.5), (3.0, 3.0), (0.050_000_004, 0.050_000_004), (1e-30, 1e-30)]
        {
            assert_eq!(shortest_double(single), double);
        }
        assert_eq!(shortest_double(-0.0).to_bits(), (-0.0_f64).to_bits());
    }

    /// A prime number of floats apart: all exponents, other fractions in each. That all floats agree was tried once.
    #[test]
    fn what_is_rounded_is_what_printing_gives() {
        let (least, most) = (5e-4_f32.to_bits(), 2_000_f32.to_bits());
        for bits in (least..most).step_by(997) {
            let value = f32::from_bits(bits);
            assert_eq!(shortest_double(value).to_bits(), by_printing(value).to_bits(), "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_float_reads_back(value in any::<f32>().prop_filter("finite", |value| value.is_finite())) {
            let double = shortest_double(value);
            prop_assert_eq!(double as f32, value);
            prop_assert_eq!(double.to_bits(), by_printing(value).to_bits());
        }

        #[test]
        fn short_decimals_stay_short(whole in 0_u32..1_000_000, places in 0_usize..7) {
            let double = f64::from(whole) / POWERS[places];
            prop_assert_eq!(shortest_double(double as f32), double);
        }
    }
}
