use ferrochrome_types::Result;

use super::walk::Links;
use crate::aligned_buffer::AlignedBuffer;
use crate::seeded_hash::hash;
use crate::storage::{LinkRows, Resident, Storage};

/// An unused slot; all slots after it are unused too.
pub(crate) const EMPTY: u32 = u32::MAX;
/// Highest level. With eight links or more a level, 2^31 rows need fewer.
pub(crate) const MAX_LEVEL: u8 = 31;
/// Slots of a ground-level row come in cache lines.
const LINE_SLOTS: usize = 16;

/// How many links a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Half the links of a node on the ground level, `2..=64`.
    pub(crate) m: usize,
}

impl Shape {
    pub(crate) const M_RANGE: std::ops::RangeInclusive<usize> = 2..=64;

    /// Most links of a node on the ground level.
    pub(crate) fn ground_links(self) -> usize {
        2 * self.m
    }

    /// Slots of a row on the ground level: whole cache lines.
    pub(crate) fn row_width(self) -> usize {
        self.ground_links().next_multiple_of(LINE_SLOTS)
    }

    /// Most links of a node, and slots of a row, on each level above.
    pub(crate) fn upper_width(self) -> usize {
        self.m + self.m / 2
    }

    /// The level of `label`: each level holds one in `upper_width` of the one below.
    pub(crate) fn level(self, seed: u64, label: u32) -> u8 {
        let level = -rarity(seed, label).ln() / (self.upper_width() as f64).ln();
        level.min(f64::from(MAX_LEVEL)) as u8
    }
}

/// Uniform in (0, 1]; the smaller, the higher a node's level. A function of the seed and the label alone, so that it does not depend on threads
/// or on what came before.
pub(super) fn rarity(seed: u64, label: u32) -> f64 {
    // 53 random bits.
    ((hash(!seed, u64::from(label)) >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

/// The links of all nodes, and where a walk begins.
#[derive(Debug)]
pub(crate) struct Graph<S: Storage = Resident> {
    pub(crate) shape: Shape,
    pub(crate) len: usize,
    /// `len` rows of `shape.row_width()` labels.
    pub(crate) links: S::Links,
    pub(crate) upper: UpperLevels<S>,
    /// A node of the highest level. 0 in an empty graph.
    pub(crate) entry: u32,
    pub(crate) top_level: u8,
}

impl<S: Storage> Graph<S> {
    pub(crate) fn ground(&self) -> GroundLinks<'_, S> {
        GroundLinks { links: &self.links, width: self.shape.row_width() }
    }

    pub(crate) fn upper(&self, level: u8) -> UpperLinks<'_, S> {
        UpperLinks { upper: &self.upper, level }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.links.memory_bytes() + self.upper.memory_bytes()
    }
}

/// The nodes above the ground level and their links there.
#[derive(Debug)]
pub(crate) struct UpperLevels<S: Storage = Resident> {
    width: usize,
    /// The node of each row of links, ascending; a node of level `l` has `l` rows, for level 1 first.
    pub(crate) labels: AlignedBuffer<u32>,
    /// `labels.len()` rows of `width` labels.
    pub(crate) links: S::Links,
    /// One bit a node of the graph: whether it is here.
    present: Vec<u64>,
    /// Per word of `present`: how many nodes are here before it.
    ranks: Vec<u32>,
    /// Per node here, in order: its first row. One more at the end.
    starts: Vec<u32>,
}

impl<S: Storage> UpperLevels<S> {
    /// Indexes rows of links by node. `labels` ascend and lie below `len`; `links` has a row for each.
    pub(crate) fn new(len: usize, width: usize, labels: AlignedBuffer<u32>, links: S::Links) -> Self {
        let mut present = vec![0_u64; len.div_ceil(64)];
        let mut starts = Vec::new();
        let mut previous = None;
        for (row, &label) in labels.iter().enumerate() {
            if previous != Some(label) {
                present[label as usize / 64] |= 1 << (label % 64);
                starts.push(row as u32);
                previous = Some(label);
            }
        }
        starts.push(labels.len() as u32);
        let ranks = present
            .iter()
            .scan(0, |before, word| {
                let rank = *before;
                *before += word.count_ones();
                Some(rank)
            })
            .collect();
        UpperLevels { width, labels, links, present, ranks, starts }
    }

    /// Rows of `label`: its level.
    pub(crate) fn level(&self, label: u32) -> u8 {
        self.rows(label).len() as u8
    }

    /// Where in `links` the row of `label` on `level` (1 or more) lies. Empty where the node does not reach the level.
    pub(crate) fn slots(&self, label: u32, level: u8) -> std::ops::Range<usize> {
        let rows = self.rows(label);
        let row = rows.start + usize::from(level) - 1;
        if level == 0 || row >= rows.end {
            return 0..0;
        }
        row * self.width..(row + 1) * self.width
    }

    #[inline]
    fn rows(&self, label: u32) -> std::ops::Range<usize> {
        let (word, bit) = (label as usize / 64, label % 64);
        if self.present[word] >> bit & 1 == 0 {
            return 0..0;
        }
        let before = self.present[word] & ((1 << bit) - 1);
        let node = (self.ranks[word] + before.count_ones()) as usize;
        self.starts[node] as usize..self.starts[node + 1] as usize
    }

    fn memory_bytes(&self) -> usize {
        let rows = self.labels.as_bytes().len() + self.links.memory_bytes();
        rows + 8 * self.present.len() + 4 * (self.ranks.len() + self.starts.len())
    }
}

impl UpperLevels {
    /// Empty rows for the nodes `0..len` by their levels, beginning with a copy of `base`, which covers the first `base_len`.
    pub(crate) fn with_levels(
        base: Option<&UpperLevels>,
        base_len: usize,
        len: usize,
        shape: Shape,
        seed: u64,
    ) -> Result<Self> {
        let width = shape.upper_width();
        let mut labels: Vec<u32> = base.map_or(Vec::new(), |base| base.labels.to_vec());
        for label in base_len as u32..len as u32 {
            labels.extend(std::iter::repeat_n(label, shape.level(seed, label).into()));
        }
        let base_links: &[u32] = base.map_or(&[], |base| &base.links);
        let mut links = AlignedBuffer::extended(base_links, labels.len() * width)?;
        links[base_links.len()..].fill(EMPTY);
        Ok(UpperLevels::new(len, width, AlignedBuffer::extended(&labels, 0)?, links))
    }
}

/// Links of the ground level.
#[derive(Clone, Copy)]
pub(crate) struct GroundLinks<'a, S: Storage> {
    links: &'a S::Links,
    width: usize,
}

impl<S: Storage> GroundLinks<'_, S> {
    #[inline(always)]
    fn slots(&self, label: u32) -> std::ops::Range<usize> {
        let begin = label as usize * self.width;
        begin..begin + self.width
    }
}

impl<S: Storage> Links for GroundLinks<'_, S> {
    #[inline(always)]
    fn for_each(&self, label: u32, mut visit: impl FnMut(u32)) -> Result<()> {
        for &link in self.links.slots(self.slots(label))? {
            if link == EMPTY {
                break;
            }
            visit(link);
        }
        Ok(())
    }

    #[inline(always)]
    fn prefetch(&self, label: u32) {
        self.links.prefetch(self.slots(label));
    }
}

/// Links of one level above.
#[derive(Clone, Copy)]
pub(crate) struct UpperLinks<'a, S: Storage> {
    upper: &'a UpperLevels<S>,
    level: u8,
}

impl<S: Storage> Links for UpperLinks<'_, S> {
    fn for_each(&self, label: u32, mut visit: impl FnMut(u32)) -> Result<()> {
        for &link in self.upper.links.slots(self.upper.slots(label, self.level))? {
            if link == EMPTY {
                break;
            }
            visit(link);
        }
        Ok(())
    }

    fn prefetch(&self, _label: u32) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_thin_out_and_depend_on_the_seed_alone() {
        let shape = Shape { m: 16 };
        let levels: Vec<u8> = (0..100_000).map(|label| shape.level(5, label)).collect();
        let at_least = |level| levels.iter().filter(|&&l| l >= level).count();
        assert!((3_800..4_500).contains(&at_least(1)), "{}", at_least(1));
        assert!((120..240).contains(&at_least(2)), "{}", at_least(2));
        assert_eq!(levels, (0..100_000).map(|label| shape.level(5, label)).collect::<Vec<_>>());
        assert_ne!(levels, (0..100_000).map(|label| shape.level(6, label)).collect::<Vec<_>>());
    }

    #[test]
    fn upper_rows_are_found_by_node_and_level() {
        let shape = Shape { m: 16 };
        let upper = UpperLevels::with_levels(None, 0, 5_000, shape, 1).unwrap();
        let mut next = 0;
        for label in 0..5_000 {
            let level = shape.level(1, label);
            assert_eq!(upper.level(label), level);
            for l in 1..=level {
                assert_eq!(upper.slots(label, l), next..next + shape.upper_width());
                next += shape.upper_width();
            }
            assert!(upper.slots(label, level + 1).is_empty());
        }
        assert_eq!(next, upper.links.len());
    }
}
