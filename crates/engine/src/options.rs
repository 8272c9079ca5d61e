use std::thread::available_parallelism;

use ferrochrome_blockstore::Compression;
use ferrochrome_metadata::Durability;

/// Below this many rows a scan over codes is as fast as a graph.
pub(crate) const MIN_ROWS_FOR_GRAPH: u64 = 5_000;

/// How a database is opened. Nothing here is stored: the next opening may choose otherwise.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DatabaseOptions {
    /// Open beside a writing process. Default: false.
    pub read_only: bool,
    /// Of a read-only opening: each read sees what the writing process had acknowledged before it began. Otherwise each collection
    /// goes on showing the state in which it was opened. Default: true.
    pub follow: bool,
    /// Write even on a network file system, as far as that can be told. Default: false.
    pub allow_network_file_system: bool,
    /// What an acknowledged write survives. Default: [`Durability::Normal`], the death of the process.
    pub durability: Durability,
    /// Compression of documents and metadata in new segments. Default: none.
    pub compression: Compression,
    /// Threads for building indices and for batches of queries. Default: the number of cores.
    pub threads: usize,
    /// Rows in the head that start a seal. Default: 4,096. Twice as many make writers wait for it.
    pub seal_rows: usize,
    /// Bytes in the head that start a seal. Default: 64 MiB.
    pub seal_bytes: usize,
    /// Rows from which a segment has codes; below, all its vectors are compared in full precision. Default: 2,048.
    pub min_rows_for_codes: u32,
    /// Rows from which a merged segment has a graph; below, its codes are scanned. Default: 5,000.
    pub min_rows_for_graph: u64,
    /// Bytes of open indices that the shared cache may hold; less where the system is short of memory. An index that has no room
    /// is searched in its file. Default: 2 GiB.
    pub index_cache_bytes: u64,
    /// Indices whose files have at least so many bytes are searched in their files until they were copied into memory in the
    /// background; smaller ones are read at once. Default: 8 MiB.
    pub index_map_bytes: u64,
    /// Bytes of vectors that are kept as copies for rescoring, of all collections together; others are read from the file. A
    /// segment takes at most a quarter. Default: 256 MiB.
    pub vector_cache_bytes: u64,
    /// Segments that may be open at once, each with its mappings and file descriptors; beyond, the collections that were idle
    /// longest are closed until they are used again. Does not bound what is in use, nor a read-only opening that does not follow,
    /// which goes on showing the state that it found. Default: 256.
    pub open_segments: usize,
    /// Memory that a merge may take, in bytes, about: it bounds how many rows become one segment. Default: `None`, a quarter of what
    /// the system could give at that moment, but at least 256 MiB. A single segment that is larger is still rewritten alone.
    pub compaction_memory_bytes: Option<u64>,
    /// Bytes of the volume that merges leave free: without so much they are put off, or refused on demand. Default: 64 MiB.
    pub disk_reserve_bytes: u64,
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        DatabaseOptions {
            read_only: false,
            follow: true,
            allow_network_file_system: false,
            durability: Durability::Normal,
            compression: Compression::None,
            threads: available_parallelism().map_or(2, usize::from),
            seal_rows: 4_096,
            seal_bytes: 64 << 20,
            min_rows_for_codes: 2_048,
            min_rows_for_graph: MIN_ROWS_FOR_GRAPH,
            index_cache_bytes: 2 << 30,
            index_map_bytes: 8 << 20,
            vector_cache_bytes: 256 << 20,
            open_segments: 256,
            compaction_memory_bytes: None,
            disk_reserve_bytes: 64 << 20,
        }
    }
}
