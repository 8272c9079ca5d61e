/// Rows up to which a bitmap is cleared for every walk. Beyond, clearing would cost more than the walk.
const BITMAP_ROWS: usize = 1 << 20;

/// The set of rows that a walk has seen. Reused from walk to walk.
#[derive(Debug)]
pub(crate) enum Visited {
    /// One bit a row, cleared for every walk: 15 KB for 118,000 rows, so that it stays in the first-level cache.
    Bitmap(Vec<u64>),
    /// The number of the walk that last saw each row; cleared only when the numbers run out.
    Epochs { epochs: Vec<u8>, current: u8 },
}

impl Default for Visited {
    fn default() -> Self {
        Visited::Bitmap(Vec::new())
    }
}

impl Visited {
    /// Empties the set and makes room for labels below `len`.
    pub(crate) fn begin(&mut self, len: usize) {
        if len <= BITMAP_ROWS {
            let words = len.div_ceil(64);
            match self {
                Visited::Bitmap(bits) => {
                    bits.truncate(words);
                    bits.fill(0);
                    bits.resize(words, 0);
                }
                Visited::Epochs { .. } => *self = Visited::Bitmap(vec![0; words]),
            }
            return;
        }
        match self {
            Visited::Epochs { epochs, current } if epochs.len() >= len && *current < u8::MAX => *current += 1,
            Visited::Epochs { epochs, current } if epochs.len() >= len => {
                epochs.fill(0);
                *current = 1;
            }
            _ => *self = Visited::Epochs { epochs: vec![0; len], current: 1 },
        }
    }

    /// Adds `label`. Whether it was not there before.
    ///
    /// # Panics
    /// If `label` is not below the length given to [`begin`](Self::begin).
    #[inline(always)]
    pub(crate) fn insert(&mut self, label: u32) -> bool {
        match self {
            Visited::Bitmap(bits) => insert_bit(bits, label),
            Visited::Epochs { epochs, current } => insert_epoch(epochs, *current, label),
        }
    }
}

/// [`Visited::insert`] where labels are bits.
#[inline(always)]
pub(crate) fn insert_bit(bits: &mut [u64], label: u32) -> bool {
    let word = &mut bits[label as usize / 64];
    let bit = 1 << (label % 64);
    let new = *word & bit == 0;
    *word |= bit;
    new
}

/// [`Visited::insert`] where labels have the number of a walk.
#[inline(always)]
pub(crate) fn insert_epoch(epochs: &mut [u8], current: u8, label: u32) -> bool {
    let epoch = &mut epochs[label as usize];
    let new = *epoch != current;
    *epoch = current;
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_walk_sees_each_row_once() {
        for len in [1, 64, 65, BITMAP_ROWS, BITMAP_ROWS + 1] {
            let mut visited = Visited::default();
            for walk in 0..600_u32 {
                visited.begin(len);
                let label = (walk * 7919) % len as u32;
                assert!(visited.insert(label) && !visited.insert(label));
                assert!(len == 1 || visited.insert((label + 1) % len as u32));
                if len > 65 && walk > 20 && len == BITMAP_ROWS {
                    break;
                }
            }
        }
    }

    #[test]
    fn indices_of_different_size_share_one_set() {
        let mut visited = Visited::default();
        for len in [100, BITMAP_ROWS + 5, 10, BITMAP_ROWS + 50, 1000] {
            visited.begin(len);
            assert!(
                (0..10).all(|label| visited.insert(label)) && visited.insert(len as u32 - 1) == (len > 10)
            );
        }
    }
}
