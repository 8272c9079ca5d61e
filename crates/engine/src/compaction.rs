//! Compaction: few segments instead of many, graphs instead of bare codes, and nothing of what was deleted.

use std::time::{Duration, Instant};

use ferrochrome_types::{CancelToken, Code, Error, Progress, Result, Stage};
use parking_lot::{Mutex, MutexGuard};
use uuid::Uuid;

use crate::collection::Collection;
use crate::merge::{Base, Merge};
use crate::merge_policy::{Bounds, Candidate, choose_among};
use crate::part::Part;
use crate::snapshot::{PartView, Snapshot};

/// Share of tombstones beyond which a segment is written anew without them.
const DEAD_SHARE: f64 = 0.2;
/// A collection without writes for this long has its unindexed rows merged even where they are few.
const IDLE: Duration = Duration::from_millis(1_000);
/// How often those who wait for their turn see whether it is still wanted.
const CANCEL_POLL: Duration = Duration::from_millis(20);
/// How long a secure compaction waits for readers of the old files.
const LONGEST_WAIT_FOR_READERS: Duration = Duration::from_secs(10);

/// How a collection is compacted on demand.
#[derive(Clone, Debug, Default)]
pub struct CompactOptions {
    /// Leave nothing of what was deleted before the call in the folder: every segment is written anew, its index is built from its
    /// records alone, and metadata keys that no record has any more are forgotten. Default: false.
    pub secure: bool,
    /// Stops it. What was merged until then stays merged, and nothing is lost.
    pub cancel: CancelToken,
    /// Is told how far it has come.
    pub progress: Progress,
}

impl Collection {
    /// Merges what the policy says should be merged now. Returns when to look again: at once after a merge, later where something would be
    /// due if nothing is written until then.
    ///
    /// # Errors
    /// `Io`, `NoSpace`, `Cancelled`, `Corrupted`; everything is then as before.
    pub(crate) fn compact_if_due(&self, cancel: &CancelToken) -> Result<Option<Duration>> {
        let _one_compaction = self.compacting.lock();
        let cancel = &cancel.or(&CancelToken::default());
        *self.background_merge.lock() = cancel.clone();
        let idle = self.idle() >= IDLE;
        if idle {
            self.merge_wanted.expect_no_more();
        }
        let snapshot = self.snapshot()?;
        let bounds = Bounds {
            most_rows: self.most_merged_rows(&snapshot),
            graph_rows: self.shared.options.min_rows_for_graph,
        };
        let Some(merge) = choose(&snapshot, idle, bounds)? else {
            return Ok((!idle).then(|| IDLE.saturating_sub(self.idle()).max(Duration::from_millis(1))));
        };
        // A writing program needs a core for itself.
        let threads = self.shared.options.threads;
        let threads = if idle { threads } else { threads.saturating_sub(1).max(1) };
        self.merge(merge, threads, cancel, &Progress::default())?;
        Ok(Some(Duration::ZERO))
    }

    /// [`compact_with`](Self::compact_with) without options but `cancel`.
    ///
    /// # Errors
    /// As [`compact_with`](Self::compact_with).
    pub fn compact(&self, cancel: &CancelToken) -> Result<()> {
        self.compact_with(&CompactOptions { cancel: cancel.clone(), ..CompactOptions::default() })
    }

    /// Seals the head and merges all segments into one without tombstones, or into as few as
    /// [`compaction_memory_bytes`](crate::DatabaseOptions::compaction_memory_bytes) allows. What was deleted is then in no file of this
    /// collection, and the catalog is shrunk.
    ///
    /// # Errors
    /// `NoSpace` before anything is written, where the volume has too little space; `Io`, `ReadOnly`, `Corrupted`, `Cancelled`, `Closed`
    /// when the database is closed meanwhile; with `secure` also `Locked` where queries, exports or other processes keep old files in use.
    /// What was merged until then stays merged; records are never lost.
    pub fn compact_with(&self, options: &CompactOptions) -> Result<()> {
        self.check_writable()?;
        let cancel = options.cancel.or(&self.shared.shutdown);
        let outcome = self.compact_until(options, &cancel);
        match outcome {
            Err(error) if error.code() == Code::Cancelled => {
                self.check_usable()?;
                Err(error)
            }
            outcome => outcome,
        }
    }

    fn compact_until(&self, options: &CompactOptions, cancel: &CancelToken) -> Result<()> {
        let CompactOptions { secure, progress, .. } = options;
        progress.begin(Stage::Seal, self.head_size().0 as u64);
        self.seal_counting(cancel, progress)?;
        let one_compaction = self.take_turn_to_compact(cancel)?;
        for group in self.groups(*secure)? {
            cancel.check()?;
            let snapshot = self.snapshot()?;
            let views: Vec<_> =
                segments_of(&snapshot).into_iter().filter(|view| is_in(&group, view)).collect();
            let base = if *secure { Base::None } else { on_demand_base(&views)? };
            self.merge(Merge::new(&snapshot, views, base), self.shared.options.threads, cancel, progress)?;
        }
        drop(one_compaction);
        progress.begin(Stage::Erase, 0);
        self.retire_replaced()?;
        if *secure {
            self.forget_unused_keys(cancel)?;
            self.wait_for_removed_files(cancel)?;
        }
        cancel.check()?;
        self.check_space_for_catalog()?;
        // The log that was cut left its space, and what was deleted, in the file.
        match self.shared.catalog.vacuum(cancel) {
            // A process that reads beside this one is looking at the old pages. The merge stands all the same.
            Err(e) if e.code() == Code::Locked && !secure => Ok(()),
            outcome => outcome,
        }
    }

    /// Waits for its turn, which the background has to give up: what it was doing is done here.
    fn take_turn_to_compact(&self, cancel: &CancelToken) -> Result<MutexGuard<'_, ()>> {
        loop {
            cancel.check()?;
            self.background_merge.lock().cancel();
            if let Some(turn) = self.compacting.try_lock_for(CANCEL_POLL) {
                return Ok(turn);
            }
        }
    }

    /// The segments that are to become one, for each that there will be.
    fn groups(&self, secure: bool) -> Result<Vec<Vec<Uuid>>> {
        let snapshot = self.snapshot()?;
        let most = self.most_merged_rows(&snapshot);
        let mut groups: Vec<(u64, Vec<&PartView>)> = Vec::new();
        for view in segments_of(&snapshot) {
            let rows = view.live_rows();
            match groups.last_mut() {
                Some((sum, group)) if *sum + rows <= most => {
                    *sum += rows;
                    group.push(view);
                }
                _ => groups.push((rows, vec![view])),
            }
        }
        let mut unfinished = Vec::new();
        for (_, group) in groups {
            let finished = match group.as_slice() {
                [only] => only.tombstones.is_empty() && self.is_indexed(only)?,
                _ => false,
            };
            if secure || !finished {
                unfinished.push(group.iter().filter_map(|view| view.part.segment_id()).collect());
            }
        }
        Ok(unfinished)
    }

    /// Whether a merge of this segment alone would change nothing for queries.
    fn is_indexed(&self, view: &PartView) -> Result<bool> {
        let Part::Segment(segment) = &view.part else { return Ok(false) };
        let small = u64::from(view.part.rows()) < self.shared.options.min_rows_for_graph;
        let asked = self.settings().quantization;
        Ok(segment.index_parameters()?.map_or(small, |parameters| {
            parameters.quantization_asked == asked && (small || parameters.graph.is_some())
        }))
    }

    /// Waits until the files of replaced segments are gone, which queries and exports may still be reading.
    fn wait_for_removed_files(&self, cancel: &CancelToken) -> Result<()> {
        let began = Instant::now();
        loop {
            cancel.check()?;
            let mut removing = self.removing.lock();
            removing.retain(|(_, files)| files.strong_count() > 0);
            if removing.is_empty() {
                return Ok(());
            }
            drop(removing);
            if began.elapsed() > LONGEST_WAIT_FOR_READERS {
                return Err(Error::new(
                    Code::Locked,
                    "Files that hold deleted records are still in use by queries or exports of this process: let them end, \
                     and compact again",
                ));
            }
            std::thread::sleep(CANCEL_POLL);
        }
    }
}

/// Waits for its turn, but not longer than it is wanted.
pub(crate) fn lock<'a, T>(mutex: &'a Mutex<T>, cancel: &CancelToken) -> Result<MutexGuard<'a, T>> {
    loop {
        cancel.check()?;
        if let Some(guard) = mutex.try_lock_for(CANCEL_POLL) {
            return Ok(guard);
        }
    }
}

fn is_in(group: &[Uuid], view: &PartView) -> bool {
    view.part.segment_id().is_some_and(|id| group.contains(&id))
}

/// What a merge on demand begins with: the largest graph, without its tombstones.
fn on_demand_base(views: &[&PartView]) -> Result<Base> {
    Ok(match largest_graph(views)? {
        Some(at) if views[at].tombstones.is_empty() => Base::Extended(at as u32),
        Some(at) => Base::Renewed(at as u32),
        None => Base::None,
    })
}

/// What should be merged now, if anything.
fn choose(snapshot: &Snapshot, idle: bool, bounds: Bounds) -> Result<Option<Merge>> {
    let segments = segments_of(snapshot);
    if let Some(decayed) = segments.iter().find(|view| is_decayed(view)) {
        let base = if has_graph(decayed)? { Base::Renewed(0) } else { Base::None };
        return Ok(Some(Merge::new(snapshot, vec![decayed], base)));
    }
    let candidate = |view: &&PartView| Ok(Candidate { rows: view.live_rows(), graph: has_graph(view)? });
    let candidates = segments.iter().map(candidate).collect::<Result<Vec<_>>>()?;
    let Some(chosen) = choose_among(&candidates, idle, bounds) else { return Ok(None) };
    let chosen: Vec<_> = chosen.into_iter().map(|at| segments[at]).collect();
    let base = largest_graph(&chosen)?.map_or(Base::None, |at| Base::Extended(at as u32));
    Ok(Some(Merge::new(snapshot, chosen, base)))
}

fn segments_of(snapshot: &Snapshot) -> Vec<&PartView> {
    snapshot.segments().map(|(_, view)| view).collect()
}

fn has_graph(view: &PartView) -> Result<bool> {
    match &view.part {
        Part::Segment(segment) => segment.has_graph(),
        Part::Chunk(_) => Ok(false),
    }
}

fn is_decayed(view: &PartView) -> bool {
    view.tombstones.len() as f64 > DEAD_SHARE * f64::from(view.part.rows())
}

fn largest_graph(segments: &[&PartView]) -> Result<Option<usize>> {
    let mut largest = None;
    for (at, view) in segments.iter().enumerate() {
        let bigger = largest.is_none_or(|(_, rows)| view.live_rows() > rows);
        if bigger && has_graph(view)? {
            largest = Some((at, view.live_rows()));
        }
    }
    Ok(largest.map(|(at, _)| at))
}
