//! Writes a new segment: rows, then what is derived from them.

use std::sync::Arc;

use ferrochrome_blockstore::{SegmentOptions, SegmentOrigin, SegmentRows, SegmentWriter};
use ferrochrome_index::{BuildOptions, Codebook, VectorIndex};
use ferrochrome_metadata::{Postings, write_lookup};
use ferrochrome_types::{CancelToken, Error, Progress, Record, Result};
use roaring::RoaringBitmap;
use uuid::Uuid;

use crate::collection::{Collection, Shared};
use crate::segment::{LOOKUP_FILE, Segment};
use crate::snapshot::{RowAddress, Snapshot};

/// Documents of up to so many bytes are searched without an index until their segment is merged: reading them takes a fraction of a
/// millisecond, indexing them here would take half of a seal.
const MAX_UNINDEXED_TEXT_BYTES: usize = 4 << 20;
/// Rows that are copied between two looks at the cancel token.
pub(crate) const CANCEL_POLL_ROWS: usize = 256;
/// Longest copy of a collection's description that goes into its segments.
const MAX_DESCRIPTION_BYTES: usize = 256 << 10;
const LEVEL_SEED: u64 = 0x6665_7272_6f63_6872;

/// How the index of a new segment comes to be.
pub(crate) enum IndexSource<'a> {
    /// Codes to scan over, by the collection's codebook where it fits; for segments that will soon be merged.
    Codes,
    /// A new graph.
    Graph,
    /// The graph of the segment whose rows are the first of the new one, grown by the rest.
    Extend { base: Arc<dyn VectorIndex>, dead: &'a RoaringBitmap },
    /// The graph of the segment whose rows but for those in `gone` are the first of the new one, mended and grown by the rest.
    Renew { base: Arc<dyn VectorIndex>, gone: &'a RoaringBitmap },
}

pub(crate) struct SegmentBuilder<'a> {
    collection: &'a Collection,
    id: Uuid,
    writer: SegmentWriter,
    postings: Postings,
    document_bytes: usize,
    rows: u32,
}

impl<'a> SegmentBuilder<'a> {
    /// `sequence` is the last batch of the log that the rows may contain.
    pub fn new(collection: &'a Collection, dim: usize, sequence: u64) -> Result<Self> {
        // A repair may have to do with the copy; a collection that is being deleted has none.
        let row = collection.shared.catalog.collection_by_id(collection.id);
        let description = row.map(|row| row.to_json()).unwrap_or_default();
        Self::with_origin(collection, dim, SegmentOrigin { collection: collection.id, sequence, description })
    }

    /// As [`new`](Self::new), with the segment's origin given.
    pub fn with_origin(collection: &'a Collection, dim: usize, mut origin: SegmentOrigin) -> Result<Self> {
        let shared = &collection.shared;
        let id = Uuid::new_v4();
        let options = SegmentOptions { dim, compression: shared.options.compression };
        let mut writer = SegmentWriter::create(shared.store.clone(), id, options)?;
        if origin.description.len() > MAX_DESCRIPTION_BYTES {
            origin.description.clear();
        }
        writer.set_origin(origin);
        Ok(SegmentBuilder { collection, id, writer, postings: Postings::new(), document_bytes: 0, rows: 0 })
    }

    pub fn push(&mut self, record: &Record, vector: &[f32]) -> Result<()> {
        let label = self.writer.push(record, vector)?;
        self.postings.insert(label, record.metadata.as_ref());
        self.document_bytes += record.document.as_ref().map_or(0, String::len);
        self.rows = label + 1;
        Ok(())
    }

    /// Copies rows of `sources`.
    pub fn push_rows(
        &mut self,
        sources: &Snapshot,
        rows: &[RowAddress],
        cancel: &CancelToken,
        progress: &Progress,
    ) -> Result<()> {
        for (i, row) in rows.iter().enumerate() {
            if i.is_multiple_of(CANCEL_POLL_ROWS) {
                cancel.check()?;
            }
            let part = &sources.parts[row.part as usize].part;
            self.push(&*part.record(row.label)?, part.vector(row.label)?)?;
            progress.advance(1);
        }
        Ok(())
    }

    /// Builds index and look-ups, and publishes the files. `progress` counts rows that are inserted into a graph.
    pub fn finish(
        mut self,
        source: &IndexSource<'_>,
        threads: usize,
        cancel: &CancelToken,
        progress: &Progress,
    ) -> Result<Segment> {
        let shared: &Shared = &self.collection.shared;
        let settings = self.collection.settings();
        let rows = self.writer.finish_rows()?;
        let soon_merged = matches!(source, IndexSource::Codes);
        let full_text =
            settings.indexed.full_text() && !(soon_merged && self.document_bytes <= MAX_UNINDEXED_TEXT_BYTES);
        let path = shared.store.staging_path(&format!("{}/{LOOKUP_FILE}", self.id))?;
        let (index, lookup) = at_once(
            threads > 1,
            || self.index(source, &rows, threads, cancel, progress),
            || write_lookup(path.as_deref(), &self.postings, &rows, full_text, cancel),
        )?;
        drop(rows);
        if let Some(index) = &index {
            self.collection.codebook.store(Codebook::of(index.as_ref()).map(Arc::new));
            self.writer.write_index(&index.parameters().to_json()?, &index.buffers()?)?;
        }
        match lookup {
            None => self.writer.add_file(LOOKUP_FILE)?,
            Some(bytes) => self.writer.add_bytes(LOOKUP_FILE, &bytes)?,
        }
        cancel.check()?;
        let reader = self.writer.publish()?;
        let segment = shared.segment(self.id, reader);
        if let Some(index) = index {
            // Without room for it the first search opens the file.
            shared.provider.offer(self.id, index);
        }
        Ok(segment)
    }

    /// The index of the rows, if they are so many that it pays.
    fn index(
        &self,
        source: &IndexSource<'_>,
        rows: &SegmentRows,
        threads: usize,
        cancel: &CancelToken,
        progress: &Progress,
    ) -> Result<Option<Arc<dyn VectorIndex>>> {
        let (shared, settings) = (&self.collection.shared, self.collection.settings());
        if self.rows < shared.options.min_rows_for_codes {
            return Ok(None);
        }
        let options = BuildOptions {
            metric: settings.metric,
            m: settings.m,
            ef_construction: settings.ef_construction,
            seed: LEVEL_SEED,
            threads,
            quantization: settings.quantization,
            cancel: cancel.clone(),
            progress: progress.clone(),
            ..BuildOptions::default()
        };
        let index = match source {
            IndexSource::Codes => self.codes(rows, &options)?,
            IndexSource::Graph => {
                let graph = u64::from(self.rows) >= shared.options.min_rows_for_graph;
                ferrochrome_index::build(rows, &options, graph)?
            }
            IndexSource::Extend { base, dead } => {
                ferrochrome_index::extend(base.as_ref(), rows, &options, dead)?
            }
            IndexSource::Renew { base, gone } => {
                ferrochrome_index::renew(base.as_ref(), gone, rows, &options)?
            }
        };
        Ok(Some(index))
    }

    fn codes(&self, rows: &SegmentRows, options: &BuildOptions) -> Result<Arc<dyn VectorIndex>> {
        if let Some(codebook) = self.collection.codebook.load_full()
            && let Some(index) = codebook.encode(rows, options)?
        {
            return Ok(index);
        }
        ferrochrome_index::build(rows, options, false)
    }
}

/// Does both, the second on a thread of its own if `apart`. A panic of that goes on in the caller.
fn at_once<A, B: Send>(
    apart: bool,
    first: impl FnOnce() -> Result<A>,
    second: impl FnOnce() -> Result<B> + Send,
) -> Result<(A, B)> {
    if !apart {
        return Ok((first()?, second()?));
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("ferrochrome-lookup".into())
            .spawn_scoped(scope, second)
            .map_err(|error| {
                Error::internal(format!("the thread that writes posting lists cannot be started: {error}"))
            })?;
        let first = first();
        let second = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((first?, second?))
    })
}
