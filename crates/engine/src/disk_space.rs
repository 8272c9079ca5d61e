//! What compaction may take: space on the volume, and memory.

use ferrochrome_index::{Quantization, available_memory};
use ferrochrome_types::{Code, Error, Result};

use crate::collection::Collection;
use crate::part::Part;
use crate::settings::Settings;
use crate::snapshot::{PartView, Snapshot};

/// Space that a merge needs whatever it merges.
const LEAST_BYTES: u64 = 1 << 20;
/// What files of a new segment may take more than those that they are made of, as a part.
const MARGIN_PART: u64 = 16;
/// An index of trigrams takes some 1.3 times the bytes of the documents where these are text, and up to so many times where they are
/// nearly so. Of random characters it takes up to four times; without space for that the merge fails as it is written.
const FULL_TEXT_FACTOR: u64 = 2;
/// Memory for a merge where the system does not tell what it could give, and the least that is taken.
const USUAL_MEMORY_BYTES: u64 = 1 << 30;
const LEAST_MEMORY_BYTES: u64 = 256 << 20;
/// The part of the available memory that a merge takes.
const MEMORY_PART: u64 = 4;
/// Copies of codes and links that are held at once: those of the base, of the base without what is gone, and the new ones.
const INDEX_COPIES: u64 = 3;
/// Memory for posting lists, hashes and addresses of a row.
const ROW_OVERHEAD_BYTES: u64 = 256;

impl Collection {
    /// Whether there is space for a segment made of these.
    ///
    /// # Errors
    /// `NoSpace`.
    pub(crate) fn check_space(&self, sources: &Snapshot) -> Result<()> {
        let settings = self.settings();
        let needed = sources.parts.iter().map(|view| merged_bytes(view, &settings)).sum::<Result<u64>>()?;
        self.check_free(needed + needed / MARGIN_PART + LEAST_BYTES, "compaction")
    }

    /// Whether there is space for the copy that SQLite makes of the catalog, and for its log of that.
    ///
    /// # Errors
    /// `NoSpace`.
    pub(crate) fn check_space_for_catalog(&self) -> Result<()> {
        self.check_free(2 * self.shared.catalog.bytes()?, "shrinking catalog.sqlite")
    }

    fn check_free(&self, needed: u64, what: &str) -> Result<()> {
        let reserve = self.shared.options.disk_reserve_bytes;
        let Some(free) = self.shared.store.free_bytes()? else { return Ok(()) };
        if free >= needed.saturating_add(reserve) {
            return Ok(());
        }
        Err(Error::new(
            Code::NoSpace,
            format!(
                "The volume has too little space for {what}: it needs about {needed} bytes and leaves {reserve} free \
                 (diskReserveBytes), and there are {free}. Make room and try again; nothing was changed"
            ),
        ))
    }

    /// How many rows a merge may take, by the memory that it needs for each.
    pub(crate) fn most_merged_rows(&self, snapshot: &Snapshot) -> u64 {
        let of_system = || {
            available_memory().map_or(USUAL_MEMORY_BYTES, |free| (free / MEMORY_PART).max(LEAST_MEMORY_BYTES))
        };
        let budget = self.shared.options.compaction_memory_bytes.unwrap_or_else(of_system);
        (budget / row_memory(snapshot.dimension.unwrap_or(1), &self.settings())).max(1)
    }
}

/// Bytes that a merge holds in memory for each row.
fn row_memory(dimension: u32, settings: &Settings) -> u64 {
    let code = match settings.quantization {
        _ if !settings.metric.has_codes() => 0,
        Quantization::None => 0,
        Quantization::Int4 => u64::from(dimension) / 2,
        Quantization::Int8 | Quantization::Auto => u64::from(dimension),
    };
    INDEX_COPIES * (code + link_bytes(settings)) + ROW_OVERHEAD_BYTES
}

/// Bytes of a node's links, those of the upper levels included.
fn link_bytes(settings: &Settings) -> u64 {
    let ground = 2 * settings.m * size_of::<u32>();
    (ground + ground / 16) as u64
}

/// Bytes that the live rows of a source are likely to take in a merged segment.
fn merged_bytes(view: &PartView, settings: &Settings) -> Result<u64> {
    let Part::Segment(segment) = &view.part else { return Ok(0) };
    let reader = segment.reader();
    let mut bytes = reader.bytes_on_disk();
    if !segment.has_graph()? {
        bytes += u64::from(segment.rows()) * link_bytes(settings);
        // Small documents of what was sealed lately are not indexed yet.
        bytes += FULL_TEXT_FACTOR * reader.records_bytes();
    }
    Ok(bytes.saturating_mul(view.live_rows()) / u64::from(segment.rows().max(1)))
}
