//! Numbers as 64-bit sort keys, and comparisons as ranges of them.
//!
//! An integer is its own key. A float's key is its bits, arranged so that keys sort as floats do. Integers and floats lie in
//! separate lists, and an operand of either type becomes an exact range of keys in each: nothing is rounded.

use std::cmp::Ordering;

use ferrochrome_types::{Comparison, Scalar, compare_int_float};

/// How a stored number relates to the operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Equal,
    Compare(Comparison),
}

/// Keys from the first to the second, both included. Never empty.
pub(crate) type KeyRange = (i64, i64);

/// The sort key of a float. Both zeros have key 0; NaN does not occur.
pub(crate) fn float_key(float: f64) -> i64 {
    let bits = if float == 0.0 { 0 } else { float.to_bits() as i64 };
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

/// The keys of the integers that stand in `relation` to `operand`; `None` if there are none.
pub(crate) fn int_range(relation: Relation, operand: &Scalar) -> Option<KeyRange> {
    let (floor, ceil) = match operand {
        Scalar::Int(int) => (i128::from(*int), i128::from(*int)),
        // Casts of floats saturate, and beyond 2^63 all that matters is being beyond.
        Scalar::Float(float) if !float.is_nan() => (float.floor() as i128, float.ceil() as i128),
        _ => return None,
    };
    between(relation, floor, ceil)
}

/// The keys of the floats that stand in `relation` to `operand`; `None` if there are none.
pub(crate) fn float_range(relation: Relation, operand: &Scalar) -> Option<KeyRange> {
    let (floor, ceil) = match operand {
        Scalar::Float(float) if !float.is_nan() => (float_key(*float), float_key(*float)),
        Scalar::Int(int) => {
            let nearest = *int as f64;
            let key = float_key(nearest);
            match compare_int_float(*int, nearest)? {
                Ordering::Less => (float_key(nearest.next_down()), key),
                Ordering::Equal => (key, key),
                Ordering::Greater => (key, float_key(nearest.next_up())),
            }
        }
        _ => return None,
    };
    between(relation, i128::from(floor), i128::from(ceil))
}

/// The keys that lie in both ranges; `None` if there are none.
pub(crate) fn intersection(a: KeyRange, b: KeyRange) -> Option<KeyRange> {
    let (low, high) = (a.0.max(b.0), a.1.min(b.1));
    (low <= high).then_some((low, high))
}

/// The same keys in ascending ranges that neither overlap nor touch.
pub(crate) fn joined(mut ranges: Vec<KeyRange>) -> Vec<KeyRange> {
    ranges.sort_unstable();
    let mut joined: Vec<KeyRange> = Vec::with_capacity(ranges.len());
    for (low, high) in ranges {
        match joined.last_mut() {
            Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
            _ => joined.push((low, high)),
        }
    }
    joined
}

/// `floor` and `ceil`: the largest key not above and the smallest not below the operand, which need not be a key itself.
fn between(relation: Relation, floor: i128, ceil: i128) -> Option<KeyRange> {
    let (least, most) = (i128::from(i64::MIN), i128::from(i64::MAX));
    let (low, high) = match relation {
        Relation::Equal => (ceil, floor),
        Relation::Compare(Comparison::Greater) => (floor.saturating_add(1), most),
        Relation::Compare(Comparison::GreaterOrEqual) => (ceil, most),
        Relation::Compare(Comparison::Less) => (least, ceil.saturating_sub(1)),
        Relation::Compare(Comparison::LessOrEqual) => (least, floor),
    };
    let (low, high) = (low.max(least), high.min(most));
    if low > high { None } else { Some((low as i64, high as i64)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RELATIONS: [Relation; 5] = [
        Relation::Equal,
        Relation::Compare(Comparison::Greater),
        Relation::Compare(Comparison::GreaterOrEqual),
        Relation::Compare(Comparison::Less),
        Relation::Compare(Comparison::LessOrEqual),
    ];

    proptest! {
        #[test]
        fn joined_ranges_hold_the_same_keys(
            ranges in prop::collection::vec((-20..20_i64, 0..6_i64).prop_map(|(low, length)| (low, low + length)), 0..12),
        ) {
            let joined = joined(ranges.clone());
            let holds = |ranges: &[KeyRange], key: i64| ranges.iter().any(|(low, high)| *low <= key && key <= *high);
            for key in -25..30 {
                prop_assert_eq!(holds(&joined, key), holds(&ranges, key));
            }
            prop_assert!(joined.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }
    }

    #[test]
    fn ranges_at_the_ends_join_and_intersect() {
        assert_eq!(joined(vec![(5, i64::MAX), (i64::MAX, i64::MAX), (i64::MIN, 4)]), [(i64::MIN, i64::MAX)]);
        assert_eq!(intersection((i64::MIN, 4), (4, i64::MAX)), Some((4, 4)));
        assert_eq!(intersection((i64::MIN, 3), (4, i64::MAX)), None);
    }

    fn holds(relation: Relation, stored: Ordering) -> bool {
        match relation {
            Relation::Equal => stored == Ordering::Equal,
            Relation::Compare(Comparison::Greater) => stored == Ordering::Greater,
            Relation::Compare(Comparison::GreaterOrEqual) => stored != Ordering::Less,
            Relation::Compare(Comparison::Less) => stored == Ordering::Less,
            Relation::Compare(Comparison::LessOrEqual) => stored != Ordering::Greater,
        }
    }

    fn within(range: Option<KeyRange>, key: i64) -> bool {
        range.is_some_and(|(low, high)| low <= key && key <= high)
    }

    fn int() -> impl Strategy<Value = i64> {
        prop_oneof![
            any::<i64>(),
            -3..3_i64,
            (1_i64 << 53) - 2..(1 << 53) + 3,
            Just(i64::MIN),
            Just(i64::MAX),
            i64::MAX - 1030..i64::MAX
        ]
    }

    fn float() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<f64>().prop_filter("finite", |f| f.is_finite()),
            int().prop_map(|i| i as f64),
            int().prop_map(|i| i as f64 / 2.0),
            int().prop_map(|i| (i as f64).next_up()),
            Just(-0.0),
            Just(f64::MAX),
            Just(f64::MIN_POSITIVE),
        ]
    }

    proptest! {
        #[test]
        fn ranges_hold_exactly_the_numbers_that_compare_so(i in int(), j in int(), f in float(), g in float()) {
            for relation in RELATIONS {
                prop_assert_eq!(within(int_range(relation, &Scalar::Int(j)), i), holds(relation, i.cmp(&j)));
                prop_assert_eq!(
                    within(float_range(relation, &Scalar::Float(g)), float_key(f)),
                    holds(relation, f.partial_cmp(&g).unwrap())
                );
                let order = compare_int_float(i, f).unwrap();
                prop_assert_eq!(within(int_range(relation, &Scalar::Float(f)), i), holds(relation, order));
                prop_assert_eq!(
                    within(float_range(relation, &Scalar::Int(i)), float_key(f)),
                    holds(relation, order.reverse())
                );
            }
        }
    }
}
