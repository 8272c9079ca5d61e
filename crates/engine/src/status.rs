//! Figures about a collection and a database.

use ferrochrome_index::{Parameters, ProviderStats};
use ferrochrome_types::Result;
use uuid::Uuid;

use crate::collection::Collection;
use crate::database::Database;
use crate::part::Part;

/// How far background work has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexingStatus {
    /// Records in sealed segments.
    pub indexed: u64,
    /// Records in the head, which are compared one by one.
    pub unindexed: u64,
}

impl IndexingStatus {
    /// Share of indexed records, `0.0..=1.0`; 1 for an empty collection.
    pub fn progress(&self) -> f64 {
        match self.indexed + self.unindexed {
            0 => 1.0,
            total => self.indexed as f64 / total as f64,
        }
    }
}

impl Collection {
    /// How many records are sealed and how many are in the head.
    ///
    /// # Errors
    /// `Closed`, `NotFound`.
    pub fn indexing_status(&self) -> Result<IndexingStatus> {
        let mut status = IndexingStatus::default();
        for view in &self.snapshot()?.parts {
            match view.part {
                Part::Segment(_) => status.indexed += view.live_rows(),
                Part::Chunk(_) => status.unindexed += view.live_rows(),
            }
        }
        Ok(status)
    }
}

/// What a collection consists of.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectionStats {
    /// Records.
    pub records: u64,
    /// Components of each vector; `None` before the first.
    pub dimension: Option<u32>,
    /// Records that are not sealed.
    pub head_records: u64,
    /// Bytes of memory that these take, about.
    pub head_bytes: u64,
    /// The sealed segments, oldest first.
    pub segments: Vec<SegmentStats>,
}

/// What is known of a sealed segment without reading its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentStats {
    /// Its UUID, which names its folder.
    pub id: Uuid,
    /// Rows, tombstoned ones included.
    pub rows: u32,
    /// Rows that were deleted or replaced.
    pub tombstones: u64,
    /// Bytes of its files, checksums not counted.
    pub bytes: u64,
    /// What describes its vector index; `None` for a segment too small to have one.
    pub index: Option<Parameters>,
}

impl Collection {
    /// Sizes and parameters of the parts.
    ///
    /// # Errors
    /// `Closed`, `NotFound`, `Corrupted` where an index cannot be described.
    pub fn stats(&self) -> Result<CollectionStats> {
        let snapshot = self.snapshot()?;
        let mut stats = CollectionStats {
            records: snapshot.count(),
            dimension: snapshot.dimension(),
            head_records: 0,
            head_bytes: 0,
            segments: Vec::new(),
        };
        for view in &snapshot.parts {
            match &view.part {
                Part::Chunk(chunk) => {
                    stats.head_records += view.live_rows();
                    stats.head_bytes += chunk.bytes() as u64;
                }
                Part::Segment(segment) => stats.segments.push(SegmentStats {
                    id: segment.id(),
                    rows: segment.rows(),
                    tombstones: view.tombstones.len(),
                    bytes: segment.reader().bytes_on_disk(),
                    index: segment.index_parameters()?,
                }),
            }
        }
        Ok(stats)
    }
}

/// What a database has open and holds in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseStats {
    /// Open collections.
    pub collections: usize,
    /// Their segments.
    pub segments: usize,
    /// Their records.
    pub records: u64,
    /// The cache of open indices.
    pub index: ProviderStats,
    /// Bytes of vectors that are kept as copies.
    pub vector_cache_bytes: u64,
    /// What `vector_cache_bytes` is kept below.
    pub vector_cache_budget: u64,
}

impl Database {
    /// What is open and in memory now.
    pub fn stats(&self) -> DatabaseStats {
        let shared = self.shared();
        let mut stats = DatabaseStats {
            index: self.index_stats(),
            vector_cache_bytes: shared.row_caches.used_bytes(),
            vector_cache_budget: shared.options.vector_cache_bytes,
            ..DatabaseStats::default()
        };
        for snapshot in self.open_snapshots() {
            stats.collections += 1;
            stats.records += snapshot.count();
            let segments = snapshot.parts.iter().filter(|view| matches!(view.part, Part::Segment(_)));
            stats.segments += segments.count();
        }
        stats
    }

    /// Counters of the cache of open indices.
    pub fn index_stats(&self) -> ProviderStats {
        self.shared().provider.stats()
    }
}

/// The instruction set that the distance kernels use here: `scalar`, `avx2`, `avx512` or `neon`.
pub fn isa() -> &'static str {
    ferrochrome_distance::isa()
}
